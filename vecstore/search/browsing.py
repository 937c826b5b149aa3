"""Lists of the store's images: any part of one by its position, with a total, in an order and under conditions.

All images in the order of their ids are not listed one by one: a position leads to its row by arithmetic, past the few
that were removed. Other lists are made once and kept until the store changes. Knows no query: `query.py` is for what is
near to something.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vecstore.clustering import lifecycle
from vecstore.clustering.clusters import current_clusters
from vecstore.errors import BadInput
from vecstore.results import ClusterCount, Facets, FolderCount, Group, Page, WordCount
from vecstore.search.filters import Filter, Mask
from vecstore.search.grouping import Grouping, grouping, in_groups, put_in_groups, require_group
from vecstore.search.query import allowed_in
from vecstore.search.stored_images import described
from vecstore.session import Session
from vecstore.storage.places import is_installed
from vecstore.words.tagging import NO_CLASS, best_recorded
from vecstore.words.vocabulary import vocabulary

Rows = NDArray[np.int64]
T = TypeVar("T")

ORDERS = ("newest", "oldest", "taken", "size", "path", "typical", "odd")
# What is kept of a store, each of eight bytes an image or path: someone who pages through a list asks for few others.
KEPT = 12
MOST_WORDS = 200
_EVERY = 1 << 62


@dataclass(frozen=True)
class Listing:
    """Which images, and in which order.

    word: only those whose best class has this name. group: together by what of them, one group after the other.
    """

    conditions: Filter = Filter()
    word: str | None = None
    order: str = "newest"
    group: str | None = None

    @property
    def is_of_all(self) -> bool:
        """Whether there is no condition."""
        return self.conditions == Filter() and self.word is None

    def require_sound(self) -> None:
        if self.order not in ORDERS:
            raise BadInput(f"{self.order!r} is not an order; choose one of {', '.join(ORDERS)}")
        if self.group is not None:
            require_group(self.group)

    @property
    def is_last_first(self) -> bool:
        """Whether the last day or month comes first, as the last picture does."""
        return self.group in ("day", "month") and self.order != "oldest"


class Listings:
    """The lists, and what facets are counted from, that were asked for last, as long as the store is as it was."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, tuple[int, int]], Any] = {}

    def kept(self, key: object, state: tuple[int, int], make: Callable[[], T]) -> T:
        """Return what was made for a key, made anew when the store is in another state."""
        found = self._kept.pop((key, state), None)
        made: T = make() if found is None else found
        self._kept[key, state] = made
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return made


def browse(session: Session, listings: Listings, listing: Listing, start: int, k: int) -> Page:
    """Return a part of a list; see `Store.browse`."""
    listing.require_sound()
    with session.catalog.reading():
        total, rows = _part(session, listings, listing, start, k)
        return Page(total, tuple(described(session, row) for row in rows.tolist()))


def sections(session: Session, listings: Listings, listing: Listing) -> list[Group]:
    """Return the groups of a list in its order; see `Store.sections`."""
    listing.require_sound()
    with session.catalog.reading():
        if listing.group is None:
            total, _ = _part(session, listings, listing, 0, 0)
            return [Group(None, total)] if total else []
        _, rows = _part(session, listings, listing, 0, _EVERY)
        return in_groups(_grouping(session, listings, listing.group), rows, is_reversed=listing.is_last_first)


def facets(session: Session, listings: Listings, listing: Listing, under: str | None) -> Facets:
    """Return the folders, clusters and words of a list with their counts; see `Store.facets`."""
    listing.require_sound()
    with session.catalog.reading():
        key = ("facets", listing, under)
        return listings.kept(key, state_of(session), lambda: _counted(session, listings, listing, under))


