"""Checksums: verify that a stored vector is the one that was committed with its image.

Each row's checksum is recorded by the commit that adds it: the CRC-32 of its bytes and of its image's sha256
(`vector_file.checksum`). A query verifies the few rows in its answer; `vecstore check` verifies all of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.rows import release_pages
from vecstore.errors import StoreDamaged
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.vector_file import Float16, VectorFile, checksum

# Number of checksums read from the catalog at a time.
CATALOG_ROWS = 4_096
# Tolerance for the squared length of a stored row; the error from float16 is less than 1e-3.
LENGTH_ERROR = 5e-3
NEXT_STEP = "`vecstore check --repair` embeds it again from its file"


class ChecksumVerifier:
    """Verifies the rows of an answer, each row once."""

    def __init__(self, catalog: Catalog, vectors: Float16) -> None:
        """vectors: (n_rows, dim) float16, mapped: all rows that the catalog counts."""
        self._catalog = catalog
        self._vectors = vectors
        # A bit a row: a byte a row took 0.4 ms of each query at a million rows.
        self._checked = bytearray(len(vectors) // 8 + 1)

    def require(self, rows: Iterable[int]) -> None:
        """Raise StoreDamaged unless the vectors of these rows have their recorded checksums."""
        left = [row for row in rows if not self._checked[row >> 3] >> (row & 7) & 1]
        known = self._catalog.checksums.of_each(left)
        for row in left:
            sha256, recorded = known.get(row, (b"", None))
            if recorded != checksum(self._vectors[row], sha256):
                raise StoreDamaged(f"the vector of @{row} is damaged; {NEXT_STEP}")
            self._checked[row >> 3] |= 1 << (row & 7)


@dataclass(frozen=True)
class DamagedRow:
    """A row whose vector is not the one that was committed, and the reason to think so."""

    row: int
    reason: str


def damaged_rows(catalog: Catalog, file: VectorFile, rows: range | None = None) -> Iterator[DamagedRow]:
    """Yield the rows, ascending, whose vector is missing or is not the one that was committed.

    Rows of compacted images are skipped.

    Parameters
    ----------
    catalog: of the store.
    file: may be shorter than the catalog counts; its missing rows are damaged.
    rows: verify only these; None: all that the catalog counts.
    """
    rows = range(catalog.images.row_count()) if rows is None else rows
    there = min(file.rows_there(), rows.stop)
    vectors = np.asarray(file.read(there))
    for start in range(rows.start, rows.stop, CATALOG_ROWS):
        for row, sha256, recorded in catalog.checksums.of_rows(start, min(start + CATALOG_ROWS, rows.stop)):
            reason = "it is missing" if row >= there else _what_is_wrong(vectors[row], sha256, recorded)
            if reason is not None:
                yield DamagedRow(row, reason)


def require_rows(catalog: Catalog, vectors: Float16, rows: NDArray[np.int64]) -> None:
    """Verify the vectors of many rows, and release the mapped pages.

    Parameters
    ----------
    catalog: inside a read transaction.
    vectors: (n_rows, dim) float16, mapped: all rows that the catalog counts.
    rows: (n,) int64, the rows to verify.

    Raises
    ------
    StoreDamaged: the vector of a row does not have its recorded checksum; the message names the first.
    """
    wanted = np.zeros(len(vectors), np.bool_)
    wanted[rows] = True
    plain = np.asarray(vectors)
    for start in range(0, len(vectors), CATALOG_ROWS):
        for row, sha256, recorded in catalog.checksums.of_rows(start, start + CATALOG_ROWS):
            if wanted[row] and recorded != checksum(plain[row], sha256):
                raise StoreDamaged(f"the vector of @{row} is damaged; {NEXT_STEP}")
        release_pages(vectors)


def record_missing(catalog: Catalog, file: VectorFile) -> None:
    """Record checksums of the rows of an older store, computed from the vectors as they are."""
    count = catalog.images.row_count()
    vectors = np.asarray(file.read(min(file.rows_there(), count)))
    for start in range(0, len(vectors), CATALOG_ROWS):
        block = catalog.checksums.of_rows(start, min(start + CATALOG_ROWS, len(vectors)))
        catalog.checksums.record((row, checksum(vectors[row], sha256)) for row, sha256, _ in block)


def _what_is_wrong(vector: Float16, sha256: bytes, recorded: int | None) -> str | None:
    if recorded is None:
        return "it has no checksum"
    if recorded != checksum(vector, sha256):
        return "its checksum is not the recorded one"
    wide = vector.astype(np.float64)
    squared = float(np.dot(wide, wide))
    # Only possible in a store that is older than checksums: they were computed from a vector that was already damaged.
    return None if abs(squared - 1) <= LENGTH_ERROR else f"its length is {squared**0.5:.3f}, and not 1"
