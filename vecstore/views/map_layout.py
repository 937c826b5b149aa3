"""The map: a position on a plane for every image, near where images are alike. By t-SNE, as openTSNE has it.

A map is fitted to some images, the reference, once; every other image is placed among them by its likeness to them
alone. So a map that grew has moved nothing, and in which order images came does not matter. It is kept beside the
catalog, derived and stamped, with prints of the vectors it is of; a damaged one is rebuilt. Of a large store a sample
is on the map, and always the same images as long as they are there.

The picture of it is in `vecstore/views/map_rendering.py`. openTSNE is loaded when something is placed.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.rows import BLOCK_ROWS, in_blocks
from vecstore.errors import VecstoreError
from vecstore.results import MapPoint, StoreMap
from vecstore.session import Session
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.derived_arrays import load_arrays, save_arrays
from vecstore.storage.layout import MAP
from vecstore.storage.vector_file import Float16, Float32

Int64 = NDArray[np.int64]

log = logging.getLogger(__name__)

FORMAT = 1
# Images that t-SNE itself arranges: on two cores half a minute. And images on a map: more than that are a fog.
REFERENCE, MOST_POINTS = 5_000, 20_000
# When the store has grown by this factor, the map is fitted again: the old fit does not know the new images.
RETRAIN_FACTOR = 4
# Fewer images have no neighbourhoods to arrange; they lie along their two principal directions.
LEAST_FOR_TSNE = 10
# openTSNE's defaults, for fitting and for placing (`TSNEEmbedding.transform`).
PERPLEXITY, EXAGGERATION, EXAGGERATED_STEPS, STEPS, MOMENTUM = 30, 12, 250, 500, 0.8
PLACING = {"learning_rate": 0.1, "exaggeration": 1.5, "max_grad_norm": 0.25}
PLACING_PERPLEXITY, PLACING_NEIGHBOURS, PLACING_STEPS = 5, 25, 250
# How wide the first positions lie; from wider ones, the first steps tear them apart.
START = 1e-4


@dataclass(frozen=True)
class Layout:
    """Where images are. rows: (n,) int64; positions: (n, 2) float32, around the origin; the first `fitted` of them
    are the reference. images: in the store when it was fitted. seed: of the fitting."""

    rows: Int64
    positions: Float32
    fitted: int
    images: int
    seed: int

    @property
    def reference(self) -> Int64:
        return self.rows[: self.fitted]


def store_map(session: Session, rebuild: bool, seed: int | None) -> StoreMap:
    """Return a position on a plane for every image; see `Store.map`."""
    stored, vectors, alive = _stored(session)
    rows = chosen(alive)
    layout = stored.brought_up_to_date(vectors, rows, len(alive), seed, rebuild, lambda: session.lock(wait=0))
    with session.catalog.reading():
        return described(session.catalog, layout, rows)


def stored_map(session: Session) -> StoreMap | None:
    """Return the map that the store keeps as it is, without the images added since; None if it keeps none."""
    stored, vectors, alive = _stored(session)
    layout = stored.load(vectors)
    if layout is None:
        return None
    with session.catalog.reading():
        return described(session.catalog, layout, chosen(alive))


def grouped(found: StoreMap, group_of: Mapping[int, int]) -> StoreMap:
    """Return the map with other clusters. group_of: what each cluster is in; points of others are in none."""
    points = (replace(p, cluster=None if p.cluster is None else group_of.get(p.cluster)) for p in found.points)
    return replace(found, points=tuple(points))


def has_stored_map(session: Session) -> bool:
    """Say whether the store keeps a map, without reading it: it may be one of other vectors."""
    return (session.path / MAP).exists()


def _stored(session: Session) -> tuple["StoredMap", Float16, Int64]:
    """Return the place of the store's map, and of one moment its vectors and the rows of the images there."""
    catalog = session.catalog
    with catalog.reading():
        vectors, alive = session.vectors(), np.array(catalog.images.searchable_rows(), np.int64)
        return (
            StoredMap(session.path / MAP, {"created": catalog.created(), "embedder": catalog.embedder()}),
            vectors,
            alive,
        )