def _counted(session: Session, listings: Listings, listing: Listing, under: str | None) -> Facets:
    total, _ = _part(session, listings, listing, 0, 0)
    top = _common_folder(session) if under is None else os.fsencode(under)
    no_path = replace(listing, conditions=replace(listing.conditions, path=()))
    no_cluster = replace(listing, conditions=replace(listing.conditions, cluster=None, not_cluster=None))
    no_date = replace(listing, conditions=replace(listing.conditions, taken_after=None, taken_before=None))
    no_camera = replace(listing, conditions=replace(listing.conditions, camera=None))
    no_place = replace(listing, conditions=replace(listing.conditions, place=None, near=None))
    return Facets(
        total,
        os.fsdecode(top),
        _folders(session, listings, no_path, top),
        _clusters(session, listings, no_cluster),
        _words(session, _mask(session, replace(listing, word=None))),
        _groups(session, listings, no_date, "month")[::-1],
        _largest_first(_groups(session, listings, no_camera, "camera")),
        _largest_first(_groups(session, listings, no_place, "place")) if is_installed() else (),
    )


def _groups(session: Session, listings: Listings, listing: Listing, by: str) -> tuple[Group, ...]:
    """Return the groups of a list that have a name, in their own order."""
    found = _grouping(session, listings, by)
    if not found.names:
        return ()
    return tuple(
        group for group in in_groups(found, np.flatnonzero(_mask(session, listing))) if group.group is not None
    )


