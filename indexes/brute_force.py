"""Exact search for many queries at once, by comparing every pair: for rows that fit into memory.

It multiplies the matrices of thousands of queries and rows, where `indexes.ann` answers one query after the other and
decides ties in float64. Scores are accurate to 1e-6; rows whose scores differ by less may come in either order.
"""

import faiss
import numpy as np
from numpy.typing import NDArray


def nearest(
    queries: NDArray[np.float32], rows: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the k rows nearest to each query, nearest first.

    Parameters
    ----------
    queries: (n, dim) float32, each of length 1, so that a score is the cosine similarity.
    rows: (m, dim) float32, m >= k, each of length 1.
    k: number of rows to return for each query, at least 1.

    Returns
    -------
    positions: (n, k) int64, in `rows`.
    scores: (n, k) float32, cosine similarity in [-1, 1].

    Examples
    --------
    >>> rows = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    >>> positions, scores = nearest(rows[:1], rows, k=2)
    >>> positions
    array([[0, 2]])
    >>> scores
    array([[1. , 0.6]], dtype=float32)
    """
    scores, positions = faiss.knn(queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(positions, np.int64), np.asarray(scores, np.float32)
