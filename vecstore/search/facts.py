"""What is known of images, one by one, in an order, and counted in groups."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from vecstore.errors import BadInput
from vecstore.image_ref import ImageRef, require_stored
from vecstore.results import Facts, Group, ImageFacts
from vecstore.search.filters import Filter
from vecstore.search.grouping import grouping, in_groups, require_group
from vecstore.search.query import allowed_in
from vecstore.session import Session
from vecstore.storage.places import Town, is_installed, towns

SORTS = ("score", "taken", "size", "path")
# Images that are described together.
BLOCK_ROWS = 1_000


class Listed(Protocol):
    """A result that is about an image."""

    @property
    def id(self) -> int: ...

    @property
    def path(self) -> str: ...


R = TypeVar("R", bound=Listed)


def facts(session: Session, refs: Sequence[ImageRef]) -> list[ImageFacts]:
    """Return what is known of each image. Raises NotFound for one that is not stored."""
    with session.catalog.reading():
        return list(_described(session, [require_stored(session, ref) for ref in refs]))


def facts_of_all(session: Session, conditions: Filter, sort: str | None, k: int | None) -> Iterator[ImageFacts]:
    """Return what is known of the images that conditions hold of; see `Store.all_facts`. Raises before the first."""
    require_sort(sort)
    with session.catalog.reading():
        rows = _in_order(session, fitting_rows(session, conditions), sort)[:k]
    return _in_blocks(session, rows)


def _in_blocks(session: Session, rows: Sequence[int]) -> Iterator[ImageFacts]:
    """Yield what is known of rows, but of those that were removed meanwhile."""
    for start in range(0, len(rows), BLOCK_ROWS):
        with session.catalog.reading():
            some = rows[start : start + BLOCK_ROWS]
            alive = session.catalog.images.alive_of(some)
            found = list(_described(session, [row for row in some if row in alive]))
        yield from found


def _in_order(session: Session, rows: list[int], sort: str | None) -> list[int]:
    if sort in (None, "score"):
        return rows
    if sort == "path":
        first = dict(session.catalog.paths.first_of_all())
        return sorted(rows, key=first.__getitem__)
    key = _taken_key if sort == "taken" else _size_key
    keys = {row: key(value) for row, value in session.catalog.facts.values(["taken" if sort == "taken" else "bytes"])}
    return sorted(rows, key=keys.__getitem__)


def fitting_rows(session: Session, conditions: Filter) -> list[int]:
    """Return the rows of the living images that conditions hold of, ascending. Inside a transaction."""
    n_rows = session.catalog.images.row_count()
    allowed = allowed_in(session, n_rows, conditions)
    return list(range(n_rows)) if allowed is None else np.flatnonzero(allowed).tolist()


def _described(session: Session, rows: Sequence[int]) -> Iterator[ImageFacts]:
    """Yield what is known of living images. Inside a transaction."""
    catalog = session.catalog
    known = dict(catalog.facts.of_rows({*rows}))
    places = dict(_towns(known.items()))
    for row in rows:
        width, height, added = catalog.images.size_and_time(row)
        said = known.get(row) or Facts(width=width, height=height)
        paths = tuple(os.fsdecode(path) for path in catalog.paths.of(row))
        assigned = catalog.memberships.cluster_of(row)
        cluster = assigned[0] if assigned else None
        town = places.get(row)
        place, country = (town.name, town.code) if town else (None, None)
        yield ImageFacts(
            id=row, path=paths[0], **vars(said), paths=paths, added=added, cluster=cluster, place=place, country=country
        )


def _towns(known: Iterable[tuple[int, Facts]]) -> Iterator[tuple[int, Town]]:
    """Yield (row, the nearest town) where there is a place, and the table of towns is installed."""
    there = [(row, f.latitude, f.longitude) for row, f in known if f.latitude is not None and f.longitude is not None]
    if there and is_installed():
        found = towns([(latitude, longitude) for _, latitude, longitude in there])
        yield from ((row, town) for (row, *_), town in zip(there, found, strict=True))


# Order


def require_sort(sort: str | None) -> None:
    if sort is not None and sort not in SORTS:
        raise BadInput(f"{sort!r} is no order; there are {', '.join(SORTS)}")


def ordered(session: Session, found: list[R], sort: str | None) -> list[R]:
    """Return results in another order than they were found in.

    sort: "taken" (the oldest first, those that do not say last), "size" (of the file, the largest first), "path"; None
    or "score" for as they are. Raises BadInput for any other.
    """
    require_sort(sort)
    if sort in (None, "score"):
        return found
    if sort == "path":
        return sorted(found, key=lambda result: os.fsencode(result.path))
    known = dict(session.catalog.facts.of_rows({result.id for result in found}))
    nothing = Facts()
    if sort == "taken":
        return sorted(found, key=lambda result: _taken_key(known.get(result.id, nothing).taken))
    return sorted(found, key=lambda result: _size_key(known.get(result.id, nothing).bytes))


def _taken_key(taken: str | None) -> tuple[Any, ...]:
    return (1,) if taken is None else (0, taken)


def _size_key(n_bytes: int | None) -> tuple[Any, ...]:
    return (1,) if n_bytes is None else (0, -n_bytes)


# Groups


def counted(session: Session, by: str, conditions: Filter) -> list[Group]:
    """Return how many images there are of each group; see `Store.count_by`."""
    require_group(by)
    with session.catalog.reading():
        rows = np.array(fitting_rows(session, conditions), np.int64)
        groups = in_groups(grouping(session, by), rows)
    if by in ("month", "day", "cluster"):
        return groups
    return sorted(groups, key=lambda group: (group.group is None, -group.images, group.group or ""))
