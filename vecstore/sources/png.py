"""A PNG's chunks: what Pillow gives up on that no pixel needs.

Pillow refuses a picture for the checksum of an optional chunk, and for text or a profile of more than 1 MiB; viewers
show it. What is needed to show a picture as it is meant is kept as it is. This module decodes nothing.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS, _END = b"IDAT", b"IEND"
# How to show it: the transparent colour, the camera's block, which says what is up, and the frames of an animation.
_ANIMATION = frozenset((b"acTL", b"fcTL", b"fdAT"))
_SHOWN_BY = frozenset((b"tRNS", b"eXIf"))
_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
# Texts that can say what is up.
_KEYWORDS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")
# Pillow refuses texts that are longer when they are unpacked.
_MAX_TEXT_BYTES = 1 << 20


class Chunk(NamedTuple):
    """is_whole: its bytes are all there. is_right: its checksum is that of its bytes."""

    kind: bytes
    body: bytes
    is_whole: bool
    is_right: bool

    @property
    def is_optional(self) -> bool:
        return bool(self.kind[:1].islower())


def without_metadata(png: bytes) -> Iterator[bytes]:
    """Yield the picture with the sound chunks that say how to show it, and with none but those of its pixels.

    The chunk that ends it is added where it is missing: that all pixels are there is seen in decoding them.
    """
    if not png.startswith(SIGNATURE):
        return
    chunks = list(_chunks(png))
    shown = [chunk for chunk in chunks if not chunk.is_optional or _says_how_to_show(chunk)]
    plain = [chunk for chunk in shown if not chunk.is_optional or chunk.kind == b"tRNS"]
    for kept in (shown, plain):
        yield SIGNATURE + b"".join(map(_written, kept)) + _written(Chunk(_END, b"", True, True))


def _chunks(png: bytes) -> Iterator[Chunk]:
    """Yield the chunks before the end of the picture; the last one may be cut off."""
    at = len(SIGNATURE)
    while at + 8 <= len(png):
        length, kind = int.from_bytes(png[at : at + 4]), png[at + 4 : at + 8]
        if kind == _END:
            return
        body, checksum = png[at + 8 : at + 8 + length], png[at + 8 + length : at + 12 + length]
        yield Chunk(kind, body, len(body) == length, int.from_bytes(checksum) == zlib.crc32(body, zlib.crc32(kind)))
        at += 12 + length


def _says_how_to_show(chunk: Chunk) -> bool:
    if not (chunk.is_whole and chunk.is_right):
        return False
    if chunk.kind in _TEXTS:
        return chunk.body.startswith(_KEYWORDS) and _unpacked_bytes(chunk) <= _MAX_TEXT_BYTES
    return chunk.kind in _SHOWN_BY or chunk.kind in _ANIMATION


def _unpacked_bytes(chunk: Chunk) -> int:
    """Return how long a text is, or some number beyond the limit."""
    rest = chunk.body.partition(b"\0")[2]
    if chunk.kind == b"iTXt" and rest[:1] == b"\1":
        rest = b"\0" + rest[2:].split(b"\0", 2)[-1]
    elif chunk.kind != b"zTXt":
        return len(chunk.body)
    try:
        return len(zlib.decompressobj().decompress(rest[1:], _MAX_TEXT_BYTES + 1))
    except zlib.error:
        return _MAX_TEXT_BYTES + 1


def _written(chunk: Chunk) -> bytes:
    checksum = zlib.crc32(chunk.body, zlib.crc32(chunk.kind))
    # A chunk whose pixels or palette are damaged is not to be made to look sound.
    is_damaged = chunk.is_whole and not chunk.is_right
    stored = struct.pack(">I", checksum ^ is_damaged)
    return struct.pack(">I", len(chunk.body)) + chunk.kind + chunk.body + stored
