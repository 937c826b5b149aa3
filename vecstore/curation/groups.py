"""Groups of duplicates as a person wants them: less what was decided, with the file to keep as decided or by rule.

Which images are in a group is `search/duplicates.py`'s. Here the file to keep is chosen among those that can be read
and are regular files. With a choice, each content of a group has its best file, called `keep` or `near`, and every
other file of that content is a `copy` of it: deleting all copies leaves a file of each content here too.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby

from vecstore.curation import keep_rules
from vecstore.curation.file_acts import holds, is_regular
from vecstore.curation.keep_rules import Candidate, Rule
from vecstore.likeness.comparison import EDITED, LETTERBOXED, SAME_BYTES, Relation
from vecstore.results import Duplicate, DuplicateFile, DuplicateGroup
from vecstore.search import duplicates as search
from vecstore.search.duplicates import ARCHIVED, COPY, KEEP, LINK, NEAR, SERIES
from vecstore.search.facts import ordered, require_sort
from vecstore.search.filters import Filter
from vecstore.session import Session
from vecstore.sources.path_state import freed_by
from vecstore.sources.paths import archive_of
from vecstore.storage.catalog import decisions
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.decisions import PairDecision

DECIDED = "decided"


@dataclass(frozen=True)
class Group:
    """One group. contents: the sha256 of each image in it.

    by_hand: pairs of contents, the kept one first, that were decided so; both are one for its copies.
    """

    files: list[Duplicate]
    contents: dict[int, bytes]
    by_hand: frozenset[tuple[bytes, bytes]]


def duplicates(
    session: Session,
    min_score: float,
    exact: bool,
    keep_by: Sequence[str],
    series: bool,
    conditions: Filter,
    sort: str | None,
) -> Iterator[Duplicate]:
    """Return the groups of equal images and altered copies, a path at a time; see `Store.duplicates`."""
    require_sort(sort)
    found = groups(session, min_score, exact, keep_rules.parse(keep_by), series, conditions)
    return (file for group in _in_order(session, found, sort) for file in group.files)


def _in_order(session: Session, found: Iterator[Group], sort: str | None) -> Iterable[Group]:
    if sort is None:
        return found
    if sort == "score":
        return sorted(found, key=lambda group: -min(file.score for file in group.files))
    by_number = {group.files[0].group: group for group in found}  # a file can be the first of a series too
    with session.catalog.reading():
        return [by_number[file.group] for file in ordered(session, [g.files[0] for g in by_number.values()], sort)]


def described(
    session: Session,
    min_score: float,
    exact: bool,
    keep_by: Sequence[str],
    conditions: Filter,
    known: bool = False,
    sort: str | None = None,
) -> Iterator[DuplicateGroup]:
    """Return the groups with what there is to know of each file; see `Store.duplicate_groups`."""
    require_sort(sort)
    found = groups(session, min_score, exact, keep_rules.parse(keep_by), False, conditions, known)
    return (_described(session.catalog, group) for group in _in_order(session, found, sort))


def groups(
    session: Session,
    min_score: float,
    exact: bool,
    rules: Sequence[Rule],
    series: bool,
    conditions: Filter,
    known: bool = False,
) -> Iterator[Group]:
    """Return the groups; all images are compared before this returns, unless only what is known is asked for."""
    found = search.duplicates(session, min_score, exact, series, conditions, known)
    return _chosen(session.catalog, found, rules)


def _chosen(catalog: Catalog, found: Iterator[Duplicate], rules: Sequence[Rule]) -> Iterator[Group]:
    number = 0
    for _, listed in groupby(found, key=lambda file: file.group):
        with catalog.reading():
            group = _group(catalog, [*listed], rules)
        if len(group.files) > 1:
            number += 1
            files = [replace(file, group=number, keep=file.kind == KEEP) for file in group.files]
            yield replace(group, files=files)


def _group(catalog: Catalog, files: list[Duplicate], rules: Sequence[Rule]) -> Group:
    contents = {row: catalog.images.sha256_of(row) or b"" for row in dict.fromkeys(file.id for file in files)}
    pairs = catalog.decisions.among(contents.values())
    files = _without_decided_copies(files, contents, pairs)
    by_hand = [pair for pair in pairs if pair.verdict == decisions.KEEP]
    is_series = any(file.kind == SERIES for file in files)  # none of which is to be deleted
    if (rules or by_hand) and not is_series:
        keeper = _keeper(by_hand)
        choice = _Choice(
            rules,
            keeper=next((row for row, content in contents.items() if content == keeper), None),
            paths={row: _path_to_keep(by_hand, content) for row, content in contents.items()},
        )
        files = choice.relabelled(files, _candidates(catalog, files, contents))
    return Group(files, contents, frozenset(map(_kept_first, by_hand)))


def _without_decided_copies(
    files: list[Duplicate], contents: dict[int, bytes], pairs: list[PairDecision]
) -> list[Duplicate]:
    """Leave out all but the first path of each image whose copies were decided to be kept."""
    settled = {pair.one for pair in pairs if pair.one == pair.other and pair.verdict != decisions.KEEP}
    seen: set[int] = set()
    left = []
    for file in files:
        if contents[file.id] not in settled or file.id not in seen:
            left.append(file)
        seen.add(file.id)
    return left


def _keeper(by_hand: list[PairDecision]) -> bytes | None:
    """Return the content that was preferred to others, and to which none was."""
    of_two = [_kept_first(pair) for pair in by_hand if pair.one != pair.other]
    lost = {loser for _, loser in of_two}
    kept = {winner for winner, _ in of_two} - lost
    if len(kept) == 1:
        return kept.pop()
    of_copies = [pair.one for pair in by_hand if pair.one == pair.other and pair.one not in lost]
    return of_copies[0] if len(of_copies) == 1 and not kept else None


def _kept_first(pair: PairDecision) -> tuple[bytes, bytes]:
    return (pair.one, pair.other) if pair.kept == pair.one else (pair.other, pair.one)


def _path_to_keep(by_hand: list[PairDecision], content: bytes) -> bytes | None:
    """Return which of the copies of a content was decided to be kept."""
    return next((pair.path for pair in by_hand if pair.one == pair.other == content), None)


def _candidates(catalog: Catalog, files: list[Duplicate], contents: dict[int, bytes]) -> list[Candidate]:
    """Return the files that can be kept: those that can be read, and are files of their own and no links."""
    n_near = Counter(file.id for file in files if file.kind == NEAR)
    found = []
    for file in files:
        path = os.fsencode(file.path)
        if file.kind not in (KEEP, COPY, NEAR) or not is_regular(path):
            continue
        # What is called a copy, or stays in its stead, is read before; of a single near file nothing depends on it.
        if file.kind == NEAR and n_near[file.id] > 1 and not holds(path, contents[file.id]):
            continue
        with suppress(OSError):  # gone just now
            width, height, _ = catalog.images.size_and_time(file.id)
            has_bars = file.relation == LETTERBOXED
            found.append(Candidate(file.id, path, width, height, os.lstat(path), has_bars))
    return found


@dataclass(frozen=True)
class _Choice:
    """How to choose. keeper: the row that was decided to be kept. paths: of each row's copies the one decided so."""

    rules: Sequence[Rule]
    keeper: int | None
    paths: dict[int, bytes | None]

    def relabelled(self, files: list[Duplicate], candidates: list[Candidate]) -> list[Duplicate]:
        """Return the files of a group with the kinds that follow from the choice, the one to keep first."""
        if not candidates:
            return files
        best = {row: self._best_of(row, candidates) for row in dict.fromkeys(file.id for file in candidates)}
        keeper, why = self._keeper(best, candidates)
        reasons: dict[bytes, str | None] = {file.path: reason for file, reason in best.values()}
        reasons[keeper.path] = why
        can_be_kept = {candidate.path for candidate in candidates}

        def kind_of(file: Duplicate) -> str:
            path = os.fsencode(file.path)
            if path in can_be_kept:
                return KEEP if path == keeper.path else NEAR if path in reasons else COPY
            if file.kind == KEEP:  # what was to be kept before, and is no file of its own
                return ARCHIVED if archive_of(path) else LINK if os.path.islink(path) else NEAR
            return file.kind

        relations = _seen_from(keeper.id, files)
        labelled = []
        for file in files:
            kind = kind_of(file)
            relation = Relation("", 1.0) if kind == KEEP else relations[file.id]
            if kind != KEEP and (kind == COPY or not relation.name):
                relation = Relation(SAME_BYTES, 1.0)
            labelled.append(
                replace(
                    file,
                    kind=kind,
                    keep=kind == KEEP,
                    relation=relation.name,
                    confidence=relation.confidence,
                    why=reasons.get(os.fsencode(file.path)),
                )
            )
        order = {row: place for place, row in enumerate(dict.fromkeys([keeper.id, *(file.id for file in files)]))}
        kinds = {KEEP: 0, NEAR: 1, COPY: 2}
        return sorted(labelled, key=lambda file: (order[file.id], kinds.get(file.kind, 3), file.path))

    def _best_of(self, row: int, candidates: list[Candidate]) -> tuple[Candidate, str | None]:
        """Return the file to keep of one image's, and why."""
        files = [file for file in candidates if file.id == row]
        decided = next((file for file in files if file.path == self.paths[row]), None)
        if decided is not None:
            return decided, DECIDED
        return keep_rules.best(files, self.rules) if self.rules and len(files) > 1 else (files[0], None)

    def _keeper(
        self, best: dict[int, tuple[Candidate, str | None]], candidates: list[Candidate]
    ) -> tuple[Candidate, str | None]:
        """Return the file to keep of all, and why."""
        if self.keeper in best:
            return best[self.keeper][0], DECIDED
        if not self.rules or len(best) == 1:
            file, why = next(iter(best.values()))
            return file, why or (keep_rules.best([file], self.rules)[1] if self.rules else None)
        if any(self.paths.values()):
            candidates = [file for file, _ in best.values()]
        return keep_rules.best(candidates, self.rules)


