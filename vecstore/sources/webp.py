"""A WebP's chunks: what may be missing behind its pixels. This module decodes nothing."""

from collections.abc import Iterator

_PICTURE = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"))
_PIXELS = frozenset((b"VP8 ", b"VP8L", b"ANMF"))
_HEADER = b"VP8X"
# What the bits of the header say there is.
_METADATA = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}


def without_metadata(webp: bytes) -> Iterator[bytes]:
    """Yield the picture with the metadata that is whole, and with its pixels alone, if all of those are there."""
    at, chunks = 12, []
    while at + 8 <= len(webp):
        kind, length = webp[at : at + 4], int.from_bytes(webp[at + 4 : at + 8], "little")
        body = webp[at + 8 : at + 8 + length]
        if len(body) == length:
            chunks.append((kind, body))
        elif kind in _PICTURE:
            return
        at += 8 + length + length % 2
    if any(kind in _PIXELS for kind, _ in chunks):
        yield _written([(kind, body) for kind, body in chunks if kind in _PICTURE or kind in _METADATA])
        yield _written([(kind, body) for kind, body in chunks if kind in _PICTURE])


def _written(chunks: list[tuple[bytes, bytes]]) -> bytes:
    there = {kind for kind, _ in chunks}
    absent = sum(bit for kind, bit in _METADATA.items() if kind not in there)
    found = b"WEBP"
    for kind, body in chunks:
        if kind == _HEADER:
            body = bytes([body[0] & ~absent]) + body[1:]
        found += kind + len(body).to_bytes(4, "little") + body + bytes(len(body) % 2)
    return b"RIFF" + len(found).to_bytes(4, "little") + found
