"""The map: a position on a plane for every image, near where images are alike. By t-SNE, as openTSNE has it.

A map is fitted to some images, the reference, once; every other image is placed among them by its likeness to them
alone. So a map that grew has moved nothing, and in which order images came does not matter. It is kept beside the
catalog, derived and stamped, with prints of the vectors it is of; a damaged one is rebuilt. Of a large store a sample
is drawn, and always the same images as long as they are there; the page shows all that have a place.

Where an image goes is worked out in `map_placing.py`, and a map is drawn by `map_rendering.py`.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from indexes.rows import BLOCK_ROWS, in_blocks, release_pages
from vecstore.errors import VecstoreError
from vecstore.results import MapPoint, StoreMap
from vecstore.session import Session
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.derived_arrays import load_arrays, save_arrays
from vecstore.storage.layout import MAP
from vecstore.storage.vector_file import Float16, Float32
from vecstore.views.map_placing import Placing, arranged

Int64 = NDArray[np.int64]
# Told how many images have a place, and of how many.
Placed: TypeAlias = Callable[[int, int], object]

log = logging.getLogger(__name__)

FORMAT = 1
# Images that t-SNE itself arranges: on two cores half a minute. And images that are drawn: more than that are a fog.
REFERENCE, MOST_POINTS = 5_000, 20_000
# Images that are placed before the map is written down: what is called off loses no more than those.
KEPT_ROWS = 1 << 17
# When the store has grown by this factor, the map is fitted again: the old fit does not know the new images.
RETRAIN_FACTOR = 4


@dataclass(frozen=True)
class Layout:
    """Where images are. rows: (n,) int64; positions: (n, 2) float32, around the origin; the first `fitted` of them
    are the reference. prints: (n,) uint64, by which to know the vectors again. images: in the store when it was fitted.
    seed: of the fitting."""

    rows: Int64
    positions: Float32
    prints: NDArray[np.uint64]
    fitted: int
    images: int
    seed: int

    @property
    def reference(self) -> Int64:
        return self.rows[: self.fitted]


def store_map(
    session: Session,
    rebuild: bool,
    seed: int | None,
    everything: bool = False,
    on_placed: Placed | None = None,
) -> StoreMap:
    """Return a position on a plane for every image, of many for a sample; see `Store.map`."""
    stored, vectors, alive = _stored(session)
    shuffled = in_map_order(alive)
    rows = shuffled if everything else shuffled[:MOST_POINTS]
    lock = partial(session.lock, wait=0)
    layout = stored.brought_up_to_date(vectors, rows, len(alive), seed, rebuild, lock, on_placed)
    with session.catalog.reading():
        return described(session.catalog, layout, shuffled[:MOST_POINTS])


def stored_map(session: Session) -> StoreMap | None:
    """Return the map that the store keeps as it is, without the images added since; None if it keeps none."""
    stored, vectors, alive = _stored(session)
    layout = stored.load(vectors)
    if layout is None:
        return None
    with session.catalog.reading():
        return described(session.catalog, layout, in_map_order(alive)[:MOST_POINTS])


def stored_positions(session: Session) -> tuple[Int64, Float32] | None:
    """Return the rows, (n,) int64, and the positions, (n, 2) float32, of all images on the map that the store keeps.

    In the order of `in_map_order`, so that any number of the first is a fair sample. None if it keeps no map. Vectors
    are not read: where one was changed, its image stays where it was until the map is brought up to date.
    """
    catalog = session.catalog
    found = _kept_at(session).read()
    if found is None:
        return None
    layout, _ = found
    is_there = np.ones(catalog.images.row_count(), np.bool_)
    is_there[catalog.images.hidden_rows()] = False
    known = layout.rows < len(is_there)
    known[known] = is_there[layout.rows[known]]
    rows, positions = layout.rows[known], layout.positions[known]
    order = np.argsort(_mixed(rows))
    return rows[order], positions[order]


def grouped(found: StoreMap, group_of: Mapping[int, int]) -> StoreMap:
    """Return the map with other clusters. group_of: what each cluster is in; points of others are in none."""
    points = (replace(p, cluster=None if p.cluster is None else group_of.get(p.cluster)) for p in found.points)
    return replace(found, points=tuple(points))


def has_stored_map(session: Session) -> bool:
    """Say whether the store keeps a map, without reading it: it may be one of other vectors."""
    return (session.path / MAP).exists()


def version_of_map(session: Session) -> tuple[int, ...]:
    """Return what differs after the map was written anew; nothing without a map."""
    try:
        state = os.stat(session.path / MAP)
    except OSError:
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _stored(session: Session) -> tuple["StoredMap", Float16, Int64]:
    """Return the place of the store's map, and of one moment its vectors and the rows of the images there."""
    catalog = session.catalog
    with catalog.reading():
        vectors, alive = session.vectors(), np.array(catalog.images.searchable_rows(), np.int64)
        return _kept_at(session), vectors, alive


