"""How well words find what the folders' names say: `find` for every label that the embedder's words know."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from scripts.benchmarks.common import describe_machine
from vecstore import Store
from vecstore.clustering.evaluation import folder_label
from vecstore.words.vocabulary import vocabulary

WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0)
EXAMPLES, NEAREST = 200, 10
EMBEDDERS = ("efficientnet-lite0", "efficientnet-lite2")


def main(
    data: Annotated[Path, typer.Argument(help="A folder of labelled collections: a folder a label in each.")],
    collections: Annotated[
        list[str] | None, typer.Option("--collection", help="Only this one; may be repeated.")
    ] = None,
    embedders: Annotated[list[str] | None, typer.Option("--embedder", help="Only this one; may be repeated.")] = None,
    stores: Annotated[Path | None, typer.Option(help="Keep the stores in this folder, for the next time.")] = None,
) -> None:
    """Print, for each label that is a known word, how many of the first images that words give have it.

    Precision@k is of the first 10, and of as many as have the label, by `find` and by `similar --word`; found is how
    many of these `find` gives at all. Then, for 200 images, each less one of another label: how many of the ten nearest
    have its label, and how many the other, with what is subtracted at several weights.
    """
    describe_machine("numpy")
    print("| pictures | embedder | label | classes | find: p@10 | p@k, k | found | similar --word: p@10 | p@k |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    chosen = [
        (name, embedder)
        for name in collections or ["catsdogs60", "flowers200", "trashnet2521"]
        for embedder in embedders or EMBEDDERS
    ]
    with tempfile.TemporaryDirectory() as scratch:
        less = []
        for name, embedder in chosen:
            folder = (stores or Path(scratch)) / f"{name}-{embedder}"
            with Store.open(folder, embedder=embedder, create=True) as store:
                store.add(data / name, tags=True)
                label_of = {row: folder_label(path) for row, path in store.session.catalog.paths.all()}
                _print_labels(f"| {name} | {embedder}", store, label_of)
                less.append(f"| {name} | {embedder} | {_with_minus(store, label_of)} |")
    print(f"\n| pictures | embedder | {' | '.join(f'weight {weight:g}' for weight in WEIGHTS)} |")
    print("\n".join(["|---" * (len(WEIGHTS) + 2) + "|", *less]))


def _print_labels(start: str, store: Store, label_of: dict[int, str]) -> None:
    for label, count in sorted(Counter(label_of.values()).items()):
        classes = vocabulary().look_up(label)
        if classes is None:
            continue
        found, near = (
            [label_of[hit.id] == label for hit in hits]
            for hits in (store.find(label, k=len(label_of)), store.similar(words=[label], k=count))
        )
        print(
            f"{start} | {label} | {len(classes)} | {sum(found[:10]) / 10:.2f} | {sum(found[:count]) / count:.2f}, "
            f"{count} | {sum(found)} | {sum(near[:10]) / 10:.2f} | {sum(near) / count:.2f} |",
            flush=True,
        )


def _with_minus(store: Store, label_of: dict[int, str]) -> str:
    random = np.random.default_rng(0)
    rows = random.permutation(sorted(label_of))[:EXAMPLES].tolist()
    others = [int(random.choice([row for row in label_of if label_of[row] != label_of[own]])) for own in rows]
    parts = []
    for weight in WEIGHTS:
        own_label, other_label = 0, 0
        for own, other in zip(rows, others, strict=True):
            hits = store.similar(own, minus=[other], minus_weight=weight, k=NEAREST + 1)
            labels = [label_of[hit.id] for hit in hits if hit.id != own][:NEAREST]
            own_label += labels.count(label_of[own])
            other_label += labels.count(label_of[other])
        parts.append(" and ".join(f"{n / (NEAREST * len(rows)):.3f}" for n in (own_label, other_label)))
    return " | ".join(parts)
