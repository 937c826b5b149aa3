"""Bringing files into a store and keeping the two equal: add, sync, preview, follow, retry, remove.

`pipeline.py` does the work on one stream of files; here is which files those are, and what is forgotten.
"""

import math
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from vecstore.clustering import lifecycle
from vecstore.engines.engine import OnCommit
from vecstore.errors import NotFound, NothingAdded, StoreBusy
from vecstore.image_ref import ImageRef, as_path, as_row, named, require_row
from vecstore.ingest.moved_root import moved_root
from vecstore.ingest.pipeline import Ingest, Progress
from vecstore.results import AddReport, Change, NewFiles, RemoveReport
from vecstore.session import Session, log
from vecstore.sources import archives, decoding
from vecstore.sources.exclusions import LeftOut
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import AnyPath, absolute, is_address, shown
from vecstore.sources.scan import (
    ALL_FILES,
    UNLISTED,
    Patterns,
    RecordArchive,
    count_pictures,
    is_passed_over,
    pictures,
    require_pictures,
    roots_of,
    without_members,
)
from vecstore.sources.spelling import as_on_disk, as_stored
from vecstore.storage.catalog.catalog import Catalog
from vecstore.words import tagging

OnProgress: TypeAlias = Callable[[Progress], None]

# How long a follower that found the store in use leaves it before it tries again.
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Selection:
    """What an add or a sync was asked to look at. roots: to scan. named: to try whatever they are called.

    tops: where roots are only what has changed in the folders that were named, these folders.
    """

    roots: list[bytes]
    named: frozenset[bytes]
    patterns: Patterns
    tops: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, paths: Sequence[AnyPath], listed: Iterable[AnyPath], patterns: Patterns) -> "Selection":
        listed = list(listed)
        named = frozenset(as_on_disk(absolute(path)) for path in (*paths, *listed))
        return cls(roots_of(paths, listed), named, patterns)

    def pictures(
        self, skip: Path, catalog: Catalog | None, left_out: LeftOut, record: RecordArchive | None = None
    ) -> Iterator[FileStamp]:
        """Yield the files to look at. catalog: whose archives need not be opened again, as far as they are known."""
        known = catalog.archives if catalog else None
        return pictures(self.roots, self.named, self.patterns, skip, known, record, left_out, self.tops)


@dataclass(frozen=True)
class Imported:
    """What an import does beside adding pictures. finish: called after them, with the lock held."""

    source: Path
    finish: Callable[[], None]


def add(
    session: Session,
    selection: Selection,
    *,
    forget: bool = False,
    ray: str | None = None,
    tags: bool = False,
    on_progress: OnProgress | None = None,
    imported: Imported | None = None,
) -> AddReport:
    """Add what is new, and with `forget` also forget what is gone; see `Store.add` and `Store.sync`.

    imported: what else belongs to this operation, which is then an import.
    """
    _require_pictures(session, selection, forget)
    if tags:
        tagging.require_words(session)
        if not session.exists:
            session.create(session.loaded_embedder().spec)
        tagging.begin(session)
    report = _bring_in(session, selection, forget, ray, on_progress, imported)
    if report.failed and report.failed == report.seen:
        raise NothingAdded(
            f"no file could be added, {report.failed} failed; `vecstore failures --store {session.path}` says why"
        )
    return report


def preview(session: Session, selection: Selection) -> Iterator[Change]:
    """Yield what a sync would do; see `Store.preview`. Raises before the first step."""
    _require_pictures(session, selection, forget=True)
    return _changes(session, selection)


def count_new(session: Session, selection: Selection, seconds: float | None) -> NewFiles:
    """Return how many files an add would look at, and how many are new; see `Store.count_new`."""
    _require_pictures(session, selection, forget=False)
    ends, seen, new = time.monotonic() + (math.inf if seconds is None else seconds), 0, 0
    catalog = session.catalog if session.exists else None
    for file in selection.pictures(session.path, catalog, LeftOut()):
        if seen % 256 == 0 and seen and time.monotonic() > ends:
            return NewFiles(seen, new, False)
        known = catalog.paths.known(file.path) if catalog else None
        seen += 1
        new += known is None or not known.is_as_in(file)
    return NewFiles(seen, new, True)


