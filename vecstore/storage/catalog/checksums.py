"""The recorded checksums of vectors and contents, and the quarantine of rows that do not match theirs."""

from collections.abc import Iterable

from vecstore.storage.catalog.connection import Queries


class Checksums(Queries):
    """The checksums on record, and the rows in quarantine."""

    def of_rows(self, first: int, beyond: int) -> list[tuple[int, bytes, int | None]]:
        """Return (row, sha256, checksum) of the rows from first up to and without beyond that are not vacant."""
        query = """
            select row, sha256, checksum from images
            where  row >= :first and row < :beyond and length(sha256) = 32
            order  by row"""
        return self.db.execute(query, {"first": first, "beyond": beyond}).fetchall()

    def of(self, row: int) -> tuple[bytes, int | None]:
        """Return a row's sha256 and checksum."""
        found = self.db.execute("select sha256, checksum from images where row = :row", {"row": row}).fetchone()
        return (found[0], found[1]) if found else (b"", None)

    def of_each(self, rows: Iterable[int]) -> dict[int, tuple[bytes, int | None]]:
        """Return the sha256 and checksum of the rows that there are, by row."""
        query = "select row, sha256, checksum from images where row in ({keys})"
        return {row: (sha256, recorded) for row, sha256, recorded in self._of_keys(query, rows)}

    def record(self, checksums: Iterable[tuple[int, int]]) -> None:
        """Record (row, checksum)."""
        self.db.executemany("update images set checksum = ?2 where row = ?1", checksums)

    def known_from(self) -> int:
        """Return the row from which on checksums are as old as the vectors; those below were taken later."""
        return int(self._value("select checksums_from from store"))

    def quarantined_rows(self) -> list[int]:
        return [row for (row,) in self.db.execute("select row from quarantined order by row")]

    def quarantine(self, rows: Iterable[int]) -> None:
        """Let these rows not be found any more."""
        self.db.executemany("insert or ignore into quarantined values (?)", ((row,) for row in rows))

    def release(self, rows: Iterable[int]) -> None:
        """Let rows be found again that were quarantined."""
        self.db.executemany("delete from quarantined where row = ?", ((row,) for row in rows))
