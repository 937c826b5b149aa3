"""The principal directions of rows, by randomized subspace iteration.

Not by scikit-learn's `randomized_range_finder`: importing it takes at least 1.2 s after NumPy, and its random numbers
would change the results of a seed. Not by `faiss.PCAMatrix`: it computes all directions, and only a few are needed.
"""

import threading

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

_LIMITING = threading.Lock()


def principal_directions(
    rows: NDArray[np.float32], n_directions: int, steps: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Return orthonormal directions that approximately maximise the sum of the rows' squared projections.

    Halko, Martinsson and Tropp, https://arxiv.org/abs/0909.4061, algorithm 4.4.

    Parameters
    ----------
    rows: (n, dim) float32. Directions go through the origin; subtract the mean first for those of the covariance.
    n_directions: how many.
    steps: number of subspace iterations, at least 1.
    random: draws the initial directions.

    Returns
    -------
    (dim, m) float32, m = min(n_directions, dim).
    """
    directions = random.standard_normal((rows.shape[1], n_directions), np.float32)
    for _ in range(steps):
        directions = _orthonormal(rows.T @ (rows @ directions))
    return directions


def leading_eigenvectors(
    matrix: NDArray[np.float32], n_directions: int, steps: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Return orthonormal directions that approximately are the eigenvectors of the greatest eigenvalues, in no order.

    Parameters
    ----------
    matrix: (dim, dim) float32, symmetric and without negative eigenvalues, such as a covariance.
    n_directions: how many, at most dim.
    steps: number of subspace iterations, at least 1.
    random: draws the initial directions.

    Returns
    -------
    (dim, n_directions) float32.
    """
    directions = random.standard_normal((len(matrix), n_directions), np.float32)
    for _ in range(steps):
        directions = _orthonormal(matrix @ directions)
    return directions


def _orthonormal(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    # Many small steps: two threads wait for each other longer than one works. The limit is the whole process's, and two
    # that overlap would put back each other's.
    with _LIMITING, threadpool_limits(1):
        return np.linalg.qr(columns)[0]