def follow(
    session: Session, selection: Selection, on_progress: OnProgress | None, stop: threading.Event | None
) -> Iterator[AddReport]:
    """Sync, and again whenever the folders change; see `Store.follow`."""
    from vecstore.sources.watch import folders_that_change

    _require_pictures(session, selection, forget=True)
    passed_over = partial(is_passed_over, patterns=selection.patterns, skip=session.path)
    for number, changed in enumerate(folders_that_change(selection.roots, stop, passed_over)):
        tops = tuple(selection.roots) if number else ()
        report = _bring_in_when_free(session, replace(selection, roots=changed, tops=tops), on_progress, stop)
        if report is None:
            return
        if not number or report.added or report.updated or report.failed or report.forgotten:
            yield report


def retry_failures(session: Session, on_progress: OnProgress | None = None) -> AddReport:
    """Try every file in `failures` again, also the unchanged ones; those that are gone are dropped from it."""
    failures = session.catalog.failures
    # Those elsewhere are tried again by the import that lists them: nothing here could tell whether they are gone.
    failed = [path for failure in failures.all() if not is_address(path := os.fsencode(failure.path))]
    with session.writing("retry", f"{len(failed)} failures"), session.engine.growing() as committed:
        unlisted = failures.of_size(UNLISTED)
        there = {p for p in failed if os.path.lexists(p) and (p in unlisted or not os.path.isdir(p))}
        gone = without_members({*failed} - there)
        _forget(session, gone)
        selection = Selection.of([], sorted({*failed}.difference(gone)), ALL_FILES)
        report, _ = _ingest(session, selection, committed, retry=True, on_progress=on_progress)
        return replace(report, forgotten=len(gone))


def remove(session: Session, refs: Sequence[ImageRef]) -> RemoveReport:
    """Forget images, or paths of images; see `Store.remove`."""
    catalog = session.catalog
    with session.writing("remove", named(refs)), catalog.writing():
        rows, paths = set(), set()
        for ref in refs:
            row = as_row(ref)
            if row is not None:
                require_row(session, row)
                rows.add(row)
            else:
                paths.update(_known_at(catalog, absolute(as_path(ref))))
        before = catalog.images.count()
        forgotten = _forget(session, paths) + sum(catalog.paths.forget_all_of(row) for row in rows)
        return RemoveReport(removed=before - catalog.images.count(), forgotten=forgotten)


def ingestion(
    session: Session,
    committed: OnCommit,
    retry: bool = False,
    on_progress: OnProgress | None = None,
    total: Callable[[], int] | None = None,
) -> Ingest:
    """Return the pipeline into a store. The lock is held, and the engine growing."""
    current = lifecycle.current(session.catalog, session.spec.dim, session.device)
    vectors, embedder = session.vector_file(), session.loaded_embedder
    tag = tagging.tagger(session)
    return Ingest(session.catalog, vectors, embedder, current, retry, on_progress, total, committed, tag)


def _require_pictures(session: Session, selection: Selection, forget: bool) -> None:
    catalog = session.catalog if session.exists else None
    known = catalog.archives if catalog else None
    require_pictures(selection.roots, selection.named, selection.patterns, known)
    if forget and catalog is not None:
        for root in selection.roots:  # an unplugged disk can leave its empty folder behind
            if os.path.isdir(root) and any(True for _ in catalog.paths.under(root)):
                require_pictures([root], selection.named, known=known)


def _bring_in(
    session: Session,
    selection: Selection,
    forget: bool,
    ray: str | None,
    on_progress: OnProgress | None,
    imported: Imported | None = None,
) -> AddReport:
    if not session.exists:
        session.create(session.loaded_embedder().spec)
    kind, what = "sync" if forget else "add", named(selection.roots)
    if imported is not None:
        kind, what = "import", shown(os.fsencode(imported.source))
    folders = [root for root in selection.tops or selection.roots if os.path.isdir(root)]
    with session.writing(kind, what), session.engine.growing() as committed:
        report, found_again = _ingest(session, selection, committed, ray=ray, on_progress=on_progress)
        gone = _gone(session, selection.roots) if forget else []
        if gone:  # a disk that was unplugged meanwhile takes its files along, and none of them is deleted
            from vecstore.sources.watch import require_roots

            require_roots(folders)
            report = replace(report, forgotten=_forget(session, gone))
        tagging.fill_or_warn(session)
        if imported is not None and report.failed < report.seen:
            imported.finish()
        # After that: what was within these folders is forgotten by now.
        return replace(report, moved=moved_root(session.catalog, found_again))


