"""The tags: the best classes of each image with their probabilities, as `vecstore/words` makes them.

A row's tags are `ROW_BYTES` bytes, all 0 where it has none; many rows are in one record, a block, because reading a
million records takes longer than anything that is done with them. What the bytes mean is not known here.
"""

import zlib
from collections.abc import Iterable, Iterator

from vecstore.errors import StoreDamaged
from vecstore.storage.catalog.connection import Queries

ROW_BYTES = 20
BLOCK_ROWS = 4_096
NONE = bytes(ROW_BYTES)


class Tags(Queries):
    """The tags of the images, and whether an add records them."""

    def are_kept(self) -> bool:
        """Say whether tags were asked for, so that every add records those of its images."""
        return bool(self._value("select keeps_tags from store"))

    def keep(self) -> None:
        self.db.execute("update store set keeps_tags = 1")

    def of(self, row: int) -> bytes | None:
        """Return the tags of a row, None if it has none. Raises StoreDamaged."""
        block, place = divmod(row, BLOCK_ROWS)
        found = self._block(block)[place * ROW_BYTES : (place + 1) * ROW_BYTES]
        return None if found in (b"", NONE) else found

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield (first row, tags of the rows from there on) of each block, ascending. Raises StoreDamaged."""
        for block, classes, checksum in self.db.execute("select block, classes, checksum from tags order by block"):
            yield block * BLOCK_ROWS, _sound(block, classes, checksum)

    def block_numbers(self) -> list[int]:
        return [block for (block,) in self.db.execute("select block from tags order by block")]

    def block(self, block: int) -> tuple[int, bytes]:
        """Return the first row of a block, and the tags of the rows from there on. Raises StoreDamaged."""
        return block * BLOCK_ROWS, self._block(block)

    def put(self, tags: Iterable[tuple[int, bytes]]) -> None:
        """Record (row, tags), those of one block one after the other."""
        current, rows = None, bytearray()
        for row, found in tags:
            block, place = divmod(row, BLOCK_ROWS)
            if block != current:
                self._write(current, rows)
                current, rows = block, bytearray(self._block(block))
            rows.extend(bytes(max(0, (place + 1) * ROW_BYTES - len(rows))))
            rows[place * ROW_BYTES : (place + 1) * ROW_BYTES] = found
        self._write(current, rows)

    def clear(self, rows: Iterable[int]) -> None:
        """Forget the tags of rows, ascending."""
        known = {block for (block,) in self.db.execute("select block from tags")}
        self.put((row, NONE) for row in rows if row // BLOCK_ROWS in known)

    def damaged_blocks(self) -> list[int]:
        """Return the blocks that are not what was recorded."""
        query = "select block, classes, checksum from tags order by block"
        return [block for block, classes, checksum in self.db.execute(query) if not _is_sound(classes, checksum)]

    def drop_blocks(self, blocks: Iterable[int]) -> None:
        self.db.executemany("delete from tags where block = ?", ((block,) for block in blocks))

    def _block(self, block: int) -> bytes:
        query = "select classes, checksum from tags where block = :block"
        found = self.db.execute(query, {"block": block}).fetchone()
        return _sound(block, *found) if found else b""

    def _write(self, block: int | None, rows: bytearray) -> None:
        if block is None:
            return
        values = {"block": block, "classes": bytes(rows), "checksum": zlib.crc32(rows)}
        self.db.execute("insert or replace into tags values (:block, :classes, :checksum)", values)


def _is_sound(classes: object, checksum: object) -> bool:
    return isinstance(classes, bytes) and len(classes) % ROW_BYTES == 0 and zlib.crc32(classes) == checksum


def _sound(block: int, classes: object, checksum: object) -> bytes:
    if not _is_sound(classes, checksum) or not isinstance(classes, bytes):
        raise StoreDamaged(
            f"the tags of the images from @{block * BLOCK_ROWS} on are damaged; `vecstore check --repair` makes them "
            "again"
        )
    return classes
