"""The images: one row a content, dense from 0, never reused.

An image is alive while it has a path. A removed one keeps its row, because rows are positions in the vector file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vecstore.storage.catalog.checksums import Checksums
from vecstore.storage.catalog.connection import Database, Queries, now
from vecstore.storage.catalog.copies import Pairs
from vecstore.storage.catalog.sql import ALIVE, VACANT
from vecstore.storage.catalog.tags import Tags


@dataclass(frozen=True)
class NewImage:
    """An image to be numbered. sha256: of the file's bytes. width, height: as shown, orientation applied.

    checksum: of its vector and sha256 (`vectors.checksum`); None for one that has no vector, and answers nothing.
    """

    sha256: bytes
    width: int
    height: int
    checksum: int | None = None


class Images(Queries):
    """The images: their rows, contents and sizes."""

    def __init__(self, database: Database, checksums: Checksums, tags: Tags, pairs: Pairs) -> None:
        super().__init__(database)
        self._checksums = checksums
        self._tags = tags
        self._pairs = pairs

    def row_count(self) -> int:
        """Return the number of rows ever given out, removed ones included: the rows that the vector file holds."""
        return int(self._value("select coalesce(max(row) + 1, 0) from images"))

    def count(self) -> int:
        """Return the number of images that are alive."""
        return self.row_count() - int(self._value("select count(*) from removed"))

    def found_count(self) -> int:
        """Return how many images can be found: those that are alive, less those whose vector is quarantined."""
        return self.row_count() - len(self.hidden_rows())

    def alive_rows(self) -> list[int]:
        """Return the rows of the images that have a path, ascending."""
        return [row for (row,) in self.db.execute("select distinct row from paths order by row")]

    def searchable_rows(self) -> list[int]:
        """Return the rows of the living images whose vector can be used, ascending."""
        query = "select distinct row from paths where row not in (select row from quarantined) order by row"
        return [row for (row,) in self.db.execute(query)]

    def removed_rows(self) -> list[int]:
        """Return the rows of the images that have no path, ascending: few, and the others are not read."""
        return [row for (row,) in self.db.execute("select row from removed order by row")]

    def hidden_rows(self) -> list[int]:
        """Return the rows that are never found: of removed images, and of those whose vector is quarantined."""
        return sorted({*self.removed_rows(), *self._checksums.quarantined_rows()})

    def is_alive(self, row: int) -> bool:
        # An id from outside can be more than SQLite's integers hold.
        return 0 <= row < 1 << 63 and bool(self._value("select exists (select 1 from paths where row = :row)", row=row))

    def row_of(self, sha256: bytes) -> int | None:
        """Return the row of a content, also of a removed one: its vector is still there."""
        found = self.db.execute("select row from images where sha256 = :sha256", {"sha256": sha256}).fetchone()
        return int(found[0]) if found else None

    def rows_of(self, contents: Iterable[bytes]) -> dict[bytes, int]:
        """Return the rows of those contents that have one, also of removed images."""
        return dict(self._of_keys("select sha256, row from images where sha256 in ({keys})", contents))

    def alive_of(self, rows: Iterable[int]) -> set[int]:
        """Return which of the rows are of images that have a path."""
        return {row for (row,) in self._of_keys("select distinct row from paths where row in ({keys})", rows)}

    def sha256_of(self, row: int) -> bytes | None:
        """Return the sha256 of an image's content, also of a removed one; None for no such row."""
        found = self._value("select sha256 from images where row = :row", row=row)
        return None if found is None else bytes(found)

    def contents(self) -> Iterator[bytes]:
        """Yield the sha256 of every content that has a row, also of removed images: their vectors are still there."""
        for (sha256,) in self.db.execute("select sha256 from images"):
            yield bytes(sha256)

    def size_and_time(self, row: int) -> tuple[int, int, str]:
        """Return an image's width and height in pixels, and when it was added, in UTC."""
        query = "select width, height, added from images where row = :row"
        width, height, added = self.db.execute(query, {"row": row}).fetchone()
        return int(width), int(height), str(added)

    def newest_rows(self, limit: int, before: int | None = None) -> list[int]:
        """Return the living images, those added last first. before: only rows below this one."""
        query = f"""
            select   row from images
            where    row < :before and {ALIVE.format(row="images.row")}
            order by row desc
            limit    :limit"""
        values = {"before": self.row_count() if before is None else before, "limit": limit}
        return [row for (row,) in self.db.execute(query, values)]

    def added_since(self, moment: str) -> list[int]:
        """Return the rows of the images that were added at a moment, in UTC as `added` has it, or later."""
        return [row for (row,) in self.db.execute("select row from images where added >= :moment", {"moment": moment})]

    def pixel_counts(self) -> Iterator[tuple[int, int]]:
        """Yield (row, width x height) of every image, removed ones too, by row; 0 where it is not known."""
        yield from self.db.execute("select row, width * height from images order by row")

    def insert(self, row: int, *images: NewImage) -> None:
        """Number images, from `row` on."""
        moment = now()
        values = ((row, i.sha256, i.width, i.height, moment, i.checksum) for row, i in enumerate(images, start=row))
        self.db.insert_all("insert into images values {rows}", values)

    def purge_removed(self, quarantined_only: bool = False) -> int:
        """Forget the contents of removed images: their rows stay, empty, and a content that comes back is a new image.

        quarantined_only: only those whose vector is damaged, so that they cannot come back with it. Returns how many.
        """
        which = f"select row from removed {'where row in (select row from quarantined)' if quarantined_only else ''}"
        vacated = self.db.execute(
            f"update images set sha256 = {VACANT}, checksum = null where row in ({which}) and length(sha256) = 32"
        ).rowcount
        if vacated:
            vacant = "(select row from images where length(sha256) <> 32)"
            self.db.execute(f"delete from quarantined where row in {vacant}")
            for table in ("memberships", "membership_changes", "selected", "selected_changes", "facts"):
                self.db.execute(f"delete from {table} where row in {vacant}")
            self._tags.clear(self.vacant_rows())
            self._pairs.forget(self.vacant_rows())
        return vacated

    def vacant_rows(self) -> list[int]:
        """Return the rows whose image was removed and compacted, ascending."""
        return [row for (row,) in self.db.execute("select row from images where length(sha256) <> 32 order by row")]