def _bring_in_when_free(
    session: Session, selection: Selection, on_progress: OnProgress | None, stop: threading.Event | None
) -> AddReport | None:
    """Sync as soon as no other process writes, however long that takes; None if it was stopped before."""
    while True:
        try:
            return _bring_in(session, selection, True, None, on_progress)
        except StoreBusy:
            log.warning("another process is still writing to the store %s; following goes on after it", session.path)
        if stop is None:
            time.sleep(PAUSE_SECONDS)
        elif stop.wait(PAUSE_SECONDS):
            return None


def _ingest(
    session: Session,
    selection: Selection,
    committed: OnCommit,
    *,
    retry: bool = False,
    ray: str | None = None,
    on_progress: OnProgress | None,
) -> tuple[AddReport, list[tuple[bytes, int]]]:
    """Return the report, and some of the new paths of pictures that were in the store before, with their rows."""
    catalog = session.catalog
    for folder in catalog.failures.of_size(UNLISTED):
        if os.access(folder, os.R_OK):  # it can be listed by now; if it is scanned and cannot, it fails again
            catalog.failures.forget(folder)
    total, left_out = partial(count_pictures, selection.roots, selection.patterns), LeftOut()
    ingest = ingestion(session, committed, retry, on_progress, total)
    files = selection.pictures(session.path, None if retry else catalog, left_out, catalog.archives.record)
    if ray is not None:
        from vecstore.ingest.ray_embedding import RayEmbedding

        report = ingest.run_elsewhere(files, RayEmbedding(ray, session.spec, session.options).embedded)
    else:
        report = ingest.run(files)
    if not selection.tops:  # what follows is of the same folders
        left_out.log()
    excluded, ignored, linked = left_out.excluded, left_out.ignored, left_out.linked_folders
    return replace(report, excluded=excluded, ignored=ignored, linked_folders=linked), ingest.found_again


def _changes(session: Session, selection: Selection) -> Iterator[Change]:
    catalog, left_out = session.catalog if session.exists else None, LeftOut()
    for file in selection.pictures(session.path, catalog, left_out):
        kind = _change_of(catalog, file)
        if kind is not None:
            yield Change(kind, os.fsdecode(file.path))
    if catalog is not None:
        yield from (Change("forget", os.fsdecode(path)) for path in _gone(session, selection.roots))
    left_out.log()


def _change_of(catalog: Catalog | None, file: FileStamp) -> str | None:
    """Return what a sync would do about a file, None for nothing."""
    known = catalog.paths.known(file.path) if catalog else None
    if known is not None and known.is_as_in(file):
        return None
    if catalog and catalog.failures.has(file):
        return None
    try:
        content = archives.read(file)
    except decoding.Unreadable:
        return "fail"
    row = catalog.images.row_of(content.sha256) if catalog else None
    if known is not None:
        return "update" if known.row != row else None
    return "know" if catalog and row is not None and catalog.images.is_alive(row) else "add"


def _gone(session: Session, roots: Iterable[bytes]) -> list[bytes]:
    catalog = session.catalog
    known = {path for root in roots for path in catalog.paths.under(root)}
    return without_members((path for path in known if not _is_there(catalog, path)), catalog.archives)


def _is_there(catalog: Catalog, path: bytes) -> bool:
    """Say whether a sync is to keep what the catalog knows of a path, a scan having tried what is a picture."""
    known = catalog.paths.known(path)
    try:
        state = os.lstat(path) if known is None else os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # a folder that may not be entered, a disk that fails: that says nothing about the file
        return True
    stamp = FileStamp(path, state.st_size, state.st_mtime_ns)
    if (known is not None and known.is_as_in(stamp)) or catalog.failures.has(stamp):
        return True
    if known is None and (stat.S_ISLNK(state.st_mode) or catalog.failures.has(FileStamp(path, UNLISTED, 0))):
        return True  # a link that leads nowhere, a folder that cannot be listed: they still fail
    # What it has become is not a picture, or the scan would have recorded its new state.
    return not stat.S_ISDIR(state.st_mode) and decoding.looks_like_picture(path)


def _forget(session: Session, paths: Iterable[bytes]) -> int:
    with session.catalog.writing():
        return sum([session.catalog.paths.forget(path) for path in paths])


def _known_at(catalog: Catalog, path: bytes) -> list[bytes]:
    known = list(catalog.paths.under(path)) or list(catalog.paths.under(as_stored(path, catalog.paths.under)))
    if not known:
        raise NotFound(f"nothing at or under {shown(path)} is in the store; nothing was removed")
    return known
