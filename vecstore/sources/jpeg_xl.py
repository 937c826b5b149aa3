"""JPEG XL, by pillow-jxl-plugin, which decodes while it opens: so the header is read here first.

The header: ISO/IEC 18181-1, a few numbers of few bits each. This module needs the extra `vecstore[jxl]`.
"""

import importlib.util
import io

from PIL import ImageFile

from vecstore.sources import decode_memory, iso_media
from vecstore.sources.unreadable import Unreadable, one_line

# Measured on 24 megapixels with the plugin, which holds the pixels twice before Pillow does.
BYTES_PER_PIXEL = 25

BARE = b"\xff\x0a"
_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def size_of(content: bytes) -> tuple[int, int]:
    """Return width and height, before the picture is turned. Raises Unreadable if there is no picture."""
    codestream = content if content.startswith(BARE) else _codestream(content)
    bits = _Bits(codestream[2:32])
    is_small = bits.read(1)
    height = _side(bits, is_small)
    ratio = bits.read(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height * across // down, height
    return _side(bits, is_small), height


def _codestream(content: bytes) -> bytes:
    for box in iso_media.boxes(content):
        if box.kind in (b"jxlc", b"jxlp"):
            at = box.body + (4 if box.kind == b"jxlp" else 0)  # the first part has a number before it
            return content[at : at + 32]
    raise Unreadable("a JPEG XL file without a picture")


def bytes_to_decode(content: bytes) -> int:
    """Return an upper bound of the memory that opening takes. Raises Unreadable if that is beyond the limit."""
    width, height = size_of(content)
    decode_memory.check_pixels(width, height, decode_memory.MAX_PIXELS)
    n_bytes = width * height * BYTES_PER_PIXEL
    decode_memory.check_bytes(n_bytes, width, height)
    return n_bytes


class _Bits:
    """Numbers of a few bits each, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")

    def read(self, n_bits: int) -> int:
        number = self._rest & ((1 << n_bits) - 1)
        self._rest >>= n_bits
        return number


def _side(bits: _Bits, is_small: int) -> int:
    if is_small:
        return (bits.read(5) + 1) * 8
    return bits.read((9, 13, 18, 30)[bits.read(2)]) + 1


def opened(content: bytes) -> ImageFile.ImageFile:
    """Return the picture, decoded. Raises Unreadable where the extra is missing or the picture is broken."""
    if importlib.util.find_spec("pillow_jxl") is None:
        raise Unreadable("a JPEG XL picture, which vecstore reads after `pip install 'vecstore[jxl]'`")
    from pillow_jxl.JpegXLImagePlugin import JXLImageFile

    try:
        image = JXLImageFile(io.BytesIO(content), "")
        if not image.jpeg:  # its pixels come upright, and EXIF says how they lay
            image.info.pop("exif", None)
        return image
    except BaseException as error:
        # A panic of its Rust code is no Exception, and costs this picture only.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise Unreadable(f"broken picture: the data is damaged ({one_line(error).partition('. ')[0]})") from error
        raise
