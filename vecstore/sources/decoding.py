"""From a file to RGB pixels, safely.

A file is read once; what is hashed is what is decoded. The content decides the format, never the suffix. Only the
decoders named here are ever tried (Pillow has others that start programs). What a decoding takes is worked out from
the header before pixels are allocated, and all that run at once share `MAX_BYTES`. Every refusal is an `Unreadable`
whose text a person understands. This module knows no store.
"""

import contextlib
import ctypes
import errno
import functools
import hashlib
import io
import os
import stat
import struct
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from vecstore.sources import deep_tiff, frames, tone_mapping, transparency

# Pillow warns of doubtful metadata; the pixels are what matters here, and what fails is in the store's failures.
# (`warnings.catch_warnings` around each decoding would not do: it is not safe in threads.)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, module=r"PIL\.")

MAX_FILE_BYTES = 1 << 30
# The most pixels decoded for one picture, after the JPEG decoder's own down-scaling.
MAX_PIXELS = 100_000_000
# The most memory that one picture's decoding, and all those under way at once, may take.
MAX_BYTES = 1 << 30
# Past this, a picture is scaled down before anything else is done with it: two copies of it would be too many.
LARGE_BYTES = 1 << 27
# The decoder of icons decodes while it opens, so what is inside is looked at first. Real ones have 1024 x 1024 at most.
MAX_ICON_PIXELS = 1 << 24
# Each scan of a progressive JPEG goes over the whole picture, and takes a few bytes of file. Real ones have about ten.
MAX_SCANS = 100

DECODERS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "AVIF", "JPEG2000", "ICO", "PPM", "PSD", "TGA")
# The most memory that a picture takes per pixel until it is scaled down, measured on 24 megapixels and rounded up.
# Pillow itself takes 4 for RGB, and more for what has to be converted.
BYTES_PER_PIXEL = {"WEBP": 17, "AVIF": 16, "HEIF": 16, "JPEG2000": 25}
BYTES_PER_PLAIN_PIXEL, BYTES_PER_OTHER_PIXEL = 8, 13

