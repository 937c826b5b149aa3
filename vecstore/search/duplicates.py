"""Groups of equal and nearly equal images, each with the one to keep.

Equal is the same content under several paths: the catalog knows. Nearly equal is a matter of scores: every other image
of a group is near to its representative, and no two representatives are near. A chain of images, each a little
different from the one before, is therefore not a group: its ends need not look alike.
"""

import os
from collections.abc import Iterator

import numpy as np

from vecstore.results import Duplicate
from vecstore.session import Session
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.checksums import ChecksumVerifier
from vecstore.storage.vector_file import Float16

KEEP, COPY, NEAR = "keep", "copy", "near"


def duplicates(session: Session, min_score: float, exact: bool) -> Iterator[Duplicate]:
    """Return the groups of equal and nearly equal images; see `Store.duplicates`."""
    with session.catalog.reading():
        return iter(find(session.catalog, None if exact else session.vectors(), min_score))


def find(catalog: Catalog, vectors: Float16 | None, min_score: float) -> Iterator[Duplicate]:
    """Return the groups, a path at a time, by their representatives' ids; all is compared before this returns.

    vectors: (rows, dim) float16, may be mapped; None to find equal images alone.
    """
    others = _near(catalog, vectors, min_score) if vectors is not None else {}
    near = {row for members in others.values() for row, _ in members}
    representatives = sorted({*others, *catalog.paths.rows_with_copies()} - near)
    guard = ChecksumVerifier(catalog, vectors) if vectors is not None else None
    return _groups(catalog, representatives, others, guard)


def _near(catalog: Catalog, vectors: Float16, min_score: float) -> dict[int, list[tuple[int, float]]]:
    """Return, for every representative that others are near to, these as (row, score), nearest first."""
    from indexes.near_duplicates import find_representatives

    counted = np.asarray(np.fromiter(catalog.images.pixel_counts(), np.dtype((np.int64, 2))), np.int64)
    counted = np.delete(counted, catalog.images.hidden_rows(), axis=0)
    rows = counted[np.lexsort((counted[:, 0], -counted[:, 1])), 0]
    found = find_representatives(vectors, rows, min_score)
    others: dict[int, list[tuple[int, float]]] = {}
    passed_over = np.flatnonzero(found.rows != rows)
    for i in passed_over[np.lexsort((rows[passed_over], -found.scores[passed_over]))].tolist():
        others.setdefault(int(found.rows[i]), []).append((int(rows[i]), float(found.scores[i])))
    return others


def _groups(
    catalog: Catalog,
    representatives: list[int],
    others: dict[int, list[tuple[int, float]]],
    guard: ChecksumVerifier | None,
) -> Iterator[Duplicate]:
    number = 0
    for representative in representatives:
        with catalog.reading():
            members = [(representative, 1.0), *others.get(representative, [])]
            seen = [(row, path, score) for row, score in members for path in catalog.paths.of(row)]
            if guard is not None:
                guard.require(row for row, _, _ in seen)
        if len(seen) > 1:  # the images of a group may have been removed meanwhile
            number += 1
            for place, (row, path, score) in enumerate(seen):
                kind = NEAR if row != representative else COPY if place else KEEP
                yield Duplicate(number, kind, row, os.fsdecode(path), score)