def _largest_first(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    return tuple(sorted(groups, key=lambda group: -group.images))


def _part(session: Session, listings: Listings, listing: Listing, start: int, k: int) -> tuple[int, Rows]:
    if listing.is_of_all and listing.group is None and listing.order in ("newest", "oldest"):
        return _part_of_all(session, listing.order == "newest", start, k)
    rows = listings.kept(listing, state_of(session), lambda: _grouped(session, listings, listing))
    return len(rows), rows[start : start + k]


def state_of(session: Session) -> tuple[int, int]:
    """Return what differs after every commit; inside a transaction."""
    session.catalog.images.row_count()  # the transaction begins with the first thing that is read
    return session.catalog.state()


def _part_of_all(session: Session, newest_first: bool, start: int, k: int) -> tuple[int, Rows]:
    removed = np.array(session.catalog.images.removed_rows(), np.int64)
    total = session.catalog.images.row_count() - len(removed)
    ranks = np.arange(min(start, total), min(start + k, total), dtype=np.int64)
    if newest_first:
        ranks = total - 1 - ranks
    # Before the removed row number i lie `removed[i] - i` images, so an image of a higher rank lies behind it.
    return total, ranks + np.searchsorted(removed - np.arange(len(removed)), ranks, side="right")


def _grouped(session: Session, listings: Listings, listing: Listing) -> Rows:
    rows = _listed(session, listing)
    if listing.group is None:
        return rows
    return put_in_groups(_grouping(session, listings, listing.group), rows, is_reversed=listing.is_last_first)


def _grouping(session: Session, listings: Listings, by: str) -> Grouping:
    return listings.kept(("grouping", by), state_of(session), lambda: grouping(session, by))


def _listed(session: Session, listing: Listing) -> Rows:
    catalog, mask = session.catalog, _mask(session, listing)
    if listing.order == "path":
        rows = np.array(catalog.paths.rows_in_order(), np.int64)
        ordered = rows[np.sort(np.unique(rows, return_index=True)[1])]  # each by its first path
    elif listing.order in ("taken", "size"):
        known = np.array(catalog.facts.rows_by("taken" if listing.order == "taken" else "bytes"), np.int64)
        ordered = np.concatenate([known, np.setdiff1d(np.arange(len(mask)), known)[::-1]])
    elif listing.order in ("typical", "odd"):
        current, wanted = current_clusters(session).clustering, listing.conditions.cluster
        node = None if wanted is None else catalog.clusterings.require_node(current, wanted)
        held = [] if node is None else catalog.trees.clusters_below(current, node)
        cluster = held[0] if len(held) == 1 else None  # of more of them, those are left out that are not on the list
        found = catalog.memberships.rows_by_distance(current, cluster, farthest=listing.order == "odd")
        ordered = np.array(found, np.int64)
    else:
        rows = np.flatnonzero(mask)
        return rows[::-1] if listing.order == "newest" else rows
    return ordered[mask[ordered]]


def _mask(session: Session, listing: Listing) -> Mask:
    """Return which rows are on a list."""
    n_rows = session.catalog.images.row_count()
    allowed = allowed_in(session, n_rows, listing.conditions)
    mask = np.ones(n_rows, np.bool_) if allowed is None else allowed
    if listing.word is not None:
        names = vocabulary().names
        classes = [number for number, own in enumerate(names) if listing.word in own]
        mask = mask & np.isin(best_recorded(session, n_rows), classes)
    return mask


def _common_folder(session: Session) -> bytes:
    """Return the deepest folder that all paths are below."""
    ends = session.catalog.paths.first_and_last()
    return os.path.commonpath([os.path.dirname(end) for end in ends]) if ends else b"/"


def _folders(session: Session, listings: Listings, listing: Listing, top: bytes) -> tuple[FolderCount, ...]:
    if listing.is_of_all:
        counts = session.catalog.paths.folders_in(top)
    else:
        names, pairs = listings.kept(("folders", top), state_of(session), lambda: _paths_in_folders(session, top))
        mask = _mask(session, listing)
        numbers, rows = pairs[mask[pairs[:, 1]]].T.astype(np.int64)
        once = np.unique(numbers * len(mask) + rows)  # an image that has several paths there
        found = np.bincount(once // max(len(mask), 1), minlength=len(names)).tolist()
        counts = [(name, images) for name, images in zip(names, found, strict=True) if images]
    return tuple(FolderCount(os.fsdecode(folder), images) for folder, images in counts)


def _paths_in_folders(session: Session, top: bytes) -> tuple[list[bytes], NDArray[np.int32]]:
    """Return the folders in a folder, by name, and (n, 2) the number of the folder and the row of each path in them."""
    found = list(session.catalog.paths.rows_in_folders_in(top))
    names = sorted({folder for folder, _ in found})
    numbers = {name: number for number, name in enumerate(names)}
    pairs = np.array([(numbers[folder], row) for folder, row in found], np.int32)
    return names, pairs.reshape(-1, 2)


def _clusters(session: Session, listings: Listings, listing: Listing) -> tuple[ClusterCount, ...]:
    if session.catalog.clusterings.current() is None:
        return ()
    current = current_clusters(session)
    described = lifecycle.describe(session.catalog, current)
    if listing.is_of_all:
        images = {cluster.cluster: cluster.size for cluster in described}
    else:
        key = ("labels", current.clustering)
        labels = listings.kept(key, state_of(session), lambda: _labels(session, current.clustering))
        found, counts = np.unique(labels[_mask(session, listing)[labels[:, 0]], 1], return_counts=True)
        images = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return tuple(
        ClusterCount(cluster.cluster, cluster.name, cluster.suggested, images[cluster.cluster])
        for cluster in described
        if cluster.cluster in images
    )


def _labels(session: Session, clustering: int) -> NDArray[np.int32]:
    """Return (n, 2) the row and the cluster of every label."""
    return np.array(session.catalog.memberships.labels(clustering), np.int32).reshape(-1, 2)


def _words(session: Session, mask: Mask) -> tuple[WordCount, ...]:
    if not session.catalog.tags.are_kept():
        return ()
    best = best_recorded(session, len(mask))
    counts = np.bincount(best[mask & (best != NO_CLASS)], minlength=1)
    names = vocabulary().names
    most = sorted(np.flatnonzero(counts).tolist(), key=lambda number: (-counts[number], names[number][0]))[:MOST_WORDS]
    return tuple(WordCount(names[number][0], int(counts[number])) for number in most)
