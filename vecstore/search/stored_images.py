"""What the store knows of its images, one by one and from the newest back."""

import os

from vecstore.image_ref import ImageRef, require_stored
from vecstore.results import StoredImage
from vecstore.session import Session


def image(session: Session, ref: ImageRef) -> StoredImage:
    """Return what the store knows of an image. Raises NotFound for one that is not stored."""
    with session.catalog.reading():
        return _described(session, require_stored(session, ref))


def newest(session: Session, k: int, before: int | None) -> list[StoredImage]:
    """Return the k images that were added last; see `Store.images`."""
    with session.catalog.reading():
        n_rows = session.catalog.images.row_count()
        before = n_rows if before is None else min(max(before, 0), n_rows)
        return [_described(session, row) for row in session.catalog.images.newest_rows(min(k, n_rows), before)]


def _described(session: Session, row: int) -> StoredImage:
    catalog = session.catalog
    cluster, distance = catalog.memberships.cluster_of(row) or (None, None)
    paths = tuple(os.fsdecode(path) for path in catalog.paths.of(row))
    return StoredImage(row, paths, *catalog.images.size_and_time(row), cluster, distance)
