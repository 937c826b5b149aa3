"""What k-means gains by its rows' principal directions, and by mini-batches: objective and CPU time of a training."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import numpy as np
import typer
from numpy.typing import NDArray

from indexes import kmeans
from indexes.devices import choose_device
from indexes.kmeans import KMeansOptions, assign, train
from indexes.rows import as_float32
from scripts.benchmarks.common import describe_machine, resnet_like
from vecstore import Store

ROWS, DIM = 200_000, 2048
IN_ALL = 1 << 30
BATCH_ROWS = 4_096


def main(
    store: Annotated[Path | None, typer.Option(help="Take a store's vectors.", show_default="made-up ones")] = None,
    k: Annotated[int, typer.Option("-k", help="Clusters.")] = 100,
    seeds: Annotated[int, typer.Option(help="Trainings of each kind.")] = 3,
    restarts: Annotated[int, typer.Option(help="Runs of a training.")] = 1,
) -> None:
    """Print the objective, of training in all dimensions = 1, and CPU seconds: medians over the seeds.

    The made-up vectors are 200,000 x 2048, like ResNet50's. A training is on the rows that the store would take, and
    judged on other rows if there are any. Mini-batches are scikit-learn's, of 4,096 rows.
    """
    from sklearn.cluster import MiniBatchKMeans

    describe_machine("numpy", "faiss-gpu", "scikit-learn")
    if store is None:
        vectors = np.concatenate([block.astype(np.float16) for block in resnet_like(ROWS, DIM, seed=0)])
    else:
        with Store.open(store) as opened:
            vectors = np.array(opened.session.vectors())
    device = choose_device("cpu")
    sample = kmeans.sample_rows(np.arange(len(vectors)), k, 0)
    others = np.setdiff1d(np.arange(len(vectors)), sample)[: len(sample)]
    rows, judged = as_float32(vectors, sample), as_float32(vectors, others if len(others) else sample)

    def in_directions(directions: int, seed: int) -> NDArray[np.float32]:
        with patch.object(kmeans, "DIRECTIONS", directions):
            return train(rows, k, KMeansOptions(seed, restarts=restarts), device).centroids

    def in_batches(seed: int) -> NDArray[np.float32]:
        made = MiniBatchKMeans(k, init="random", n_init=restarts, max_iter=25, batch_size=BATCH_ROWS, random_state=seed)
        return np.asarray(made.fit(rows).cluster_centers_, np.float32)

    kinds: dict[str, Callable[[int], NDArray[np.float32]]] = {
        "all dimensions": lambda seed: in_directions(IN_ALL, seed)
    }
    for n in (64, 128, 256):
        if 2 * n <= rows.shape[1]:
            kinds[f"{n} directions"] = lambda seed, n=n: in_directions(n, seed)  # type: ignore[misc]
    kinds["mini-batches"] = in_batches
    print(f"{len(rows)} x {rows.shape[1]}, k {k}, {restarts} runs, judged on {len(judged)} rows")
    whole = 0.0
    for name, made_by in kinds.items():
        objectives, seconds = [], []
        for seed in range(seeds):
            started = time.process_time()
            centroids = made_by(seed)
            seconds.append(time.process_time() - started)
            objectives.append(assign(judged, centroids, device).objective)
        median = float(np.median(objectives))
        whole = whole or median
        print(f"{name:16} objective {median / whole:.4f}  {np.median(seconds):6.2f} s of CPU time", flush=True)
