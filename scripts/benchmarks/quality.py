"""How well clusters agree with the folders' names: vecstore beside scikit-learn's KMeans on the same vectors."""

import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from scripts.benchmarks.common import describe_machine
from vecstore import Store
from vecstore.clustering.evaluation import compare, folder_label
from vecstore.results import Evaluation

EMBEDDERS = ("efficientnet-lite0", "efficientnet-lite2", "hsv", "efficientnet-lite0+hsv")
RUNS = 10


def main(
    data: Annotated[Path, typer.Argument(help="A folder of labelled collections: a folder a label in each.")],
    collections: Annotated[
        list[str] | None, typer.Option("--collection", help="Only this one; may be repeated.")
    ] = None,
    embedders: Annotated[list[str] | None, typer.Option("--embedder", help="Only this one; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds to take the median of.")] = 3,
) -> None:
    """Print accuracy by best matching, ARI, NMI, and precision@10 of neighbours, with k the number of labels.

    scikit-learn makes ten runs from k-means++ and keeps the best (n_init=10); vecstore is run with ten restarts, and
    as it comes: with more, on collections of this size.
    """
    describe_machine("numpy", "faiss-gpu", "scikit-learn")
    print("| pictures | embedder | | accuracy | ARI | NMI | loss | precision@10 |\n|---|---|---|---|---|---|---|---|")
    for name in collections or ["catsdogs60", "flowers200", "trashnet2521"]:
        for embedder in embedders or EMBEDDERS:
            _print_rows(data / name, embedder, seeds)


def _print_rows(pictures: Path, embedder: str, seeds: int) -> None:
    from sklearn.cluster import KMeans

    k = sum(folder.is_dir() for folder in pictures.iterdir())
    with (
        tempfile.TemporaryDirectory() as scratch,
        Store.open(Path(scratch) / "store", embedder=embedder, create=True) as store,
    ):
        store.add(pictures)
        info = store.info()
        rows = np.fromfile(Path(scratch) / "store" / "vectors.f16", "<f2").reshape(-1, info.dim).astype(np.float32)
        images = list(store.session.catalog.paths.all())
        labels = {row: folder_label(path) for row, path in images}
        ours, ten, theirs = [], [], []
        for seed in range(seeds):
            for made, restarts in ((ours, None), (ten, RUNS)):
                run = store.cluster(k, seed=seed, restarts=restarts)
                made.append((store.evaluate(), run.objective))
            fitted = KMeans(k, n_init=RUNS, random_state=seed).fit(rows)
            clusters = dict(enumerate(fitted.labels_.tolist()))
            theirs.append((compare(images, labels, clusters, ours[-1][0].precision, 10), float(fitted.inertia_)))
    for who, found in (("vecstore", ours), (f"vecstore, {RUNS} runs", ten), (f"scikit-learn, {RUNS} runs", theirs)):
        _print_row(f"{pictures.name}, k={k}", embedder, who, found)


def _print_row(pictures: str, embedder: str, who: str, found: list[tuple[Evaluation, float]]) -> None:
    values = [
        statistics.median(getattr(evaluation, figure) for evaluation, _ in found)
        for figure in ("accuracy", "ari", "nmi", "precision")
    ]
    least = min(evaluation.accuracy for evaluation, _ in found)
    loss = statistics.median(objective for _, objective in found)
    figures = [f"{values[0]:.3f} (least {least:.3f})", f"{values[1]:.3f}", f"{values[2]:.3f}", f"{loss:.2f}"]
    print("| " + " | ".join([pictures, embedder, who, *figures, f"{values[3]:.3f}"]) + " |", flush=True)
