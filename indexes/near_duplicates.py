"""Near duplicates: an exact leader clustering that considers all pairs of rows.

Every pair is compared, but in few dimensions. With P an orthogonal projection, x . y <= Px . Py + |x - Px| |y - Py|
(Cauchy-Schwarz in the complement of P), which is the inner product of (Px, |x - Px|) and (Py, |y - Py|). If this bound
is below the minimum score, so is the score; only the other pairs, a few in 10,000, are compared in all dimensions. So
no pair is missed, whatever P is; P is spanned by the principal directions of the rows, which leaves the fewest pairs.
Each core computes the bounds of its own tiles, which are small enough to stay in its cache.
"""

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from indexes.principal_directions import principal_directions
from indexes.rows import widen

# Dimensions of the projection. More of them cost more for every pair; fewer leave more pairs to compare in all
# dimensions: docs/design.md, "Duplicates".
BOUND_DIM = 64
# Rows that its directions are computed from, and the number of subspace iterations.
SAMPLE_ROWS, STEPS = 4_096, 3
# The size of a tile of pairs: 4 MiB.
LEADER_ROWS, OTHER_ROWS = 1_024, 1_024
# Rows in float32 at a time, of all dimensions: 8 MiB at 2048.
FULL_ROWS = 1_024
# If more than this fraction of a tile's pairs is left, multiplying the whole tile is cheaper than going pair by pair.
DENSE = 1 / 64
# The error of inner products in float32 is smaller than this.
ROUNDING = 5e-6


@dataclass(frozen=True)
class Representatives:
    """rows: (n,) int64, the representative of each row, possibly itself. scores: (n,) float32, of a row with it."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


# (rows, as many rows) -> whether each of the first may stand for the second, whatever their score.
MayStandFor: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]


def find_representatives(
    vectors: NDArray[np.float16], rows: NDArray[np.int64], min_score: float, may_stand_for: MayStandFor | None = None
) -> Representatives:
    """Choose representatives, so that every other row has a score of at least min_score with one of them.

    Leader clustering: in the given order, a row becomes a representative unless an earlier representative has that
    score with it. Every other row then joins its nearest representative. No two representatives are near duplicates.

    Parameters
    ----------
    vectors: (n_rows, dim) float16, may be mapped.
    rows: (n,) int64, the row most worth keeping first.
    min_score: cosine similarity in [-1, 1]. Scores are accurate to 5e-6, so pairs closer to it may count as either.
    may_stand_for: what is near by its score counts only where this says so; None for always. It is called in several
        threads at once.

    Returns
    -------
    For each of `rows`, in the same order, its representative and the score with it (1 for a representative).

    Examples
    --------
    >>> vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float16)
    >>> find_representatives(vectors, np.arange(3), min_score=0.75).rows.tolist()
    [0, 1, 1]
    """
    return _LeaderClustering(vectors, rows, min_score, may_stand_for).run()


class _Workspace(threading.local):
    """A thread's buffers, reused for every tile: allocating memory costs more than the multiplication."""

    def __init__(self, dim: int) -> None:
        self.products = np.empty(LEADER_ROWS * OTHER_ROWS, np.float32)
        self.left = np.empty(LEADER_ROWS * OTHER_ROWS, np.bool_)
        self.halves = np.empty((FULL_ROWS, dim), np.float16)
        self.rows = np.empty((FULL_ROWS, dim), np.float32)


