"""What a clustering takes before it begins: seconds and bytes, estimated from its method and the number of images.

The seconds are of a core: from what 1,000 to 20,000 rows took (`scripts/bench costs`), the graph's eigenvectors up to
80,000; those of k-means and of a tree are their multiplications. Beyond that the pairs grow no more, since there are as
many representatives then; the rest grows with the rows, and the eigenvectors with their square.
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

# Of the library itself; and of each pair of rows, or of representatives, in all and for each direction.
LIBRARY_SECONDS, LIBRARY_BYTES = {HDBSCAN: 3, AGGLOMERATIVE: 3, MEANSHIFT: 3}, 160 << 20
SECONDS_A_PAIR, SECONDS_A_DIRECTION = {AGGLOMERATIVE: 4e-8}, {HDBSCAN: 1.4e-9, MEANSHIFT: 1.4e-8}
BYTES_A_PAIR = {AGGLOMERATIVE: 8}
MULTIPLICATIONS_A_SECOND = 2e10
# Of each image, whatever is done with it: it is read, verified, assigned, matched and recorded.
ROW_SECONDS, ROW_BYTES = 1e-5, 320
# Of each row of the nearest neighbours' graph, and of each number of its vector, as candidates are compared in all.
NEIGHBOUR_SECONDS, NEIGHBOUR_SECONDS_A_NUMBER, NEIGHBOUR_BYTES = 3e-4, 2e-7, 200
# Of each eigenvector: of each pair of rows, as ARPACK takes more steps the more rows there are; and of each row, as its
# basis has twice as many. With a tolerance of 1e-3 it takes far fewer steps, and loses parts of a graph in pieces.
EIGENVECTOR_SECONDS_A_PAIR, EIGENVECTOR_BYTES = 6e-10, 32
TREE = "tree"


def of_method(method: Method, n_rows: int, dim: int, k: int, options: "KMeansOptions") -> ClusteringCost:
    """Return about what a method takes on a machine like that of docs/design.md.

    n_rows: how many images. dim: of their vectors. k, options: where the method takes them.
    """
    n = min(n_rows, REPRESENTATIVES.get(method.name, n_rows))
    width = min(method.pca or (GRAPH_DIRECTIONS if method.graph else DIRECTIONS), dim)
    work = float(n_rows * dim * width)
    seconds = LIBRARY_SECONDS.get(method.name, 1) + ROW_SECONDS * n_rows
    needed = LIBRARY_BYTES + ROW_BYTES * n_rows + n_rows * width * 3 * 4 + min(n_rows, PCA_ROWS) * dim * 4
    seconds += (SECONDS_A_PAIR.get(method.name, 0) + SECONDS_A_DIRECTION.get(method.name, 0) * width) * n**2
    needed += BYTES_A_PAIR.get(method.name, 0) * n**2
    if n < n_rows:  # a training, and then two assignments of all rows
        work += n_rows * n * width * (REPRESENTATIVE_ITERATIONS + 2)
    if method.graph or method.name == LEIDEN:
        compared = width if method.graph or method.whiten or method.pca else dim
        seconds += (NEIGHBOUR_SECONDS + NEIGHBOUR_SECONDS_A_NUMBER * compared) * n_rows
        needed += NEIGHBOUR_BYTES * NEIGHBOURS * n_rows
    if method.graph:
        seconds += EIGENVECTOR_SECONDS_A_PAIR * k * n_rows**2
        needed += EIGENVECTOR_BYTES * k * n_rows
    if method.name == KMEANS:
        work += _training(n_rows, k, k if method.graph else width, options, 1)
    seconds += work / MULTIPLICATIONS_A_SECOND
    return ClusteringCost(method.name, n_rows, n, seconds, needed)


def of_kmeans(k: int, n_rows: int, dim: int, options: "KMeansOptions") -> ClusteringCost:
    """Return about what plain k-means into k clusters takes; of that, the longest that the choice of k may take."""
    from indexes.kmeans import sample_size

    trained_on = min(n_rows, sample_size(k))
    seconds = (_training(trained_on, k, dim, options, 1) + n_rows * k * dim) / MULTIPLICATIONS_A_SECOND
    needed = 4 * trained_on * dim + ROW_BYTES * n_rows
    return ClusteringCost(KMEANS, n_rows, trained_on, 1 + ROW_SECONDS * n_rows + seconds, needed)


def of_tree(levels: tuple[int, ...], n_rows: int, dim: int, options: "KMeansOptions") -> ClusteringCost:
    """Return about what a tree of these levels takes: each node is trained on its own rows, then the leaves on a sample
    of all of them, and then all rows go to their leaf."""
    from indexes.kmeans import DIRECTIONS as SPACE
    from indexes.kmeans import sample_size
    from indexes.kmeans_tree import POLISH_ITERATIONS, POLISH_ROWS

    work, needed, trained_on = 0.0, 0, 0
    for n_nodes, n_below in zip((1, *levels), levels, strict=False):
        k, n_own = -(-n_below // n_nodes), max(n_rows // n_nodes, 1)
        sample = min(n_own, sample_size(k))
        work += n_nodes * _training(sample, k, dim, options, 1 / n_nodes)
        work += n_rows * (k if n_below != levels[-1] else n_below) * dim
        needed = max(needed, 4 * sample * dim)
        trained_on = max(trained_on, n_nodes * sample)
    polished, space = min(n_rows, sample_size(levels[-1]), POLISH_ROWS), dim if dim < 2 * SPACE else SPACE
    work += polished * levels[-1] * space * (min(options.iterations, POLISH_ITERATIONS) + 1)
    # The leaves are there in double precision too, as sums and as means.
    needed = max(needed, 4 * polished * space) + 24 * levels[-1] * dim + ROW_BYTES * n_rows
    seconds = 1 + ROW_SECONDS * n_rows + work / MULTIPLICATIONS_A_SECOND
    return ClusteringCost(TREE, n_rows, min(trained_on, n_rows), seconds, needed)


def _training(n_rows: int, k: int, dim: int, options: "KMeansOptions", share: float) -> float:
    """Return the multiplications of a training on so many rows with a share of the budget."""
    from indexes.kmeans import READING, affordable_runs

    runs = options.restarts or affordable_runs(n_rows * dim, k, options, share)
    return float(runs) * n_rows * dim * (k + READING) * (options.iterations + 1)


def require_memory(expected: ClusteringCost, method: Method) -> None:
    """Raise BadInput where a method would take more memory than is free."""
    free = free_memory()
    if free is not None and expected.bytes > free:
        less = "choose a lower -k" if method.graph else "ask for fewer numbers a vector (--pca 16)"
        plain = "leave --graph, --pca and --whiten out" if method.name == KMEANS else "use --method kmeans"
        raise BadInput(
            f"{expected.method} of {expected.images} images takes about {_gib(expected.bytes)} of memory, and "
            f"{_gib(free)} are free; free some, {less}, or {plain}"
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
