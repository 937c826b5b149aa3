"""Ward's joining of centroids, each with the weight of its rows (Ward 1963), by chains of nearest neighbours.

The chain (Murtagh 1983, https://arxiv.org/abs/1105.0121) takes n^2 steps and an n x n matrix. SciPy and scikit-learn
give every point the same weight.
"""

import numpy as np
from numpy.typing import NDArray

# What a centroid without rows weighs: nearly nothing, so that sums stay numbers.
NO_ROWS = 1e-9


def ward(centroids: NDArray[np.float32], weights: NDArray[np.int64]) -> list[tuple[int, int, float]]:
    """Return n - 1 mergers (one, other, height), the lowest first: each joins the parts that two centroids are in.

    Parameters
    ----------
    centroids: (n, dim) float32.
    weights: (n,) how many rows each stands for; one of 0 is joined first. height is by how much a merger raises the
        sum of squared distances.

    Examples
    --------
    >>> ward(np.array([[0], [1], [9]], np.float32), np.array([1, 1, 2]))
    [(0, 1, 0.5), (1, 2, 72.25)]
    """
    n = len(centroids)
    points, own = centroids.astype(np.float64), np.maximum(weights, NO_ROWS)
    squares = np.einsum("ij,ij->i", points, points)
    cost = (squares[:, None] + squares - 2 * points @ points.T).clip(0) * _halved(own[:, None], own)
    np.fill_diagonal(cost, np.inf)
    chain: list[int] = []
    mergers: list[tuple[int, int, float]] = []
    left = np.ones(n, np.bool_)
    while len(mergers) < n - 1:
        if not chain:
            chain.append(int(np.argmax(left)))
        one = chain[-1]
        other = int(np.argmin(cost[one]))
        if len(chain) > 1 and cost[one, chain[-2]] <= cost[one, other]:
            other = chain[-2]
        else:
            chain.append(other)
            continue
        del chain[-2:]
        height = float(cost[one, other])
        mergers.append((min(one, other), max(one, other), height))
        joined = ((own + own[one]) * cost[one] + (own + own[other]) * cost[other] - own * height) / (
            own + own[one] + own[other]
        )
        joined[[one, other]] = np.inf
        joined[~left] = np.inf
        own[one] += own[other]
        left[other] = False
        cost[one], cost[:, one] = joined, joined
        cost[other], cost[:, other] = np.inf, np.inf
    return sorted(mergers, key=lambda merger: merger[2])  # of equal height, in the order they were made


def _halved(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = one * other / (one + other)
    return result
