"""Giving the room of removed images back, while every other image keeps its id and its place in the file.

First the catalog forgets the contents, in one transaction: from then on the rows are of no image, and a content that
comes back is a new one. Their room is given back only when no reader can still see the moment before. A kill in between
leaves rows whose room the next compaction gives back.
"""

import logging
import time

from vecstore.engines.engine import Engine
from vecstore.errors import StoreBusy
from vecstore.results import CompactReport
from vecstore.session import Session
from vecstore.sources.paths import bytes_on_disk
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.vector_file import VectorFile

log = logging.getLogger(__name__)


def compact(session: Session, keep_clusterings: int | None) -> CompactReport:
    """Give the room of removed images back to the disk; see `Store.compact`."""
    started = time.monotonic()
    with session.writing():
        before = bytes_on_disk(session.path)
        images = _give_back(session.catalog, session.vector_file(), session.engine, keep_clusterings)
        return CompactReport(images, before, bytes_on_disk(session.path), time.monotonic() - started)


def _give_back(catalog: Catalog, file: VectorFile, engine: Engine, keep_clusterings: int | None) -> int:
    """Empty the rows of removed images, and make catalog and index smaller; return how many rows. The lock is held."""
    if not engine.capabilities.keeps_vectors and not {*catalog.images.removed_rows()} <= {
        *catalog.images.vacant_rows()
    }:
        engine.drop()  # or a kill would leave an index of rows that are no more
    with catalog.writing():
        vacated = catalog.images.purge_removed()
        if keep_clusterings is not None:
            catalog.memberships.forget_labels(keep_clusterings)
    vacant = catalog.images.vacant_rows()
    if vacant:
        if not catalog.checkpoint_wal():
            raise StoreBusy(
                f"another process still reads an earlier state of the store {file.path.parent}; the removed images are "
                "forgotten, and the next `vecstore compact` frees their disk space"
            )
        file.punch_holes(vacant)
        log.info("gave the room of %d rows back", len(vacant))
    catalog.vacuum()
    catalog.checkpoint_wal()  # what the vacuum wrote is in the log until then
    if catalog.images.count():
        engine.keep_up()
    return vacated
