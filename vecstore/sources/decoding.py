"""From a file to RGB pixels, safely: the front door of what reads pictures.

A file is read once; what is hashed is what is decoded (`content`). The content decides the format (`formats`), and only
the decoders that are named are ever tried (`decoders`, `heif`, `jpeg_xl`, `raw`). What a decoding takes is worked out
from the header before pixels are allocated (`decode_memory`). A file that is refused although all of its pixels are
there is mended (`mending`). Every refusal is an `Unreadable` whose text a person understands. This module knows no
store.
"""

import contextlib
import hashlib
import io
from collections.abc import Iterator

from PIL import Image, ImageFile, ImageOps

from vecstore.sources import (
    decode_memory,
    decoders,
    formats,
    frames,
    heif,
    jpeg,
    jpeg_xl,
    mending,
    raw,
    tone_mapping,
    transparency,
)
from vecstore.sources.content import MAX_FILE_BYTES as MAX_FILE_BYTES
from vecstore.sources.content import Content as Content
from vecstore.sources.content import Encoded as Encoded
from vecstore.sources.content import looks_like_picture as looks_like_picture
from vecstore.sources.content import looks_like_picture_by_name as looks_like_picture_by_name
from vecstore.sources.content import read as read
from vecstore.sources.formats import MAGIC_BYTES as MAGIC_BYTES
from vecstore.sources.formats import begins_like_picture as begins_like_picture
from vecstore.sources.formats import has_picture_suffix as has_picture_suffix
from vecstore.sources.unreadable import Unreadable as Unreadable

# Past this, a picture is scaled down before anything else is done with it: two copies of it would be too many.
LARGE_BYTES = 1 << 27

# What browsers show as it lies in the file. Nothing of the kind of HTML or SVG: those can run scripts.
MEDIA_TYPES = {
    **{"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "GIF": "image/gif"},
    **{"WEBP": "image/webp", "AVIF": "image/avif", "BMP": "image/bmp", "ICO": "image/x-icon"},
}
_ORIENTATION = 0x0112


def decode(content: bytes, at_least: tuple[int, int] | None = None, name: bytes = b"") -> Image.Image:
    """Return the picture as shown: RGB, upright, transparency on white, the first frame that is not blank.

    content: the file's bytes. at_least: (width, height) that the caller will scale down to; a JPEG, or a large picture
    of any kind, may then come at a fraction of its size as long as it stays at least twice that in both directions,
    or, as a JPEG at an eighth, 1.4 times that (None: full size). name: of the file, whose suffix tells camera raw
    pictures that their content does not tell.
    Waits while other threads' decodings leave too little of `decode_memory.MAX_BYTES`.
    Raises Unreadable: no picture, broken, cut off, or larger than `MAX_PIXELS` or `MAX_BYTES` even so.
    """
    if not content:
        raise Unreadable("the file is empty")
    side = max(at_least) * 2 if at_least is not None else None  # orientation may swap width and height
    suffix = formats.suffix_of(name)
    try:
        return _decoded(content, side, suffix)
    except Unreadable:
        if suffix in formats.RAW_SUFFIXES and formats.is_tiff(content):
            return _decoded_raw(content, side)
        for attempt in mending.attempts(content):
            with contextlib.suppress(Unreadable):
                if _has_all_pixels(attempt):
                    return _decoded(attempt.data, side, suffix)
        raise


def as_shown(picture: Image.Image) -> Image.Image:
    """Return a picture that is in memory already as `decode` would return its file; it stays as it is itself.

    Raises Unreadable for one of which there are no pixels: its file was closed, or is broken.
    """
    try:
        picture.load()  # of its own file, which a copy has no longer
        return _on_ground(_upright(_rgb_or_rgba(picture.copy())))
    except Exception as error:  # decoders raise anything on damaged files, and Pillow ValueError for a closed one
        raise Unreadable(f"its pixels cannot be read ({error})") from error


def encoded(picture: Image.Image, quality: int) -> bytes:
    """Return a picture as a JPEG, without its file's comments, camera data and location."""
    picture.info.clear()  # Pillow would write some of it
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=quality)
    return written.getvalue()


def media_type(content: bytes, name: bytes = b"") -> str | None:
    """Return the media type of a picture that browsers can show unchanged; None for any other.

    content: the file's bytes, of which only the header is read. name: as for `decode`. Raises Unreadable.
    """
    if _is_for_libraw(content, formats.suffix_of(name)) or formats.is_jpeg_xl(content):
        return None
    try:
        return _media_type(content)
    except Unreadable:
        for attempt in mending.attempts(content):
            with contextlib.suppress(Unreadable):
                return _media_type(attempt.data)
        raise


