"""Whether a store is whole: every file against what the catalog says of it, and mending what can be mended.

A repair takes nothing away that it cannot make again from what is sound, and believes nothing that fails its checksum:
a damaged vector is taken out of every answer first, and embedded again from its file where that has the same content.
What was repaired is what a second check does not find any more.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexes.devices import Device
from indexes.rows import in_blocks, rows_per_block
from vecstore.clustering import lifecycle, tree_shape
from vecstore.clustering.checkpoint import CHECKPOINT, is_readable
from vecstore.embedders import calling
from vecstore.embedders.embedder import Embedder
from vecstore.engines.engine import Engine
from vecstore.engines.index_lifecycle import IndexSettings
from vecstore.engines.verify_copy import require_equal
from vecstore.errors import BadInput, EngineRefused, EngineUnavailable, NotFound, StoreDamaged, VecstoreError
from vecstore.results import Finding
from vecstore.session import Session
from vecstore.sources import archives, decoding
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import is_address, on_disk, shown
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.tags import BLOCK_ROWS
from vecstore.storage.checksums import DamagedRow, damaged_rows
from vecstore.storage.durable_files import NEW
from vecstore.storage.layout import HEAD, INDEX
from vecstore.storage.vector_file import Float16, VectorFile, checksum, quantize_unit_rows
from vecstore.words import tagging
from vecstore.words.stored_head import read_head

# Of a distance on record, which is worked out in float32 and may be near 0, where that is least exact.
DISTANCE_ERROR = 5e-3
# Kinds of findings whose repair may need the embedder, and fail for want of it.
NEED_EMBEDDER = ("quarantined", "tags")
# What SQLite says of an index that disagrees with its table; the table holds all that it does.
OF_INDEXES = ("missing from index", "wrong # of entries in index", "non-unique entry in index")


@dataclass(frozen=True)
class Parts:
    """The parts of one store. embedder: opens and loads it; called only where something is to be embedded."""

    session: Session
    catalog: Catalog
    vectors: VectorFile
    index: Path
    engine: Engine
    device: Device
    embedder: Callable[[], Embedder]

    @property
    def folder(self) -> Path:
        return self.index.parent


def check(session: Session, files: bool = False) -> list[Finding]:
    """Return the faults of the store, none if it is sound; see `Store.check`."""
    with session.catalog.reading():
        return _check(_parts(session), files)


def repair(session: Session, files: bool = False) -> list[Finding]:
    """Repair what can be repaired; return the faults found, and which of them were repaired."""
    with session.lock():  # not `writing`, which refuses a vector file that is too short
        found = _repair(_parts(session), files)
        session.flush_engine()
        return found


def _parts(session: Session) -> Parts:
    vectors, embedder = session.vector_file(), session.loaded_embedder
    return Parts(session, session.catalog, vectors, session.path / INDEX, session.engine, session.device, embedder)


def _check(parts: Parts, files: bool) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(_of_catalog(parts))
        if not found:
            damaged = list(damaged_rows(parts.catalog, parts.vectors))
            found += [*_of_vectors(parts, damaged), *_of_clusterings(parts, damaged)]
            found += [*_of_tags(parts), *_of_picture_hashes(parts), *_of_facts(parts)]
            for look in (_of_index, _of_checkpoint, *([_of_files] if files else [])):
                found += look(parts)
            if {row.row for row in damaged} <= {*parts.catalog.checksums.quarantined_rows()}:
                found += _of_engine(parts)
    except StoreDamaged as error:  # met on the way, where SQLite's own check did not look
        found.append(Finding("catalog", parts.catalog.path.name, str(error), False))
    return found


def _repair(parts: Parts, files: bool) -> list[Finding]:
    with parts.catalog.reading():
        before = _check(parts, files)
    problem = ""
    if any(finding.repairable for finding in before):
        _mend_catalog(parts)
        if parts.catalog.images.row_count():
            problem = _mend_vectors(parts)
            _mend_clusterings(parts)
            _mend_index(parts)
            problem += _mend_tags(parts)
        if not is_readable(parts.folder):
            (parts.folder / CHECKPOINT).unlink(missing_ok=True)
    with parts.catalog.reading():
        after = {finding.where: finding for finding in _check(parts, files)}
    found = [replace(finding, repaired=finding.repairable and finding.where not in after) for finding in before]
    left = [replace(f, what=f"{f.what}{problem}") if f.kind in NEED_EMBEDDER else f for f in after.values()]
    kept = {finding.where for finding in left}
    return [finding for finding in found if finding.where not in kept] + left


# The catalog


def _of_catalog(parts: Parts) -> Iterator[Finding]:
    catalog, name = parts.catalog, parts.catalog.path.name
    for problem in catalog.integrity.problems():
        if any(text in problem for text in OF_INDEXES):
            yield Finding("catalog", f"{name}: {problem}", "an index of SQLite's disagrees with its table", True)
        else:
            yield Finding("catalog", f"{name}: {problem}", "restore the store from a backup", False)
            return
    violations = catalog.integrity.violations(parts.vectors.dim)
    for violation in violations:
        yield Finding("catalog", f"{name}: {violation}", "restore the store from a backup", False)
    if not violations and not _has_settings(catalog):
        yield Finding("catalog", f"{name}: index settings", "they cannot be read; a repair takes the usual ones", True)
    if catalog.integrity.removed_disagrees():
        yield Finding(
            "catalog", f"{name}: removed", "the list of removed images is not that of those without a path", True
        )
    if catalog.integrity.cluster_sizes_disagree():
        yield Finding("catalog", f"{name}: cluster_sizes", "clusters have other numbers of images than it says", True)


def _has_settings(catalog: Catalog) -> bool:
    try:
        IndexSettings.from_json(catalog.index_settings())
    except (TypeError, ValueError, BadInput):
        return False
    return True


def _mend_catalog(parts: Parts) -> None:
    catalog = parts.catalog
    with catalog.writing():
        if any(text in problem for problem in catalog.integrity.problems() for text in OF_INDEXES):
            catalog.integrity.rebuild_indexes()
        if not _has_settings(catalog):
            catalog.set_index_settings(IndexSettings().to_json())
        if catalog.integrity.removed_disagrees():
            catalog.integrity.rebuild_removed()
        if catalog.integrity.cluster_sizes_disagree():
            catalog.integrity.rebuild_cluster_sizes()
        catalog.facts.forget(catalog.facts.damaged_rows())


# Vectors


def _of_vectors(parts: Parts, damaged: list[DamagedRow]) -> Iterator[Finding]:
    catalog = parts.catalog
    quarantined = {*catalog.checksums.quarantined_rows()}
    for found in damaged:
        if found.row not in quarantined:
            yield Finding("vector", f"@{found.row}", f"its vector is damaged: {found.reason}", True)
    for row in sorted(quarantined.difference(catalog.images.removed_rows())):
        yield _of_quarantined(catalog, row)


def _of_quarantined(catalog: Catalog, row: int) -> Finding:
    paths = " or ".join(shown(path) for path in catalog.paths.of(row))
    what = "its vector is damaged, so searches leave it out until the vector is recomputed: "
    if _content(catalog, row) is not None:
        return Finding("quarantined", f"@{row}", f"{what}embed it again from {paths}", True)
    return Finding(
        "quarantined", f"@{row}", f"{what}bring {paths} back as it was and repair, or `vecstore remove @{row}`", False
    )


def _content(catalog: Catalog, row: int) -> bytes | None:
    """Return the bytes of the image of a row from one of its files that still has them."""
    sha256, _ = catalog.checksums.of(row)
    for path in catalog.paths.of(row):
        try:
            content = archives.read_path(path)
        except (OSError, decoding.Unreadable):
            continue
        if content.sha256 == sha256:
            return content.data
    return None


def _mend_vectors(parts: Parts) -> str:
    """Take damaged rows out of every answer, then embed those again whose file is there; return what prevented it."""
    catalog, file = parts.catalog, parts.vectors
    count = catalog.images.row_count()
    damaged = [found.row for found in damaged_rows(catalog, file)]
    with catalog.writing():
        catalog.checksums.quarantine(damaged)
        catalog.tags.drop_blocks(catalog.tags.damaged_blocks())
        catalog.picture_hashes.drop_blocks(catalog.picture_hashes.damaged_blocks())
        catalog.tags.clear(damaged)  # what was made of a damaged vector may be wrong
        catalog.images.purge_removed(quarantined_only=True)
    file.truncate_uncommitted(min(count, file.rows_there()))  # what an interrupted add has left
    file.rewrite_rows({}, count)
    for row in catalog.checksums.quarantined_rows():
        content = _content(catalog, row)
        if content is None:
            continue
        try:
            embedder = parts.embedder()
            image = decoding.decode(content, at_least=embedder.input_size)
            vector = quantize_unit_rows(calling.vectors_of(embedder, [calling.prepare(embedder, image)]))[0]
        except decoding.Unreadable:
            continue
        except VecstoreError as error:
            return f"; but not now: {error}"
        file.rewrite_rows({row: vector}, count)
        with catalog.writing():
            catalog.checksums.record([(row, checksum(vector, catalog.checksums.of(row)[0]))])
            catalog.checksums.release([row])
    return ""


# Clusters


def _of_clusterings(parts: Parts, damaged: list[DamagedRow]) -> Iterator[Finding]:
    catalog = parts.catalog
    now = catalog.clusterings.current()
    for number in catalog.clusterings.usable():
        if not _is_sound(catalog, number):
            what = "its centroids are damaged: it stays in the history, but cannot be used again"
            yield Finding("clustering", f"clustering {number}", what, True)
            continue
        strangers = catalog.memberships.rows_of_unknown_clusters(number)
        if strangers:
            where = f"clustering {number}: {len(strangers)} images"
            yield Finding("membership", where, "they are in clusters that it does not have", True)
        wrong_tree = tree_shape.faults_of(catalog, number)
        if wrong_tree:
            yield Finding("tree", f"tree of clustering {number}", "; ".join(wrong_tree), True)
    if now is None or not _is_sound(catalog, now):
        return
    missing = catalog.memberships.rows_without_cluster(now)
    if missing:
        yield Finding("membership", f"clustering {now}: {len(missing)} images", "they have no cluster", True)
    wrong = _misplaced(parts, now, damaged)
    if len(wrong):
        few = ", ".join(f"@{row}" for row in wrong[:10].tolist()) + (", ..." if len(wrong) > 10 else "")
        what = "they are not as far from their centroid as is on record"
        yield Finding("membership", f"clustering {now}: {few}", what, True)


def _is_sound(catalog: Catalog, number: int) -> bool:
    try:
        catalog.clusterings.centroids(number)
    except StoreDamaged:
        return False
    return True


def _misplaced(parts: Parts, number: int, damaged: list[DamagedRow]) -> NDArray[np.int64]:
    """Return the rows whose vector is not as far from the centroid of their cluster as is on record."""
    clusters = lifecycle.clusters_of(parts.catalog, number, parts.vectors.dim, parts.device)
    rows, ids, distances = lifecycle.memberships(parts.catalog, number)
    usable = ~np.isin(rows, [found.row for found in damaged])
    usable &= np.isin(ids, clusters.ids)
    rows, ids, distances = rows[usable], ids[usable], distances[usable]
    order = np.argsort(clusters.ids)
    position = order[np.searchsorted(clusters.ids, ids, sorter=order)]
    vectors = np.asarray(parts.vectors.read(min(parts.catalog.images.row_count(), parts.vectors.rows_there())))
    wrong = []
    for part in in_blocks(np.arange(len(rows)), rows_per_block(parts.vectors.dim, np.float32)):
        away = np.linalg.norm(vectors[rows[part]].astype(np.float32) - clusters.centroids[position[part]], axis=1)
        wrong.append(rows[part][~(np.abs(away - distances[part]) <= DISTANCE_ERROR)])
    return np.concatenate(wrong) if wrong else np.empty(0, np.int64)


def _mend_clusterings(parts: Parts) -> None:
    catalog = parts.catalog
    with catalog.writing():
        sound = []
        for number in catalog.clusterings.usable():
            if _is_sound(catalog, number):
                sound.append(number)
            else:
                catalog.clusterings.give_up_centroids(number)
        now = catalog.clusterings.current()
        if now is not None and now not in sound:
            now = sound[-1] if sound else None
            catalog.clusterings.make_current(now)
        for number in sound:
            catalog.memberships.forget(number, catalog.memberships.rows_of_unknown_clusters(number))
            if tree_shape.faults_of(catalog, number):
                tree_shape.mend(catalog, number, parts.vectors.dim)
        if now is not None:
            damaged = list(damaged_rows(catalog, parts.vectors))
            current = lifecycle.clusters_of(catalog, now, parts.vectors.dim, parts.device)
            wrong, held = {*_misplaced(parts, now, damaged).tolist()}, dict(catalog.memberships.pinned(now))
            catalog.memberships.forget(now, wrong - held.keys())
            catalog.memberships.measure(
                now, lifecycle.distances_of(current, _vectors(parts), wrong & held.keys(), held)
            )
            lifecycle.assign_missing(catalog, _vectors(parts), now, parts.device)


# Words


def _of_tags(parts: Parts) -> Iterator[Finding]:
    head = parts.folder / HEAD
    if head.exists() and read_head(head, parts.session.spec.to_json()) is None:
        yield Finding("head", HEAD, "it is damaged or of another embedder, and is not used", True)
    damaged = parts.catalog.tags.damaged_blocks()
    for block in damaged:
        yield Finding("tags", f"tags of @{block * BLOCK_ROWS} and on", "they are damaged", True)
    if parts.catalog.tags.are_kept() and not damaged:
        missing = tagging.untagged_rows(parts.session)
        if len(missing):
            yield Finding("tags", f"{len(missing)} images", "they have no words recorded", True)


def _of_picture_hashes(parts: Parts) -> Iterator[Finding]:
    """Mended by forgetting them: `duplicates` makes them again."""
    for block in parts.catalog.picture_hashes.damaged_blocks():
        yield Finding("picture hashes", f"picture hashes of @{block * BLOCK_ROWS} and on", "they are damaged", True)


def _mend_tags(parts: Parts) -> str:
    """Make damaged and missing tags again; return what prevented it."""
    if read_head(parts.folder / HEAD, parts.session.spec.to_json()) is None:
        (parts.folder / HEAD).unlink(missing_ok=True)
    with parts.catalog.writing():
        parts.catalog.tags.drop_blocks(parts.catalog.tags.damaged_blocks())
    try:
        if parts.catalog.tags.are_kept():
            tagging.fill(parts.session)
    except VecstoreError as error:
        return f"; but not now: {error}"
    return ""


# Facts


def _of_facts(parts: Parts) -> Iterator[Finding]:
    damaged = parts.catalog.facts.damaged_rows()
    if damaged:
        few = ", ".join(f"@{row}" for row in damaged[:10]) + (", ..." if len(damaged) > 10 else "")
        what = "these cannot be; a repair forgets them, and `vecstore facts --all` reads them again"
        yield Finding("facts", f"facts of {few}", what, True)


# Derived files


def _of_index(parts: Parts) -> Iterator[Finding]:
    from indexes.compressed import verify
    from indexes.index_metadata import InvalidIndex

    if not parts.index.exists():
        return
    if parts.vectors.rows_there() < parts.catalog.images.row_count():
        return  # reported already, and nothing to compare it with
    try:
        verify(parts.index, _vectors(parts))
    except (InvalidIndex, OSError) as error:
        yield Finding("index", parts.index.name, f"it is not used: {error}", True)


def _mend_index(parts: Parts) -> None:
    for left_over in parts.folder.glob(f"*{NEW}"):  # of a derived file whose writing was killed
        left_over.unlink()
    settings = IndexSettings.from_json(parts.catalog.index_settings())
    if list(_of_index(parts)):
        parts.index.unlink()
        parts.engine.build_index(settings)
    if any(finding.repairable for finding in _of_engine(parts)):
        parts.engine.build_index(settings, rebuild=True)


def _of_engine(parts: Parts) -> Iterator[Finding]:
    """Compare a server's vectors with ours. It may lag behind by changes not sent to it yet, which is not damage."""
    if not parts.engine.capabilities.keeps_vectors or parts.catalog.engine.pending_rows(1):
        return
    try:
        require_equal(parts.engine, parts.catalog, parts.vectors, "`vecstore index --rebuild` rebuilds it")
    except (EngineUnavailable, EngineRefused) as error:
        yield Finding("engine", parts.engine.name, str(error), False)
    except (NotFound, StoreDamaged) as error:
        yield Finding("engine", parts.engine.name, str(error), True)


