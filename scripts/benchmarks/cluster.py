"""Clustering a store, against FAISS, its SuperKmeans and scikit-learn on the same vectors in memory; its own memory."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import faiss
import numpy as np
import typer
from numpy.typing import NDArray

from indexes import kmeans
from indexes.devices import choose_device
from indexes.kmeans import assign_blocks
from scripts.benchmarks.common import (
    describe_machine,
    in_a_process_of_its_own,
    make_store,
    print_ratios,
    rate_of,
    resnet_like,
    rounds,
)
from vecstore import Store
from vecstore.storage.vector_file import VectorFile

ITERATIONS = 25
# FAISS's own; the store takes more: indexes/kmeans.py.
FAISS_BLOCK = 4_096
# Before, all rows took part in every iteration. And of the 25 iterations, this many cost what the two in all dimensions
# did that were once made, and the objective that was always computed: the first of the last ones needs no distances.
AS_BEFORE = {"EARLY_SHARE": 2**40, "LAST_OF_MANY_ROWS": 4}


def main(
    rows: Annotated[int, typer.Option(help="Stored vectors.")] = 200_000,
    dim: Annotated[int, typer.Option()] = 2048,
    k: Annotated[int, typer.Option("-k", help="Clusters.")] = 100,
    n_rounds: Annotated[int, typer.Option("--rounds")] = 3,
    before: Annotated[
        bool, typer.Option("--before", help="Compare with all rows in all iterations, more of them in all dimensions.")
    ] = False,
    sklearn: Annotated[bool, typer.Option(help="Compare with scikit-learn too: several minutes.")] = True,
    memory_rows: Annotated[int, typer.Option(help="Vectors of a store to measure the memory on; 0: none.")] = 1_000_000,
    folder: Annotated[Path | None, typer.Option(help="Where to work; 2 bytes a number are needed.")] = None,
) -> None:
    """Print rows/s and CPU seconds of a whole clustering, each row labelled, the objectives, and peak memory.

    FAISS gets the options that the store uses: one run, 25 iterations, 256 rows a centroid, the same seed, and its own
    block of 4,096 queries; its data are in memory in float32, the store's on disk in float16, and the store also
    records each row's cluster and distance. The store makes 24 of the iterations in 128 principal directions, and with
    many rows the first half on a quarter of the rows. With --before, it makes 21 of them there, on all rows: that
    costs what it did when two were made in all dimensions and the objective was always computed.
    scikit-learn's KMeans does not sample: 25 iterations of Lloyd's from one random start, on all rows.
    """
    describe_machine("numpy", "faiss-gpu", "scikit-learn")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / "store"
        make_store(path, resnet_like(rows, dim, seed=0))
        vectors = VectorFile(path / "vectors.f16", dim).read(rows)
        x = vectors.astype(np.float32)
        centroids: dict[str, NDArray[np.float32]] = {}

        def ours(name: str = "vecstore") -> None:
            with Store.open(path, device="cpu") as store:
                centroids[name] = store.cluster(k, iterations=ITERATIONS, restarts=1).cluster_centers_

        def as_before() -> None:
            with patch.multiple(kmeans, **AS_BEFORE):
                ours("vecstore as before")

        def bare(kind: type[faiss.Kmeans]) -> None:
            ours, faiss.cvar.distance_compute_blas_query_bs = faiss.cvar.distance_compute_blas_query_bs, FAISS_BLOCK
            made = kind(dim, k, niter=ITERATIONS, seed=0, max_points_per_centroid=256)
            made.train(x)
            made.assign(x)
            centroids[f"faiss.{kind.__name__}"] = made.centroids.reshape(k, dim)
            faiss.cvar.distance_compute_blas_query_bs = ours

        def sklearn_s() -> None:
            from sklearn.cluster import KMeans

            made = KMeans(k, init="random", n_init=1, max_iter=ITERATIONS, tol=0, random_state=0, copy_x=False).fit(x)
            centroids["scikit-learn"] = made.cluster_centers_

        print(f"{rows} x {dim}, k {k}")
        contestants = {
            "vecstore": lambda: _rate(rows, ours),
            "faiss.Kmeans": lambda: _rate(rows, partial(bare, faiss.Kmeans)),
            "faiss.SuperKmeans": lambda: _rate(rows, partial(bare, faiss.SuperKmeans)),
        }
        if before:
            contestants["vecstore as before"] = lambda: _rate(rows, as_before)
        rates = rounds(contestants, n_rounds)
        if sklearn:
            rates["scikit-learn"] = (
                rounds({"scikit-learn": lambda: _rate(rows, sklearn_s)}, 1)["scikit-learn"] * n_rounds
            )
        print_ratios(rates, "vecstore")
        for name, found in centroids.items():
            print(f"objective of {name}: {_objective(vectors, found):.1f}")
        if memory_rows:
            del x
            _measure_memory(path, Path(scratch) / "large", memory_rows, dim, k)


def _rate(rows: int, work: Callable[[], object]) -> float:
    """Return rows a second, and print the CPU seconds, which other work on the machine changes less."""
    started = time.process_time()
    rate = rate_of(rows, work)
    print(f"{time.process_time() - started:.1f} s of CPU time, {rows / rate:.1f} s in all")
    return rate


def _objective(vectors: NDArray[np.float16], centroids: NDArray[np.float32]) -> float:
    blocks = assign_blocks(vectors, np.arange(len(vectors)), centroids.astype(np.float32), choose_device("cpu"))
    return sum(assignment.objective for _, assignment in blocks)


def _measure_memory(source: Path, path: Path, rows: int, dim: int, k: int) -> None:
    """Cluster a larger store, the vectors repeated, in a process of its own; print its peak memory."""
    stored = VectorFile(source / "vectors.f16", dim)
    vectors = stored.read(stored.rows_there())
    make_store(path, (vectors[: rows - start] for start in range(0, rows, len(vectors))))
    seconds, peak = in_a_process_of_its_own(partial(_cluster, k), path)
    print(f"{rows} x {dim}: {seconds:.1f} s, peak {peak:.0f} MiB")


def _cluster(k: int, path: Path) -> None:
    with Store.open(path, device="cpu") as store:
        store.cluster(k)
