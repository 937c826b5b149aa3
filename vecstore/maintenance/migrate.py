"""Moving a store to another engine, or another folder: a copy of the catalog and the rows, which its engine receives.

Ids, paths, clusterings and names are the catalog's, so they come along as they are. The copy is complete when its
catalog says so, which is written last; until then it cannot be opened, and the same call goes on where it was. The
source is read only, and left as it is.
"""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from indexes.devices import Device
from indexes.rows import in_blocks, rows_per_block
from vecstore.embedders.recorded import recorded_embedder
from vecstore.engines.address import Address, place_of
from vecstore.engines.engine import Engine
from vecstore.engines.factory import engine_for, require_room
from vecstore.engines.index_lifecycle import AUTO, IndexSettings
from vecstore.engines.verify_copy import require_equal
from vecstore.errors import BadInput, StoreDamaged
from vecstore.ingest.pipeline import Progress
from vecstore.results import MigrateReport
from vecstore.session import Session
from vecstore.sources.paths import AnyPath, network_file_system
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.connection import holds_store
from vecstore.storage.durable_files import make_directory, move_into_place, replacing
from vecstore.storage.layout import CATALOG, HEAD, VECTORS
from vecstore.storage.vector_file import ROW_DTYPE, VectorFile

PARTIAL = f"{CATALOG}.partial"


@dataclass(frozen=True)
class Destination:
    """Where to: a folder, searched from an address, or here if that is None. device: of what is searched here."""

    folder: Path
    address: Address | None
    device: Device

    @property
    def shown(self) -> str:
        return self.address.shown if self.address else str(self.folder)


def migrate(
    session: Session, destination: AnyPath, compare_all: bool, on_progress: Callable[[Progress], None]
) -> MigrateReport:
    """Copy the store to another folder or engine, and verify the copy; see `Store.migrate`."""
    folder, address = place_of(destination)
    if folder == session.path:
        raise BadInput(f"{folder} is the store itself; name another destination")
    with session.lock():
        to = Destination(folder, address, session.device)
        return _migrate(session.catalog, session.vector_file(), to, compare_all, on_progress)


def _migrate(
    source: Catalog, vectors: VectorFile, to: Destination, compare_all: bool, on_progress: Callable[[Progress], None]
) -> MigrateReport:
    """Make the store at `to` equal to the source, whose lock is held; return what was verified.

    compare_all: every vector of the engine, not a sample. Raises BadInput if there is another store, or anything else.
    """
    started = time.monotonic()
    make_directory(to.folder)
    _require_fit(source, to)
    state = _copy_of(source, to.folder)
    _make_way(state, to)
    if not holds_store(to.folder / CATALOG):
        require_room(to.address)
    _copy_rows(vectors, source.images.row_count(), VectorFile(to.folder / VECTORS, vectors.dim))
    if not holds_store(to.folder / CATALOG):
        _install(to, json.dumps({"from": source.engine.uid(), "state": state}))
    (to.folder / PARTIAL).unlink(missing_ok=True)
    _copy_head(source.path.with_name(HEAD), to.folder / HEAD)
    copy = VectorFile(to.folder / VECTORS, vectors.dim)
    with (
        closing(Catalog(to.folder / CATALOG)) as catalog,
        closing(engine_for(to.folder, to.address, catalog, copy, to.device)) as engine,
    ):
        _require_equal_rows(vectors, copy, source.images.row_count())
        _send(engine, catalog, on_progress)
        compared = require_equal(engine, catalog, copy, "run this again", all_rows=compare_all)
        catalog.engine.set_migrating(None)
        return MigrateReport(
            to.shown, catalog.images.count(), catalog.images.row_count(), compared, time.monotonic() - started
        )


def _copy_of(source: Catalog, folder: Path) -> str:
    """Copy the catalog beside its place in the folder; return what tells one state of it from any other."""
    partial = folder / PARTIAL
    _remove_database(partial)
    source.copy_to(partial, shared=network_file_system(folder) is not None)
    with open(partial, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_fit(source: Catalog, to: Destination) -> None:
    """Raise BadInput if there is anything but what an interrupted migration of the same store left."""
    if not holds_store(to.folder / CATALOG):
        strange = [entry.name for entry in to.folder.iterdir() if not entry.name.startswith((PARTIAL, VECTORS))]
        if strange:
            raise BadInput(f"{to.folder} holds other files, such as {strange[0]!r}; name an empty or new destination")
        return
    with closing(Catalog(to.folder / CATALOG)) as catalog:
        begun = json.loads((not catalog.is_older() and catalog.engine.migrating()) or "null")
        if begun is None or begun["from"] != source.engine.uid() or catalog.engine.uri() != _engine_of(to):
            raise BadInput(f"{to.shown} already holds a store; name another destination")


def _make_way(state: str, to: Destination) -> None:
    """Leave what an interrupted migration of this very state has done, clear away one of another."""
    if not holds_store(to.folder / CATALOG):
        return
    with closing(Catalog(to.folder / CATALOG)) as catalog:
        if json.loads(catalog.engine.migrating() or "{}").get("state") == state:
            return
        # The source went on. Rows that were copied stay, as most are the same for ever; all are compared at the end.
        dim = recorded_embedder(catalog).dim
        engine = engine_for(to.folder, to.address, catalog, VectorFile(to.folder / VECTORS, dim), to.device)
        with closing(engine):
            engine.drop()
    _remove_database(to.folder / CATALOG)


def _remove_database(path: Path) -> None:
    for suffix in ("-wal", "-shm", "-journal", ""):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def _copy_rows(source: VectorFile, n_rows: int, to: VectorFile) -> None:
    rows, block = source.read(n_rows), rows_per_block(source.dim, ROW_DTYPE)
    for start in range(min(to.rows_there(), n_rows), n_rows, block):
        to.append(np.asarray(rows[start : start + block]), start)


def _install(to: Destination, migrating: str) -> None:
    with closing(Catalog(to.folder / PARTIAL)) as catalog:
        catalog.engine.set_migrating(migrating)
        catalog.engine.move_to(_engine_of(to))
    move_into_place(to.folder / PARTIAL, to.folder / CATALOG)


def _copy_head(source: Path, to: Path) -> None:
    """Copy what words need, if the store keeps it, so that the copy needs neither network nor weights for them."""
    if source.exists():
        with replacing(to) as file:
            file.write(source.read_bytes())


def _engine_of(to: Destination) -> str | None:
    return to.address.shown if to.address else None


def _require_equal_rows(source: VectorFile, copy: VectorFile, n_rows: int) -> None:
    copy.truncate_uncommitted(n_rows)
    if _digest(source, n_rows) != _digest(copy, n_rows):
        copy.path.unlink()
        raise StoreDamaged(f"{copy.path} differed from {source.path} and was removed; run the same command again")


def _digest(file: VectorFile, n_rows: int) -> bytes:
    digest = hashlib.sha256()
    for block in in_blocks(file.read(n_rows), rows_per_block(file.dim, ROW_DTYPE)):
        digest.update(np.ascontiguousarray(block).data)
    return digest.digest()


def _send(engine: Engine, catalog: Catalog, on_progress: Callable[[Progress], None]) -> None:
    settings = IndexSettings.from_json(catalog.index_settings())
    if settings.kind not in engine.capabilities.index_kinds:
        settings = replace(settings, kind=AUTO)
        catalog.set_index_settings(settings.to_json())
    before, total = catalog.images.found_count() - catalog.engine.pending_count(), catalog.images.found_count()
    engine.flush_pending(lambda n_sent: on_progress(Progress(before + n_sent, total, 0)))
    engine.build_index(settings)
    engine.flush()
