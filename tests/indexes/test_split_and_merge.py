"""Centroids that move to where they are worth more."""

import numpy as np

from indexes import kmeans
from indexes.devices import Device
from indexes.kmeans import assign
from indexes.split_and_merge import halved, moves

CPU = Device("cpu")
# Three heaps of 50 rows at 0, 10 and 20; the first has two centroids, and the others have one in the middle.
ROWS = np.random.default_rng(0).normal(0, 0.5, (150, 2)).astype(np.float32)
ROWS[:, 0] += np.repeat([0, 10, 20], 50)
BADLY_PLACED = np.array([[-0.4, 0], [0.4, 0], [15, 0]], np.float32)


def placed(may_move: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    labels = assign(ROWS, BADLY_PLACED, CPU).labels
    means = kmeans.means(ROWS, labels, BADLY_PLACED, False)
    return moves(ROWS, labels, means, np.array(may_move))


def test_one_of_two_centroids_of_a_heap_moves_to_where_two_heaps_share_one() -> None:
    moved, beside = placed([True, True, True])
    heaps = ROWS.reshape(3, 50, 2).mean(axis=1)
    np.testing.assert_allclose(moved[np.argsort(moved[:, 0])], heaps, atol=1e-5)
    assert sorted(beside.tolist()) in ([0, 2, 2], [1, 2, 2])


def test_only_what_may_move_does() -> None:
    assert placed([False, True, False])[1].tolist() == [0, 2, 2]
    before = kmeans.means(ROWS, assign(ROWS, BADLY_PLACED, CPU).labels, BADLY_PLACED, False)
    moved, beside = placed([False, False, True])
    np.testing.assert_array_equal(moved, before)
    assert beside.tolist() == [0, 1, 2]


def test_nothing_moves_where_a_move_would_not_pay() -> None:
    heaps = ROWS.reshape(3, 50, 2).mean(axis=1)
    moved, beside = moves(ROWS, np.repeat([0, 1, 2], 50), heaps, np.ones(3, np.bool_))
    np.testing.assert_array_equal(moved, heaps)
    assert beside.tolist() == [0, 1, 2]


def test_equal_rows_and_centroids_without_rows_stay_numbers() -> None:
    rows = np.ones((8, 2), np.float32)
    moved, _ = moves(rows, np.zeros(8, np.int64), np.ones((4, 2), np.float32), np.ones(4, np.bool_))
    np.testing.assert_array_equal(moved, np.ones((4, 2)))


def test_a_centroid_without_rows_goes_where_one_is_missing() -> None:
    labels, centroids = np.repeat([0, 1, 1], 50), np.array([[0, 0], [15, 0], [99, 99]], np.float32)
    moved, beside = moves(ROWS, labels, kmeans.means(ROWS, labels, centroids, False), np.ones(3, np.bool_))
    np.testing.assert_allclose(moved[np.argsort(moved[:, 0])], ROWS.reshape(3, 50, 2).mean(axis=1), atol=1e-5)
    assert beside.tolist() == [0, 1, 1]


def test_the_gain_of_two_parts_is_what_the_objective_falls_by() -> None:
    labels = np.repeat([0, 1, 1], 50)
    means = kmeans.means(ROWS, labels, np.zeros((2, 2), np.float32), False)
    halves = halved(ROWS, labels, means, np.bincount(labels))
    for cluster in (0, 1):
        own = ROWS[labels == cluster]
        fallen = assign(own, means[[cluster]], CPU).objective - assign(own, halves.means[cluster], CPU).objective
        np.testing.assert_allclose(halves.gain[cluster], fallen, rtol=1e-2)