def chosen(alive: Int64) -> Int64:
    """Return the rows to be on a map, in the order of a shuffle by which a store's sample stays as it grows.

    alive: ascending. A row's place depends on its number alone, so an added image takes the place of one other at most.
    """
    # The finalizer of SplitMix64 (Steele, Lea, Flood 2014): each number has one image, and neighbours lie far apart.
    mixed = alive.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return alive[np.argsort(mixed)][:MOST_POINTS]


def fits(layout: Layout, n_images: int, seed: int | None) -> bool:
    """Return whether a map can be extended: it has this seed, and the store has not outgrown it."""
    return seed in (None, layout.seed) and n_images < RETRAIN_FACTOR * max(layout.images, 1)


def fit_map(vectors: Float16, rows: Int64, n_images: int, seed: int) -> Layout:
    """Return a new map of the first `REFERENCE` of the rows.

    vectors: (rows, dim) float16, mapped, of length 1. The same rows and seed give the same map on as many threads.
    """
    reference = rows[:REFERENCE]
    return Layout(reference, _arranged(_read(vectors, reference), seed), len(reference), n_images, seed)


def extend_map(layout: Layout, vectors: Float16, rows: Int64) -> Layout:
    """Return the map with these rows added; images already on it do not move."""
    new = rows[~np.isin(rows, layout.rows)]
    if not len(new):
        return layout
    reference = _read(vectors, layout.reference)
    fitted = layout.positions[: layout.fitted]
    placed = [_placed(_read(vectors, block), reference, fitted) for block in in_blocks(new, BLOCK_ROWS)]
    return Layout(
        rows=np.concatenate([layout.rows, new]),
        positions=np.concatenate([layout.positions, *placed]),
        fitted=layout.fitted,
        images=layout.images,
        seed=layout.seed,
    )


def described(catalog: Catalog, layout: Layout, rows: Int64) -> StoreMap:
    """Return the map of those of the rows that are still there, by id."""
    on_map = np.flatnonzero(np.isin(layout.rows, rows))
    on_map = on_map[np.argsort(layout.rows[on_map])]
    points = []
    for row, (x, y) in zip(layout.rows[on_map].tolist(), layout.positions[on_map].tolist(), strict=True):
        path = catalog.paths.first_of(row)
        if path is not None:
            cluster = catalog.memberships.cluster_of(row)
            points.append(MapPoint(row, x, y, cluster[0] if cluster else None, os.fsdecode(path)))
    images = catalog.images.count()
    return StoreMap(tuple(points), images, len(points) < images)