class _LeaderClustering:
    """One leader clustering. Positions count in `rows`: 0 is the row most worth keeping."""

    def __init__(
        self,
        vectors: NDArray[np.float16],
        rows: NDArray[np.int64],
        min_score: float,
        may_stand_for: MayStandFor | None,
    ) -> None:
        self.vectors = vectors
        self.rows = rows
        self.may_stand_for = may_stand_for
        self.least = min_score - ROUNDING
        dim = vectors.shape[1]
        self.work = _Workspace(dim)
        self.leader_units = np.empty((LEADER_ROWS, dim), np.float32)
        self.lengths = np.ones(len(rows), np.float32)
        self.bounds = self._bounds()
        self.representatives = np.arange(len(rows))
        self.scores = np.full(len(rows), -np.inf, np.float32)  # with the nearest leader so far
        self.is_leader = np.ones(len(rows), np.bool_)

    def run(self) -> Representatives:
        n = len(self.rows)
        # One product per core at a time, not one on all cores: the products are small.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, n, LEADER_ROWS):
                end = min(start + LEADER_ROWS, n)
                leaders = self._choose(start + np.flatnonzero(self.is_leader[start:end]))
                # A row that joined an earlier leader may be nearer to a later one.
                others = np.append(np.flatnonzero(~self.is_leader[:end]), np.arange(end, n))
                tiles = [others[first : first + OTHER_ROWS] for first in range(0, len(others), OTHER_ROWS)]
                for _ in pool.map(functools.partial(self._join, leaders), tiles):
                    pass
        scores = np.where(self.is_leader, 1, self.scores.clip(-1, 1)).astype(np.float32)
        return Representatives(self.rows[self.representatives], scores)

    def _choose(self, block: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the leaders among a block of positions, none of which is near an earlier leader."""
        for first in range(0, len(block), FULL_ROWS):
            part = block[first : first + FULL_ROWS]
            self.leader_units[first : first + len(part)] = self._read(part)
        one, other, _ = self._near(block, block)
        later = one < other
        near = np.zeros((len(block), len(block)), np.bool_)
        near[one[later], other[later]] = True
        is_leader = np.ones(len(block), np.bool_)
        for i in np.unique(one[later]):
            if is_leader[i]:
                is_leader &= ~near[i]
        self.is_leader[block] = is_leader
        self.leader_units[: np.count_nonzero(is_leader)] = self.leader_units[: len(block)][is_leader]
        return block[is_leader]

    def _join(self, leaders: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Assign others to the nearest of these leaders, if it is nearer than their current one.

        Threads may do this at the same time for different others.
        """
        leader, other, scores = self._near(leaders, others)
        order = np.lexsort((leader, -scores, other))
        leader, other, scores = leader[order], other[order], scores[order]
        first = np.flatnonzero(np.diff(other, prepend=-1))  # the best of each
        position = others[other[first]]
        self.is_leader[position] = False
        nearer = scores[first] > self.scores[position]
        self.scores[position[nearer]] = scores[first][nearer]
        self.representatives[position[nearer]] = leaders[leader[first][nearer]]

    def _near(
        self, leaders: NDArray[np.int64], others: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Return (index into leaders, index into others, score) of every near pair of positions.

        self.leader_units holds the rows of `leaders`.
        """
        shape, size = (len(leaders), len(others)), len(leaders) * len(others)
        products, left = self.work.products[:size].reshape(shape), self.work.left[:size].reshape(shape)
        np.matmul(self.bounds[leaders], self.bounds[others].T, out=products)
        np.greater_equal(products, self.least, out=left)
        if np.count_nonzero(left) <= size * DENSE:
            i, j = np.divmod(np.flatnonzero(left), len(others))
            scores = self._scores(i, others[j])
        else:
            for first in range(0, len(others), FULL_ROWS):
                part = slice(first, first + FULL_ROWS)
                np.matmul(self.leader_units[: len(leaders)], self._read(others[part]).T, out=products[:, part])
            np.greater_equal(products, self.least, out=left)
            i, j = np.divmod(np.flatnonzero(left), len(others))
            scores = products[i, j]
        near = np.flatnonzero(scores >= self.least)
        if self.may_stand_for is not None:
            near = near[self.may_stand_for(self.rows[leaders[i[near]]], self.rows[others[j[near]]])]
        return i[near], j[near], scores[near]

    def _scores(self, leader_index: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the scores of pairs of a row in self.leader_units, by index, and another, by position."""
        scores = np.empty(len(others), np.float32)
        for first in range(0, len(others), FULL_ROWS):
            part = slice(first, first + FULL_ROWS)
            np.vecdot(self._read(others[part]), self.leader_units[leader_index[part]], out=scores[part])
        return scores

    def _read(self, positions: NDArray[np.int64], scaled: bool = True) -> NDArray[np.float32]:
        """Read at most FULL_ROWS rows into this thread's workspace. scaled: to length 1."""
        halves, rows = self.work.halves[: len(positions)], self.work.rows[: len(positions)]
        np.take(self.vectors, self.rows[positions], axis=0, out=halves, mode="clip")  # clip: unbuffered
        widen(halves, rows)
        if scaled:
            rows /= self.lengths[positions, None]
        return rows

    def _bounds(self) -> NDArray[np.float32]:
        """Return (n, BOUND_DIM + 1) float32, whose inner products are upper bounds of the scores."""
        dim = min(BOUND_DIM, self.vectors.shape[1])
        directions = self._directions(dim)
        bounds = np.empty((len(self.rows), dim + 1), np.float32)
        on_disk = np.argsort(self.rows)
        for first in range(0, len(on_disk), FULL_ROWS):
            positions = on_disk[first : first + FULL_ROWS]
            units = self._read(positions, scaled=False)
            lengths = np.sqrt(np.vecdot(units, units))
            # A row of zeros has no direction: its score with every row is 0.
            self.lengths[positions] = np.where(lengths > 0, lengths, np.inf)
            units /= self.lengths[positions, None]
            inside = units @ directions
            bounds[positions, :dim] = inside
            outside = (lengths > 0) - np.vecdot(inside, inside)
            # Rounded up: a length that is too short would give a bound that is too low.
            bounds[positions, dim] = np.sqrt(outside.clip(0) + ROUNDING)
        return bounds

    def _directions(self, dim: int) -> NDArray[np.float32]:
        random = np.random.default_rng(0)
        n_sample = min(SAMPLE_ROWS, len(self.rows))
        sample = self.vectors[np.sort(random.choice(self.rows, n_sample, replace=False))].astype(np.float32)
        return principal_directions(sample, dim, STEPS, random)