def _of_checkpoint(parts: Parts) -> Iterator[Finding]:
    if not is_readable(parts.folder):
        what = "the checkpoint of a k-means run is damaged; the run starts over"
        yield Finding("checkpoint", CHECKPOINT, what, True)


def _vectors(parts: Parts) -> Float16:
    return parts.vectors.read(parts.catalog.images.row_count())


# Pictures


def _of_files(parts: Parts) -> Iterator[Finding]:
    for row, known in parts.catalog.paths.states():
        what = _changed(parts.catalog, row, known)
        if what is not None:
            yield Finding("file", shown(known.path), what, False)


def _changed(catalog: Catalog, row: int, known: FileStamp) -> str | None:
    """Return in words how a file is not what was added, None if it is."""
    if is_address(known.path):  # nothing on this machine
        return None
    file = on_disk(known.path)
    try:
        state = os.stat(file)
    except OSError as error:
        if (known.size, known.mtime_ns) == (0, 0):  # of imported vectors; there never was one
            return None
        return f"it cannot be looked at ({error.strerror}); `vecstore sync` forgets what is gone"
    if FileStamp(known.path, state.st_size, state.st_mtime_ns) != known:
        return "it has changed since; `vecstore sync` embeds it again"
    if file != known.path:  # a member: its archive is as it was, and reading on to each would take long
        return None
    try:
        content = decoding.read(file)
    except decoding.Unreadable as error:
        return f"it cannot be read: {error}"
    if content.sha256 != catalog.checksums.of(row)[0]:
        return "it has another content, but the same size and time: damaged, or changed unnoticed; restore or touch it"
    return None
