"""Where images go on a map: the first by t-SNE, each of the others by its likeness to these alone.

An image is placed as `openTSNE.TSNEEmbedding.transform` does it, with the same numbers: from the median of its nearest
fitted ones, drawn to those that it is like, and kept off by all. How it is kept off depends on its place alone, since
the fitted ones do not move: it is worked out once for the points of a grid, so that a step costs an image the same
however many are fitted. Knows no store.
"""

import os
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]

# Fewer images have no neighbourhoods to arrange; they lie along their two principal directions.
LEAST_FOR_TSNE = 10
# openTSNE's defaults, for fitting and for placing (`TSNEEmbedding.transform`, `gradient_descent`).
PERPLEXITY, EXAGGERATION, EXAGGERATED_STEPS, STEPS, MOMENTUM = 30, 12, 250, 500, 0.8
PLACING_PERPLEXITY, PLACING_NEIGHBOURS, PLACING_STEPS = 5, 25, 250
PLACING_RATE, PLACING_EXAGGERATION, MOST_GRADIENT = np.float32(0.1), np.float32(1.5), np.float32(0.25)
GAIN_MORE, GAIN_LESS, LEAST_GAIN = np.float32(0.2), np.float32(0.8), np.float32(0.01)
# How wide the first positions lie; from wider ones, the first steps tear them apart.
START = 1e-4
# Of the grid: t-SNE's forces change over a length of 1. It is filled a tile at a time, where images are.
SPACING, MOST_NODES, TILE = 0.5, 1024, 16


def arranged(points: Float32, seed: int) -> Float32:
    """Return (n, 2) float32 positions of points by t-SNE, around the origin."""
    if len(points) < LEAST_FOR_TSNE:
        return _principal(points) if len(points) else np.empty((0, 2), np.float32)
    from openTSNE import TSNEEmbedding, affinity, nearest_neighbors

    k = min(3 * PERPLEXITY, len(points) - 1)
    graph = nearest_neighbors.PrecomputedNeighbors(*_others(points, k))
    affinities = affinity.PerplexityBasedNN(knn_index=graph, perplexity=k / 3, n_jobs=_threads(len(points)))
    start = _principal(points).astype(np.float64)
    start *= START / max(float(start[:, 0].std()), 1e-12)
    start += np.random.default_rng(seed).normal(0, START / 100, start.shape)  # equal images must not lie on one place
    embedding = TSNEEmbedding(start, affinities, negative_gradient_method="bh", n_jobs=_threads(len(points)))
    embedding.optimize(EXAGGERATED_STEPS, exaggeration=EXAGGERATION, momentum=MOMENTUM, inplace=True)
    embedding.optimize(STEPS, exaggeration=1, momentum=MOMENTUM, inplace=True)
    return _principal(np.asarray(embedding, np.float32))  # turned, so that it is wider than high


class Placing:
    """Places images among fitted ones."""

    def __init__(self, reference: Float32, positions: Float32) -> None:
        """reference: (m, dim) float32, the fitted images, each of length 1. positions: (m, 2) float32, theirs."""
        self.reference = reference
        self.positions = positions

    @cached_property
    def _repulsion(self) -> "Repulsion":
        return Repulsion(self.positions)

    def placed(self, points: Float32) -> Float32:
        """Return (n, 2) float32 positions of points, (n, dim) float32 of length 1, each by itself."""
        from indexes.brute_force import nearest

        neighbours, scores = nearest(points, self.reference, min(len(self.reference), PLACING_NEIGHBOURS))
        at = np.median(self.positions[neighbours], axis=1).astype(np.float32)
        if len(self.reference) < LEAST_FOR_TSNE:
            return at
        k = min(3 * PLACING_PERPLEXITY, len(self.reference))
        likeness = PLACING_EXAGGERATION * likenesses(_distances(scores[:, :k]), k / 3)
        left, top = self.positions[neighbours[:, :k]].transpose(2, 0, 1).copy()  # each in one piece: half the time
        update, gains = np.zeros_like(at), np.ones_like(at)
        for _ in range(PLACING_STEPS):
            x, y = at[:, :1] - left, at[:, 1:] - top
            pull = likeness / (1 + x * x + y * y)
            gradient = np.stack([np.einsum("nk,nk->n", pull, x), np.einsum("nk,nk->n", pull, y)], axis=1)
            gradient -= self._repulsion.at(at)
            length = np.sqrt(np.einsum("nd,nd->n", gradient, gradient))
            gradient *= np.minimum(MOST_GRADIENT / (length + np.float32(1e-6)), 1)[:, None]
            has_turned = np.sign(update) != np.sign(gradient)
            gains = np.maximum(np.where(has_turned, gains + GAIN_MORE, gains * GAIN_LESS + LEAST_GAIN), LEAST_GAIN)
            update = np.float32(MOMENTUM) * update - PLACING_RATE * gains * gradient
            at += update
        return at


