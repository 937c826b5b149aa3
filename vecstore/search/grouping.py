"""Groups of images, by day, folder, camera and the like: a number for every row, and a name for each number.

Lists are put into groups by it (`browsing.py`), and images counted (`facts.py`). Everything here is worked out inside a
read transaction of the caller's.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecstore.clustering.clusters import current_clusters
from vecstore.errors import BadInput
from vecstore.results import Group
from vecstore.session import Session
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.places import require_installed, towns

GROUPS = ("folder", "day", "month", "camera", "place", "cluster")
# Of a moment such as 2024-05-31T18:30:05, the characters that say the day, and the month.
_LENGTHS = {"day": 10, "month": 7}


@dataclass(frozen=True)
class Grouping:
    """names: of the groups, in their order: of days, months, folders, cameras and places by name, of clusters the
    largest first. numbers: (n_rows,) the position of each row's group in `names`, len(names) for those of none.
    """

    names: tuple[str, ...]
    numbers: NDArray[np.int32]


def in_groups(found: Grouping, rows: NDArray[np.int64], *, is_reversed: bool = False) -> list[Group]:
    """Return how many of these rows each group has that has some, in their order; those of none come last."""
    counts = np.bincount(found.numbers[rows], minlength=len(found.names) + 1).tolist()
    groups = [Group(name, images) for name, images in zip(found.names, counts[:-1], strict=True) if images]
    if is_reversed:
        groups.reverse()
    return [*groups, Group(None, counts[-1])] if counts[-1] else groups


def put_in_groups(found: Grouping, rows: NDArray[np.int64], *, is_reversed: bool = False) -> NDArray[np.int64]:
    """Return rows with those of one group together, in the order that `in_groups` has; within a group as they came."""
    numbers, n_groups = found.numbers[rows], len(found.names)
    if is_reversed:
        numbers = np.where(numbers < n_groups, n_groups - 1 - numbers, n_groups)
    return rows[np.argsort(numbers, kind="stable")]


def require_group(by: str) -> None:
    if by not in GROUPS:
        raise BadInput(f"images are not grouped by {by!r}, but by {', '.join(GROUPS)}")


def grouping(session: Session, by: str) -> Grouping:
    """Return the group of every row. Raises BadInput for another `by`, and for places without their table."""
    require_group(by)
    catalog = session.catalog
    n_rows = catalog.images.row_count()
    if by in _LENGTHS:
        return _by_time(catalog, n_rows, _LENGTHS[by])
    if by == "cluster":
        return _by_cluster(session, n_rows)
    if by == "folder":
        first = catalog.paths.first_of_all()
        return _numbered(n_rows, ((row, os.fsdecode(os.path.dirname(path))) for row, path in first))
    if by == "place":
        return _by_place(catalog, n_rows)
    return _numbered(n_rows, catalog.facts.known([by]))


def _numbered(n_rows: int, groups: Iterable[tuple[int, str | None]]) -> Grouping:
    found: dict[str, int] = {}
    numbers = np.full(n_rows, -1, np.int32)
    for row, name in groups:
        if name is not None:
            numbers[row] = found.setdefault(name, len(found))
    names = sorted(found)
    place = np.empty(len(names) + 1, np.int32)
    place[[found[name] for name in names]] = np.arange(len(names))
    place[-1] = len(names)  # of those in no group
    return Grouping(tuple(names), place[numbers])


def _by_time(catalog: Catalog, n_rows: int, n_characters: int) -> Grouping:
    rows, digits = catalog.facts.taken_numbers(n_characters).T
    numbers = np.full(n_rows, -1, np.int64)
    numbers[rows] = digits
    known, numbers = np.unique(numbers, return_inverse=True)
    has_none = len(known) > 0 and known[0] == -1
    texts = [str(one) for one in known.tolist() if one >= 0]
    names = tuple("-".join(filter(None, (text[:4], text[4:6], text[6:]))) for text in texts)
    if has_none:
        numbers = np.where(numbers == 0, len(names), numbers - 1)
    return Grouping(names, numbers.astype(np.int32))


def _by_cluster(session: Session, n_rows: int) -> Grouping:
    current = current_clusters(session)
    sizes = session.catalog.clusterings.cluster_sizes(current.clustering)
    ids = [found.cluster for found in sizes if found.size]
    labels = np.array(session.catalog.memberships.labels(current.clustering), np.int64).reshape(-1, 2)
    place = np.full(max(ids, default=0) + 2, len(ids), np.int32)
    place[ids] = np.arange(len(ids))
    numbers = np.full(n_rows, len(ids), np.int32)
    numbers[labels[:, 0]] = place[np.minimum(labels[:, 1], len(place) - 1)]
    return Grouping(tuple(map(str, ids)), numbers)


def _by_place(catalog: Catalog, n_rows: int) -> Grouping:
    require_installed()
    known = [
        (row, (latitude, longitude)) for row, latitude, longitude in catalog.facts.known(["latitude", "longitude"])
    ]
    there = sorted({place for _, place in known})
    named = dict(zip(there, (town.name for town in towns(there)), strict=True))
    return _numbered(n_rows, ((row, named.get(place)) for row, place in known))
