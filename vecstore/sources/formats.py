"""Which files are pictures, by name and by first bytes, and what each kind that is not decoded is called.

The content decides the format; a suffix counts only where the content does not say. Every suffix of a picture is here,
whether its format is decoded or not, so that no picture is passed over in silence. This module decodes nothing.
"""

import io
import os
from typing import Any

from PIL import TiffImagePlugin

# Whatever a camera's sensor writes, as LibRaw knows it.
RAW_SUFFIXES = frozenset(
    b".3fr .ari .arw .bay .bmq .cap .cr2 .cr3 .crw .cs1 .dc2 .dcr .dcs .dng .drf .eip .erf .fff .gpr .ia .iiq .k25 .kc2"
    b" .kdc .mdc .mef .mos .mrw .nef .nrw .orf .ori .pef .ptx .pxn .qtk .r3d .raf .raw .rdc .rw2 .rwl .rwz .sr2 .srf"
    b" .srw .sti .x3f".split()
)
_DECODED_SUFFIXES = frozenset(
    b".jpg .jpeg .jpe .jif .jfif .jfi .jps .mpo .insp .png .apng .pns .gif .webp .bmp .dib .tif .tiff .avif .avifs"
    b" .heic .heif .hif .heics .heifs .jp2 .j2k .j2c .jpc .jpx .jpf .ico .psd .ppm .pgm .pbm .pnm .pam .pfm .tga"
    b" .icb .vda .vst .jxl".split()
)
_SVG = "an SVG drawing, not a picture of pixels"
# Pictures that are not decoded, by the suffixes of each kind.
_NAMED_SUFFIXES = {
    **dict.fromkeys(b".svg .svgz".split(), _SVG),
    **{
        suffix: f"{kind} pictures are not supported; export it as a PNG or JPEG"
        for kind, suffixes in {
            "OpenEXR": b".exr .sxr",
            "Radiance HDR": b".hdr .rgbe .xyze",
            "JPEG XR": b".jxr .wdp .hdp",
            "JPEG-LS": b".jls",
            "High-throughput JPEG 2000": b".jph .jhc",
            "JPEG 2000 motion": b".mj2",
            "DirectDraw": b".dds",
            "PCX": b".pcx .dcx",
            "SGI": b".sgi .rgb .rgba .bw",
            "Sun raster": b".ras .sun",
            "X Window": b".xbm .xpm .xwd",
            "Wireless bitmap": b".wbmp",
            "Macintosh": b".icns .pict .pct",
            "Cursor": b".cur .ani",
            "QOI": b".qoi",
            "BPG": b".bpg",
            "FLIF": b".flif",
            "DjVu": b".djvu .djv",
            "FITS": b".fits .fit .fts",
            "DPX": b".dpx .cin",
            "DICOM": b".dcm .dicom",
            "Large Photoshop": b".psb",
            "GIMP": b".xcf",
            "Krita": b".kra",
            "OpenRaster": b".ora",
            "Softimage": b".pic",
            "MNG": b".mng .jng",
            "PostScript": b".eps .epsf .ai",
            "Windows metafile": b".emf .wmf",
            "H.264 still": b".avci .avcs",
        }.items()
        for suffix in suffixes.split()
    },
}
# A file with one of these is taken for a picture, so it is tried and, if it is none, listed as a failure.
PICTURE_SUFFIXES = RAW_SUFFIXES | _DECODED_SUFFIXES | _NAMED_SUFFIXES.keys()