def _media_type(content: bytes) -> str | None:
    with decoders.opened(content) as image:
        return MEDIA_TYPES.get(image.format or "")


# From the file to what is decoded


def _decoded(content: bytes, side: int | None, suffix: bytes, orientation: int | None = None) -> Image.Image:
    """Return the picture as shown, by one decoder. orientation: EXIF's, instead of the one in the file."""
    try:
        if _is_for_libraw(content, suffix):
            return _decoded_raw(content, side)
        if side is not None and heif.is_too_large(content):
            return heif.decoded_in_parts(content, side)
        if side is not None:
            content = jpeg.for_eighth(content, side)
        with _opened(content, side, suffix) as (image, n_bytes):
            transparency.correct_transparent_colour(image, content)
            return frames.first_not_blank(
                image,
                show=lambda: _shown(image, side if n_bytes > LARGE_BYTES else None, orientation),
                fits=lambda: decode_memory.bytes_to_decode(image, content, side) <= n_bytes,
            )
    except Unreadable:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise Unreadable("too large to decode") from error
    except Exception as error:  # decoders raise anything from SyntaxError to struct.error on damaged files
        raise Unreadable(decoders.what_is_wrong(error, content)) from error


def _decoded_raw(content: bytes, side: int | None) -> Image.Image:
    preview = raw.preview(content, side)
    return _decoded(preview.data, side, b"", preview.orientation)


def _is_for_libraw(content: bytes, suffix: bytes) -> bool:
    if formats.is_camera_raw(content):
        return True
    return suffix in formats.RAW_SUFFIXES and not formats.begins_like_picture(content[: formats.MAGIC_BYTES])


@contextlib.contextmanager
def _opened(content: bytes, side: int | None, suffix: bytes) -> Iterator[tuple[ImageFile.ImageFile, int]]:
    """Yield the picture with its header read, and the bytes that decoding it takes, which are its own meanwhile."""
    if formats.is_jpeg_xl(content):
        n_bytes = jpeg_xl.bytes_to_decode(content)
        with decode_memory.budget.taking(n_bytes), jpeg_xl.opened(content) as image:
            yield image, n_bytes
        return
    with decoders.opened(content, suffix) as image:
        n_bytes = decode_memory.bytes_to_decode(image, content, side)
        with decode_memory.budget.taking(n_bytes):
            yield image, n_bytes


def _has_all_pixels(attempt: mending.Mended) -> bool:
    """Return whether a repaired file has the same pixels for every ending. Raises Unreadable if it is too large."""
    if not attempt.others:
        return True
    pictures = (_decoded(data, None, b"") for data in (attempt.data, *attempt.others))
    return len({hashlib.sha256(picture.tobytes()).digest() for picture in pictures}) == 1


# From decoded to shown


def _shown(image: ImageFile.ImageFile, side: int | None, orientation: int | None) -> Image.Image:
    """Return the present frame. side: what both sides are to have at least, None to keep its size."""
    transparency.correct_palette(image)
    image.load()
    picture = _rgb_or_rgba(image)
    if transparency.has_undeclared_band(image):
        picture = transparency.without_false_alpha(picture)
    if side is not None:
        picture = _reduced(picture, side)
    if picture is image and frames.may_follow(image):
        picture = picture.copy()
    if orientation is not None:
        picture.getexif()[_ORIENTATION] = orientation
    return _on_ground(_upright(picture))


def _on_ground(picture: Image.Image) -> Image.Image:
    return picture if picture.mode == "RGB" else transparency.on_ground(picture)


def _rgb_or_rgba(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return tone_mapping.shown_grey(image)
    if image.mode == "CMYK" and "icc_profile" in image.info:
        return _printed(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _printed(inks: Image.Image) -> Image.Image:
    """Return the colours that the inks make on the paper that the profile describes.

    Without, the vectors of the two such pictures at hand are at a cosine of 0.96 and 0.98 from right. (It takes 40 ms
    a picture, so the profiles of RGB pictures, which move a vector far less, are left alone.)
    """
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(inks.info["icc_profile"]))
        seen = ImageCms.profileToProfile(inks, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except Exception:  # a profile that is damaged, or of something else
        seen = None
    return seen or inks.convert("RGB")


def _reduced(image: Image.Image, side: int) -> Image.Image:
    factor = min(image.size) // side
    return image.reduce(factor) if factor > 1 else image


def _upright(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):  # orientation is in the EXIF block; a damaged one says nothing of the pixels
        ImageOps.exif_transpose(image, in_place=True)  # else it copies a picture that is upright already
    return image
