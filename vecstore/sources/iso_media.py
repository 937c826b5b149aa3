"""The boxes of an ISO media file, which HEIC, HEIF and AVIF are: where the picture ends, and which items it is made of.

The format: ISO/IEC 14496-12 (boxes, items) and 23008-12 (grids). This module decodes nothing.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

# What a picture consists of. Cameras put other data behind these: a video, or bytes that are no box at all.
_OF_A_PICTURE = frozenset(b"ftyp meta mdat moov moof idat free skip wide uuid sidx styp pdin".split())


class Box(NamedTuple):
    """at: where its length is. body: where its content begins. end: behind it, perhaps beyond the file."""

    kind: bytes
    at: int
    body: int
    end: int


def boxes(content: bytes, at: int = 0, end: int | None = None) -> Iterator[Box]:
    """Yield the boxes that lie one behind the other in a part of the file."""
    end = len(content) if end is None else end
    while at + 8 <= end:
        size, body = int.from_bytes(content[at : at + 4]), at + 8
        if size == 1:
            size, body = int.from_bytes(content[at + 8 : at + 16]), at + 16
        if size and size < body - at:
            return
        box = Box(content[at + 4 : at + 8], at, body, at + size if size else end)  # 0: as long as what is around it
        yield box
        at = box.end


def is_cut_off(content: bytes) -> bool:
    """Say whether a file is shorter than the boxes of its picture."""
    return any(box.kind in _OF_A_PICTURE and box.end > len(content) for box in boxes(content))


def without_trailer(content: bytes) -> bytes:
    """Return the file up to the first bytes that are no box of a picture."""
    end = 0
    for box in boxes(content):
        if box.kind not in _OF_A_PICTURE:
            break
        end = box.end
    return content[:end]


@dataclass
class Item:
    """properties: the boxes that tell of it, in order, as they lie in the file. extents: where its bytes are."""

    kind: bytes = b""
    properties: list[bytes] = field(default_factory=list)
    extents: list[tuple[int, int]] = field(default_factory=list)
    made_of: list[int] = field(default_factory=list)

    def data(self, content: bytes) -> bytes:
        """Return its bytes, fewer than its extents say if the file ends before; IndexError if they overlap."""
        if sum(length for _, length in self.extents) > len(content):
            raise IndexError("an item has more bytes than the file")
        return b"".join(content[at : at + length] for at, length in self.extents)


def items(content: bytes) -> tuple[int, dict[int, Item]]:
    """Return the number of the item that is the picture, and all items by number.

    Raises KeyError, IndexError or StopIteration where a box is not as it should be.
    """
    meta = next(box for box in boxes(content) if box.kind == b"meta")
    inside = {box.kind: box for box in boxes(content, meta.body + 4, meta.end)}
    found: dict[int, Item] = {}
    _read_kinds(content, inside[b"iinf"], found)
    _read_extents(content, inside, found)
    _read_properties(content, inside[b"iprp"], found)
    if b"iref" in inside:
        _read_references(content, inside[b"iref"], found)
    primary = _Reader(content, inside[b"pitm"].body)
    version = primary.version()
    return primary.number(4 if version else 2), found


class _Reader:
    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self.at = at

    def number(self, n_bytes: int) -> int:
        self.at += n_bytes
        if self.at > len(self._content):
            raise IndexError("a box is shorter than what is in it")
        return int.from_bytes(self._content[self.at - n_bytes : self.at])

    def version(self) -> int:
        """Return the version of a box that has one, and pass over its flags."""
        return self.number(4) >> 24


def _read_kinds(content: bytes, iinf: Box, found: dict[int, Item]) -> None:
    reader = _Reader(content, iinf.body)
    reader.number(4 if reader.version() else 2)  # how many there are
    for box in boxes(content, reader.at, iinf.end):
        entry = _Reader(content, box.body)
        number = entry.number(4 if entry.version() > 2 else 2)
        found[number] = Item(content[entry.at + 2 : entry.at + 6])


def _read_extents(content: bytes, inside: dict[bytes, Box], found: dict[int, Item]) -> None:
    reader = _Reader(content, inside[b"iloc"].body)
    version, sizes = reader.version(), reader.number(2)
    of_offset, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    if not of_offset or not of_length:  # then a count of extents takes no bytes, and may be any
        raise IndexError("an item's place is not said")
    for _ in range(reader.number(4 if version == 2 else 2)):
        number = reader.number(4 if version == 2 else 2)
        from_idat = version > 0 and reader.number(2) & 15 == 1
        reader.number(2)  # in which file
        base = reader.number(of_base) + (inside[b"idat"].body if from_idat else 0)
        for _ in range(reader.number(2)):
            reader.number(of_index if version > 0 else 0)
            extent = (base + reader.number(of_offset), reader.number(of_length))
            if number in found:
                found[number].extents.append(extent)


def _read_properties(content: bytes, iprp: Box, found: dict[int, Item]) -> None:
    inside = {box.kind: box for box in boxes(content, iprp.body, iprp.end)}
    ipco = inside[b"ipco"]
    properties = [content[box.at : box.end] for box in boxes(content, ipco.body, ipco.end)]
    reader = _Reader(content, inside[b"ipma"].body)
    head = reader.number(4)
    for _ in range(reader.number(4)):
        number = reader.number(4 if head >> 24 else 2)
        for _ in range(reader.number(1)):
            index = reader.number(2) & 0x7FFF if head & 1 else reader.number(1) & 0x7F
            if index and number in found:
                found[number].properties.append(properties[index - 1])


def _read_references(content: bytes, iref: Box, found: dict[int, Item]) -> None:
    reader = _Reader(content, iref.body)
    n_bytes = 4 if reader.version() else 2
    for box in boxes(content, reader.at, iref.end):
        entry = _Reader(content, box.body)
        number = entry.number(n_bytes)
        if box.kind == b"dimg" and number in found:
            found[number].made_of = [entry.number(n_bytes) for _ in range(entry.number(2))]


def still(item: Item, data: bytes, more_properties: list[bytes]) -> bytes:
    """Return a HEIC file of one item, as large as its data."""
    properties = item.properties + more_properties
    association = struct.pack(">IIHB", 0, 1, 1, len(properties)) + bytes(range(1, len(properties) + 1))
    kinds = struct.pack(">IH", 0, 1) + _box(b"infe", struct.pack(">IHH", 2 << 24, 1, 0) + item.kind + b"\0")
    ftyp = _box(b"ftyp", b"heic\0\0\0\0mif1heic")

    def meta(at: int) -> bytes:
        return _box(
            b"meta",
            bytes(4)
            + _box(b"hdlr", bytes(8) + b"pict" + bytes(13))
            + _box(b"pitm", struct.pack(">IH", 0, 1))
            + _box(b"iloc", struct.pack(">IHHHHHII", 0, 0x4400, 1, 1, 0, 1, at, len(data)))
            + _box(b"iinf", kinds)
            + _box(b"iprp", _box(b"ipco", b"".join(properties)) + _box(b"ipma", association)),
        )

    return ftyp + meta(len(ftyp) + len(meta(0)) + 8) + _box(b"mdat", data)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body
