"""Groups of equal images and altered copies, each with the one to keep, and what may be deleted beside it.

Equal is the same content under several paths: the catalog knows, and the files are read before one is called a copy.
An altered copy is one by its pixels (`copies.py`): every image of a group is one of its representative. A chain of
images, each a copy of the one before, is therefore not always a group: two crops of one picture may share nothing.

Whatever the groups are, deleting every file that is called a copy leaves a file of each content that can be read.
"""

import heapq
import math
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vecstore.likeness import comparison
from vecstore.likeness.comparison import SAME_BYTES, Relation
from vecstore.likeness.perceptual_hash import COMPARED, HASHED, SEEN
from vecstore.results import Compared, Duplicate
from vecstore.search.copies import Collection, CopyFinder, OnCompared
from vecstore.search.decided import Decided
from vecstore.search.filters import Filter, Mask
from vecstore.search.looks import path_states
from vecstore.search.query import allowed_in
from vecstore.session import Session
from vecstore.sources.path_state import PathState, PathStates, Presence
from vecstore.sources.paths import archive_of
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.checksums import ChecksumVerifier

NONE = Filter()
KEEP, COPY, NEAR, SERIES = "keep", "copy", "near", "series"
# Of these, deleting one frees nothing, or cannot be done, or is not known to be safe.
SAME_FILE, LINK, ARCHIVED, MISSING, UNREADABLE = "same file", "link", "archived", "missing", "unreadable"
# Of a chain of copies, with how many groups each image is compared: the nearest, beside those with a known copy of it.
MOST_GROUPS = 16
# How fit to be kept an image is by the best of its paths: one that can be read here before an address before nothing.
FITNESS = {Presence.HERE: 0, Presence.ELSEWHERE: 1, Presence.UNREADABLE: 2, Presence.MISSING: 2}


def duplicates(
    session: Session,
    min_score: float,
    exact: bool,
    series: bool = False,
    conditions: Filter = NONE,
    known: bool = False,
) -> Iterator[Duplicate]:
    """Return the groups of equal images and altered copies, without what was decided; see `Store.duplicates`.

    conditions: only images that these hold of are in a group. known: as of what was compared before.
    """
    states = PathStates()
    with session.catalog.reading():
        n_rows = session.catalog.images.row_count()
        allowed = allowed_in(session, n_rows, conditions) if conditions != NONE else None
        decided = Decided.of(session.catalog)
        copies = decided.without_settled(session.catalog.paths.rows_with_copies()) if exact else []
    if exact:
        exact_groups = [_Group(row) for row in copies if allowed is None or allowed[row]]
        return _shown(session.catalog, states, exact_groups, None)
    collection = Collection(session, states, hash_all=not known)
    finder = CopyFinder(collection, min_score, decided.are_apart if decided else None)
    if known:
        finder.join_known()
    else:
        finder.compare()
    groups = _Groups(finder, decided, allowed)
    found = groups.of_copies()
    finder.keep()
    others = groups.of_series(min_score) if series else []
    return _shown(session.catalog, states, found, ChecksumVerifier(session.catalog, collection.vectors), others)


def compare(session: Session, min_score: float, on_progress: OnCompared | None) -> Compared:
    """Compare the images that were not compared yet; see `Store.compare_duplicates`."""
    with session.catalog.reading():
        decided = Decided.of(session.catalog)
    collection = Collection(session, on_progress=on_progress)
    finder = CopyFinder(collection, min_score, decided.are_apart if decided else None)
    finder.compare()
    return _compared(session.catalog, collection, finder.n_verified)


def compared(session: Session) -> Compared:
    """Return how many images were compared before; see `Store.compared_duplicates`."""
    return _compared(session.catalog, Collection(session, hash_all=False), 0)


def _compared(catalog: Catalog, collection: Collection, n_verified: int) -> Compared:
    is_compared = collection.has(COMPARED)
    with catalog.reading():
        is_compared[[row for pair in catalog.pairs.judged_before(comparison.VERSION) for row in pair]] = False
        done = collection.rows[is_compared[collection.rows]]
        until = catalog.images.size_and_time(int(done[-1]))[2] if len(done) else None
    return Compared(len(collection.rows), len(done), until, n_verified)


@dataclass
class _Group:
    """A representative and its altered copies: (row, relation, score), those of the surest relation first."""

    representative: int
    others: list[tuple[int, Relation, float]] = field(default_factory=list)

    def has_any_of(self, rows: Container[int]) -> bool:
        return self.representative in rows or any(row in rows for row, _, _ in self.others)