class Repulsion:
    """By how much fitted images keep another one off, wherever it is: t-SNE's negative gradient, of each by itself."""

    def __init__(self, positions: Float32) -> None:
        least, most = positions.min(axis=0), positions.max(axis=0)
        self._spacing = max(SPACING, float((most - least).max()) / (MOST_NODES - 4 * TILE))
        self._positions = positions
        self._corner = (least - TILE * self._spacing).astype(np.float32)
        tiles = np.ceil((most - self._corner) / (self._spacing * TILE)).astype(int) + 1
        self._force = np.zeros((*(tiles * TILE), 2), np.float32)
        self._is_filled = np.zeros(tiles, np.bool_)

    def at(self, places: Float32) -> Float32:
        """Return the force, (n, 2) float32, at places, (n, 2) float32; beyond the grid that of its edge."""
        scaled = (places - self._corner) / np.float32(self._spacing)
        scaled = np.clip(scaled, 0, np.array(self._force.shape[:2], np.float32) - np.float32(1.001))
        whole = scaled.astype(np.int32)
        x, y = whole.T
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            self._fill((x + dx) // TILE, (y + dy) // TILE)
        u, v = (scaled - whole).T[..., None]
        near, far = self._force[x, y] * (1 - u), self._force[x, y + 1] * (1 - u)
        near += self._force[x + 1, y] * u
        far += self._force[x + 1, y + 1] * u
        found: Float32 = near * (1 - v) + far * v
        return found

    def _fill(self, columns: NDArray[np.int32], rows: NDArray[np.int32]) -> None:
        missing = ~self._is_filled[columns, rows]
        for column, row in {*zip(columns[missing].tolist(), rows[missing].tolist(), strict=True)}:
            across = self._corner[0] + self._spacing * np.arange(column * TILE, (column + 1) * TILE, dtype=np.float32)
            down = self._corner[1] + self._spacing * np.arange(row * TILE, (row + 1) * TILE, dtype=np.float32)
            x = (across[:, None] - self._positions[:, 0]).astype(np.float32)
            y = (down[:, None] - self._positions[:, 1]).astype(np.float32)
            likeness = 1 / (1 + (x * x)[:, None] + (y * y)[None])
            total = likeness.sum(axis=2)
            likeness *= likeness
            tile = self._force[column * TILE : (column + 1) * TILE, row * TILE : (row + 1) * TILE]
            tile[..., 0] = np.einsum("xyn,xn->xy", likeness, x) / total
            tile[..., 1] = np.einsum("xyn,yn->xy", likeness, y) / total
            self._is_filled[column, row] = True


def likenesses(distances: Float32, perplexity: float) -> Float32:
    """Return (n, k) float32, each row summing to 1: Gaussians of distances of this perplexity, as t-SNE has them."""
    squared = distances.astype(np.float64) ** 2
    squared -= squared[:, :1]  # the nearest is first; what all have in common falls out
    least, most, precision = np.zeros(len(squared)), np.full(len(squared), np.inf), np.ones(len(squared))
    for _ in range(60):
        found = np.exp(-squared * precision[:, None])
        total = found.sum(axis=1)
        entropy = np.log(total) + precision * np.einsum("nk,nk->n", found, squared) / total
        is_wide = entropy > np.log(perplexity)
        least, most = np.where(is_wide, precision, least), np.where(is_wide, most, precision)
        with np.errstate(invalid="ignore"):
            precision = np.where(np.isinf(most), np.minimum(precision * 2, 1e30), (least + most) / 2)
    found = np.exp(-squared * precision[:, None])
    return np.asarray(found / found.sum(axis=1, keepdims=True), np.float32)


def _principal(points: Float32) -> Float32:
    """Return (n, 2) float32 positions of points along their two principal directions, around the origin."""
    from indexes.principal_directions import principal_directions

    centred = points - points.mean(axis=0)
    # More than are wanted, so that two are exact: all of them took 7 s at 1280 dimensions.
    directions = principal_directions(centred, 10, 8, np.random.default_rng(0))
    _, _, turned = np.linalg.svd(centred @ directions, full_matrices=False)
    positions = np.zeros((len(points), 2), np.float32)
    positions[:, : len(turned[:2])] = centred @ directions @ turned[:2].T  # a single image has a single direction
    return positions


def _others(points: Float32, k: int) -> tuple[Int64, Float32]:
    """Return positions of, and distances to, the k nearest others of each point, nearest first."""
    from indexes.brute_force import nearest

    found, scores = nearest(points, points, k + 1)
    is_other = found != np.arange(len(points))[:, None]
    is_other[is_other.all(axis=1), -1] = False  # among more than k equals a point need not find itself
    return found[is_other].reshape(-1, k), _distances(scores[is_other].reshape(-1, k))


def _distances(scores: Float32) -> Float32:
    """Return Euclidean distances of unit vectors from their cosines."""
    return np.sqrt(np.maximum(2 - 2 * scores, 0))


def _threads(n_points: int) -> int:
    return max(1, min(os.cpu_count() or 1, n_points // 1_000))  # for fewer, threads wait for each other longer
