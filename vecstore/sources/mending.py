"""What a decoder gives up on although every pixel is there, made such that it does not.

A file that is refused is tried again without what no pixel needs: damaged or overlong metadata, data behind the
picture; or with the end that it lacks. Never is a pixel made up. This module decodes nothing.
"""

from collections.abc import Iterator
from typing import NamedTuple

from vecstore.sources import iso_media, jpeg, png, webp


class Mended(NamedTuple):
    """A file to try instead. others: they decode to the same pixels, unless some of the picture's are missing."""

    data: bytes
    others: list[bytes] = []


def attempts(content: bytes) -> Iterator[Mended]:
    """Yield files to try instead of one that is refused, nearest to it first; none if nothing can be mended."""
    try:
        yield from _attempts(content)
    except (LookupError, ValueError):  # its headers make no sense, so there is nothing to mend
        return


def _attempts(content: bytes) -> Iterator[Mended]:
    if content.startswith(png.SIGNATURE):
        yield from map(Mended, png.without_metadata(content))
    elif content.startswith(b"\xff\xd8\xff"):
        for plain in (content, *jpeg.without_metadata(content)):
            whole, *others = jpeg.with_ends(plain) or [plain]
            if whole != content:
                yield Mended(whole, others)
    elif content.startswith(b"RIFF"):
        yield from map(Mended, webp.without_metadata(content))
    elif content[4:8] == b"ftyp":
        shorter = iso_media.without_trailer(content)
        if len(shorter) < len(content):
            yield Mended(shorter)
