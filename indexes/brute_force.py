"""The nearest rows of many queries at once, by comparing every pair: for sets that fit into memory.

One product of matrices for thousands of queries, where `indexes.ann` answers one query after the other and settles
ties in float64. Scores are right to 1e-6, and rows closer than that may come in either order.
"""

import faiss
import numpy as np
from numpy.typing import NDArray


def nearest(
    queries: NDArray[np.float32], rows: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return positions and scores, (n, k) each, of the k rows nearest to each query, nearest first.

    queries: (n, dim) float32; rows: (m, dim) float32, m >= k; of length 1, so that a score is the cosine similarity.
    """
    scores, positions = faiss.knn(queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(positions, np.int64), np.asarray(scores, np.float32)
