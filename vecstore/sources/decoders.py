"""The decoders that are ever tried, and which of them a picture is for.

Pillow has more, some of which start other programs. As `Image.open` does, the first one that accepts a file's beginning
takes it; unlike there, no pixel limit is set yet, as a JPEG may be decoded at an eighth of its size.
"""

import ctypes
import functools
import io
import logging
import warnings

from PIL import Image, ImageFile

from vecstore.sources import decode_memory, deep_tiff, formats, heif, iso_media
from vecstore.sources.unreadable import Unreadable, one_line

# Pillow warns of doubtful metadata; the pixels are what matters here, and what fails is in the store's failures.
# (`warnings.catch_warnings` around each decoding would not do: it is not safe in threads.)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=UserWarning, module=r"pillow_(heif|jxl)")
# Without a handler, Python itself prints what they log, naming no file; the exception that follows says it too.
for name in ("PIL", "pillow_heif", "pillow_jxl"):
    logging.getLogger(name).addHandler(logging.NullHandler())

DECODERS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "ICO", "PPM", "PSD", "TGA")
CUT_OFF = "cut off: the file ends too early"


def opened(content: bytes, suffix: bytes = b"") -> ImageFile.ImageFile:
    """Return the picture with its header read, by the first decoder that accepts its beginning. Raises Unreadable.

    suffix: names the kind in a refusal, where the content does not.
    """
    _register()
    refusal = formats.named_refusal(content, suffix)
    if refusal is not None and formats.has_named_magic(content):
        raise Unreadable(refusal)
    problem: Exception | None = None
    for name in DECODERS:
        factory, accepts = Image.OPEN[name]
        if accepts is not None and accepts(content[:16]) is not True:
            continue
        if name == "ICO":
            decode_memory.check_icon(content)
        if name == "TIFF" and (deep := deep_tiff.opened(content)) is not None:
            return deep
        try:
            return factory(io.BytesIO(content), "")
        except Image.DecompressionBombError as error:
            raise Unreadable(f"more pixels than the limit of {decode_memory.MAX_PIXELS:,}") from error
        except Exception as error:  # what is no TGA, say, may still be something else
            if accepts is not None and problem is None:
                problem = error
                refusal = what_is_wrong(error, content, f"a {name} picture of an unsupported kind, or damaged")
    if formats.iso_brand(content) in formats.HEIF_BRANDS:
        return heif.opened(content)
    raise Unreadable(refusal or "not a picture in a known format, or its beginning is damaged") from problem


@functools.cache
def _register() -> None:
    Image.init()
    # libtiff writes its errors to stderr itself, in the midst of our output; the exception says what is wrong.
    decoders = ctypes.CDLL(Image.core.__file__)  # type: ignore[attr-defined]
    silence = getattr(decoders, "TIFFSetErrorHandler", None)  # not there if libtiff is linked statically
    if silence is not None:
        silence(None)


def what_is_wrong(error: Exception, content: bytes, kind: str = "broken picture: the data is damaged") -> str:
    """Return in one line why a decoder gave up."""
    said = one_line(error)
    if _is_cut_off(content) or any(word in said.lower() for word in ("truncated", "end of file", "unexpected end")):
        return CUT_OFF
    return f"{kind} ({said})"


def _is_cut_off(content: bytes) -> bool:
    """Say whether a file is shorter than it says itself, for the two containers that do."""
    if content[:4] == b"RIFF":
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    return bool(formats.iso_brand(content)) and iso_media.is_cut_off(content)