class _Groups:
    """Makes groups of what a finder knows. Every image of a group is a copy of its representative."""

    def __init__(self, finder: CopyFinder, decided: Decided, allowed: Mask | None) -> None:
        self.finder = finder
        self.decided = decided
        self.allowed = allowed
        self.collection = finder.collection
        self.catalog = finder.collection.catalog
        self.unfitness: dict[int, int] = {}
        self.near: set[int] = set()

    def of_copies(self) -> list[_Group]:
        """Return the groups, and those images that have copies of the same content alone, by representative."""
        held = ([row for row in rows if self._is_allowed(row)] for rows in self.finder.groups())
        groups = [group for rows in held for group in self._divided(rows)]
        self.near = {row for group in groups for row, _, _ in group.others}
        shown = {group.representative for group in groups}
        with self.catalog.reading():
            copies = self.decided.without_settled(self.catalog.paths.rows_with_copies())
        passed_over = self.near | shown
        groups += [_Group(row) for row in copies if row not in passed_over and self._is_allowed(row)]
        return sorted(groups, key=lambda group: group.representative)

    def _is_allowed(self, row: int) -> bool:
        return self.allowed is None or bool(self.allowed[row])

    def _divided(self, rows: list[int]) -> Iterator[_Group]:
        """Yield the groups of rows that are held together by copies of copies: two ends of a chain may be no copies.

        The most worth keeping come first: what can be read, has no bars, and then what has most pixels. What is there
        by its size and time may have another content. That is found when it would become a representative; then its
        turn comes last.
        """
        with self.catalog.reading():
            pixels = {row: math.prod(self.catalog.images.size_and_time(row)[:2]) for row in rows}
        queue = [(self._unfitness(row), self.finder.has_bars(row), -pixels[row], row) for row in rows]
        heapq.heapify(queue)
        groups: list[_Group] = []
        while queue:
            unfitness, has_bars, _, row = heapq.heappop(queue)
            if any(self._joins(group, row) for group in self._nearest(groups, row)):
                continue
            if unfitness == FITNESS[Presence.HERE] and self.collection.looks.of(row) is None:
                heapq.heappush(queue, (FITNESS[Presence.MISSING], has_bars, -pixels[row], row))
            else:
                groups.append(_Group(row))
        self._join_left(groups)
        for group in groups:
            if group.others:
                scores = self.collection.score(group.representative, [row for row, _, _ in group.others]).tolist()
                scored = [(row, rel, score) for (row, rel, _), score in zip(group.others, scores, strict=True)]
                group.others = sorted(scored, key=lambda other: (-other[1].confidence, -other[2], other[0]))
                yield group

    def _join_left(self, groups: list[_Group]) -> None:
        """Let a representative of nothing join the group that its copy joined after it had its turn."""
        others = [group for group in groups if group.others]
        for left in [group for group in groups if not group.others]:
            if any(self._joins(group, left.representative) for group in self._nearest(others, left.representative)):
                groups.remove(left)

    def _nearest(self, groups: list[_Group], row: int) -> list[_Group]:
        """Return the groups that a row may belong to: of many, those with a known copy of it, and the nearest ones.

        All pairs would be compared otherwise, where many pictures are alike and few are copies.
        """
        if len(groups) <= MOST_GROUPS:
            return groups
        scores = self.collection.score(row, [group.representative for group in groups])
        near = {*np.argsort(-scores, kind="stable")[:MOST_GROUPS].tolist()}
        copies = self.finder.known_copies(row).keys()
        return [group for place, group in enumerate(groups) if place in near or group.has_any_of(copies)]

    def _joins(self, group: _Group, row: int) -> bool:
        """Let a row join a group if it is a copy of the representative, or of a copy so that it has to be one."""
        relation = self.finder.relation(group.representative, row)
        if relation is None:
            known = self.finder.known_copies(row)
            ways = (of.then(known[other].reversed()) for other, of, _ in group.others if other in known)
            relation = max(filter(None, ways), key=lambda way: way.confidence, default=None)
        if relation is None or self.finder.is_apart(group.representative, row):
            return False
        group.others.append((row, relation, 0.0))
        return True

    def _unfitness(self, row: int) -> int:
        if row not in self.unfitness:
            found = path_states(self.catalog, self.collection.states, row)
            self.unfitness[row] = min((FITNESS[state.presence] for state in found), default=2)
        return self.unfitness[row]

    def of_series(self, min_score: float) -> list[_Group]:
        """Return images that the vectors take for the same and the pixels do not, each with the one it is nearest to.

        All pairs are compared, each time. Pictures with nothing on them are left out.
        """
        from indexes.near_duplicates import find_representatives

        collection, apart = self.collection, self.finder.apart
        with self.catalog.reading():
            pixels = np.array([count for _, count in self.catalog.images.pixel_counts()], np.int64)
        blank = collection.has(SEEN) & ~collection.has(HASHED)
        asked = (row for row in collection.rows.tolist() if row not in self.near and self._is_allowed(row))
        rows = np.array([row for row in asked if not blank[row]], np.int64)
        rows = rows[np.argsort(-pixels[rows], kind="stable")]
        may = None if apart is None else lambda ones, others: ~apart(ones, others)
        found = find_representatives(collection.vectors, rows, min_score, may)
        groups: dict[int, _Group] = {}
        for one, row, score in zip(found.rows.tolist(), rows.tolist(), found.scores.tolist(), strict=True):
            if one != row:
                relation = Relation(SERIES, round(max(score, 0.0), 3))
                groups.setdefault(one, _Group(one)).others.append((row, relation, score))
        for group in groups.values():
            group.others.sort(key=lambda other: (-other[2], other[0]))
        return sorted(groups.values(), key=lambda group: group.representative)


