"""What a clustering takes before it begins: seconds and bytes, estimated from its method and the number of images.

The seconds are of a core, from what 1,000 to 20,000 rows took (`scripts/bench costs`); those of k-means and of a tree
are their multiplications.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vecstore.clustering.methods import (
    AGGLOMERATIVE,
    DIRECTIONS,
    GRAPH_DIRECTIONS,
    HDBSCAN,
    KMEANS,
    LEIDEN,
    MEANSHIFT,
    NEIGHBOURS,
    PCA_ROWS,
    REPRESENTATIVE_ITERATIONS,
    REPRESENTATIVES,
    Method,
)
from vecstore.errors import BadInput
from vecstore.results import ClusteringCost

if TYPE_CHECKING:
    from indexes.kmeans import KMeansOptions

# Of the library itself; and of each pair of rows, or of representatives.
LIBRARY_SECONDS, LIBRARY_BYTES = {HDBSCAN: 3, AGGLOMERATIVE: 3, MEANSHIFT: 3}, 160 << 20
SECONDS_A_PAIR = {HDBSCAN: 1.4e-9 * DIRECTIONS, AGGLOMERATIVE: 4e-8, MEANSHIFT: 1.4e-8 * DIRECTIONS}
BYTES_A_PAIR = {AGGLOMERATIVE: 8}
MULTIPLICATIONS_A_SECOND = 2e10
NEIGHBOUR_SECONDS, NEIGHBOUR_BYTES = 5e-4, 200
TREE = "tree"


def of_method(method: Method, n_rows: int, dim: int) -> ClusteringCost:
    """Return about what a method takes on a machine like that of docs/design.md.

    n_rows: how many images. dim: of their vectors.
    """
    n = min(n_rows, REPRESENTATIVES.get(method.name, n_rows))
    width = min(method.pca or (GRAPH_DIRECTIONS if method.graph else DIRECTIONS), dim)
    seconds = LIBRARY_SECONDS.get(method.name, 1) + n_rows * dim * width / MULTIPLICATIONS_A_SECOND
    needed = LIBRARY_BYTES + n_rows * width * 3 * 4 + min(n_rows, PCA_ROWS) * dim * 4
    seconds += SECONDS_A_PAIR.get(method.name, 0) * n**2
    needed += BYTES_A_PAIR.get(method.name, 0) * n**2
    if n < n_rows:
        seconds += n_rows * n * width * REPRESENTATIVE_ITERATIONS / MULTIPLICATIONS_A_SECOND
    if method.graph or method.name == LEIDEN:
        seconds += NEIGHBOUR_SECONDS * n_rows
        needed += NEIGHBOUR_BYTES * NEIGHBOURS * n_rows
    return ClusteringCost(method.name, n_rows, n, seconds, needed)


def of_kmeans(k: int, n_rows: int, dim: int, options: "KMeansOptions") -> ClusteringCost:
    """Return about what plain k-means into k clusters takes; of that, the longest that the choice of k may take."""
    from indexes.kmeans import sample_size

    trained_on = min(n_rows, sample_size(k))
    work = _training(trained_on, k, dim, options, 1) + n_rows * k * dim
    return ClusteringCost(KMEANS, n_rows, trained_on, 1 + work / MULTIPLICATIONS_A_SECOND, 4 * trained_on * dim)


def of_tree(levels: tuple[int, ...], n_rows: int, dim: int, options: "KMeansOptions") -> ClusteringCost:
    """Return about what a tree of these levels takes: each node is trained on its own rows, and then all rows go to
    their leaf."""
    from indexes.kmeans import sample_size

    work, needed, trained_on = 0.0, 0, 0
    for n_nodes, n_below in zip((1, *levels), levels, strict=False):
        k, n_own = -(-n_below // n_nodes), max(n_rows // n_nodes, 1)
        sample = min(n_own, sample_size(k))
        work += n_nodes * _training(sample, k, dim, options, 1 / n_nodes)
        work += n_rows * (k if n_below != levels[-1] else n_below) * dim
        needed = max(needed, 4 * sample * dim)
        trained_on = max(trained_on, n_nodes * sample)
    return ClusteringCost(TREE, n_rows, min(trained_on, n_rows), 1 + work / MULTIPLICATIONS_A_SECOND, needed)


def _training(n_rows: int, k: int, dim: int, options: "KMeansOptions", share: float) -> float:
    """Return the multiplications of a training on so many rows with a share of the budget."""
    from indexes.kmeans import READING, affordable_runs

    runs = options.restarts or affordable_runs(n_rows * dim, k, options, share)
    return float(runs) * n_rows * dim * (k + READING) * (options.iterations + 1)


def require_memory(expected: ClusteringCost) -> None:
    """Raise BadInput where a method would take more memory than is free."""
    free = free_memory()
    if free is not None and expected.bytes > free:
        raise BadInput(
            f"{expected.method} of {expected.images} images takes about {_gib(expected.bytes)} of memory, and "
            f"{_gib(free)} are free; free some, ask for fewer numbers a vector (--pca 16), or use --method kmeans"
        )


def free_memory() -> int | None:
    """Return the bytes that are free on this machine, or left to this process's group; None where nobody says."""
    free = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
        free += [int(limit) - int(used)] if limit != "max" else []
    except (OSError, ValueError):  # another system, or no limit
        pass
    if not free and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        free.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(free, default=None)


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB"
