"""Why k-means starts again: what single runs and the run with the least objective make of a labelled folder."""

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from indexes.devices import choose_device
from indexes.kmeans import KMeansOptions, Training, assign, train
from scripts.benchmarks.common import REAL_PHOTOS
from vecstore import Store


def main(
    pictures: Annotated[Path, typer.Argument(help="A folder with two folders, one a label.")] = REAL_PHOTOS.parent
    / "catsdogs60",
    runs: Annotated[int, typer.Option(help="Single runs to make.")] = 200,
) -> None:
    """Print how many pictures single runs put right, the worst, the median and the best, beside the default."""
    device = choose_device("cpu")
    with tempfile.TemporaryDirectory() as scratch:
        with Store.open(Path(scratch) / "store", embedder="efficientnet-lite0", create=True) as store:
            store.add(pictures)
            info = store.info()
        vectors = np.fromfile(Path(scratch) / "store" / "vectors.f16", "<f2").reshape(-1, info.dim).astype(np.float32)
    labels = np.unique([path.parent.name for path in sorted(pictures.glob("*/*"))], return_inverse=True)[1]

    def right(training: Training) -> int:
        clusters = assign(vectors, training.centroids, device).labels
        same = int((clusters == labels).sum())
        return max(same, len(labels) - same)

    single = sorted(right(train(vectors, 2, KMeansOptions(seed, restarts=1), device)) for seed in range(runs))
    print(f"single runs: {single[0]} to {single[-1]} of {len(labels)} right, median {single[len(single) // 2]}")
    trainings = [train(vectors, 2, KMeansOptions(seed), device) for seed in range(10)]
    print(f"default, 10 seeds: {sorted(map(right, trainings))} right, of {[t.runs for t in trainings]} runs")
