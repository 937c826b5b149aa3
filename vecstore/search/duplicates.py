"""Groups of equal and nearly equal images, each with the one to keep, and what may be deleted beside it.

Equal is the same content under several paths: the catalog knows, and the files are read before one is called a copy.
Nearly equal is a matter of scores: every other image of a group is near to its representative, and no two
representatives are near. A chain of images, each a little different from the one before, is therefore not a group: its
ends need not look alike.

Whatever the groups are, deleting every file that is called a copy leaves a file of each content that can be read.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vecstore.results import Duplicate
from vecstore.search.plain_pictures import PlainPictures
from vecstore.session import Session
from vecstore.sources.path_state import PathState, PathStates, Presence
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.vector_file import Float16

KEEP, COPY, NEAR = "keep", "copy", "near"
# Of these, deleting one frees nothing, or cannot be done, or is not known to be safe.
SAME_FILE, LINK, ARCHIVED, MISSING, UNREADABLE = "same file", "link", "archived", "missing", "unreadable"
# How fit to be kept an image is by the best of its paths: one that can be read here before an address before nothing.
FITNESS = {Presence.HERE: 0, Presence.ELSEWHERE: 1, Presence.UNREADABLE: 2, Presence.MISSING: 2}


def duplicates(session: Session, min_score: float, exact: bool) -> Iterator[Duplicate]:
    """Return the groups of equal and nearly equal images; see `Store.duplicates`."""
    with session.catalog.reading():
        return iter(find(session.catalog, None if exact else session.vectors(), min_score))


def find(catalog: Catalog, vectors: Float16 | None, min_score: float) -> Iterator[Duplicate]:
    """Return the groups, a path at a time, by their representatives' ids; all is compared before this returns.

    vectors: (rows, dim) float16, may be mapped; None to find equal images alone.
    """
    states = PathStates()
    near_images = _NearImages(catalog, states, vectors, min_score) if vectors is not None else None
    others = near_images.find() if near_images is not None else {}
    near = {row for members in others.values() for row, _ in members}
    representatives = sorted({*others, *catalog.paths.rows_with_copies()} - near)
    guard = ChecksumVerifier(catalog, vectors) if vectors is not None else None
    looked_at = near_images.plain if near_images is not None else None
    return _groups(catalog, states, representatives, others, guard, looked_at)


class _NearImages:
    """Finds the near images, again and again until what it found needs no more knowledge of the files.

    Which files are there, and which pictures are plain, is asked for the images of groups alone, so it is known only
    when there are groups, and can change them. Without missing files and plain pictures the first answer stands.
    """

    def __init__(self, catalog: Catalog, states: PathStates, vectors: Float16, min_score: float) -> None:
        self.catalog = catalog
        self.states = states
        self.vectors = vectors
        self.min_score = min_score
        self.plain = PlainPictures(len(vectors))
        self.unfitness = np.zeros(len(vectors), np.uint8)
        self.assumed: set[int] = set()  # rows whose pixels are asked for, and were not looked at

    def find(self) -> dict[int, list[tuple[int, float]]]:
        """Return, for every representative that others are near to, these as (row, score), nearest first."""
        from indexes.near_duplicates import find_representatives

        counted = np.asarray(np.fromiter(self.catalog.images.pixel_counts(), np.dtype((np.int64, 2))), np.int64)
        counted = np.delete(counted, self.catalog.images.hidden_rows(), axis=0)
        may_stand_for = None
        while True:
            rows = counted[np.lexsort((counted[:, 0], -counted[:, 1], self.unfitness[counted[:, 0]])), 0]
            found = find_representatives(self.vectors, rows, self.min_score, may_stand_for)
            passed_over = np.flatnonzero(found.rows != rows)
            ones, others = found.rows[passed_over], rows[passed_over]
            if not self._learn(ones, others):
                return _by_representative(ones, others, found.scores[passed_over])
            may_stand_for = self._may_stand_for

    def _learn(self, ones: NDArray[np.int64], others: NDArray[np.int64]) -> bool:
        """Look at the images of groups, given as pairs; return whether that can change the groups."""
        asked = np.union1d(np.union1d(ones, others), np.fromiter(self.assumed, np.int64))
        new = asked[~self.plain.is_looked_at[asked]]
        was_assumed = bool(self.assumed)
        self.assumed.clear()
        found = {row: _states(self.catalog, self.states, row) for row in new.tolist()}
        for row, states in found.items():
            self.unfitness[row] = min((FITNESS[state.presence] for state in states), default=2)
        self.plain.look_at(found)
        # What is there by its size and time, and has another content, stands for nothing.
        unseen = new[(self.unfitness[new] == FITNESS[Presence.HERE]) & ~self.plain.is_seen(new)]
        self.unfitness[unseen] = FITNESS[Presence.MISSING]
        return bool(
            was_assumed or self.plain.is_plain[new].any() or (self.unfitness[ones] > self.unfitness[others]).any()
        )

    def _may_stand_for(self, ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        in_doubt = self.plain.in_doubt(ones, others)
        rows = np.concatenate([ones[in_doubt], others[in_doubt]])
        self.assumed.update(rows[~self.plain.is_looked_at[rows]].tolist())
        return (self.unfitness[ones] <= self.unfitness[others]) & self.plain.agree(ones, others)


def _by_representative(
    ones: NDArray[np.int64], others: NDArray[np.int64], scores: NDArray[np.float32]
) -> dict[int, list[tuple[int, float]]]:
    found: dict[int, list[tuple[int, float]]] = {}
    for i in np.lexsort((others, -scores)).tolist():
        found.setdefault(int(ones[i]), []).append((int(others[i]), float(scores[i])))
    return found


def _states(catalog: Catalog, states: PathStates, row: int) -> list[PathState]:
    sha256 = catalog.images.sha256_of(row) or b""
    return [states.of(recorded, sha256) for recorded in catalog.paths.states_of(row)]


def _groups(
    catalog: Catalog,
    states: PathStates,
    representatives: list[int],
    others: dict[int, list[tuple[int, float]]],
    guard: ChecksumVerifier | None,
    looked_at: PlainPictures | None,
) -> Iterator[Duplicate]:
    number = 0
    for representative in representatives:
        with catalog.reading():
            members = [(representative, 1.0), *others.get(representative, [])]
            seen = [(row, score, found) for row, score in members if (found := _states(catalog, states, row))]
            if guard is not None:
                guard.require(row for row, _, _ in seen)
        if sum(len(found) for _, _, found in seen) > 1:  # the images of a group may have been removed meanwhile
            number += 1
            for row, score, found in seen:
                if looked_at is not None and len(found) == 1 and looked_at.is_seen(np.array([row]))[0]:
                    found = [replace(found[0], is_read=True)]  # when it was looked at
                for path, kind in _kinds(found) if row == representative else _kinds_of_near(found):
                    yield Duplicate(number, kind, row, os.fsdecode(path), score)


# What one image's paths are


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


def _kinds_of_near(states: Sequence[PathState]) -> list[tuple[bytes, str]]:
    kinds = {path: NEAR if kind in (KEEP, COPY) else kind for path, kind in _by_state(states)}
    return _sorted(kinds)


def _sorted(kinds: dict[bytes, str]) -> list[tuple[bytes, str]]:
    return sorted(kinds.items(), key=lambda item: (item[1] not in (KEEP, NEAR), item[0]))


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
