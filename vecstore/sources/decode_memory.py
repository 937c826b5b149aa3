"""What a decoding takes of memory, worked out before pixels are allocated, and how threads share what there is.

What is counted is what is decoded and not what is stored: a JPEG may come at an eighth of its size, a HEIC as its
thumbnail. All decodings under way at once share `MAX_BYTES`. This module decodes nothing.
"""

import contextlib
import struct
import threading
from collections.abc import Iterator

from PIL import ImageFile, TiffImagePlugin

from vecstore.sources import deep_tiff, jpeg
from vecstore.sources.unreadable import Unreadable

# The most pixels decoded for one picture, after the JPEG decoder's own down-scaling.
MAX_PIXELS = 100_000_000
# The most memory that one picture's decoding, and all those under way at once, may take.
MAX_BYTES = 1 << 30
# The decoder of icons decodes while it opens, so what is inside is looked at first. Real ones have 1024 x 1024 at most.
MAX_ICON_PIXELS = 1 << 24

# The most memory that a picture takes per pixel until it is scaled down, measured on 24 megapixels and rounded up.
# Pillow itself takes 4 for RGB, and more for what has to be converted.
BYTES_PER_PIXEL = {"WEBP": 17, "AVIF": 16, "HEIF": 16, "JPEG2000": 25}
BYTES_PER_PLAIN_PIXEL, BYTES_PER_OTHER_PIXEL = 8, 13

_BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL, _TILE_WIDTH, _TILE_LENGTH = 258, 277, 322, 323


class MemoryBudget:
    """Lets threads decode at the same time as long as their memory stays within a limit in bytes."""

    def __init__(self, n_bytes: int) -> None:
        self._free = n_bytes
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taking(self, n_bytes: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._free >= n_bytes)
            self._free -= n_bytes
        try:
            yield
        finally:
            with self._changed:
                self._free += n_bytes
                self._changed.notify_all()


budget = MemoryBudget(MAX_BYTES)


def bytes_to_decode(image: ImageFile.ImageFile, content: bytes, side: int | None) -> int:
    """Return an upper bound of the memory that loading takes, after asking a decoder for a smaller picture.

    side: what both sides of that are to have at least; None: full size. Raises Unreadable if the picture, or that
    memory, is beyond the limit.
    """
    n_bytes = 0
    if image.format in ("JPEG", "MPO"):
        n_bytes = jpeg.bytes_of_coefficients(image, content)
        if side is not None:
            jpeg.scale_down(image, side)
    width, height = image.size
    check_pixels(width, height, MAX_PIXELS)
    is_plain = image.mode in ("L", "RGB") and "transparency" not in image.info
    usual = BYTES_PER_PLAIN_PIXEL if is_plain else BYTES_PER_OTHER_PIXEL
    n_bytes += width * height * BYTES_PER_PIXEL.get(image.format or "", usual)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        n_bytes += _bytes_of_strip(image)
    if isinstance(image, deep_tiff.DeepTiff):
        n_bytes = image.bytes_to_load
    check_bytes(n_bytes, width, height)
    return n_bytes


def check_pixels(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise Unreadable(f"{width} x {height} pixels are more than the limit of {most:,}")


def check_bytes(n_bytes: int, width: int, height: int) -> None:
    if n_bytes > MAX_BYTES:
        raise Unreadable(
            f"decoding its {width} x {height} pixels would take {n_bytes >> 20:,} MiB; the limit is {MAX_BYTES >> 20:,}"
        )


def check_icon(icon: bytes) -> None:
    """Raise Unreadable if one of the pictures in an icon is beyond the limit."""
    for entry in range(int.from_bytes(icon[4:6], "little")):
        at = int.from_bytes(icon[18 + 16 * entry : 22 + 16 * entry], "little")
        inside = icon[at : at + 24].ljust(24, b"\0")
        is_png = inside.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", inside[16:24]) if is_png else struct.unpack("<ii", inside[4:12])
        check_pixels(abs(width), abs(height), min(MAX_PIXELS, MAX_ICON_PIXELS))


def _bytes_of_strip(image: TiffImagePlugin.TiffImageFile) -> int:
    # libtiff holds a strip or a tile: all of the picture in the worst case, and a tile may even be larger than that.
    tags = image.tag_v2
    tile_width, tile_height = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
    check_pixels(tile_width, tile_height, MAX_PIXELS)
    bits: int = max(tags.get(_BITS_PER_SAMPLE, (1,))) * tags.get(_SAMPLES_PER_PIXEL, 1)
    return max(image.width * image.height, int(tile_width * tile_height)) * bits // 8
