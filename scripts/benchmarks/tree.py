"""A tree of clusters against flat k-means: CPU time, objective, and how soon walking the tree answers."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from indexes import kmeans, kmeans_tree
from indexes.kmeans import KMeansOptions
from indexes.rows import as_float32
from scripts.benchmarks.common import describe_machine, make_store, peak_memory, resnet_like
from vecstore import Store


def main(
    rows: Annotated[int, typer.Option(help="Stored vectors.")] = 100_000,
    dim: Annotated[int, typer.Option()] = 256,
    levels: Annotated[str, typer.Option(help="Clusters in each level.")] = "12,120,1200",
    full_iterations: Annotated[int, typer.Option(help="Of Lloyd's over all rows after the tree, too.")] = 1,
    flat: Annotated[bool, typer.Option(help="Compare with flat k-means of as many clusters.")] = True,
    reduced: Annotated[
        bool, typer.Option(help="Train flat k-means in 128 principal directions of all rows, and hold these alone.")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to work; 2 bytes a number are needed.")] = None,
) -> None:
    """Print CPU seconds and objective of a tree, and of flat k-means of one run, and the milliseconds of walking."""
    describe_machine("numpy", "faiss-gpu")
    of_levels = tuple(map(int, levels.split(",")))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / "store"
        make_store(path, resnet_like(rows, dim, seed=0))
        print(f"{rows} x {dim}, a tree of {levels}", flush=True)
        with Store.open(path, device="cpu") as store:
            ratio_to = None
            if flat and reduced:
                ratio_to = _timed("flat, in principal directions", lambda: _flat_reduced(store, of_levels[-1]), None)
            elif flat:
                ratio_to = _timed("flat", lambda: store.cluster(of_levels[-1], restarts=1).objective, None)
            for iterations in sorted({full_iterations, 0}, reverse=True):
                name = f"tree, {iterations} iterations over all"
                _timed(name, lambda n=iterations: store.cluster(tree=of_levels, full_iterations=n).objective, ratio_to)
        with Store.open(path, device="cpu") as store:
            print(f"first look at the tree: {_ms(lambda: store.tree(1)):.1f} ms")
            nodes = store.tree(depth=len(of_levels) - 1)
            down = [_ms(lambda n=node.cluster: store.tree(below=n)) for node in nodes[:200]]
            up = [_ms(lambda n=node.cluster: store.tree_path(n)) for node in nodes[:200]]
            cuts = [_ms(lambda n=k: store.cut_tree(n)) for k in (2, 10, 50, 100)]
            for what, found in (("down", down), ("up", up), ("cut into 2 to 100", cuts)):
                print(f"{what}: median {statistics.median(found):.1f} ms, at the most {max(found):.1f} ms")


def _flat_reduced(store: Store, k: int) -> float:
    """Return the objective in all dimensions of one run of k-means whose iterations are made in principal directions.

    It begins with random rows; the centroids end as the means, in all dimensions, of their rows.
    """
    vectors, options, device = store.session.vectors(), KMeansOptions(restarts=1), store.session.device
    rows = np.arange(len(vectors))
    start = as_float32(vectors, np.sort(np.random.default_rng(options.seed).choice(rows, k, replace=False)))
    space, directions = kmeans_tree.in_directions(vectors, rows, options.seed)
    trained = kmeans.train(space, k, options, device, start=start @ directions)
    labels = kmeans.assign(space, trained.centroids, device).labels
    centroids = kmeans_tree.in_all_dimensions(vectors, rows, labels, start, options.spherical)
    blocks = kmeans.assign_blocks(vectors, rows, centroids, device)
    return float(sum(np.square(found.distances, dtype=np.float64).sum() for _, found in blocks))


def _timed(name: str, work: Callable[[], float], ratio_to: float | None) -> float:
    started, cpu = time.monotonic(), time.process_time()
    with peak_memory() as peak:
        objective = work()
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu
    ratio = "" if ratio_to is None else f", {objective / ratio_to:.4f} of flat"
    costs = f"{cpu_seconds:.1f} s of CPU time, {seconds:.1f} s, {peak[0]:.0f} MiB at the peak"
    print(f"{name}: {costs}, objective {objective:.1f}{ratio}", flush=True)
    return objective


def _ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000
