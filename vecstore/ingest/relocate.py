"""Relocating: a folder, archive or file that was moved takes what is recorded of it along, and nothing is embedded.

A path moves only if the very content is at the new place: by size and time, and where these differ by its sha256. What
is still at the old place is left there. All is looked at first, under the store's lock, and then moved in one
transaction.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

from vecstore.errors import BadInput, NotFound
from vecstore.results import RelocateReport
from vecstore.session import Session
from vecstore.sources import archives
from vecstore.sources.decoding import Unreadable
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import AnyPath, absolute, archive_of, is_address, is_archive_name, on_disk, shown
from vecstore.sources.scan import UNLISTED
from vecstore.sources.spelling import as_on_disk, as_stored
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.paths import RecordedPath
from vecstore.storage.catalog.relocation import PathMove

# So many of the moves are in the report, for a person to see what it is about.
EXAMPLES = 5


@dataclass(frozen=True)
class _Places:
    """Where things were and are. was, becomes: what the old paths begin with, and what comes in its place."""

    old: bytes
    new: bytes
    was: bytes
    becomes: bytes

    def new_path(self, path: bytes) -> bytes:
        """Return where a path leads now, as the file system spells it; what is there may be anything, or nothing."""
        return as_on_disk(self.becomes + path[len(self.was) :])


@dataclass
class _Plan:
    """What is to be done. failures: that go along. failure_moves: old path, and the new one, None if it is to go."""

    moves: list[PathMove] = field(default_factory=list)
    merged: int = 0
    failures: int = 0
    failure_moves: dict[bytes, bytes | None] = field(default_factory=dict)
    archives: list[tuple[FileStamp, bytes]] = field(default_factory=list)
    missing: list[bytes] = field(default_factory=list)
    left: list[bytes] = field(default_factory=list)


def relocate(session: Session, old: AnyPath, new: AnyPath, dry_run: bool) -> RelocateReport:
    """Let the paths under `old` lead to the same files under `new`; see `Store.relocate`."""
    places = _places(session.catalog, old, new)
    if dry_run:
        with session.catalog.reading():
            return _report(places, _planned(session.catalog, places))
    with session.writing("relocate", f"{shown(places.old)} to {shown(places.new)}"):
        plan = _planned(session.catalog, places)
        report = _report(places, plan)
        with session.catalog.writing():
            relocation = session.catalog.relocation
            relocation.move_paths(plan.moves)
            relocation.move_failures(plan.failure_moves.items())
            for archive, path in plan.archives:
                relocation.copy_archive(archive, path)
    return report


# Where


def _places(catalog: Catalog, old: AnyPath, new: AnyPath) -> _Places:
    was, becomes = absolute(old), absolute(new)
    for place in (was, becomes):
        if is_address(place):
            raise BadInput(f"{shown(place)} is an address; only files can be relocated, since contents are compared")
    if not _knows(catalog, was):
        was = as_stored(was, catalog.paths.under)
    becomes = as_on_disk(becomes)
    if not os.path.lexists(becomes) and not _is_archive_root(becomes):
        raise NotFound(f"nothing is at {shown(becomes)}; name the place that {shown(was)} was moved to")
    if not _knows(catalog, was):
        raise NotFound(
            f"nothing at or under {shown(was)} is in the store; `vecstore info` says whether paths are missing"
        )
    places = _Places(was, becomes, *_beginnings(catalog, was, becomes))
    if places.was == places.becomes:
        raise BadInput(f"{shown(was)} is the old and the new place; name the one that it was moved to")
    return places


def _beginnings(catalog: Catalog, old: bytes, new: bytes) -> tuple[bytes, bytes]:
    """Return what the old paths begin with, and the new ones: an archive may have been packed, or unpacked."""
    holds_members = is_archive_name(old) and any(True for _ in catalog.paths.under(old + b"!"))
    is_file = holds_members or catalog.paths.known(old) is not None or catalog.failures.is_known(old)
    inside = os.path.join(new, os.path.basename(old))
    if is_file and os.path.isdir(new) and os.path.lexists(inside):  # as `mv FILE FOLDER` takes it
        return old, inside
    if holds_members and os.path.isdir(new):
        return old + b"!", new.rstrip(b"/")
    if not is_file and is_archive_name(new) and os.path.isfile(new):
        return old.rstrip(b"/"), new + b"!"
    return old.rstrip(b"/"), new.rstrip(b"/")


def _knows(catalog: Catalog, root: bytes) -> bool:
    return any(True for _ in catalog.paths.under(root))


def _is_archive_root(path: bytes) -> bool:
    return path.endswith(b"!") and is_archive_name(path[:-1]) and os.path.isfile(path[:-1])


# What


def _planned(catalog: Catalog, places: _Places) -> _Plan:
    plan = _Plan()
    _plan_paths(catalog, places, plan)
    _plan_failures(catalog, places, plan)
    for archive in catalog.archives.under(places.old):
        new_path = places.new_path(archive.path)
        if _state_of(new_path) == FileStamp(new_path, archive.size, archive.mtime_ns):
            plan.archives.append((archive, new_path))
    return plan


def _plan_paths(catalog: Catalog, places: _Places, plan: _Plan) -> None:
    gone: list[RecordedPath] = []
    changed: list[
        RecordedPath
    ] = []  # files of another size or time at the old place: they may have the content all the same
    for known in catalog.paths.recorded_under(places.old):
        state, is_hidden = _look_at(known.stamp.path)
        if state == known.stamp or is_hidden:
            plan.left.append(known.stamp.path)
        else:
            (gone if state is None else changed).append(known)
    for known, found in _compared(changed, lambda path: path):
        if found is not None:
            plan.left.append(known.stamp.path)
        else:
            gone.append(known)
    known_at_new = {at_new.stamp.path: at_new for at_new in catalog.paths.recorded_under(places.new)}
    for known, found in _compared(gone, places.new_path):
        at_new = known_at_new.get(found.path) if found is not None else None
        is_same = at_new is not None and at_new.row == known.row
        # Where the file was looked at since, in its present state, what was seen in it counts.
        if found is None or (at_new is not None and not is_same and at_new.stamp == found):
            plan.missing.append(known.stamp.path)
            continue
        plan.merged += is_same
        plan.moves.append(PathMove(known.stamp.path, found, known.row))
    plan.moves.sort(key=lambda move: move.old)


def _plan_failures(catalog: Catalog, places: _Places, plan: _Plan) -> None:
    failures = catalog.failures.under(places.old)
    failed_at_new = {failed.path for failed in catalog.failures.under(places.new)}
    for failed in failures:
        if catalog.paths.known(failed.path) is not None:  # a picture that could not be read for a while: it is one path
            continue
        new_path = places.new_path(failed.path)
        if os.path.lexists(on_disk(failed.path)) or _look_at(failed.path)[1]:
            plan.left.append(failed.path)
        elif not _may_have_failed(failed, new_path):
            plan.missing.append(failed.path)
        else:
            is_known = new_path in failed_at_new or catalog.paths.known(new_path) is not None
            plan.failure_moves[failed.path] = None if is_known else new_path
            plan.failures += 1
    # A picture that was found has not failed.
    failed_at_old = {failed.path for failed in failures}
    for move in plan.moves:
        for path in {move.old} & failed_at_old | {move.stamp.path} & failed_at_new:
            plan.failure_moves.setdefault(path, None)


def _compared(
    recorded: Iterable[RecordedPath], place_of: Callable[[bytes], bytes]
) -> Iterator[tuple[RecordedPath, FileStamp | None]]:
    """Yield each with the state of the file that has its content at the place that `place_of` names; None if none has.

    Contents are read only where size and time leave it open.
    """
    open_questions = []
    for known in recorded:
        place = place_of(known.stamp.path)
        state = _state_of(place)
        if state is None or (state.size, state.mtime_ns) == (known.stamp.size, known.stamp.mtime_ns):
            yield known, state
        elif state.size != known.stamp.size and b"!/" not in known.stamp.path and archive_of(place) is None:
            yield known, None
        else:
            open_questions.append((place, known))
    contents = _contents({place for place, _ in open_questions})
    for place, known in open_questions:
        state, sha256 = contents.get(place, (None, b""))
        yield known, state if sha256 == known.sha256 else None


def _contents(paths: Iterable[bytes]) -> dict[bytes, tuple[FileStamp, bytes]]:
    """Return state and sha256 of the files and members that can be read; an archive is gone through once."""
    found = {}
    in_archives = sorted((archive_of(path) or b"", path) for path in paths)
    for archive, pairs in groupby(in_archives, key=lambda pair: pair[0]):
        for file in _files(archive, {path for _, path in pairs}):
            with suppress(Unreadable):
                content = archives.read(file)
                found[file.path] = (FileStamp(file.path, content.size, content.mtime_ns), content.sha256)
    return found


def _files(archive: bytes, paths: set[bytes]) -> Iterator[FileStamp]:
    """Yield files to be read before the next is asked for: those members of an archive, or, if that is "", files."""
    if not archive:
        yield from (FileStamp(path, 0, 0) for path in sorted(paths))
    elif (state := _state_of(archive)) is not None:
        with suppress(Unreadable):  # what comes before the place where it cannot be read on is good
            yield from (member for member in archives.members(state) if member.path in paths)


def _state_of(path: bytes) -> FileStamp | None:
    """Return the state of the file at a path, or of the archive that it leads into; None if there is no file."""
    return _look_at(path)[0]


def _look_at(path: bytes) -> tuple[FileStamp | None, bool]:
    """Return what `_state_of` does, and whether that cannot be told: a folder not to be entered, a failing disk."""
    try:
        state = os.stat(path if b"!/" not in path else on_disk(path))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None, False
    except OSError:
        return None, True
    return FileStamp(path, state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else None, False


def _may_have_failed(failed: FileStamp, path: bytes) -> bool:
    """Say whether what is at a path can be what failed; in another state than that it is tried again anyway."""
    return os.path.lexists(on_disk(path)) and (failed.size == UNLISTED or not os.path.isdir(path))


def _report(places: _Places, plan: _Plan) -> RelocateReport:
    """Say what a plan comes to. Raises NotFound if nothing is to be moved."""
    old, new = shown(places.old), shown(places.new)
    if not plan.moves and not plan.failures:
        n_paths = len(plan.missing) + len(plan.left)
        raise NotFound(
            f"cannot relocate {old} to {new}: of {n_paths} paths {len(plan.left)} are still at the old "
            f"place, {len(plan.missing)} are not at the new one or have other content there; nothing was changed"
        )
    return RelocateReport(
        old=os.fsdecode(places.old),
        new=os.fsdecode(places.new),
        relocated=len(plan.moves),
        merged=plan.merged,
        failures=plan.failures,
        missing=len(plan.missing),
        left=len(plan.left),
        missing_paths=tuple(map(os.fsdecode, sorted(plan.missing))),
        examples=tuple((os.fsdecode(move.old), os.fsdecode(move.stamp.path)) for move in plan.moves[:EXAMPLES]),
    )
