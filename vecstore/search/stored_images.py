"""What the store knows of its images, one by one and from the newest back."""

import os
from collections.abc import Iterable

from vecstore.image_ref import ImageRef, require_stored
from vecstore.results import StoredImage
from vecstore.session import Session
from vecstore.sources.paths import is_gone
from vecstore.storage.catalog.catalog import Catalog

# Of a picture that was seen at more places, the first ones speak for the others.
PATHS_LOOKED_AT = 20


def image(session: Session, ref: ImageRef) -> StoredImage:
    """Return what the store knows of an image. Raises NotFound for one that is not stored."""
    with session.catalog.reading():
        return described(session, require_stored(session, ref))


def newest(session: Session, k: int, before: int | None) -> list[StoredImage]:
    """Return the k images that were added last; see `Store.images`."""
    with session.catalog.reading():
        n_rows = session.catalog.images.row_count()
        before = n_rows if before is None else min(max(before, 0), n_rows)
        return [described(session, row) for row in session.catalog.images.newest_rows(min(k, n_rows), before)]


def count_without_file(session: Session, rows: Iterable[int]) -> int:
    """Return how many of these images have no file left at any of their paths; see `Store.count_without_file`."""
    with session.catalog.reading():
        return sum(_is_without_file(session.catalog, row) for row in rows)


def _is_without_file(catalog: Catalog, row: int) -> bool:
    recorded = ((path, catalog.paths.known(path)) for path in catalog.paths.of(row)[:PATHS_LOOKED_AT])
    # A vector that was imported without a file has none to miss.
    paths = [path for path, known in recorded if known is not None and (known.size, known.mtime_ns) != (0, 0)]
    return bool(paths) and all(map(is_gone, paths))


def described(session: Session, row: int) -> StoredImage:
    """Return what the catalog says of an image. Inside a transaction."""
    catalog = session.catalog
    cluster, distance = catalog.memberships.cluster_of(row) or (None, None)
    paths = tuple(os.fsdecode(path) for path in catalog.paths.of(row))
    facts = catalog.facts.of(row)
    return StoredImage(row, paths, *catalog.images.size_and_time(row), cluster, distance, facts)
