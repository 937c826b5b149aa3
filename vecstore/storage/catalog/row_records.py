"""A few bytes for each row, many rows in one record, since reading a million records takes long.

A row's bytes are all 0 where it has none. What they mean is not known here.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import ClassVar

from vecstore.errors import StoreDamaged
from vecstore.storage.catalog.connection import Queries

BLOCK_ROWS = 4_096


class RowRecords(Queries):
    """The bytes of the rows. table: (block, bytes, checksum). what, repair: for the message about damaged ones."""

    table: ClassVar[str]
    column: ClassVar[str]
    row_bytes: ClassVar[int]
    what: ClassVar[str]
    repair: ClassVar[str] = "`vecstore check --repair` makes them again"

    def of(self, row: int) -> bytes | None:
        """Return the bytes of a row, None if it has none. Raises StoreDamaged."""
        block, place = divmod(row, BLOCK_ROWS)
        found = self._block(block)[place * self.row_bytes : (place + 1) * self.row_bytes]
        return found if any(found) else None

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield (first row, bytes of the rows from there on) of each block, ascending. Raises StoreDamaged."""
        for block, found, _ in self.blocks_with_checksums():
            yield block * BLOCK_ROWS, found

    def blocks_with_checksums(self) -> Iterator[tuple[int, bytes, int]]:
        """Yield (number, bytes of its rows, checksum of these) of each block, ascending. Raises StoreDamaged."""
        for block, found, checksum in self.db.execute(self._all()):
            yield block, self._sound(block, found, checksum), checksum

    def block_numbers(self) -> list[int]:
        return [block for (block,) in self.db.execute(f"select block from {self.table} order by block")]

    def block(self, block: int) -> tuple[int, bytes]:
        """Return the first row of a block, and the bytes of the rows from there on. Raises StoreDamaged."""
        return block * BLOCK_ROWS, self._block(block)

    def put(self, records: Iterable[tuple[int, bytes]]) -> None:
        """Record (row, bytes), those of one block one after the other."""
        current, rows = None, bytearray()
        for row, found in records:
            block, place = divmod(row, BLOCK_ROWS)
            if block != current:
                self._write(current, rows)
                current, rows = block, bytearray(self._block(block))
            rows.extend(bytes(max(0, (place + 1) * self.row_bytes - len(rows))))
            rows[place * self.row_bytes : (place + 1) * self.row_bytes] = found
        self._write(current, rows)

    def clear(self, rows: Iterable[int]) -> None:
        """Forget the bytes of rows, ascending."""
        known = {*self.block_numbers()}
        self.put((row, bytes(self.row_bytes)) for row in rows if row // BLOCK_ROWS in known)

    def damaged_blocks(self) -> list[int]:
        """Return the blocks that are not what was recorded."""
        return [block for block, found, checksum in self.db.execute(self._all()) if not self._is_sound(found, checksum)]

    def drop_blocks(self, blocks: Iterable[int]) -> None:
        self.db.executemany(f"delete from {self.table} where block = ?", ((block,) for block in blocks))

    def _all(self) -> str:
        return f"select block, {self.column}, checksum from {self.table} order by block"

    def _block(self, block: int) -> bytes:
        query = f"select {self.column}, checksum from {self.table} where block = :block"
        found = self.db.execute(query, {"block": block}).fetchone()
        return self._sound(block, *found) if found else b""

    def _write(self, block: int | None, rows: bytearray) -> None:
        if block is None:
            return
        values = {"block": block, "rows": bytes(rows), "checksum": zlib.crc32(rows)}
        self.db.execute(f"insert or replace into {self.table} values (:block, :rows, :checksum)", values)

    def _is_sound(self, found: object, checksum: object) -> bool:
        return isinstance(found, bytes) and len(found) % self.row_bytes == 0 and zlib.crc32(found) == checksum

    def _sound(self, block: int, found: object, checksum: object) -> bytes:
        if not self._is_sound(found, checksum) or not isinstance(found, bytes):
            raise StoreDamaged(
                f"the {self.what} of the images from @{block * BLOCK_ROWS} on are damaged; {self.repair}"
            )
        return found