# What browsers show as it lies in the file. Nothing of the kind of HTML or SVG: those can run scripts.
MEDIA_TYPES = {
    **{"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "GIF": "image/gif"},
    **{"WEBP": "image/webp", "AVIF": "image/avif", "BMP": "image/bmp", "ICO": "image/x-icon"},
}

# A file with one of these is taken for a picture, so it is tried and, if it is none, listed as a failure.
PICTURE_SUFFIXES = frozenset(
    b".jpg .jpeg .jpe .jfif .png .apng .gif .webp .bmp .dib .tif .tiff .avif .avifs .heic .heif .hif"
    b" .heics .heifs .jp2 .j2k .j2c .jpc .jpx .jpf .ico .psd .ppm .pgm .pbm .pnm .tga .svg .jxl"
    b" .dng .cr2 .cr3 .nef .nrw .arw .orf .rw2 .raf .pef .srw".split()
)
# Any other file is a picture if it begins like one; else it is none of our business (notes, sidecars, databases).
MAGIC_BYTES = 32
_MAGIC = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF, little-endian
    b"MM\0*",  # TIFF, big-endian
    b"8BPS",  # PSD
    b"\0\0\0\x0cjP  \r\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",  # JPEG 2000, bare codestream
)
# ISO media files say what they are behind the length of their first box. `mif1` and `msf1` may be AVIF or HEIF.
_HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())
_ISO_BRANDS = _HEIF_BRANDS | {b"avif", b"avis"}
_RAW_MAGIC = (b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FUJIFILMCCD-RAW")  # Panasonic, three of Olympus, Fujifilm

_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706
_BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL, _TILE_WIDTH, _TILE_LENGTH = 258, 277, 322, 323


class Unreadable(Exception):
    """A file that cannot become pixels; the text says why, for a person."""


@dataclass(frozen=True)
class Encoded:
    """A picture that is no file of ours: the bytes that one would hold, such as an upload brings them."""

    data: bytes


@dataclass(frozen=True)
class Content:
    """A file's bytes and the state the file was in when they were read."""

    data: bytes
    sha256: bytes
    size: int
    mtime_ns: int


def looks_like_picture(path: bytes) -> bool:
    """Say whether a file is to be taken for a picture, by its suffix or else by its first bytes."""
    by_name = looks_like_picture_by_name(path)
    if by_name is not None:
        return by_name
    try:
        with _open_regular(path) as file:
            return begins_like_picture(file.read(MAGIC_BYTES))
    except (OSError, Unreadable):
        return False


def looks_like_picture_by_name(path: bytes) -> bool | None:
    """Say whether a name alone makes a file a picture or none; None if its first bytes are to decide."""
    if os.path.basename(path).startswith(
        b"._"
    ):  # macOS's companion files: named like their picture, holding none of it
        return False
    return True if has_picture_suffix(path) else None


def has_picture_suffix(path: bytes) -> bool:
    return os.path.splitext(path)[1].lower() in PICTURE_SUFFIXES


def begins_like_picture(head: bytes) -> bool:
    """Say whether these first bytes (`MAGIC_BYTES` of them) are those of a picture."""
    if head[4:8] == b"ftyp":
        return _iso_brand(head) in _ISO_BRANDS
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    return head.startswith(_MAGIC)


def read(path: bytes) -> Content:
    """Return a file's content and stamp, taken together. Raises Unreadable."""
    try:
        with _open_regular(path) as file:
            state = os.fstat(file.fileno())
            if state.st_size > MAX_FILE_BYTES:
                raise Unreadable(f"the file has {state.st_size:,} bytes; the limit is {MAX_FILE_BYTES:,}")
            content = file.read(max(state.st_size, 0) + 1)  # or one that grows would be read for ever
            after = os.fstat(file.fileno())
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error
    if (len(content), after.st_size, after.st_mtime_ns) != (state.st_size, state.st_size, state.st_mtime_ns):
        raise Unreadable("changed while it was read; add it again when nothing writes to it any more")
    return Content(content, hashlib.sha256(content).digest(), state.st_size, state.st_mtime_ns)


def _open_regular(path: bytes) -> BinaryIO:
    # Opening a pipe waits for its writer; O_NONBLOCK opens it at once, and the check refuses it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise Unreadable("not a regular file")


def decode(content: bytes, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Return the picture as shown: RGB, upright, transparency on white, the first frame that is not blank.

    content: the file's bytes. at_least: (width, height) that the caller will scale down to; a JPEG, or a large picture
    of any kind, may then come at a fraction of its size as long as it stays at least twice that in both directions
    (None: full size). Waits while other threads' decodings leave too little of `MAX_BYTES`.
    Raises Unreadable: no picture, broken, cut off, or larger than `MAX_PIXELS` or `MAX_BYTES` even so.
    """
    if not content:
        raise Unreadable("the file is empty")
    side = max(at_least) * 2 if at_least is not None else None  # orientation may swap width and height
    try:
        with _opened(content) as image:
            n_bytes = _bytes_to_decode(image, content, side)
            transparency.correct_transparent_colour(image, content)
            with _memory.taking(n_bytes):
                return frames.first_not_blank(
                    image,
                    show=lambda: _shown(image, side if n_bytes > LARGE_BYTES else None),
                    fits=lambda: _bytes_to_decode(image, content, side) <= n_bytes,
                )
    except Unreadable:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise Unreadable("too large to decode") from error
    except Exception as error:  # decoders raise anything from SyntaxError to struct.error on damaged files
        raise Unreadable(_what_is_wrong(error, content)) from error


def encoded(picture: Image.Image, quality: int) -> bytes:
    """Return a picture as a JPEG, without what its file said of comments, camera and place."""
    picture.info.clear()  # Pillow would write some of it
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=quality)
    return written.getvalue()


def media_type(content: bytes) -> str | None:
    """Return the media type of a picture that browsers show as it is, None for one that they do not.

    content: the file's bytes, of which only the header is read. Raises Unreadable.
    """
    with _opened(content) as image:
        return MEDIA_TYPES.get(image.format or "")


def _opened(content: bytes) -> ImageFile.ImageFile:
    """Return the picture with its header read, by the first decoder that accepts its beginning.

    As Image.open does, but for two things: only `DECODERS` are tried, and there is no limit on pixels yet, since a
    JPEG may be decoded at an eighth of its size.
    """
    if _is_camera_raw(content):
        raise Unreadable("camera raw pictures are not supported; export it as a JPEG")
    _register_decoders()
    refusal = _what_it_is(content)
    problem: Exception | None = None
    for name in DECODERS:
        factory, accepts = Image.OPEN[name]
        if accepts is not None and accepts(content[:16]) is not True:
            continue
        if name == "ICO":
            _check_icon(content)
        if name == "TIFF" and (deep := deep_tiff.opened(content)) is not None:
            return deep
        try:
            return factory(io.BytesIO(content), "")
        except Image.DecompressionBombError as error:
            raise Unreadable(f"more pixels than the limit of {MAX_PIXELS:,}") from error
        except Exception as error:  # what is no TGA, say, may still be something else
            if accepts is not None and problem is None:
                problem = error
                refusal = _what_is_wrong(error, content, f"a {name} picture of an unsupported kind, or damaged")
    if _iso_brand(content) in _HEIF_BRANDS:
        return _opened_heif(content)
    raise Unreadable(refusal) from problem


def _opened_heif(content: bytes) -> ImageFile.ImageFile:
    from pillow_heif import HeifImageFile  # only those who have such pictures wait for it to load

    if _is_cut_off(content):  # libheif pads what is missing
        raise Unreadable("cut off: the file ends too early")
    return HeifImageFile(io.BytesIO(content), "")  # type: ignore[no-untyped-call]


@functools.cache
def _register_decoders() -> None:
    Image.init()
    # libtiff writes its errors to stderr itself, in the midst of our output; the exception says what is wrong.
    decoders = ctypes.CDLL(Image.core.__file__)  # type: ignore[attr-defined]
    silence = getattr(decoders, "TIFFSetErrorHandler", None)  # not there if libtiff is linked statically
    if silence is not None:
        silence(None)


# Before the pixels


class _Budget:
    """Lets threads go ahead together while what they take stays within so many bytes."""

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


_memory = _Budget(MAX_BYTES)


def _bytes_to_decode(image: ImageFile.ImageFile, content: bytes, side: int | None) -> int:
    """Return an upper bound of the memory that loading takes, after asking a JPEG's decoder for a smaller picture.

    Raises Unreadable if the picture, or that memory, is beyond the limit.
    """
    n_bytes = 0
    if image.format in ("JPEG", "MPO"):
        n_bytes = _bytes_of_coefficients(image, content)
        if side is not None:
            image.draft("RGB", (side, side))
    width, height = image.size
    _check_pixels(width, height, MAX_PIXELS)
    is_plain = image.mode in ("L", "RGB") and "transparency" not in image.info
    usual = BYTES_PER_PLAIN_PIXEL if is_plain else BYTES_PER_OTHER_PIXEL
    n_bytes += width * height * BYTES_PER_PIXEL.get(image.format or "", usual)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        n_bytes += _bytes_of_strip(image)
    if isinstance(image, deep_tiff.DeepTiff):
        n_bytes = image.bytes_to_load
    if n_bytes > MAX_BYTES:
        raise Unreadable(
            f"decoding its {width} x {height} pixels would take {n_bytes >> 20:,} MiB; the limit is {MAX_BYTES >> 20:,}"
        )
    return n_bytes


def _check_pixels(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise Unreadable(f"{width} x {height} pixels are more than the limit of {most:,}")


def _bytes_of_coefficients(image: ImageFile.ImageFile, jpeg: bytes) -> int:
    """Return what libjpeg keeps of a picture whatever the size it is decoded at: with several scans, all of it."""
    layers: list[tuple[int, int, int, int]] = image.layer  # type: ignore[attr-defined]
    if not image.info.get("progressive") and _first_scan_layers(jpeg) == len(layers):
        return 0
    if jpeg.count(b"\xff\xda") > MAX_SCANS:
        raise Unreadable(f"a JPEG of more than {MAX_SCANS} scans, made to keep a decoder busy")
    sampling = [across * down for _, across, down, _ in layers]
    of_whole = max(across for _, across, _, _ in layers) * max(down for _, _, down, _ in layers)
    return 2 * image.width * image.height * sum(sampling) // max(of_whole, 1)


def _first_scan_layers(jpeg: bytes) -> int:
    """Return how many of a JPEG's colour components its first scan holds, read as libjpeg reads markers."""
    at = 2
    while at + 5 <= len(jpeg):
        marker = jpeg[at + 1]
        if jpeg[at] != 0xFF or marker in (0, 0xFF):  # filling, or junk that is skipped
            at += 1
        elif marker == 0xDA:
            return jpeg[at + 4]
        elif marker == 1 or 0xD0 <= marker <= 0xD9:  # these have no length
            at += 2
        else:
            at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return 0


def _bytes_of_strip(image: TiffImagePlugin.TiffImageFile) -> int:
    # libtiff holds a strip or a tile: all of the picture in the worst case, and a tile may even be larger than that.
    tags = image.tag_v2
    tile_width, tile_height = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
    _check_pixels(tile_width, tile_height, MAX_PIXELS)
    bits: int = max(tags.get(_BITS_PER_SAMPLE, (1,))) * tags.get(_SAMPLES_PER_PIXEL, 1)
    return max(image.width * image.height, int(tile_width * tile_height)) * bits // 8


def _check_icon(icon: bytes) -> None:
    for entry in range(int.from_bytes(icon[4:6], "little")):
        at = int.from_bytes(icon[18 + 16 * entry : 22 + 16 * entry], "little")
        inside = icon[at : at + 24].ljust(24, b"\0")
        is_png = inside.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", inside[16:24]) if is_png else struct.unpack("<ii", inside[4:12])
        _check_pixels(abs(width), abs(height), min(MAX_PIXELS, MAX_ICON_PIXELS))


# From decoded to shown


def _shown(image: ImageFile.ImageFile, side: int | None) -> Image.Image:
    """Return the present frame; side: None to keep its size."""
    transparency.correct_palette(image)
    image.load()
    picture = _rgb_or_rgba(image)
    if transparency.has_undeclared_band(image):
        picture = transparency.without_false_alpha(picture)
    if side is not None:
        picture = _reduced(picture, side)
    picture = _upright(picture.copy() if picture is image and frames.may_follow(image) else picture)
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


# What it is instead


def _is_camera_raw(content: bytes) -> bool:
    """Say whether a file is what a camera's sensor saw. Its beginning is often that of a TIFF with a small preview."""
    if content.startswith(_RAW_MAGIC) or _iso_brand(content) == b"crx ":
        return True
    if not content.startswith((b"II*\0", b"MM\0*")):
        return False
    if content[8:10] == b"CR":  # Canon's CR2
        return True
    tags = _first_tags(content)
    return _DNG_VERSION in tags or (tags.get(_SUBFILE_TYPE, 0) == 1 and _SUB_IFDS in tags)


def _first_tags(tiff: bytes) -> dict[int, Any]:
    tags = TiffImagePlugin.ImageFileDirectory_v2(tiff[:8])
    file = io.BytesIO(tiff)
    try:
        file.seek(tags.next)
        tags.load(file)
        return dict(tags)
    except Exception:  # damaged, which the decoder says better
        return {}


def _iso_brand(content: bytes) -> bytes:
    return content[8:12] if content[4:8] == b"ftyp" else b""


def _what_it_is(content: bytes) -> str:
    head = content[:512].lstrip().lower()
    if content.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "JPEG XL pictures are not supported"
    if b"<svg" in head:
        return "an SVG drawing, not a picture of pixels"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page, not a picture"
    return "not a picture in a known format, or its beginning is damaged"


def _what_is_wrong(error: Exception, content: bytes, kind: str = "broken picture: the data is damaged") -> str:
    said = str(error).strip() or type(error).__name__
    if _is_cut_off(content) or any(word in said.lower() for word in ("truncated", "end of file", "unexpected end")):
        return "cut off: the file ends too early"
    return f"{kind} ({said})"


def _is_cut_off(content: bytes) -> bool:
    """Say whether a file is shorter than it says itself, for the two containers that do."""
    if content[:4] == b"RIFF":
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    if not _iso_brand(content):
        return False
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4])
        if size == 1:
            size = int.from_bytes(content[at + 8 : at + 16])
        if size < 8:  # 0: the last box, as long as the file
            return False
        at += size
    return at > len(content)
