"""Ready-made vectors into a store: those of a file, or all that another store exported."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from vecstore.embedders.embedder import EmbedderSpec
from vecstore.errors import WrongEmbedder
from vecstore.ingest import vector_import
from vecstore.ingest.pipeline import Picture, Progress
from vecstore.ingest.sync import ingestion
from vecstore.results import AddReport
from vecstore.session import IMPORTED, Session, difference
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import absolute, shown
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.vector_file import Float16
from vecstore.words.tagging import fill_or_warn


def import_vectors(
    session: Session, source: Path, paths: Path | None, on_progress: Callable[[Progress], None] | None
) -> AddReport:
    """Take the vectors of a file into the store; see `Store.import_vectors`."""
    exported = vector_import.open_export(source) if paths is None else None
    if exported is not None:
        return _import_export(session, exported, on_progress)
    return take_vectors(session, source, *vector_import.load(source, paths), on_progress)


def take_vectors(
    session: Session,
    source: Path,
    rows: vector_import.GivenRows,
    named: Sequence[bytes],
    on_progress: Callable[[Progress], None] | None,
) -> AddReport:
    """Take vectors into the store, one for each of as many absolute paths. source: what they are from."""
    vector_import.require_directions(rows, source)  # all of them are looked at before the first is taken
    if not session.exists:
        session.create(_spec_of_import(session, rows.shape[1]))
    _require_fit(session, source, rows.shape[1])
    with session.writing("import", shown(absolute(source))), session.engine.growing(fast=True) as committed:
        with closing(vector_import.stored_blocks(rows, source)) as blocks:
            stored = (row for block in blocks for row in block)
            return ingestion(session, committed, on_progress=on_progress).take(
                map(partial(_imported, {}), named, stored)
            )


def _import_export(
    session: Session, exported: vector_import.Exported, on_progress: Callable[[Progress], None] | None
) -> AddReport:
    for _ in exported.rows():  # all of them are looked at before the first is taken
        pass
    for part in (exported.tags(), exported.selected(), exported.pinned()):
        for _ in part:
            pass
    if session.name not in (None, exported.spec.name):
        wanted = replace(exported.spec, name=str(session.name))
        raise WrongEmbedder(difference(exported.path, exported.spec, wanted))
    if not session.exists:
        session.create(exported.spec)
    if session.spec != exported.spec:
        raise WrongEmbedder(difference(session.path, session.spec, exported.spec))
    with session.writing("import", shown(absolute(exported.path))), session.engine.growing(fast=True) as committed:
        report = ingestion(session, committed, on_progress=on_progress).take(map(_exported, exported.rows()))
        if exported.clusters is not None and not session.catalog.clusterings.all():
            _take_over(session.catalog, exported.clusters, exported.rows(), exported.pinned())
        _take_selections(session.catalog, exported)
        if exported.has_tags:
            _take_tags(session, exported.tags())
        with session.catalog.writing():
            session.catalog.decisions.put_missing(exported.decisions)
        return report


def _spec_of_import(session: Session, dim: int) -> EmbedderSpec:
    """Return the embedder to record for a new store of imported vectors: the one named, else one that is none."""
    if session.name is None:
        return EmbedderSpec(IMPORTED, 1, None, dim, "unknown: the vectors were imported")
    if session.embedder.spec.dim != dim:
        raise WrongEmbedder(f"{session.name} makes {session.embedder.spec.dim} numbers a vector, not {dim}")
    return session.embedder.spec


def _require_fit(session: Session, source: Path, dim: int) -> None:
    """Raise WrongEmbedder unless vectors of this length may be of the store's embedder, and it was said so."""
    if session.spec.name not in (IMPORTED, session.name):
        raise WrongEmbedder(
            f"the vectors of the store {session.path} are made by {session.spec.name}; if those of {source} are "
            "too, say so with --embedder, else use another --store"
        )
    if session.spec.dim != dim:
        raise WrongEmbedder(
            f"{source} has {dim} numbers a vector, and the store {session.path} has {session.spec.dim}, "
            f"made by {session.spec.name}; use another --store"
        )


def _take_over(
    catalog: Catalog,
    exported: vector_import.ExportedClusters,
    rows: Iterable[vector_import.ExportedRow],
    pinned: Iterable[bytes],
) -> None:
    """Make the clustering of an export that of a store which has none, and has taken its images."""
    with catalog.writing():
        horizon, memberships = 0, {}
        for row in rows:
            own = catalog.images.row_of(row.sha256)
            if own is not None and row.cluster is not None and row.cluster in exported.ids:
                memberships[own] = (own, row.cluster, float(row.distance or 0.0))
            if own is not None and row.id < exported.horizon:
                horizon = max(horizon, own + 1)
        run = replace(exported.run, clustering=catalog.clusterings.next_id(), previous=None, current=True)
        catalog.clusterings.insert(run, exported.options, horizon, exported.centroids, exported.ids)
        catalog.memberships.insert(run.clustering, memberships.values())
        catalog.memberships.pin(run.clustering, catalog.images.rows_of({*pinned}).values())
        if exported.nodes:
            catalog.trees.insert(run.clustering, exported.nodes, exported.mergers)
        catalog.clusterings.make_current(run.clustering)
        for cluster, name in exported.names.items():
            catalog.clusterings.name_cluster(cluster, name)
        catalog.clusterings.carry_kept(run.clustering, exported.kept)


def _take_selections(catalog: Catalog, exported: vector_import.Exported) -> None:
    """Put the images of an export into its selections, which are made where they are not there."""
    with catalog.writing():
        contents: dict[str, set[bytes]] = {name: set() for name in exported.selections}
        for sha256, name in exported.selected():
            contents[name].add(sha256)
        for name, wanted in contents.items():
            catalog.selections.add(catalog.selections.create(name), catalog.images.rows_of(wanted).values())


def _take_tags(session: Session, tags: Iterable[tuple[bytes, bytes]]) -> None:
    """Record the tags of an export, and from then on those of every add."""
    catalog = session.catalog
    with catalog.writing():
        rows = {row: found for sha256, found in tags if (row := catalog.images.row_of(sha256)) is not None}
        catalog.tags.put(sorted(rows.items()))
        catalog.tags.keep()
    fill_or_warn(session)  # of images that the store had before


def _imported(folders: dict[bytes, bool], path: bytes, stored: Float16) -> Picture:
    stamp, sha256, reason = vector_import.identify(path, folders)
    return Picture(stamp, sha256 or None, reason, new=True, vector=None if reason else stored)


def _exported(row: vector_import.ExportedRow) -> Picture:
    stamp = FileStamp(row.path, row.size, row.mtime_ns)
    return Picture(stamp, row.sha256, new=True, facts=row.facts, width=row.width, height=row.height, vector=row.vector)
