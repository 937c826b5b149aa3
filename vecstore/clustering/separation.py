"""How far clusters lie apart: for each centroid the nearest other one. Arrays in, arrays out; knows no store."""

import numpy as np
from numpy.typing import NDArray

from vecstore.storage.vector_file import Float32

Int64 = NDArray[np.int64]

# Centroids compared with all others at a time: 8 MiB of scores at 2,000 clusters.
BLOCK = 1_024
# A product of matrices in float32 is right to some 1e-6, so that as many candidates are compared number by number.
CANDIDATES = 4


def nearest_others(centroids: Float32) -> tuple[Int64, NDArray[np.float64]]:
    """Return the position of, and the Euclidean distance to, each centroid's nearest other one.

    centroids: (k, dim) float32, k > 1. Two arrays of (k,); of equal distances the first position.
    """
    found, distances = np.empty(len(centroids), np.int64), np.empty(len(centroids))
    squares = np.vecdot(centroids, centroids)
    n_candidates = min(CANDIDATES, len(centroids) - 1)
    for start in range(0, len(centroids), BLOCK):
        block = centroids[start : start + BLOCK]
        own = np.arange(len(block))
        squared = squares - 2 * (block @ centroids.T)  # less the block's own squares, the same all along a line
        squared[own, start + own] = np.inf
        candidates = np.sort(np.argpartition(squared, n_candidates - 1, axis=1)[:, :n_candidates], axis=1)
        away = np.stack([_distances(block, centroids[some]) for some in candidates.T], axis=1)
        nearest = np.argmin(away, axis=1)
        found[start : start + BLOCK], distances[start : start + BLOCK] = candidates[own, nearest], away[own, nearest]
    return found, distances


def nearest_other(centroids: Float32, position: int, others: Int64) -> tuple[int, float] | None:
    """Return which of the other centroids is nearest to one, and how far it is; None if there is no other.

    centroids: (k, dim) float32. others: positions to choose from; that of the centroid itself is passed over.
    """
    others = others[others != position]
    if not len(others):
        return None
    away = _distances(centroids[others], centroids[position])
    return int(others[np.argmin(away)]), float(away.min())


def _distances(some: Float32, others: Float32) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(some - others, axis=1), np.float64)
