"""Which rows are nearly equal to which: the exact answer to a question about all pairs.

Every pair is compared, but in few dimensions. With P an orthogonal projection, x . y <= Px . Py + |x - Px| |y - Py|
(Cauchy-Schwarz in what P leaves out), which is the inner product of (Px, |x - Px|) and (Py, |y - Py|). Where that is
below the least score, so is the score; only the other pairs, a few in 10,000, are compared in all dimensions. So none
is missed, whatever P is; P goes along the directions in which the rows differ most, because that leaves the fewest.
Each core bounds tiles of its own, small enough to stay in its cache.
"""

import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from indexes.principal_directions import principal_directions
from indexes.rows import FLOAT32_OF

# Of the projection. More cost more for every pair, and fewer leave more pairs to compare in all dimensions: see
# docs/design.md, "Duplicates".
BOUND_DIM = 64
# Rows to find its directions by, and how often they are improved.
SAMPLE_ROWS, STEPS = 4_096, 3
# Pairs are bounded in tiles of so many leaders and others: 4 MiB.
LEADER_ROWS, OTHER_ROWS = 1_024, 1_024
# Rows in float32 at a time, of all dimensions: 8 MiB at 2048.
FULL_ROWS = 1_024
# Where more than this part of a tile's pairs are left, multiplying the tile as a whole is cheaper than pair by pair.
DENSE = 1 / 64
# Sums of products in float32 are off by less.
ROUNDING = 5e-6


@dataclass(frozen=True)
class Representatives:
    """rows: (n,) int64, which row stands for each one: itself, or one near it. scores: (n,) float32, with it."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


def find_representatives(vectors: NDArray[np.float16], rows: NDArray[np.int64], min_score: float) -> Representatives:
    """Choose representatives among the rows, so that every other row has a score of min_score or more with one of them.

    vectors: (n_rows, dim) float16, may be mapped. rows: (n,) int64, the most worth keeping first. min_score: a cosine
    similarity in [-1, 1].
    By leader clustering: a row is a leader unless one before it is that near, so no two leaders are. The others go to
    the leader they are nearest to. Scores are right to 5e-6, and rows within that of min_score may count as either.
    """
    return _LeaderClustering(vectors, rows, min_score).run()


class _Workspace(threading.local):
    """What a thread works in, used again for every tile: getting memory anew costs more than multiplying in it."""

    def __init__(self, dim: int) -> None:
        self.products = np.empty(LEADER_ROWS * OTHER_ROWS, np.float32)
        self.left = np.empty(LEADER_ROWS * OTHER_ROWS, np.bool_)
        self.halves = np.empty((FULL_ROWS, dim), np.float16)
        self.rows = np.empty((FULL_ROWS, dim), np.float32)


class _LeaderClustering:
    """Positions are those in `rows`: 0 is the row most worth keeping."""

    def __init__(self, vectors: NDArray[np.float16], rows: NDArray[np.int64], min_score: float) -> None:
        self.vectors = vectors
        self.rows = rows
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
        # A product for each core, rather than one after the other on all of them: they are small.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, n, LEADER_ROWS):
                end = min(start + LEADER_ROWS, n)
                leaders = self._choose(start + np.flatnonzero(self.is_leader[start:end]))
                # A row that was passed over earlier may be nearer to a leader that comes after it.
                others = np.append(np.flatnonzero(~self.is_leader[:end]), np.arange(end, n))
                tiles = [others[first : first + OTHER_ROWS] for first in range(0, len(others), OTHER_ROWS)]
                for _ in pool.map(functools.partial(self._join, leaders), tiles):
                    pass
        scores = np.where(self.is_leader, 1, self.scores.clip(-1, 1)).astype(np.float32)
        return Representatives(self.rows[self.representatives], scores)

    def _choose(self, block: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the leaders of a block of positions that no leader before it is near to."""
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
        """Let others go to the nearest of these leaders, where it is nearer than what they have.

        Threads may do so at once for different others.
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
        """Return (index into leaders, index into others, score) of every pair of positions that is near.

        leader_units holds the rows of `leaders`.
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
        near = scores >= self.least
        return i[near], j[near], scores[near]

    def _scores(self, leader_index: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the scores of pairs, one of them by its index among the rows in leader_units."""
        scores = np.empty(len(others), np.float32)
        for first in range(0, len(others), FULL_ROWS):
            part = slice(first, first + FULL_ROWS)
            np.vecdot(self._read(others[part]), self.leader_units[leader_index[part]], out=scores[part])
        return scores

    def _read(self, positions: NDArray[np.int64], scaled: bool = True) -> NDArray[np.float32]:
        """Read at most FULL_ROWS rows by their positions, of length 1 if `scaled`, into this thread's workspace."""
        halves, rows = self.work.halves[: len(positions)], self.work.rows[: len(positions)]
        np.take(self.vectors, self.rows[positions], axis=0, out=halves, mode="clip")  # clip: unbuffered
        np.take(FLOAT32_OF, halves.view(np.uint16), out=rows, mode="clip")
        if scaled:
            rows /= self.lengths[positions, None]
        return rows

    def _bounds(self) -> NDArray[np.float32]:
        """Return (n, BOUND_DIM + 1) float32, whose inner products are nowhere below the scores."""
        dim = min(BOUND_DIM, self.vectors.shape[1])
        directions = self._directions(dim)
        bounds = np.empty((len(self.rows), dim + 1), np.float32)
        on_disk = np.argsort(self.rows)
        for first in range(0, len(on_disk), FULL_ROWS):
            positions = on_disk[first : first + FULL_ROWS]
            units = self._read(positions, scaled=False)
            lengths = np.sqrt(np.vecdot(units, units))
            # A row of zeros is no direction: it scores 0 with everything.
            self.lengths[positions] = np.where(lengths > 0, lengths, np.inf)
            units /= self.lengths[positions, None]
            inside = units @ directions
            bounds[positions, :dim] = inside
            outside = (lengths > 0) - np.vecdot(inside, inside)
            # Rather too long: a length that rounding made too short would be a bound that is too low.
            bounds[positions, dim] = np.sqrt(outside.clip(0) + ROUNDING)
        return bounds

    def _directions(self, dim: int) -> NDArray[np.float32]:
        random = np.random.default_rng(0)
        n_sample = min(SAMPLE_ROWS, len(self.rows))
        sample = self.vectors[np.sort(random.choice(self.rows, n_sample, replace=False))].astype(np.float32)
        return principal_directions(sample, dim, STEPS, random)
