"""A copy of a store that others go on writing to: one moment of it, compared with its checksums before it appears."""

import os
import shutil
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import filelock

from vecstore.embedders.recorded import recorded_embedder
from vecstore.engines.index_lifecycle import AUTO, KINDS_ELSEWHERE, IndexSettings
from vecstore.errors import BadInput, StoreBusy, StoreDamaged, VecstoreError
from vecstore.results import BackupReport
from vecstore.sources.paths import bytes_on_disk, network_file_system
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.checksums import damaged_rows
from vecstore.storage.durable_files import sync_directory, sync_file
from vecstore.storage.layout import CATALOG, HEAD, INDEX, LOCK, VECTORS
from vecstore.storage.vector_file import VectorFile, copy_with_holes, runs


def backup(catalog: Catalog, target: Path, with_index: bool) -> BackupReport:
    """Copy the store of a catalog to `target`, which must not be there. Raises what `Store.backup` does."""
    started, source = time.monotonic(), catalog.path.parent
    if os.path.lexists(target):
        raise BadInput(f"{target} already exists, and a backup overwrites nothing; name a new folder")
    if not target.parent.is_dir():
        raise BadInput(f"the folder {target.parent} does not exist; create it first, or name another")
    if source.resolve() in (target.parent.resolve(), *target.parent.resolve().parents):
        raise BadInput(f"{target} is inside the store itself; name a folder elsewhere")
    # One place for each target, so that what a killed backup has left is used up by the next.
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.mkdir(exist_ok=True)
        with filelock.FileLock(partial / LOCK, timeout=0):
            try:
                report = _copy(catalog, partial, with_index)
                sync_directory(partial)
                os.rename(partial, target)
                sync_directory(target.parent)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    except filelock.Timeout as error:
        raise StoreBusy(f"another process is making the backup {target}; nothing was done") from error
    except OSError as error:
        raise VecstoreError(
            f"the backup {target} cannot be made: {error.strerror or error}; nothing was left behind"
        ) from error
    images, vectors = report
    return BackupReport(str(target), images, vectors, bytes_on_disk(target), time.monotonic() - started)


def _copy(live: Catalog, partial: Path, with_index: bool) -> tuple[int, int]:
    """Copy catalog, vectors and index of one moment, and check them; return how many images and vectors there are."""
    source = live.path.parent
    for left_over in partial.iterdir():
        if left_over.name != LOCK:
            left_over.unlink()
    # The open transaction keeps a compaction from emptying rows that this moment still has.
    with live.reading():
        count = live.images.row_count()
        live.copy_to(partial / CATALOG, shared=network_file_system(partial) is not None)
        row_bytes = VectorFile(source / VECTORS, recorded_embedder(live).dim).row_bytes
        gaps = [(first * row_bytes, beyond * row_bytes) for first, beyond in runs(live.images.vacant_rows())]
        if count:
            copy_with_holes(source / VECTORS, partial / VECTORS, count * row_bytes, gaps)
            sync_file(partial / VECTORS)
    if (source / HEAD).exists():
        shutil.copyfile(source / HEAD, partial / HEAD)
        sync_file(partial / HEAD)
    if with_index and (source / INDEX).exists():
        shutil.copyfile(source / INDEX, partial / INDEX)
        sync_file(partial / INDEX)
    with closing(Catalog(partial / CATALOG)) as copied:
        _detach(copied)
        found = _require_whole(copied, partial)
    return found


def _detach(catalog: Catalog) -> None:
    """Let a copy be searched here: two stores that tell one collection of their own rows would spoil each other's."""
    if catalog.engine.uri() is not None:
        catalog.engine.move_to(None)
        settings = IndexSettings.from_json(catalog.index_settings())
        if settings.kind in KINDS_ELSEWHERE:
            catalog.set_index_settings(replace(settings, kind=AUTO).to_json())


def _require_whole(catalog: Catalog, folder: Path) -> tuple[int, int]:
    """Return how many images and vectors a copy holds. Raises StoreDamaged if it is not whole; an index goes."""
    from indexes.compressed import verify
    from indexes.index_metadata import InvalidIndex

    for problem in catalog.integrity.problems():
        raise StoreDamaged(f"the catalog is damaged ({problem}), so no backup was made; `vecstore check` says more")
    vectors = VectorFile(folder / VECTORS, recorded_embedder(catalog).dim)
    known = {*catalog.checksums.quarantined_rows()}
    for damaged in damaged_rows(catalog, vectors):
        if damaged.row not in known:
            raise StoreDamaged(
                f"the vector of @{damaged.row} is damaged ({damaged.reason}), so no backup was made; run "
                "`vecstore check --repair` first"
            )
    index = folder / INDEX
    try:
        if index.exists():
            verify(index, vectors.read(catalog.images.row_count()))
    except (InvalidIndex, OSError):  # it is of more rows by now: one that is replaced while the store grows
        index.unlink()
    return catalog.images.count(), catalog.images.row_count() - len(catalog.images.vacant_rows())
