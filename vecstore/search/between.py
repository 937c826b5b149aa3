"""Which pictures of one place are in another: of two folders of a store, or of two stores. In one direction."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vecstore.embedders.embedder import EmbedderOptions
from vecstore.errors import BadInput, WrongEmbedder
from vecstore.likeness.comparison import SAME_BYTES, Relation
from vecstore.results import FoundIn
from vecstore.search.copies import Apart, Collection, CopyFinder, Rows, candidates, verified
from vecstore.session import Session
from vecstore.sources.paths import AnyPath, absolute, shown
from vecstore.sources.spelling import as_stored
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.connection import holds_store
from vecstore.storage.layout import CATALOG


@dataclass(frozen=True)
class Side:
    """What is compared: images of a store, and the path of each by which it is there."""

    session: Session
    paths: dict[int, bytes]

    @property
    def rows(self) -> Rows:
        return np.array(sorted(self.paths), np.int64)


def between(session: Session, one: AnyPath, other: AnyPath, min_score: float, exact: bool) -> Iterator[FoundIn]:
    """Yield the images of `one` that are in `other`; see `Store.between`. Raises before the first step."""
    with ExitStack() as opened:
        sides = _side(session, one, opened), _side(session, other, opened)
        # Vectors of either precision can be compared.
        if len({replace(side.session.spec, precision="float32") for side in sides}) > 1:
            names = " and ".join(side.session.spec.name for side in sides)
            raise WrongEmbedder(
                f"the vectors of {_named(one)} and {_named(other)} are of two embedders ({names}); add the pictures of "
                "the one to a store with the embedder of the other"
            )
        if sides[0].session is sides[1].session and _is_in(one, other):
            typed = " and ".join(shown(os.fsencode(place)) for place in (one, other))  # a selection has no path
            raise BadInput(f"{typed} are one in the other; name two places apart")
        return iter(compare(sides[0], sides[1], min_score, exact))


def compare(one: Side, other: Side, min_score: float, exact: bool, apart: Apart | None = None) -> list[FoundIn]:
    """Return the images of one side that are in the other, by their paths.

    apart: for sides of one store, as for `duplicates`.
    """
    found = _equal(one, other)
    if not exact:
        rest = {row: path for row, path in one.paths.items() if row not in found}
        altered = _altered_in_one_store if one.session is other.session else _altered_in_two
        found |= altered(Side(one.session, rest), other, min_score, apart)
    shown = [
        FoundIn(
            row, os.fsdecode(one.paths[row]), match, os.fsdecode(other.paths[match]), rel.name, rel.confidence, score
        )
        for row, (match, rel, score) in found.items()
    ]
    return sorted(shown, key=lambda result: os.fsencode(result.path))


_Matches = dict[int, tuple[int, Relation, float]]


def _equal(one: Side, other: Side) -> _Matches:
    """Return what has the same content in both, by row."""
    if one.session is other.session:
        return {row: (row, Relation(SAME_BYTES, 1.0), 1.0) for row in one.paths.keys() & other.paths.keys()}
    contents = {one.session.catalog.images.sha256_of(row) or b"": row for row in one.paths}
    rows = other.session.catalog.images.rows_of(contents)
    return {
        contents[sha256]: (row, Relation(SAME_BYTES, 1.0), 1.0) for sha256, row in rows.items() if row in other.paths
    }


def _altered_in_one_store(one: Side, other: Side, min_score: float, apart: Apart | None) -> _Matches:
    collection = Collection(one.session)
    finder = CopyFinder(collection, min_score, apart)
    finder.compare()
    found: _Matches = {}
    for rows in finder.groups():
        theirs = [row for row in rows if row in other.paths]
        for row in rows if theirs else ():
            if row not in one.paths:
                continue
            relations = [(match, finder.relation(match, row)) for match in theirs if match != row]
            copies = [(match, relation) for match, relation in relations if relation is not None]
            if copies:
                match, relation = max(copies, key=lambda copy: copy[1].confidence)
                found[row] = match, relation, float(collection.score(row, [match])[0])
    finder.keep()
    return found


def _altered_in_two(one: Side, other: Side, min_score: float, apart: Apart | None) -> _Matches:
    ours, theirs = Collection(one.session), Collection(other.session)
    pairs = candidates(ours, _findable(ours, one), theirs, _findable(theirs, other), min_score)
    return verified(ours, theirs, pairs, min_score)


def _findable(collection: Collection, side: Side) -> Rows:
    return np.intersect1d(collection.rows, side.rows)


# What a place is


def _side(session: Session, place: AnyPath, opened: ExitStack) -> Side:
    """Return the images of a place. Raises BadInput if there are none."""
    path = absolute(place)
    folder = os.fsdecode(path)
    if os.path.isdir(folder) and holds_store(Path(folder) / CATALOG):
        if not os.path.samefile(folder, session.path):
            options = EmbedderOptions(device=session.options.device, precision="auto")
            session = opened.enter_context(Session.open(folder, None, options, create=False, wait=None))
        paths: dict[int, bytes] = {}
        with session.catalog.reading():
            for row, found in session.catalog.paths.all():
                paths[row] = min(paths.get(row, found), found)
        if not paths:
            raise BadInput(f"the store {_named(place)} has no images; name another place")
        return Side(session, paths)
    catalog = session.catalog
    with catalog.reading():
        spelled = as_stored(path, catalog.paths.under)
        known = sorted(catalog.paths.under(spelled))
        rows = catalog.paths.rows_at(known)
    paths = {}
    for found in known:
        if found in rows:
            paths.setdefault(rows[found], found)
    if not paths:
        paths = _of_selection(catalog, os.fsencode(place))
    if not paths:
        raise BadInput(
            f"no image of the store {session.path} is in {_named(place)}; add it with `vecstore add FOLDER`, or name "
            "another store, or a selection"
        )
    return Side(session, paths)


def _of_selection(catalog: Catalog, name: bytes) -> dict[int, bytes]:
    """Return the images of the selection of this name; none where there is no such selection."""
    try:
        text = name.decode()
    except UnicodeDecodeError:  # a path can be that, and no name
        return {}
    with catalog.reading():
        number = catalog.selections.named(text)
        return {} if number is None else dict(catalog.selections.images(number))


def _is_in(one: AnyPath, other: AnyPath) -> bool:
    paths = [absolute(place).rstrip(b"/") + b"/" for place in (one, other)]
    return paths[0].startswith(paths[1]) or paths[1].startswith(paths[0])


def _named(place: AnyPath) -> str:
    return shown(absolute(place))
