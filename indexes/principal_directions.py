"""The directions in which rows differ most, found by subspace iteration.

Not scikit-learn's `randomized_range_finder`: importing it takes 1.2 s and more, after NumPy, and its random
numbers would change what a seed gives. Not `faiss.PCAMatrix`: it works out all directions, where a few are
wanted.
"""

import numpy as np
from numpy.typing import NDArray


def principal_directions(
    rows: NDArray[np.float32], n_directions: int, steps: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Return orthonormal directions, (dim, m), that hold about the most of the rows' squares.

    Halko, Martinsson and Tropp, https://arxiv.org/abs/0909.4061, algorithm 4.4.

    Parameters
    ----------
    rows
        (n, dim) float32. Directions are from the origin: take the mean from the rows for those from the mean.
    n_directions
        How many, at most dim; m is less where there are fewer dimensions.
    steps
        How often they are improved, at least once.
    random
        Where the first directions are drawn.
    """
    directions = random.standard_normal((rows.shape[1], n_directions), np.float32)
    for _ in range(steps):
        directions = np.linalg.qr(rows.T @ (rows @ directions))[0]
    return directions