class StoredMap:
    """The map that a store keeps. store: what the vectors are of, as JSON can hold it."""

    def __init__(self, path: Path, store: dict[str, Any]) -> None:
        self.path = path
        self._store = store

    def brought_up_to_date(
        self,
        vectors: Float16,
        rows: Int64,
        n_images: int,
        seed: int | None,
        rebuild: bool,
        lock: Callable[[], AbstractContextManager[None]],
    ) -> Layout:
        """Return the map with all the rows on it, and keep it if something is new and the lock is free.

        rows: as `chosen` has them. What takes long is done without the lock, so that nobody waits for a map.
        """
        before = self.load(vectors)
        if rebuild or before is None or not fits(before, n_images, seed):
            made = fit_map(vectors, rows, n_images, seed or 0)
        else:
            made = before
        made = extend_map(made, vectors, rows)
        if made is before or not len(made.rows):
            return made
        try:
            with lock():
                now = self.load(vectors)
                if _is_same(now, before):
                    self._save(made, vectors)
                    return made
        except (VecstoreError, OSError) as error:
            log.info("the map is not kept: %s", error)
            return made
        # Another process was quicker, and what it has shown must not move.
        return made if rebuild or now is None or not fits(now, n_images, seed) else extend_map(now, vectors, rows)

    def load(self, vectors: Float16) -> Layout | None:
        """Return the map that is kept, None if there is none of these vectors.

        An image whose vector has changed or was compacted is dropped from it; the others stay.
        """
        if (found := load_arrays(self.path)) is None:
            return None
        try:
            layout = Layout(found["rows"], found["positions"], *(int(n) for n in found["counts"]))
            prints, stamp = found["prints"], str(found["stamp"])
        except (ValueError, TypeError, KeyError):  # an archive of something else
            return None
        if stamp != self._stamp(layout, prints):
            return None
        is_there = layout.rows < len(vectors)
        is_there[is_there] = _prints(vectors, layout.rows[is_there]) == prints[is_there]
        n_fitted = int(np.count_nonzero(is_there[: layout.fitted]))
        if n_fitted < max(layout.fitted / 2, 1):
            return None
        return replace(layout, rows=layout.rows[is_there], positions=layout.positions[is_there], fitted=n_fitted)

    def _save(self, layout: Layout, vectors: Float16) -> None:
        """Write the map down, whole or not at all; by the holder of the store's lock alone. Raises OSError."""
        prints = _prints(vectors, layout.rows)
        save_arrays(
            self.path,
            stamp=self._stamp(layout, prints),
            counts=[layout.fitted, layout.images, layout.seed],
            rows=layout.rows,
            positions=layout.positions,
            prints=prints,
        )

    def _stamp(self, layout: Layout, prints: NDArray[np.uint64]) -> str:
        """Return what a map depends on, and a checksum of it."""
        numbers = f"{layout.fitted} {layout.images} {layout.seed} ".encode()
        digest = hashlib.sha256(numbers + layout.rows.tobytes() + layout.positions.tobytes() + prints.tobytes())
        return json.dumps({"format": FORMAT, **self._store, "sha256": digest.hexdigest()}, sort_keys=True)


def _prints(vectors: Float16, rows: Int64) -> NDArray[np.uint64]:
    """Return (n,) uint64, by which to know rows' vectors again."""
    return np.array([int.from_bytes(hashlib.sha256(vectors[row].tobytes()).digest()[:8]) for row in rows], np.uint64)


def _is_same(one: Layout | None, other: Layout | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one.rows, other.rows) and np.array_equal(one.positions, other.positions)


def _read(vectors: Float16, rows: Int64) -> Float32:
    from indexes.rows import as_float32

    order = np.argsort(rows)
    found = np.empty((len(rows), vectors.shape[1]), np.float32)
    found[order] = as_float32(vectors, rows[order])
    return found


def _arranged(points: Float32, seed: int) -> Float32:
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


def _placed(points: Float32, reference: Float32, positions: Float32) -> Float32:
    """Return (n, 2) float32 positions of points among the reference, each by itself, as `TSNEEmbedding.transform`."""
    from indexes.brute_force import nearest

    neighbours, scores = nearest(points, reference, min(len(reference), PLACING_NEIGHBOURS))
    start = np.median(positions[neighbours], axis=1)
    if len(reference) < LEAST_FOR_TSNE:
        return np.asarray(start, np.float32)
    from openTSNE import PartialTSNEEmbedding, TSNEEmbedding, affinity
    from scipy.sparse import csr_matrix

    k = min(3 * PLACING_PERPLEXITY, len(reference))
    likeness = affinity.joint_probabilities_nn(
        neighbours[:, :k],
        _distances(scores[:, :k]),
        [k / 3],
        symmetrize=False,
        normalization="point-wise",
        n_reference_samples=len(reference),
        n_jobs=_threads(len(points)),
    )
    # The reference's own affinities are asked for and not read: it does not move.
    unread = affinity.PrecomputedAffinities(csr_matrix((len(reference),) * 2), normalize=False)
    among = TSNEEmbedding(positions, unread)
    embedding = PartialTSNEEmbedding(
        start, among, likeness, negative_gradient_method="bh", n_jobs=_threads(len(points))
    )
    embedding.optimize(PLACING_STEPS, momentum=MOMENTUM, inplace=True, **PLACING)
    return np.asarray(embedding, np.float32)


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
