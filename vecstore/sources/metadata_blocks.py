"""Where a picture's file keeps its metadata: the blocks of Exif, XMP and IPTC, by the kind of file.

Only headers are read, no pixel is decoded. What a block says is not known here.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import ImageFile

from vecstore.sources import decoders, formats, iso_media, jpeg_xl, png
from vecstore.sources.unreadable import Unreadable

# Of XMP, and of a packed text, that is looked at; what is longer is passed over.
MAX_TEXT_BYTES = 1 << 20
_IPTC_RESOURCE, _EXIF_RESOURCE, _XMP_RESOURCE = 0x0404, 0x0422, 0x0424
_XMP_KEYWORD, _RAW_PROFILE = b"XML:com.adobe.xmp\0", b"Raw profile type "
# Within these first bytes of a segment XMP begins.
_LABEL_BYTES = 200
# Canon's boxes in a CR3: of the metadata, and of XMP.
_CANON, _XMP_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48"), bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_TIFF_BIG = (b"II+\0", b"MM\0+")


@dataclass
class Blocks:
    """What there is in a file.

    format: its kind. size: of its pixels as they lie, None where it is not known. is_upright: they lie as shown,
    whatever the orientation says. exif: blocks in the layout of TIFF, the main one first; `exif_ifd` and `gps_ifd`:
    those that a file has by themselves. orientation: what Exif said before a decoder changed it.
    """

    format: str
    size: tuple[int, int] | None = None
    is_upright: bool = False
    exif: bytes = b""
    exif_ifd: bytes = b""
    gps_ifd: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    orientation: object = None


def blocks_of(content: bytes, name: bytes = b"") -> Blocks | None:
    """Return the blocks of a file, None for what is no picture. name: of the file, which tells raw pictures.

    May raise anything for a damaged file.
    """
    suffix = formats.suffix_of(name)
    if formats.is_jpeg_xl(content):
        return _of_jpeg_xl(content)
    if formats.is_camera_raw(content) or (
        suffix in formats.RAW_SUFFIXES and (formats.is_tiff(content) or not formats.begins_like_picture(content[:32]))
    ):
        return _of_raw(content, suffix)
    try:
        with decoders.opened(content, suffix) as image:
            return _of_opened(image, content)
    except Unreadable:
        return None


def _of_opened(image: ImageFile.ImageFile, content: bytes) -> Blocks:
    info, kind = image.info, image.format or ""
    found = Blocks("JPEG" if kind == "MPO" else kind, image.size)
    found.exif, found.xmp = _bytes(info.get("exif")), _bytes(info.get("xmp"))
    if kind in ("JPEG", "MPO"):
        resources = info.get("photoshop")
        found.iptc = _bytes(resources.get(_IPTC_RESOURCE)) if isinstance(resources, dict) else b""
        found.xmp = found.xmp or _unlabelled_xmp(image)
    elif kind == "PSD":
        parts = {number: data for number, _, data in getattr(image, "resources", ())}
        found.exif, found.xmp = parts.get(_EXIF_RESOURCE, b""), parts.get(_XMP_RESOURCE, b"")
        found.iptc = parts.get(_IPTC_RESOURCE, b"")
    elif kind == "PNG":
        _take_png(content, found)
    elif kind == "TIFF" and not content.startswith(_TIFF_BIG):
        found.exif = content
    elif kind == "HEIF":
        found.is_upright = True
        found.orientation = info.get("original_orientation")
    return found


def _unlabelled_xmp(image: ImageFile.ImageFile) -> bytes:
    """Return the XMP of a JPEG whose segment does not begin as XMP's should, as Flickr writes it."""
    for name, segment in getattr(image, "applist", ()):
        if name == "APP1" and b"<x:xmpmeta" in segment[:_LABEL_BYTES]:
            return bytes(segment[segment.find(b"<") :])
    return b""


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _take_png(content: bytes, found: Blocks) -> None:
    """Take what Pillow reads only with the pixels, as it may be behind them."""
    for kind, start, end in _png_chunks(content):
        if kind == b"eXIf":
            found.exif = content[start:end]
        elif kind == b"iTXt" and content.startswith(_XMP_KEYWORD, start):
            found.xmp = _international_text(content[start + len(_XMP_KEYWORD) : end])
        elif kind in (b"zTXt", b"tEXt") and content.startswith(_RAW_PROFILE, start):
            _take_raw_profile(content[start:end], kind == b"zTXt", found)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = len(png.SIGNATURE)
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4])
        yield content[at + 4 : at + 8], at + 8, at + 8 + length
        at += 12 + length