def _seen_from(keeper: int, files: Sequence[Duplicate]) -> dict[int, Relation]:
    """Return what each image of a group is to one of them, given what it is to the representative, the first."""
    representative = files[0].id
    found = {file.id: Relation(file.relation, file.confidence) for file in files}
    found[representative] = Relation("", 1.0)
    if keeper == representative:
        return found
    back = found[keeper].reversed()
    seen = {row: back.then(way) or Relation(EDITED, back.confidence * way.confidence) for row, way in found.items()}
    return {**seen, representative: back, keeper: Relation("", 1.0)}


def _described(catalog: Catalog, group: Group) -> DuplicateGroup:
    with catalog.reading():
        sizes = {row: catalog.images.size_and_time(row)[:2] for row in group.contents}
    files = tuple(
        DuplicateFile(
            *(file.kind, file.relation, file.confidence, file.id, file.path, file.score, file.why),
            *sizes[file.id],
            _bytes_of(catalog, file),
        )
        for file in group.files
    )
    freed = sum(freed_by(os.fsencode(file.path)) for file in files if file.kind == COPY)
    return DuplicateGroup(group.files[0].group, files, freed, group.files[0].why == DECIDED)


def _bytes_of(catalog: Catalog, file: Duplicate) -> int | None:
    archive = archive_of(os.fsencode(file.path))
    try:
        size = os.stat(archive or file.path).st_size
    except OSError:
        return None
    return size if archive is None else search.content_bytes(catalog, file.id)
