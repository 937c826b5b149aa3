"""Moves centroids of k-means to where they are worth more: two that are near join, and one that is spread out is split.

Lloyd's iterations move a centroid only among the rows around it, so one too many here and one too few there stay so.
Kaukoranta, Fränti and Nevalainen, "Iterative split-and-merge algorithm for vector quantization codebook generation",
Optical Engineering 37, 1998.
"""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.rows import in_blocks, rows_per_block, sums_by_label

Int64 = NDArray[np.int64]

# Iterations of k-means with two centroids in each cluster, the first from a plane through its mean.
HALVING_ITERATIONS = 6


@dataclass(frozen=True)
class Halves:
    """The two parts of each of k clusters: (k, 2, d) float32 means, and (k,) by how much they lower the objective."""

    means: NDArray[np.float32]
    gain: NDArray[np.float64]


def moves(
    rows: NDArray[np.float32], labels: Int64, centroids: NDArray[np.float32], may_move: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], Int64]:
    """Return the centroids after moves that lower the objective, and beside which one each is now.

    Parameters
    ----------
    rows: (n, d) float32. labels: (n,) int64, of the cluster of each.
    centroids: (k, d) float32, the means of their rows, k >= 2; one without rows may be anywhere.
    may_move: (k,), which of them may leave their place.

    Returns
    -------
    (k, d) float32, and (k,) int64: of a centroid that was moved, the one that it shares the rows of; its own position
    of any other.
    """
    sizes = np.bincount(labels, minlength=len(centroids))
    halves = halved(rows, labels, centroids, sizes)
    nearest, loss = _cheapest_joins(centroids, sizes)
    moved, beside = centroids.copy(), np.arange(len(centroids))
    # A cluster takes part in one move at the most, since a second would find other rows than were counted on.
    is_free = np.ones(len(centroids), np.bool_)
    spread_out = iter(np.argsort(-halves.gain, kind="stable").tolist())
    for one in np.argsort(loss, kind="stable").tolist():
        other = int(nearest[one])
        if not (may_move[one] and is_free[one] and is_free[other]):
            continue
        is_free[[one, other]] = False
        split = next((cluster for cluster in spread_out if is_free[cluster]), None)
        if split is None or halves.gain[split] <= loss[one]:
            break
        is_free[split] = False
        if other != one:
            moved[other] = np.average(centroids[[one, other]], axis=0, weights=sizes[[one, other]])
        moved[split], moved[one] = halves.means[split]
        beside[one] = split
    return moved, beside


def halved(rows: NDArray[np.float32], labels: Int64, centroids: NDArray[np.float32], sizes: Int64) -> Halves:
    """Return the two parts of each cluster: k-means with two centroids in all clusters at once.

    Memory is that of a block of rows and of the sums.
    """
    k = len(centroids)
    apart, middle = np.zeros_like(centroids), centroids
    filled, first_rows = np.unique(labels, return_index=True)
    apart[filled] = rows[first_rows] - centroids[filled]
    blocks = [*in_blocks(np.arange(len(rows)), rows_per_block(rows.shape[1], np.float32))]
    for _ in range(HALVING_ITERATIONS):
        bounds = np.einsum("ij,ij->i", middle, apart)
        sums, counts = np.zeros((2 * k, rows.shape[1])), np.zeros(2 * k, np.int64)
        for at in blocks:
            beyond = np.einsum("ij,ij->i", rows[at], apart[labels[at]]) > bounds[labels[at]]
            parts = 2 * labels[at] + beyond
            sums += sums_by_label(rows[at], parts, 2 * k)
            counts += np.bincount(parts, minlength=2 * k)
        means = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32).reshape(k, 2, -1)
        apart, middle = means[:, 1] - means[:, 0], means.mean(axis=1)
    # Of a cluster in two parts, whose means lie apart, by how much each row gets nearer (Ward).
    gain = counts.reshape(k, 2).prod(axis=1) / np.maximum(sizes, 1) * np.square(apart, dtype=np.float64).sum(axis=1)
    return Halves(means, gain)


def _cheapest_joins(centroids: NDArray[np.float32], sizes: Int64) -> tuple[Int64, NDArray[np.float64]]:
    """Return the nearest other centroid of each, and by how much joining the two raises the objective (Ward).

    A centroid without rows joins none: it is given as its own.
    """
    _, found = faiss.knn(centroids, centroids, 2)
    own = np.arange(len(centroids))
    nearest = np.where(sizes == 0, own, np.where(found[:, 0] == own, found[:, 1], found[:, 0]))
    squared = np.square(centroids - centroids[nearest], dtype=np.float64).sum(axis=1)
    return nearest, sizes * sizes[nearest] / np.maximum(sizes + sizes[nearest], 1) * squared
