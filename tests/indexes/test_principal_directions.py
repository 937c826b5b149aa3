"""The directions that subspace iteration finds, beside those of a full decomposition."""

import numpy as np
import pytest

from indexes.principal_directions import leading_eigenvectors, principal_directions

DIM, RANK = 40, 3


@pytest.fixture
def rows() -> np.ndarray:
    """Rows that lie in three directions, but for a little noise."""
    random = np.random.default_rng(1)
    inside = random.standard_normal((200, RANK)) @ random.standard_normal((RANK, DIM))
    return (inside + 1e-3 * random.standard_normal((200, DIM))).astype(np.float32)


def test_they_span_what_the_largest_singular_vectors_do(rows: np.ndarray) -> None:
    found = principal_directions(rows, RANK, 2, np.random.default_rng(0))
    exact = np.linalg.svd(rows, full_matrices=False)[2][:RANK].T
    np.testing.assert_allclose(found @ found.T, exact @ exact.T, atol=1e-3)


def test_they_are_orthonormal(rows: np.ndarray) -> None:
    found = principal_directions(rows, 10, 2, np.random.default_rng(0))
    np.testing.assert_allclose(found.T @ found, np.eye(10), atol=1e-5)


def test_a_seed_gives_the_same_directions_again(rows: np.ndarray) -> None:
    one, other = (principal_directions(rows, 5, 3, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n_directions", [3, DIM])
def test_eigenvectors_span_what_those_of_the_greatest_eigenvalues_do(rows: np.ndarray, n_directions: int) -> None:
    matrix = rows.T @ rows
    found = leading_eigenvectors(matrix, n_directions, 4, np.random.default_rng(0))
    exact = np.linalg.eigh(matrix)[1][:, -n_directions:]
    np.testing.assert_allclose(found @ found.T, exact @ exact.T, atol=1e-3)