# Any other file is a picture if it begins like one; else it is none of our business (notes, sidecars, databases).
MAGIC_BYTES = 32
_JXL_MAGIC = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Canon's CRW, Panasonic, three of Olympus, Fujifilm, Sigma, Minolta, ARRI.
_RAW_MAGIC = (
    *(b"II\x1a\0\0\0HEAPCCDR", b"IIU\0", b"IIRO", b"IIRS", b"MMOR"),
    *(b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM", b"ARRI\x12\x34\x56\x78"),
)
_NAMED_MAGIC = {
    b"v/1\x01": b".exr",
    b"#?RADIANCE": b".hdr",
    b"#?RGBE": b".hdr",
    b"II\xbc\x01": b".jxr",
    b"DDS \x7c\0\0\0": b".dds",
    b"qoif": b".qoi",
    b"BPG\xfb": b".bpg",
    b"gimp xcf": b".xcf",
    b"%!PS-Adobe": b".eps",
    b"\xc5\xd0\xd3\xc6": b".eps",
    b"AT&TFORM": b".djvu",
    b"8BPS\0\2": b".psb",
    b"\x8aMNG\r\n\x1a\n": b".mng",
    b"\x8bJNG\r\n\x1a\n": b".jng",
}
_MAGIC = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    *_TIFF_MAGIC,
    b"8BPS",  # PSD
    b"\0\0\0\x0cjP  \r\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",  # JPEG 2000, bare codestream
    _JXL_MAGIC[1],  # the other one is too short to go by
    *_RAW_MAGIC,
    b"v/1\x01",  # OpenEXR
    b"#?RADIANCE",
)
# ISO media files say what they are behind the length of their first box. `mif1` and `msf1` may be AVIF or HEIF.
HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx hevm hevs mif1 msf1".split())
_ISO_BRANDS = HEIF_BRANDS | {b"avif", b"avis", b"crx "}

_SUBFILE_TYPE, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 254, 262, 330, 50706
# What a sensor saw, in its own colours: of a filter array, and linear.
_OF_A_SENSOR = (32803, 34892)


def has_picture_suffix(path: bytes) -> bool:
    return suffix_of(path) in PICTURE_SUFFIXES


def suffix_of(path: bytes) -> bytes:
    return os.path.splitext(path)[1].lower()


def begins_like_picture(head: bytes) -> bool:
    """Say whether these first bytes (`MAGIC_BYTES` of them) are those of a picture."""
    if head[4:8] == b"ftyp":
        return iso_brand(head) in _ISO_BRANDS
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP"
    return head.startswith(_MAGIC)


def iso_brand(content: bytes) -> bytes:
    return content[8:12] if content[4:8] == b"ftyp" else b""


def is_jpeg_xl(content: bytes) -> bool:
    return content.startswith(_JXL_MAGIC)


def is_tiff(content: bytes) -> bool:
    return content.startswith(_TIFF_MAGIC)


def has_named_magic(content: bytes) -> bool:
    """Say whether a file begins as one of a kind that is known and not decoded."""
    return content.startswith(tuple(_NAMED_MAGIC))


def is_camera_raw(content: bytes) -> bool:
    """Say whether a file is what a camera's sensor saw. Its beginning is often that of a TIFF with a small preview."""
    if content.startswith(_RAW_MAGIC) or iso_brand(content) == b"crx ":
        return True
    if not is_tiff(content):
        return False
    if content[8:10] == b"CR" or content[8:12] in (b"IIII", b"MMMM"):  # Canon's CR2, Phase One's IIQ
        return True
    tags = _first_tags(content)
    is_preview = tags.get(_SUBFILE_TYPE, 0) == 1 and _SUB_IFDS in tags
    return _DNG_VERSION in tags or is_preview or tags.get(_PHOTOMETRIC) in _OF_A_SENSOR


def _first_tags(tiff: bytes) -> dict[int, Any]:
    file = io.BytesIO(tiff)
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(tiff[:8])
        file.seek(tags.next)
        tags.load(file)
        return dict(tags)
    except Exception:  # damaged, which the decoder says better
        return {}


def named_refusal(content: bytes, suffix: bytes) -> str | None:
    """Return why a file of a kind that is known, and not decoded, is refused; None if it is not known.

    suffix: counts only where the content does not say what it is.
    """
    head = content[:512].lstrip().lower()
    if b"<svg" in head:
        return _SVG
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page, not a picture"
    for magic, kind in _NAMED_MAGIC.items():
        if content.startswith(magic):
            return _NAMED_SUFFIXES[kind]
    return None if begins_like_picture(content[:MAGIC_BYTES]) else _NAMED_SUFFIXES.get(suffix)
