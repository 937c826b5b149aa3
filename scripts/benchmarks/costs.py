"""What a way to cluster costs, against what was said before it began, and its labels against the library's own."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from scripts.benchmarks.common import describe_machine, make_store, peak_memory, resnet_like
from vecstore import Store
from vecstore.clustering import methods
from vecstore.results import ClusteringCost


def main(
    names: Annotated[list[str] | None, typer.Option("--method", help="Only this one; may be repeated.")] = None,
    rows: Annotated[list[int] | None, typer.Option("--rows", help="Stored vectors; may be repeated.")] = None,
    dim: Annotated[int, typer.Option()] = 256,
    k: Annotated[int, typer.Option(help="Clusters, where a method takes their number.")] = 100,
    folder: Annotated[Path | None, typer.Option(help="Where to work; 2 bytes a number are needed.")] = None,
) -> None:
    """Print CPU seconds and memory beside the estimate, and whether labels are those of the library on the same input.

    Memory is that which the process has of its own at the most, beyond what it had before.
    """
    describe_machine("numpy", "scikit-learn", "igraph")
    heading = ("method", "rows", "CPU s", "said", "MiB", "said", "clusters", "noise", "labels of the library")
    print(f"| {' | '.join(heading)} |\n|{'---|' * len(heading)}")
    for n in rows or [10_000, 20_000, 40_000]:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            make_store(Path(scratch) / "store", resnet_like(n, dim, seed=0))
            for name in names or [name for name in methods.METHODS if name != methods.KMEANS]:
                with Store.open(Path(scratch) / "store", device="cpu") as store:
                    _print_cost(store, name, n, k)


def _print_cost(store: Store, name: str, n: int, k: int) -> None:
    said: list[ClusteringCost] = []
    calls: list[tuple[tuple[Any, ...], Any]] = []
    library = {methods.HDBSCAN: "hdbscan", methods.AGGLOMERATIVE: "agglomerative", methods.MEANSHIFT: "mean_shift"}
    own: Callable[..., Any] = getattr(methods, called := library.get(name, "leiden"))

    def noted(*arguments: Any) -> Any:
        calls.append((arguments, own(*arguments)))
        return calls[-1][1]

    setattr(methods, called, noted)
    before = _own_mib()
    cpu = time.process_time()
    with peak_memory() as peak:
        run = store.cluster(k if "k" in methods.TAKES[name] else None, method=name, on_cost=said.append)
    cpu = time.process_time() - cpu
    setattr(methods, called, own)
    ((arguments, labels),) = calls
    again = _by_library(name, *arguments)
    noise = sum(cluster.size for cluster in store.clusters() if cluster.noise)
    costs = f"{cpu:.1f} | {said[0].seconds:.1f} | {peak[0] - before:.0f} | {said[0].bytes / 2**20:.0f}"
    same = "equal" if np.array_equal(labels, again) else "different"
    print(f"| {name} | {n} | {costs} | {run.k} | {noise} | {same} |", flush=True)


def _by_library(name: str, *arguments: Any) -> Any:
    """Return the labels that the library itself gives for what a method was called with."""
    import random

    import igraph
    from sklearn.cluster import HDBSCAN, AgglomerativeClustering, MeanShift, estimate_bandwidth

    x, option, *rest = arguments
    if name == methods.HDBSCAN:
        return HDBSCAN(min_cluster_size=option, copy=True).fit_predict(x)
    if name == methods.AGGLOMERATIVE:
        return AgglomerativeClustering(option).fit_predict(x)
    if name == methods.MEANSHIFT:
        some = min(methods.BANDWIDTH_ROWS, len(x))
        seed = rest[0] % 2**32
        option = option or estimate_bandwidth(x, quantile=methods.BANDWIDTH_QUANTILE, n_samples=some, random_state=seed)
        return MeanShift(bandwidth=option, cluster_all=False).fit_predict(x)
    scores, n, resolution, seed = rest
    weights: dict[tuple[int, int], float] = {}
    for one, other, score in zip(x.tolist(), option.tolist(), scores.tolist(), strict=True):
        weights.setdefault((min(one, other), max(one, other)), max(score, 0.0))
    edges = sorted(weights)
    igraph.set_random_number_generator(random.Random(seed))
    found = igraph.Graph(n, edges).community_leiden(
        "modularity", weights=[weights[edge] for edge in edges], resolution=resolution, n_iterations=-1
    )
    igraph.set_random_number_generator(random)
    return np.array(found.membership)


def _own_mib() -> float:
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]) / 1024
