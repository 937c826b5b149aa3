"""Decisions about duplicates: recorded by content as they are made, and used wherever duplicates are looked for."""

import os
from collections.abc import Sequence
from itertools import combinations

from vecstore.errors import BadInput
from vecstore.image_ref import ImageRef, named, require_stored
from vecstore.results import Decision
from vecstore.session import Session
from vecstore.sources.paths import AnyPath, absolute, shown
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.decisions import BOTH, KEEP, VERDICTS, PairDecision


def decide(session: Session, verdict: str, refs: Sequence[ImageRef], keep: AnyPath | None) -> list[Decision]:
    """Record what was decided of images; see `Store.decide`."""
    if verdict not in VERDICTS:
        raise BadInput(f"{verdict!r} is not a decision; there are {', '.join(VERDICTS)}")
    if (keep is not None) != (verdict == KEEP):
        raise BadInput('"keep" needs the file to keep, and the other decisions take none')
    with session.catalog.reading():
        rows = list(dict.fromkeys(require_stored(session, ref) for ref in refs))
        pairs = _pairs(session.catalog, verdict, rows, keep)
    with session.writing("decide", f"{verdict}: {named(refs)}"), session.catalog.writing():
        session.catalog.decisions.put(pairs)
    recorded = {(pair.one, pair.other) for pair in pairs}
    return [decision for decision in decisions(session) if _contents(decision) in recorded]


def decisions(session: Session) -> list[Decision]:
    """Return all decisions, the latest first; see `Store.decisions`."""
    with session.catalog.reading():
        return [_described(session.catalog, pair) for pair in session.catalog.decisions.all()]


def _pairs(catalog: Catalog, verdict: str, rows: list[int], keep: AnyPath | None) -> list[PairDecision]:
    contents = {row: catalog.images.sha256_of(row) or b"" for row in rows}
    copied = [row for row in rows if len(catalog.paths.of(row)) > 1]
    if len(rows) < 2 and not copied:
        raise BadInput("a decision is about two images, or the copies of one; name another image")
    if verdict == KEEP:
        path = absolute(keep or "")
        known = catalog.paths.known(path)
        if known is None or known.row not in rows:
            raise BadInput(f"{shown(path)} is not a file of these images; name one of theirs to keep")
        kept = contents[known.row]
        over = [PairDecision.of(KEEP, kept, other) for row, other in contents.items() if row != known.row]
        return over + ([PairDecision.of(KEEP, kept, kept, path)] if known.row in copied else [])
    pairs = [PairDecision.of(verdict, one, other) for one, other in combinations(contents.values(), 2)]
    # Copies have one content, so of these "different" can only mean that they are all to stay.
    if verdict == BOTH or len(rows) == 1:
        pairs += [PairDecision.of(BOTH, contents[row], contents[row]) for row in copied]
    return pairs


def _described(catalog: Catalog, pair: PairDecision) -> Decision:
    one, other = catalog.images.row_of(pair.one), catalog.images.row_of(pair.other)
    return Decision(
        verdict=pair.verdict,
        one=one,
        other=other,
        one_path=_path_of(catalog, one),
        other_path=_path_of(catalog, other),
        one_sha256=pair.one.hex(),
        other_sha256=pair.other.hex(),
        kept=None if pair.kept is None else one if pair.kept == pair.one else other,
        kept_path=None if pair.path is None else os.fsdecode(pair.path),
        decided=pair.decided,
    )


def _path_of(catalog: Catalog, row: int | None) -> str | None:
    path = catalog.paths.first_of(row) if row is not None else None
    return None if path is None else os.fsdecode(path)


def _contents(decision: Decision) -> tuple[bytes, bytes]:
    return bytes.fromhex(decision.one_sha256), bytes.fromhex(decision.other_sha256)
