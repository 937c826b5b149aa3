"""Nearly equal rows, checked by NumPy over all pairs, whatever the order, the threshold and the shape of the rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from indexes import near_duplicates
from indexes.near_duplicates import find_representatives
from vecstore.embedders.embedder import unit_rows


def all_scores(vectors: NDArray[np.float16]) -> NDArray[np.float64]:
    rows = vectors.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(lengths > 0, lengths, np.inf)
    return rows @ rows.T


def with_copies(n: int, dim: int, n_copies: int, noise: float, seed: int) -> NDArray[np.float16]:
    """Random rows, of which the last are copies of others with noise of this length added."""
    random = np.random.default_rng(seed)
    rows = unit_rows(random.standard_normal((n, dim)).astype(np.float32))
    originals = random.integers(0, n - n_copies, n_copies)
    rows[n - n_copies :] = unit_rows(
        rows[originals] + noise * unit_rows(random.standard_normal((n_copies, dim)).astype(np.float32))
    )
    return rows.astype(np.float16)


def assert_is_what_was_promised(
    vectors: NDArray[np.float16], rows: NDArray[np.int64], min_score: float, may: NDArray[np.bool_] | None = None
) -> None:
    """Check all that is said of the answer, which leaves room for one answer, save for pairs on the very edge.

    may: (n, n), whether the first row may stand for the second; None for always.
    """
    may_stand_for = None if may is None else lambda ones, others: may[ones, others]
    found, scores, edge = find_representatives(vectors, rows, min_score, may_stand_for), all_scores(vectors), 2e-5
    if may is not None:
        scores = np.where(may.T, scores, -2)
    is_leader = found.rows == rows
    kept = rows[is_leader]
    with_leaders = scores[np.ix_(rows, kept)]
    comes_before = np.arange(len(rows))[:, None] > np.flatnonzero(is_leader)
    nearest_before = np.where(comes_before, with_leaders, -2).max(axis=1)
    assert (nearest_before[is_leader] < min_score + edge).all()
    assert (nearest_before[~is_leader] >= min_score - edge).all()
    np.testing.assert_allclose(scores[rows, found.rows][~is_leader], with_leaders.max(axis=1)[~is_leader], atol=edge)
    np.testing.assert_allclose(found.scores, np.where(is_leader, 1, with_leaders.max(axis=1)), atol=edge)


@pytest.mark.parametrize("noise", [0.01, 0.2, 0.4])
@pytest.mark.parametrize("dim", [3, 64, 65, 300])
def test_planted_copies_are_found_in_any_dimension(dim: int, noise: float) -> None:
    vectors = with_copies(2_600, dim, 300, noise, seed=dim)  # more than two blocks of representatives
    assert_is_what_was_promised(vectors, np.arange(2_600), 0.95)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 120),
    dim=st.integers(1, 90),
    copies=st.floats(0, 0.9),
    noise=st.floats(0, 1),
    min_score=st.floats(-1, 0.999),
    seed=st.integers(0, 2**32 - 1),
    block=st.integers(1, 40),
)
def test_any_rows_in_any_order_are_grouped_as_promised(
    n: int, dim: int, copies: float, noise: float, min_score: float, seed: int, block: int
) -> None:
    vectors = with_copies(n, dim, int(n * copies), noise, seed)
    random = np.random.default_rng(seed)
    rows = random.permutation(n)[: random.integers(1, n + 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "LEADER_ROWS", block)
        patch.setattr(near_duplicates, "OTHER_ROWS", block + 3)
        patch.setattr(near_duplicates, "FULL_ROWS", max(block // 2, 1))
        patch.setattr(near_duplicates, "BOUND_DIM", 5)
        assert_is_what_was_promised(vectors, rows, min_score)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 80), part=st.floats(0, 1), min_score=st.floats(-1, 0.999), seed=st.integers(0, 2**32 - 1))
def test_rows_that_may_not_stand_for_others_do_not(n: int, part: float, min_score: float, seed: int) -> None:
    vectors = with_copies(n, 20, n // 2, 0.3, seed)
    random = np.random.default_rng(seed)
    may = (random.random((n, n)) < part) | np.eye(n, dtype=np.bool_)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "LEADER_ROWS", 16)
        patch.setattr(near_duplicates, "OTHER_ROWS", 24)
        assert_is_what_was_promised(vectors, random.permutation(n), min_score, may)


def test_equal_rows_are_near_whatever_their_rounding() -> None:
    vectors = np.repeat(with_copies(40, 200, 0, 0, seed=0), 3, axis=0)
    found = find_representatives(vectors, np.arange(120), 1.0)
    np.testing.assert_array_equal(found.rows, np.repeat(np.arange(0, 120, 3), 3))
    np.testing.assert_allclose(found.scores, 1, atol=1e-5)


def test_the_ends_of_a_chain_are_not_grouped() -> None:
    angles = np.deg2rad([0, 14, 29, 43, 58])  # a score of 0.966 with the next, and of 0.883 with the one after
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    found = find_representatives(vectors, np.arange(5), 0.95)
    np.testing.assert_array_equal(found.rows, [0, 0, 2, 2, 4])


def test_a_row_goes_to_the_nearest_keeper_and_not_to_the_first() -> None:
    angles = np.deg2rad([0, 17, 20])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    found = find_representatives(vectors, np.arange(3), float(np.cos(np.deg2rad(18))))
    np.testing.assert_array_equal(found.rows, [0, 2, 2])


def test_a_row_of_zeros_is_near_to_nothing() -> None:
    vectors = np.zeros((3, 8), np.float16)
    np.testing.assert_array_equal(find_representatives(vectors, np.arange(3), 0.5).rows, [0, 1, 2])


def test_no_rows_have_no_keepers() -> None:
    found = find_representatives(np.zeros((3, 8), np.float16), np.empty(0, np.int64), 0.5)
    assert (found.rows.shape, found.scores.shape) == ((0,), (0,))
