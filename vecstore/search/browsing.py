"""Lists of the store's images: any part of one by its position, with a total, in an order and under conditions.

All images in the order of their ids are not listed one by one: a position leads to its row by arithmetic, past the few
that were removed. Other lists are made once and kept until the store changes. Knows no query: `query.py` is for what is
near to something.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vecstore.clustering import lifecycle
from vecstore.clustering.clusters import current_clusters
from vecstore.errors import BadInput
from vecstore.results import ClusterCount, Facets, FolderCount, Page, WordCount
from vecstore.search.filters import Filter, Mask
from vecstore.search.query import allowed_in
from vecstore.search.stored_images import described
from vecstore.session import Session
from vecstore.words.tagging import NO_CLASS, best_recorded
from vecstore.words.vocabulary import vocabulary

Rows = NDArray[np.int64]

ORDERS = ("newest", "oldest", "path", "typical", "odd")
# Lists that are kept, each of eight bytes an image; someone who pages through one asks for no other.
LISTS_KEPT = 2
MOST_WORDS = 200


@dataclass(frozen=True)
class Listing:
    """Which images, and in which order. word: only those whose best class has this name."""

    conditions: Filter = Filter()
    word: str | None = None
    order: str = "newest"

    @property
    def is_of_all(self) -> bool:
        """Whether there is no condition."""
        return self.conditions == Filter() and self.word is None

    def require_sound(self) -> None:
        if self.order not in ORDERS:
            raise BadInput(f"{self.order!r} is not an order; choose one of {', '.join(ORDERS)}")


class Listings:
    """The lists that were asked for last, as long as the store is as it was."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Listing, tuple[int, int]], Rows] = {}

    def rows(self, listing: Listing, state: tuple[int, int], make: Callable[[], Rows]) -> Rows:
        found = self._kept.pop((listing, state), None)
        self._kept[listing, state] = made = make() if found is None else found
        while len(self._kept) > LISTS_KEPT:
            del self._kept[next(iter(self._kept))]
        return made


def browse(session: Session, listings: Listings, listing: Listing, start: int, k: int) -> Page:
    """Return a part of a list; see `Store.browse`."""
    listing.require_sound()
    with session.catalog.reading():
        total, rows = _part(session, listings, listing, start, k)
        return Page(total, tuple(described(session, row) for row in rows.tolist()))


def facets(session: Session, listings: Listings, listing: Listing, under: str | None) -> Facets:
    """Return the folders, clusters and words of a list with their counts; see `Store.facets`."""
    listing.require_sound()
    with session.catalog.reading():
        total, _ = _part(session, listings, listing, 0, 0)
        top = _common_folder(session) if under is None else os.fsencode(under)
        no_path = replace(listing, conditions=replace(listing.conditions, path=()))
        no_cluster = replace(listing, conditions=replace(listing.conditions, cluster=None, not_cluster=None))
        return Facets(
            total,
            os.fsdecode(top),
            _folders(session, no_path, top),
            _clusters(session, no_cluster),
            _words(session, _mask(session, replace(listing, word=None))),
        )


def _part(session: Session, listings: Listings, listing: Listing, start: int, k: int) -> tuple[int, Rows]:
    if listing.is_of_all and listing.order in ("newest", "oldest"):
        return _part_of_all(session, listing.order == "newest", start, k)
    session.catalog.images.row_count()  # the transaction begins with the first thing that is read
    rows = listings.rows(listing, session.catalog.state(), lambda: _listed(session, listing))
    return len(rows), rows[start : start + k]


def _part_of_all(session: Session, newest_first: bool, start: int, k: int) -> tuple[int, Rows]:
    removed = np.array(session.catalog.images.removed_rows(), np.int64)
    total = session.catalog.images.row_count() - len(removed)
    ranks = np.arange(min(start, total), min(start + k, total), dtype=np.int64)
    if newest_first:
        ranks = total - 1 - ranks
    # Before the removed row number i lie `removed[i] - i` images, so an image of a higher rank lies behind it.
    return total, ranks + np.searchsorted(removed - np.arange(len(removed)), ranks, side="right")


def _listed(session: Session, listing: Listing) -> Rows:
    catalog, mask = session.catalog, _mask(session, listing)
    if listing.order == "path":
        rows = np.array(catalog.paths.rows_in_order(), np.int64)
        ordered = rows[np.sort(np.unique(rows, return_index=True)[1])]  # each by its first path
    elif listing.order in ("typical", "odd"):
        current, wanted = current_clusters(session).clustering, listing.conditions.cluster
        cluster = None if wanted is None else catalog.clusterings.require_cluster(current, wanted)
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


def _folders(session: Session, listing: Listing, top: bytes) -> tuple[FolderCount, ...]:
    if listing.is_of_all:
        counts = session.catalog.paths.folders_in(top)
    else:
        mask = _mask(session, listing)
        found = {(folder, row) for folder, row in session.catalog.paths.rows_in_folders_in(top) if mask[row]}
        counts = sorted(Counter(folder for folder, _ in found).items())
    return tuple(FolderCount(os.fsdecode(folder), images) for folder, images in counts)


def _clusters(session: Session, listing: Listing) -> tuple[ClusterCount, ...]:
    if session.catalog.clusterings.current() is None:
        return ()
    current = current_clusters(session)
    described = lifecycle.describe(session.catalog, current)
    if listing.is_of_all:
        images = {cluster.cluster: cluster.size for cluster in described}
    else:
        labels = np.array(session.catalog.memberships.labels(current.clustering), np.int64).reshape(-1, 2)
        found, counts = np.unique(labels[_mask(session, listing)[labels[:, 0]], 1], return_counts=True)
        images = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return tuple(
        ClusterCount(cluster.cluster, cluster.name, cluster.suggested, images[cluster.cluster])
        for cluster in described
        if cluster.cluster in images
    )


def _words(session: Session, mask: Mask) -> tuple[WordCount, ...]:
    if not session.catalog.tags.are_kept():
        return ()
    best = best_recorded(session, len(mask))
    counts = np.bincount(best[mask & (best != NO_CLASS)], minlength=1)
    names = vocabulary().names
    most = sorted(np.flatnonzero(counts).tolist(), key=lambda number: (-counts[number], names[number][0]))[:MOST_WORDS]
    return tuple(WordCount(names[number][0], int(counts[number])) for number in most)