def _kept_at(session: Session) -> "StoredMap":
    catalog = session.catalog
    return StoredMap(session.path / MAP, {"created": catalog.created(), "embedder": catalog.embedder()})


def in_map_order(rows: Int64) -> Int64:
    """Return rows in the order of a shuffle, of which the first are on a map, and stay there as the store grows.

    A row's place depends on its number alone, so an added image takes the place of one other at most.
    """
    return rows[np.argsort(_mixed(rows))]


def _mixed(rows: Int64) -> NDArray[np.uint64]:
    # The finalizer of SplitMix64 (Steele, Lea, Flood 2014): each number has one image, and neighbours lie far apart.
    mixed = rows.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def fits(layout: Layout, n_images: int, seed: int | None) -> bool:
    """Return whether a map can be extended: it has this seed, and the store has not outgrown it."""
    return seed in (None, layout.seed) and n_images < RETRAIN_FACTOR * max(layout.images, 1)


def fit_map(vectors: Float16, rows: Int64, n_images: int, seed: int) -> Layout:
    """Return a new map of the first `REFERENCE` of the rows.

    vectors: (rows, dim) float16, mapped, of length 1. The same rows and seed give the same map on as many threads.
    """
    reference = rows[:REFERENCE]
    positions = arranged(_read(vectors, reference), seed)
    return Layout(reference, positions, _prints(vectors, reference), len(reference), n_images, seed)


