"""Finding altered copies: candidates by hashes and by vectors, each verified on its pixels, and remembered.

A picture is compared with the others once: what was found is kept in the catalog, so that the next call looks at new
images alone, and at pairs that an earlier version of the check judged. What cannot be read cannot be verified; there
the vectors have to do, and nothing is kept.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from indexes.close_hashes import HashTable
from indexes.nearest_rows import nearest_rows
from vecstore.errors import VecstoreError
from vecstore.likeness import comparison
from vecstore.likeness.comparison import Relation
from vecstore.likeness.perceptual_hash import (
    COMPARED,
    HASHED,
    N_FRAMES,
    ORIENTATIONS,
    SEEN,
    SIDE,
    hash_record,
    oriented,
)
from vecstore.search.looks import Looks, path_states, read_pictures
from vecstore.session import Session
from vecstore.sources.path_state import PathState, PathStates, Presence
from vecstore.storage.catalog.copies import RECORD_BYTES
from vecstore.storage.vector_file import Float16

# Hashes that differ in more bits are of different pictures: those of altered copies differ in at most 6, those of
# different photos in at least 16 of the 63 (docs/duplicates.md).
MOST_BITS = 8
# Candidates by hash of one picture, the nearest, in each search, itself among them; and by vector, with at least this
# score.
MOST_BY_HASH, MOST_BY_VECTOR, LEAST_SCORE = 17, 4, 0.8
# How a crop can be turned to be found; whole pictures are found in all orientations.
OF_CROPS = (0, 1)
# Pictures that are hashed, and pairs that are verified, before what was found is kept.
HASHED_AT_ONCE, PAIRS_AT_ONCE = 2_048, 512
TOLD_EVERY = 16
UNVERIFIED = "unverified"

Rows: TypeAlias = NDArray[np.int64]
# (rows, as many rows) -> which of these pairs never belong together, however alike they are.
Apart: TypeAlias = Callable[[Rows, Rows], NDArray[np.bool_]]
Pair: TypeAlias = tuple[int, int]
# (what is gone through, how many of them, of how many)
OnCompared: TypeAlias = Callable[[str, int, int], None]

log = logging.getLogger(__name__)


class Collection:
    """The images of one store as they are compared: their hash records, vectors and pictures.

    rows: of the images that can be found, ascending. records: (rows of the store, RECORD_BYTES), zeros for none.
    """

    def __init__(
        self,
        session: Session,
        states: PathStates | None = None,
        *,
        hash_all: bool = True,
        on_progress: OnCompared | None = None,
    ) -> None:
        """hash_all: read the pictures that have no record, and not those records alone that there are."""
        self.session = session
        self.catalog = session.catalog
        self.states = states if states is not None else PathStates()
        self.looks = Looks(self.catalog, self.states)
        with self.catalog.reading():
            self.vectors: Float16 = session.vectors()
            self.rows: Rows = np.delete(np.arange(len(self.vectors)), self.catalog.images.hidden_rows())
            self.records = self._recorded()
        self.tell = on_progress or (lambda what, done, total: None)
        if hash_all:
            self._hash_what_is_not()

    def _recorded(self) -> NDArray[np.uint8]:
        records = np.zeros((len(self.vectors), RECORD_BYTES), np.uint8)
        damaged = {*self.catalog.picture_hashes.damaged_blocks()}
        for block in self.catalog.picture_hashes.block_numbers():
            if block not in damaged:  # `check` says so; they are made again
                first, found = self.catalog.picture_hashes.block(block)
                part = np.frombuffer(found, np.uint8).reshape(-1, RECORD_BYTES)[: max(len(records) - first, 0)]
                records[first : first + len(part)] = part
        return records

    def has(self, flag: int) -> NDArray[np.bool_]:
        return np.asarray(self.records[:, 0] & flag > 0)

    def is_findable(self) -> NDArray[np.bool_]:
        """Return which of all rows can be found."""
        found = np.zeros(len(self.vectors), np.bool_)
        found[self.rows] = True
        return found

    def states_here(self, row: int) -> list[PathState]:
        """Return what the paths of an image lead to; nothing where none is there by its size and time."""
        states = path_states(self.catalog, self.states, row)
        return states if any(state.presence is Presence.HERE for state in states) else []

    def hashes(self) -> NDArray[np.uint8]:
        """Return the hashes of all rows, (rows, N_FRAMES, 8)."""
        return self.records[:, 1:].reshape(-1, N_FRAMES, SIDE)

    def score(self, row: int, others: Sequence[int]) -> NDArray[np.float32]:
        """Return the cosine similarities of a row with others."""
        units = self.vectors[[row, *others]].astype(np.float32)
        lengths = np.linalg.norm(units, axis=1)
        return np.asarray((units[1:] @ units[0] / np.maximum(lengths[1:] * lengths[0], 1e-6)).clip(-1, 1), np.float32)

    def _hash_what_is_not(self) -> None:
        """Read the pictures that have no record: of stores from before there were any, and of imported vectors."""
        missing = self.rows[~self.has(SEEN)[self.rows]]
        said = False
        for start in range(0, len(missing), HASHED_AT_ONCE):
            block = missing[start : start + HASHED_AT_ONCE].tolist()
            here = {row: states for row in block if (states := self.states_here(row))}
            if here and not said:
                log.warning("up to %d pictures are read once, for a hash that finds altered copies", len(missing))
                said = True
            found = dict(read_pictures(here, lambda _, picture: hash_record(picture)))
            for row, record in found.items():
                self.records[row] = np.frombuffer(record, np.uint8)
            self.keep(sorted(found), [])
            self.tell("pictures", min(start + len(block), len(missing)), len(missing))

    def keep(self, rows: Iterable[int], pairs: Iterable[tuple[int, int, str, float]]) -> None:
        """Record the records of rows, and pairs. Where the store cannot be written to now, it is done the next time."""
        rows, pairs = list(rows), list(pairs)
        if not rows and not pairs:
            return
        try:
            with self.session.lock(wait=0), self.catalog.writing():
                damaged = self.catalog.picture_hashes.damaged_blocks()
                self.catalog.picture_hashes.drop_blocks(damaged)
                self.catalog.picture_hashes.put((row, self.records[row].tobytes()) for row in rows)
                self.catalog.pairs.record(pairs, comparison.VERSION)
        except VecstoreError as error:
            log.info("what was compared is not kept: %s", error)


class CopyFinder:
    """Which images of a collection are altered copies of each other.

    min_score: from which score images are taken for copies whose pictures cannot be read. n_verified: pairs that were
    compared pixel by pixel in this run.
    """

    def __init__(self, collection: Collection, min_score: float, apart: Apart | None = None) -> None:
        self.collection = collection
        self.min_score = min_score
        self.apart = apart
        self.n_verified = 0
        self.known: dict[Pair, Relation | None] = {
            (row, other): Relation(name, confidence) if name else None
            for row, other, name, confidence in collection.catalog.pairs.all()
        }
        self._copies: dict[int, dict[int, Relation]] = {}
        for pair, relation in self.known.items():
            if relation is not None:
                self._note(pair, relation)
        self._new: list[Pair] = []
        self._unverified: dict[Pair, float] = {}
        self._groups = _DisjointRows(len(collection.vectors))

    def compare(self) -> None:
        """Compare the images that were not compared yet with all others."""
        self._judge_again()
        self.join_known()
        collection = self.collection
        new = collection.rows[~collection.has(COMPARED)[collection.rows]]
        is_seen = collection.has(SEEN)
        unverifiable: set[int] = set()
        pairs = candidates(collection, new, collection, collection.rows, min(self.min_score, LEAST_SCORE))
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            unverifiable |= self._verify(pairs[start : start + PAIRS_AT_ONCE], start, len(pairs))
            self._keep([])
        done = [row for row in new.tolist() if is_seen[row] and row not in unverifiable]
        collection.records[done, 0] |= COMPARED
        self._keep(done)

    def _judge_again(self) -> None:
        """Compare the pairs that an earlier version of the check judged, of pictures that can be read.

        A picture that is no longer a copy is compared with all others once more: within its group that was not needed.
        """
        collection = self.collection
        pairs = self._outdated()
        if pairs:
            log.warning("%d pairs were judged by an earlier check for copies, and are compared once more", len(pairs))
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            block = pairs[start : start + PAIRS_AT_ONCE]
            collection.tell("pairs", start, len(pairs))
            collection.looks.fetch({row for pair in block for row in pair})
            left: set[int] = set()
            for pair in block:
                was_copy = self.known[pair] is not None
                if all(collection.looks.of(row) is not None for row in pair):
                    self._compare(pair)
                    left.update(pair if was_copy and self.known[pair] is None else ())
            collection.records[sorted(left), 0] &= np.uint8(0xFF ^ COMPARED)
            self._keep(sorted(left))

    def _outdated(self) -> list[Pair]:
        """Return the pairs whose verdict is of an earlier version, less those decided by a person or without files."""
        collection, findable = self.collection, self.collection.is_findable()
        before = collection.catalog.pairs.judged_before(comparison.VERSION)
        pairs = [pair for pair in before if findable[list(pair)].all() and not self.is_apart(*pair)]
        here = {row for row in {row for pair in pairs for row in pair} if collection.states_here(row)}
        return [pair for pair in pairs if here.issuperset(pair)]

    def join_known(self) -> None:
        """Join what is known to be copies, and compare nothing."""
        findable = self.collection.is_findable()
        for (row, other), relation in self.known.items():
            if relation is not None and findable[row] and findable[other] and not self.is_apart(row, other):
                self._groups.join(row, other)

    def groups(self) -> list[list[int]]:
        """Return the rows of each group that is held together by copies of copies, ascending."""
        return self._groups.all()

    def relation(self, row: int, other: int) -> Relation | None:
        """Return what `other` is to `row`, comparing them if that was not done yet; None for no copy."""
        pair = (min(row, other), max(row, other))
        if self.is_apart(*pair):
            return None
        if pair not in self.known and pair not in self._unverified:
            self._compare(pair)
        found = self._of_score(pair) if pair in self._unverified else self.known[pair]
        return found if found is None or row < other else found.reversed()

    def known_copies(self, row: int) -> dict[int, Relation]:
        """Return the images that were found to be copies of a row so far, each with what it is to the row."""
        return self._copies.get(row, {})

    def has_bars(self, row: int) -> bool:
        """Say whether a picture is another one with bars around it."""
        return any(copy.name == comparison.WITHOUT_BARS for copy in self.known_copies(row).values())

    def _note(self, pair: Pair, relation: Relation | None) -> None:
        for row, other, seen in ((*pair, relation), (*pair[::-1], relation and relation.reversed())):
            if seen is not None:
                self._copies.setdefault(row, {})[other] = seen
            else:
                self._copies.get(row, {}).pop(other, None)

    def is_apart(self, row: int, other: int) -> bool:
        return self.apart is not None and bool(self.apart(np.array([row]), np.array([other]))[0])

    def keep(self) -> None:
        """Keep what was compared on demand."""
        self._keep([])

    def _verify(self, pairs: Sequence[tuple[Pair, bool]], n_before: int, n_all: int) -> set[int]:
        """Compare pairs, less those that are known to be of one group; return the rows that could not be read.

        n_before, n_all: how many were compared before these, and of how many, to be told.
        """
        self.collection.tell("pairs", n_before, n_all)
        wanted = [(pair, anywhere) for pair, anywhere in pairs if self._is_open(pair)]
        self.collection.looks.fetch({row for pair, _ in wanted for row in pair})
        unverifiable: set[int] = set()
        for done, (pair, anywhere) in enumerate(wanted):
            if done % TOLD_EVERY == 0:
                self.collection.tell("pairs", n_before + done, n_all)
            if not self._is_open(pair):
                continue
            self._compare(pair, anywhere)
            if pair in self._unverified:
                unverifiable.update(pair)
            if (self._of_score(pair) if pair in self._unverified else self.known[pair]) is not None:
                self._groups.join(*pair)
        return unverifiable

    def _is_open(self, pair: Pair) -> bool:
        return pair not in self.known and not self._groups.are_joined(*pair) and not self.is_apart(*pair)

    def _compare(self, pair: Pair, anywhere: bool = True) -> None:
        looks = self.collection.looks
        looks.fetch(pair)
        one, other = looks.of(pair[0]), looks.of(pair[1])
        if one is None or other is None:
            # To the vectors, plain pictures are alike in that nothing is on them.
            is_plain = any(seen is not None and seen.is_plain for seen in (one, other))
            score = -np.inf if is_plain else float(self.collection.score(pair[0], [pair[1]])[0])
            self._unverified[pair] = score
            return
        self.n_verified += 1
        found = comparison.compare(one, other, anywhere=anywhere)
        if found is not None and found.name == comparison.RE_ENCODED and np.array_equal(one.grey, other.grey):
            found = Relation(comparison.SAME_PIXELS, 1.0) if looks.have_same_pixels(*pair) else found
        self.known[pair] = found
        self._note(pair, found)
        self._new.append(pair)

    def _of_score(self, pair: Pair) -> Relation | None:
        score = self._unverified[pair]
        return Relation(UNVERIFIED, round(max(score, 0.0), 3)) if score >= self.min_score else None

    def _keep(self, rows: list[int]) -> None:
        pairs = [(*pair, found.name if found else "", found.confidence if found else 0.0)
                 for pair in self._new for found in [self.known[pair]]]  # fmt: skip
        self.collection.keep(rows, pairs)
        self._new.clear()


def verified(
    of: Collection, among: Collection, pairs: Sequence[tuple[Pair, bool]], min_score: float
) -> dict[int, tuple[int, Relation, float]]:
    """Return which rows of one collection have an altered copy in another, each with its row, relation and score.

    pairs: as `candidates` gives them. Nothing of it is kept, since two stores know nothing of each other.
    """
    found: dict[int, tuple[int, Relation, float]] = {}
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        block = [(row, other, anywhere) for (row, other), anywhere in pairs[start : start + PAIRS_AT_ONCE]]
        block = [pair for pair in block if pair[0] not in found]
        of.looks.fetch({row for row, _, _ in block})
        among.looks.fetch({other for _, other, _ in block})
        for row, other, anywhere in block:
            if row in found:
                continue
            score = _score(of.vectors[row], among.vectors[other])
            one, two = among.looks.of(other), of.looks.of(row)
            if one is None or two is None:
                relation = Relation(UNVERIFIED, round(max(score, 0.0), 3)) if score >= min_score else None
            else:
                relation = comparison.compare(one, two, anywhere=anywhere)
            if relation is not None:
                found[row] = other, relation, score
    return found


def _score(one: NDArray[np.float16], other: NDArray[np.float16]) -> float:
    a, b = one.astype(np.float32), other.astype(np.float32)
    return float(np.clip(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-6), -1, 1))


# Candidates


def candidates(
    of: Collection, rows: Rows, among: Collection, among_rows: Rows, least_score: float
) -> list[tuple[Pair, bool]]:
    """Return the pairs that a closer look can find to be copies, those first that are nearest by their hashes.

    With each is said whether only the vectors are near, so that the one may lie anywhere in the other.

    of, rows: what is looked for; where it is in the same collection, a pair is (lower row, higher row), otherwise
    (row, row among the others). least_score: of vectors, of pictures without a hash.
    """
    is_same = of is among
    found = [_by_hash(of, rows, among, among_rows), _by_vector(of, rows, among, among_rows, least_score)]
    ones, others, order = (np.concatenate(parts) for parts in zip(*found, strict=True))
    keep = ones != others if is_same else np.ones(len(ones), np.bool_)
    ones, others, order = ones[keep], others[keep], order[keep]
    if is_same:
        ones, others = np.minimum(ones, others), np.maximum(ones, others)
    by_pair = np.lexsort((order, others, ones))
    first = np.ones(len(by_pair), np.bool_)
    first[1:] = (np.diff(ones[by_pair]) != 0) | (np.diff(others[by_pair]) != 0)
    pairs = by_pair[first]
    pairs = pairs[np.argsort(order[pairs], kind="stable")]
    by_vector = (order[pairs] > MOST_BITS).tolist()
    return list(zip(zip(ones[pairs].tolist(), others[pairs].tolist(), strict=True), by_vector, strict=True))


_Found: TypeAlias = tuple[Rows, Rows, NDArray[np.float64]]


def _by_hash(of: Collection, rows: Rows, among: Collection, among_rows: Rows) -> _Found:
    rows, among_rows = rows[of.has(HASHED)[rows]], among_rows[among.has(HASHED)[among_rows]]
    whole, owners = _keys(among, among_rows, whole=True)
    parts, part_owners = _keys(among, among_rows, whole=False)
    found: list[_Found] = []
    table = HashTable(whole)
    for orientation in range(len(ORIENTATIONS)):
        queries, queriers = _keys(of, rows, whole=True, orientation=orientation)
        found += _near(table, owners, queries, queriers)
    for orientation in OF_CROPS:  # these are crops of what they are looked for in
        queries, queriers = _keys(of, rows, whole=False, orientation=orientation)
        found += _near(table, owners, queries, queriers)
    if of is not among or len(rows) < len(among_rows):  # otherwise each is among those that are looked for
        del table
        table = HashTable(parts)
        for orientation in OF_CROPS:  # and these are what others are crops of
            queries, queriers = _keys(of, rows, whole=True, orientation=orientation)
            found += _near(table, part_owners, queries, queriers)
    ones, others, bits = (np.concatenate(parts) for parts in zip(_NONE, *found, strict=True))
    return ones, others, bits


_NONE: _Found = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


def _keys(collection: Collection, rows: Rows, *, whole: bool, orientation: int = 0) -> tuple[NDArray[np.uint64], Rows]:
    """Return the hashes of rows in an orientation as numbers, each once for its row, and the row of each."""
    hashes = collection.hashes()[rows]
    hashes = oriented(hashes[:, :2] if whole else hashes[:, 2:], orientation)
    keys = np.ascontiguousarray(hashes).view(np.uint64)[..., 0]
    keep = np.ones(keys.shape, np.bool_)
    if whole:
        keep[:, 1] = keys[:, 0] != keys[:, 1]
    return keys[keep], np.broadcast_to(rows[:, None], keys.shape)[keep]


def _near(table: HashTable, owners: Rows, queries: NDArray[np.uint64], queriers: Rows) -> list[_Found]:
    found = []
    for one, other, bits in table.near(queries, MOST_BITS):
        ones, others = queriers[one], owners[other]
        order = np.lexsort((bits, ones))
        ones, others, bits = ones[order], others[order], bits[order]
        nearest = np.arange(len(ones)) - np.searchsorted(ones, ones) < MOST_BY_HASH
        found.append((ones[nearest], others[nearest], bits[nearest].astype(np.float64)))
    return found


def _by_vector(of: Collection, rows: Rows, among: Collection, among_rows: Rows, least_score: float) -> _Found:
    if of.vectors.shape[1] != among.vectors.shape[1]:
        return _NONE
    ones, others, scores = nearest_rows(among.vectors, among_rows, of.vectors, rows, MOST_BY_VECTOR, least_score)
    # A low score says something only where nothing else can be asked.
    seen = of.has(SEEN)[ones] & among.has(SEEN)[others]
    keep = (scores >= LEAST_SCORE) | ~seen
    # After all that have a hash in common, the nearest first.
    return ones[keep], others[keep], MOST_BITS + 2 - scores[keep].astype(np.float64)


class _DisjointRows:
    """Rows that are joined, and with all that those are joined with."""

    def __init__(self, n_rows: int) -> None:
        self._parent = np.arange(n_rows)

    def join(self, row: int, other: int) -> None:
        one, two = self._root(row), self._root(other)
        self._parent[max(one, two)] = min(one, two)

    def are_joined(self, row: int, other: int) -> bool:
        return self._root(row) == self._root(other)

    def all(self) -> list[list[int]]:
        joined: dict[int, list[int]] = {}
        for row in np.flatnonzero(self._parent != np.arange(len(self._parent))).tolist():
            joined.setdefault(self._root(row), []).append(row)
        return [[root, *rows] for root, rows in sorted(joined.items())]

    def _root(self, row: int) -> int:
        root = row
        while (parent := int(self._parent[root])) != root:
            root = parent
        while (parent := int(self._parent[row])) != root:
            self._parent[row] = root
            row = parent
        return root