def _shown(
    catalog: Catalog,
    states: PathStates,
    groups: Sequence[_Group],
    guard: ChecksumVerifier | None,
    series: Sequence[_Group] = (),
) -> Iterator[Duplicate]:
    number = 0
    for place, group in enumerate((*groups, *series)):
        with catalog.reading():
            members = [(group.representative, Relation("", 1.0), 1.0), *group.others]
            seen = [(*member, found) for member in members if (found := path_states(catalog, states, member[0]))]
            if guard is not None:
                guard.require(row for row, _, _, _ in seen)
            pixels = {row: math.prod(catalog.images.size_and_time(row)[:2]) for row, _, _, _ in seen}
            sizes = dict(size for row, _, _, _ in seen for size in _sizes(catalog, row))
        if sum(len(found) for *_, found in seen) <= 1:  # the images of a group may have been removed meanwhile
            continue
        number += 1
        for row, relation, score, found in seen:
            if place >= len(groups):
                kinds = _kinds_of_near(found, SERIES)
                relation = relation if relation.name else Relation(SERIES, 1.0)
            else:
                kinds = _kinds(found) if row == group.representative else _kinds_of_near(found)
            for path, kind in kinds:
                is_same = not relation.name and kind != KEEP
                name = SAME_BYTES if is_same else relation.name
                yield Duplicate(
                    number, kind, name, relation.confidence, score, row, os.fsdecode(path), kind == KEEP,
                    pixels[row], sizes.get(path, 0),
                )  # fmt: skip


# What one image's paths are


def _sizes(catalog: Catalog, row: int) -> Iterator[tuple[bytes, int]]:
    """Yield the paths of an image with the bytes of each: of a member its own, where they are known, else 0."""
    for stamp in catalog.paths.states_of(row):
        is_member = archive_of(stamp.path) is not None
        yield stamp.path, content_bytes(catalog, row) or 0 if is_member else stamp.size


def content_bytes(catalog: Catalog, row: int) -> int | None:
    """Return how many bytes the content of an image has; None where it is not known."""
    known = dict(catalog.facts.of_rows({row}))
    return known[row].bytes if row in known else None


def _kinds(states: Sequence[PathState]) -> list[tuple[bytes, str]]:
    """Return the paths of an image, the one to keep first, each with its kind.

    What is to be kept, or called a copy, is read before it is called so; where reading finds something else, the next
    path is tried.
    """
    while True:
        kinds = dict(_by_state(states))
        claimed = [state for state in states if state.presence is Presence.HERE and kinds[state.path] in (KEEP, COPY)]
        unread = {state.path: state.read() for state in claimed if not state.is_read}
        if not unread:
            return _sorted(kinds)
        states = _after_reading(states, unread)


def _kinds_of_near(states: Sequence[PathState], near: str = NEAR) -> list[tuple[bytes, str]]:
    kinds = {path: near if kind in (KEEP, COPY) else kind for path, kind in _by_state(states)}
    return _sorted(kinds)


def _sorted(kinds: dict[bytes, str]) -> list[tuple[bytes, str]]:
    return sorted(kinds.items(), key=lambda item: (item[1] not in (KEEP, NEAR, SERIES), item[0]))


def _by_state(states: Sequence[PathState]) -> Iterator[tuple[bytes, str]]:
    """Yield (path, kind) by what each path leads to; the most worth keeping comes first."""
    seen: set[tuple[object, ...]] = set()
    has_keeper = False
    for state in sorted(states, key=_unfitness):
        if state.presence is Presence.MISSING:
            yield state.path, MISSING
        elif state.presence is Presence.UNREADABLE:
            yield state.path, UNREADABLE
        elif not has_keeper:
            has_keeper = True
            yield state.path, KEEP
        elif state.is_link:
            yield state.path, LINK
        elif state.identities & seen:
            yield state.path, SAME_FILE
        else:
            yield state.path, ARCHIVED if state.is_member else COPY
        seen |= state.identities


def _unfitness(state: PathState) -> tuple[object, ...]:
    # A link is never kept over a file, which it may lead to, and no member of an archive over what can be opened.
    return FITNESS[state.presence], state.is_member, state.is_link, not state.is_real, state.path


def _after_reading(states: Sequence[PathState], read: Mapping[bytes, PathState]) -> list[PathState]:
    """Return the states of an image's paths with what reading some of them found. It holds for all names of a file."""
    presences = {
        identity: state.presence
        for state in read.values()
        if state.presence is not Presence.HERE
        for identity in state.identities
    }
    states = [read.get(state.path, state) for state in states]
    return [
        replace(state, presence=next((presences[i] for i in state.identities if i in presences), state.presence))
        for state in states
    ]