def extend_map(layout: Layout, vectors: Float16, rows: Int64) -> Layout:
    """Return the map with these rows added, of which none is on it; images already on it do not move."""
    placing = Placing(_read(vectors, layout.reference), layout.positions[: layout.fitted])
    placed = [placing.placed(_read(vectors, block)) for block in in_blocks(rows, BLOCK_ROWS)]
    return replace(
        layout,
        rows=np.concatenate([layout.rows, rows]),
        positions=np.concatenate([layout.positions, *placed]),
        prints=np.concatenate([layout.prints, _prints(vectors, rows)]),
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
        # The stamp of the map that was read or written last: another one is another process's.
        self._last: str | None = None

    def brought_up_to_date(
        self,
        vectors: Float16,
        rows: Int64,
        n_images: int,
        seed: int | None,
        rebuild: bool,
        lock: Callable[[], AbstractContextManager[None]],
        on_placed: Placed | None = None,
    ) -> Layout:
        """Return the map with all the rows on it, and keep it, also while it grows, if something is new.

        rows: as `in_map_order` has them. What takes long is done without the lock, so that nobody waits for a map; it
        is not kept where another process holds the lock.
        """
        made = self.load(vectors)
        is_kept = True
        if rebuild or made is None or not fits(made, n_images, seed):
            made = fit_map(vectors, rows, n_images, seed or 0)
            is_kept = not len(made.rows)
        while True:
            new = np.sort(rows[~np.isin(rows, made.rows)])  # vectors are read from the first to the last
            if is_kept and not len(new):
                return made
            if on_placed is not None:
                on_placed(len(rows) - len(new), len(rows))
            if len(new):
                made = extend_map(made, vectors, new[:KEPT_ROWS])
            try:
                with lock():
                    is_kept = self._keep(made)
            except (VecstoreError, OSError) as error:
                log.info("the map is not kept: %s", error)
                return made if len(new) <= KEPT_ROWS else extend_map(made, vectors, new[KEPT_ROWS:])
            # Another process was quicker, and what it has shown must not move.
            if not is_kept:
                now = self.load(vectors)
                is_kept = not rebuild and now is not None and fits(now, n_images, seed)
                made = now if now is not None and is_kept else made
                rebuild = False

    def load(self, vectors: Float16) -> Layout | None:
        """Return the map that is kept, None if there is none of these vectors.

        An image whose vector has changed or was compacted is dropped from it; the others stay.
        """
        found = self.read()
        self._last = found[1] if found else None
        if found is None:
            return None
        layout, _ = found
        is_there = layout.rows < len(vectors)
        is_there[is_there] = _prints(vectors, layout.rows[is_there]) == layout.prints[is_there]
        n_fitted = int(np.count_nonzero(is_there[: layout.fitted]))
        if n_fitted < max(layout.fitted / 2, 1):
            return None
        return replace(
            layout,
            rows=layout.rows[is_there],
            positions=layout.positions[is_there],
            prints=layout.prints[is_there],
            fitted=n_fitted,
        )

    def read(self) -> tuple[Layout, str] | None:
        """Return the map that is kept and its stamp, whatever has become of the vectors; None if there is none."""
        if (found := load_arrays(self.path)) is None:
            return None
        try:
            counts = (int(n) for n in found["counts"])
            layout = Layout(found["rows"], found["positions"], found["prints"], *counts)
            stamp = str(found["stamp"])
        except (ValueError, TypeError, KeyError):  # an archive of something else
            return None
        return (layout, stamp) if stamp == self._stamp(layout) else None

    def _keep(self, layout: Layout) -> bool:
        """Write the map down, whole or not at all, unless another process has; by the holder of the store's lock alone.

        Raises OSError.
        """
        now = self.read()
        if (now[1] if now else None) != self._last:
            return False
        self._last = self._stamp(layout)
        save_arrays(
            self.path,
            stamp=self._last,
            counts=[layout.fitted, layout.images, layout.seed],
            rows=layout.rows,
            positions=layout.positions,
            prints=layout.prints,
        )
        return True

    def _stamp(self, layout: Layout) -> str:
        """Return what a map depends on, and a checksum of it."""
        numbers = f"{layout.fitted} {layout.images} {layout.seed} ".encode()
        digest = hashlib.sha256(numbers)
        for array in (layout.rows, layout.positions, layout.prints):
            digest.update(array.tobytes())
        return json.dumps({"format": FORMAT, **self._store, "sha256": digest.hexdigest()}, sort_keys=True)


def _prints(vectors: Float16, rows: Int64) -> NDArray[np.uint64]:
    """Return (n,) uint64, by which to know rows' vectors again. Pages of the mapped vectors are released."""
    plain, prints = np.asarray(vectors), np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), BLOCK_ROWS):
        some = rows[start : start + BLOCK_ROWS].tolist()
        first = b"".join([hashlib.sha256(plain[row]).digest()[:8] for row in some])
        prints[start : start + len(some)] = np.frombuffer(first, ">u8")
        release_pages(vectors)
    return prints


def _read(vectors: Float16, rows: Int64) -> Float32:
    from indexes.rows import as_float32

    order = np.argsort(rows)
    found = np.empty((len(rows), vectors.shape[1]), np.float32)
    found[order] = as_float32(vectors, rows[order])
    return found
