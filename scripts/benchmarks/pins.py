"""What pinned images are worth: clusters against labels, after a few images of each label were moved by hand."""

import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from vecstore import Store


def main(
    data: Annotated[Path, typer.Argument(help="A folder of labelled collections: a folder a label in each.")],
    collections: Annotated[
        list[str] | None, typer.Option("--collection", help="Only this one; may be repeated.")
    ] = None,
    embedder: Annotated[str, typer.Option()] = "efficientnet-lite0",
    rounds: Annotated[int, typer.Option(help="Random choices of the images to move.")] = 5,
) -> None:
    """Print the part of the images that nobody moved that is in the cluster of its label, by how many were moved."""
    for name in collections or ["flowers200", "trashnet2521"]:
        with (
            tempfile.TemporaryDirectory() as scratch,
            Store.open(Path(scratch) / "store", embedder=embedder, create=True) as store,
        ):
            store.add(data / name)
            labels = {row: Path(path.decode()).parent.name for row, path in store.session.catalog.paths.all()}
            print(f"{name}, {embedder}, k {len({*labels.values()})}")
            for n_moved in (0, 1, 2, 5, 10):
                parts = [_part_right(store, labels, n_moved, seed) for seed in range(rounds)]
                low, high = min(parts), max(parts)
                print(
                    f"{n_moved} of each label moved: {statistics.median(parts):.3f} ({low:.3f} to {high:.3f})",
                    flush=True,
                )


def _part_right(store: Store, labels: dict[int, str], n_moved: int, seed: int) -> float:
    """Cluster, move images of each label to the cluster that stands for it, cluster again, and count."""
    random = np.random.default_rng(seed)
    if pins := store.session.catalog.clusterings.current() and store.pins():
        store.unpin(*(pin.id for pin in pins))
    k = len({*labels.values()})
    store.cluster(k, seed=seed)
    cluster_of = {score.label: score.cluster for score in store.evaluate().classes}
    moved: set[int] = set()
    for label, cluster in cluster_of.items():
        own = [row for row, found in labels.items() if found == label]
        chosen = random.choice(own, min(n_moved, len(own)), replace=False).tolist()
        if chosen and cluster is not None:
            store.move(*chosen, to=cluster)
            moved.update(chosen)
    store.cluster(k, seed=seed)
    if not n_moved:
        cluster_of = {score.label: score.cluster for score in store.evaluate().classes}
    others = [row for row in labels if row not in moved]
    found = store.which(*others)
    return sum(cluster_of[labels[row]] == at.cluster for row, at in zip(others, found, strict=True)) / len(others)
