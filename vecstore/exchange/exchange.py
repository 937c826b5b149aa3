"""The one door for the formats of other programs: which module reads or writes what."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from vecstore.errors import BadInput, NotFound, NothingAdded
from vecstore.exchange import (
    clip_retrieval,
    embedding_atlas,
    fiftyone,
    formats,
    huggingface,
    index_files,
    index_vectors,
    labels,
    lance_table,
)
from vecstore.exchange.new_files import require_new
from vecstore.ingest import sync
from vecstore.ingest.bulk_import import import_vectors, take_vectors
from vecstore.ingest.sync import OnProgress, Selection, ingestion
from vecstore.results import ExportReport, ImportReport, LabelsReport
from vecstore.session import Session
from vecstore.sources import remote
from vecstore.sources.paths import shown
from vecstore.sources.scan import ALL_FILES

WRITERS: dict[str, Callable[[Session, Path], ExportReport]] = {
    formats.CSV: labels.write_table,
    formats.COCO: labels.write_coco,
    formats.CLIP_RETRIEVAL: clip_retrieval.write,
    formats.HUGGINGFACE: huggingface.write,
    formats.EMBEDDING_ATLAS: embedding_atlas.write,
    formats.USEARCH: index_files.write_usearch,
    formats.HNSWLIB: index_files.write_hnswlib,
    formats.LANCE: lance_table.write,
    formats.FIFTYONE: fiftyone.write,
}
# What labels the pictures of the store, by their paths.
LABELS: dict[str, Callable[[Path, Path | None], Iterator[tuple[bytes, str]]]] = {
    formats.FIFTYONE: fiftyone.labelled,
    formats.EMBEDDING_ATLAS: embedding_atlas.labelled,
}


def import_from(
    session: Session,
    source: Path,
    name: str | None,
    pictures: Path | None,
    paths: Path | None,
    on_progress: OnProgress | None,
) -> ImportReport:
    """Take what another program wrote into the store; see `Store.import_from`."""
    name = formats.recognise(source) if name is None else formats.require_import(name)
    # Those of Hugging Face's data sets are unpacked to it.
    if pictures is not None and not pictures.is_dir() and name != formats.HUGGINGFACE:
        raise NotFound(f"there is no folder {pictures} for the pictures; name the one that they are in")
    if name is None:
        if pictures is not None:
            raise BadInput(f"{source} is ready-made vectors, whose paths stay as they are; leave {pictures} out")
        return ImportReport(str(source), None, import_vectors(session, source, paths, on_progress), None)
    if paths is not None and name not in formats.KEYED.values():
        raise BadInput(f"{paths} is for ready-made vectors and indexes, and {source} is {name}; leave {paths} out")
    if name == formats.IMAGEFOLDER:
        return _import_folders(session, source, pictures, on_progress)
    if not source.exists():
        raise NotFound(f"there is no file or folder {source} to import; name another")
    if name == formats.CSV:
        return ImportReport(str(source), name, None, labels.take_table(session, source, pictures))
    if name == formats.COCO:
        return ImportReport(str(source), name, None, labels.take_coco(session, source, pictures))
    if name in LABELS:
        return ImportReport(
            str(source), name, None, labels.take_labels(session, source, LABELS[name](source, pictures))
        )
    if name == formats.HUGGINGFACE:
        return _import_data_set(session, source, pictures, on_progress)
    if name in formats.KEYED.values():
        rows, named = index_vectors.load(source, name, paths, pictures)
    else:
        rows, named = (lance_table if name == formats.LANCE else clip_retrieval).load(source, pictures)
    return ImportReport(str(source), name, take_vectors(session, source, rows, named, on_progress), None)


def import_remote(session: Session, address: str, on_progress: OnProgress | None) -> ImportReport:
    """Add the pictures at an address, and below; those that are as they were are not read again."""
    files = [*remote.pictures(address)]
    if not files:
        raise NotFound(f"there are no pictures at {address} or below; name another address")
    if not session.exists:
        session.create(session.loaded_embedder().spec)
    with session.writing("add", shown(os.fsencode(address))), session.engine.growing() as committed:
        # Also those that failed: of a server that did not answer, the files are as they were.
        run = ingestion(session, committed, retry=True, on_progress=on_progress, total=lambda: len(files))
        report = run.run(files)
    if report.failed and report.failed == report.seen:
        raise NothingAdded(
            f"no file could be added, {report.failed} failed; `vecstore failures --store {session.path}` says why"
        )
    return ImportReport(address, formats.REMOTE, report, None)


def _import_folders(
    session: Session, source: Path, pictures: Path | None, on_progress: OnProgress | None
) -> ImportReport:
    if not source.is_dir():
        raise NotFound(f"{source} is not a folder; an {formats.IMAGEFOLDER} has a folder for each label")
    if pictures is not None:
        raise BadInput(f"the pictures of an {formats.IMAGEFOLDER} are in it; leave {pictures} out")
    labels.require_label_folders(source)
    selection = Selection.of([source], (), ALL_FILES)
    return _add_labelled(
        session, source, formats.IMAGEFOLDER, selection, lambda: labels.put_folders(session, source), on_progress
    )


def _import_data_set(
    session: Session, source: Path, pictures: Path | None, on_progress: OnProgress | None
) -> ImportReport:
    found = [*huggingface.pictures_of(source, pictures)]
    if not found:
        raise NotFound(f"{source} has no pictures")
    labelled = [(path, label) for path, names in found for label in names]
    selection = Selection.of([], [path for path, _ in found], ALL_FILES)

    def put() -> LabelsReport | None:
        return labels.put_labels(session, source, labelled) if labelled else None

    return _add_labelled(session, source, formats.HUGGINGFACE, selection, put, on_progress)


def _add_labelled(
    session: Session,
    source: Path,
    name: str,
    selection: Selection,
    put: Callable[[], LabelsReport | None],
    on_progress: OnProgress | None,
) -> ImportReport:
    """Add pictures, then put their labels, as one operation."""
    taken: list[LabelsReport | None] = []
    imported = sync.Imported(source, lambda: taken.append(put()))
    report = sync.add(session, selection, on_progress=on_progress, imported=imported)
    return ImportReport(str(source), name, report, *taken)


def export_as(session: Session, target: Path, name: str) -> ExportReport:
    """Write the store for another program; see `Store.export_as`."""
    writer = WRITERS[formats.require_export(name)]
    require_new(target)
    return writer(session, target)
