"""What is known of altered copies: a hash record of each image, and the pairs of images that were compared.

Both are derived from the pictures; what they say is not known here.
"""

from collections.abc import Iterable, Iterator

from vecstore.storage.catalog.connection import Database, Queries
from vecstore.storage.catalog.row_records import RowRecords

RECORD_BYTES = 49


class PictureHashes(RowRecords):
    """The hash record of each image, as `vecstore/likeness` makes them."""

    table, column, row_bytes, what = "picture_hashes", "hashes", RECORD_BYTES, "picture hashes"


class Pairs(Queries):
    """The pairs of rows that were compared, the lower row first; no relation: the one is no copy of the other.

    version: of the check that judged them.
    """

    def __init__(self, database: Database, hashes: PictureHashes) -> None:
        super().__init__(database)
        self._hashes = hashes

    def all(self) -> Iterator[tuple[int, int, str, float]]:
        """Yield (row, other row, relation of the other to the row, confidence) by row."""
        yield from self.db.execute("select row, other, relation, confidence from pairs order by row, other")

    def judged_before(self, version: int) -> list[tuple[int, int]]:
        """Return the pairs that an earlier version of the check judged, ascending."""
        query = "select row, other from pairs where version < :version order by row, other"
        return self.db.execute(query, {"version": version}).fetchall()

    def record(self, pairs: Iterable[tuple[int, int, str, float]], version: int) -> None:
        values = ((*pair, version) for pair in pairs)
        self.db.executemany("insert or replace into pairs values (?, ?, ?, ?, ?)", values)

    def forget(self, rows: Iterable[int]) -> None:
        """Forget all that is known of rows, ascending."""
        rows = list(rows)
        self._hashes.clear(rows)
        self.db.executemany("delete from pairs where row = :row or other = :row", ({"row": row} for row in rows))

    def clear(self) -> None:
        """Forget all of it, to be found again."""
        self.db.execute("delete from pairs")
        self.db.execute("delete from picture_hashes")