def _international_text(body: bytes) -> bytes:
    packed, rest = body[:1] == b"\1", body[2:].split(b"\0", 2)
    text = rest[2] if len(rest) == 3 else b""
    return _unpacked(text) if packed else text


def _take_raw_profile(body: bytes, packed: bool, found: Blocks) -> None:
    """Take a block as ImageMagick has written it: its name, its length, and its bytes in hexadecimal."""
    name, _, text = body.removeprefix(_RAW_PROFILE).partition(b"\0")
    text = _unpacked(text[1:]) if packed else text[:MAX_TEXT_BYTES]
    block = bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    if name in (b"exif", b"APP1") and block.startswith(b"Exif\0\0"):
        found.exif = found.exif or block
    elif name == b"xmp":
        found.xmp = found.xmp or block
    elif name == b"iptc":
        found.iptc = _of_photoshop(block)


def _of_photoshop(resources: bytes) -> bytes:
    """Return the IPTC in a list of Photoshop's resources."""
    at = resources.find(b"8BIM\4\4")
    if at < 0:
        return b""
    at += 6
    at += 1 + resources[at] + (resources[at] + 1) % 2
    return resources[at + 4 : at + 4 + int.from_bytes(resources[at : at + 4])]


def _unpacked(packed: bytes) -> bytes:
    """Return a text, or as much of it as is looked at and one byte more."""
    return zlib.decompressobj().decompress(packed, MAX_TEXT_BYTES + 1)


def _of_jpeg_xl(content: bytes) -> Blocks:
    found = Blocks("JXL", jpeg_xl.size_of(content))
    for box in iso_media.boxes(content) if not content.startswith(jpeg_xl.BARE) else ():
        if box.kind == b"Exif":
            at = box.body + 4 + int.from_bytes(content[box.body : box.body + 4])
            found.exif = content[at : box.end]
        elif box.kind == b"xml ":
            found.xmp = content[box.body : box.end]
    return found


def _of_raw(content: bytes, suffix: bytes) -> Blocks:
    kind = suffix[1:].decode("ascii", "replace").upper() if suffix in formats.RAW_SUFFIXES else "RAW"
    if content.startswith(b"FUJIFILMCCD-RAW"):
        at, length = (int.from_bytes(content[at : at + 4]) for at in (84, 88))
        with decoders.opened(content[at : at + length]) as preview:
            found = _of_opened(preview, b"")
        found.format, found.size = kind, None
        return found
    found = Blocks(kind)
    if formats.iso_brand(content) == b"crx ":
        _take_canon(content, found)
    elif content[:2] in (b"II", b"MM"):
        # Olympus and Panasonic write letters of their own where TIFF has its number.
        found.exif = content if formats.is_tiff(content) else content[:2] + _number(content) + content[4:]
    return found


def _number(content: bytes) -> bytes:
    return b"*\0" if content[:2] == b"II" else b"\0*"


def _take_canon(content: bytes, found: Blocks) -> None:
    for box in iso_media.boxes(content):
        if box.kind == b"moov":
            for inner in iso_media.boxes(content, box.body, box.end):
                if inner.kind == b"uuid" and content.startswith(_CANON, inner.body):
                    parts = {
                        b.kind: content[b.body : b.end] for b in iso_media.boxes(content, inner.body + 16, inner.end)
                    }
                    found.exif, found.exif_ifd = parts.get(b"CMT1", b""), parts.get(b"CMT2", b"")
                    found.gps_ifd = parts.get(b"CMT4", b"")
        elif box.kind == b"uuid" and content.startswith(_XMP_UUID, box.body):
            found.xmp = content[box.body + 16 : box.end]
