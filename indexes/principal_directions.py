"""The principal directions of rows, by randomized subspace iteration.

Not by scikit-learn's `randomized_range_finder`: importing it takes at least 1.2 s after NumPy, and its random numbers
would change the results of a seed. Not by `faiss.PCAMatrix`: it computes all directions, and only a few are needed.
"""

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits


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
        seen = rows.T @ (rows @ directions)
        with threadpool_limits(1):  # many small steps: two threads wait for each other longer than one works
            directions = np.linalg.qr(seen)[0]
    return directions
