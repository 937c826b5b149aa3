"""What a picture's file says of it: when, with what and where it was taken, and what was written into it since.

From Exif, XMP and IPTC, in the bytes that were read to be decoded. A file may say anything: what cannot be (a day that
no calendar has, a place beyond the pole) is taken for not said, and what would take long to read is passed over.
Nothing is raised. This module knows no store.
"""

import io
import logging
import math
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from xml.etree.ElementTree import Element

from PIL import Image, TiffImagePlugin

from vecstore.results import Facts
from vecstore.sources import decoding
from vecstore.sources.metadata_blocks import MAX_TEXT_BYTES, Blocks, blocks_of
from vecstore.sources.pixel_measures import SIDE, measure

log = logging.getLogger(__name__)

# Of a directory of Exif: its entries, and the bytes that they lead to. Several entries may lead to the same bytes.
MAX_ENTRIES, MAX_ENTRY_BYTES = 1_000, 1 << 24
# Of texts that are kept.
MAX_NAME, MAX_CAPTION, MAX_KEYWORDS, MAX_KEYWORD = 120, 2_000, 100, 120
MAX_IPTC_BYTES = 1 << 20

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_DESCRIPTION, _MAKE, _MODEL, _ORIENTATION, _RATING, _XMP, _IPTC = 0x10E, 0x10F, 0x110, 0x112, 0x4746, 0x2BC, 0x83BB
_XP_KEYWORDS, _EXIF_IFD, _GPS_IFD = 0x9C9E, 0x8769, 0x8825
_ORIGINAL, _DIGITIZED, _OFFSET_ORIGINAL, _OFFSET_DIGITIZED = 0x9003, 0x9004, 0x9011, 0x9012
_WIDTH, _HEIGHT, _LENS = 0xA002, 0xA003, 0xA434
_LATITUDE_SIDE, _LATITUDE, _LONGITUDE_SIDE, _LONGITUDE = 1, 2, 3, 4
# All of these. A camera writes fifty, and decoding the others takes longer than the rest of a directory.
_READ_TAGS = {
    *(_DESCRIPTION, _MAKE, _MODEL, _ORIENTATION, _RATING, _XMP, _IPTC, _XP_KEYWORDS, _EXIF_IFD, _GPS_IFD),
    *(_ORIGINAL, _DIGITIZED, _OFFSET_ORIGINAL, _OFFSET_DIGITIZED, _WIDTH, _HEIGHT, _LENS),
    *(_LATITUDE_SIDE, _LATITUDE, _LONGITUDE_SIDE, _LONGITUDE),
}
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "exifEX": "http://cipa.jp/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
}
# What stands before a date that no clock was set to: of QuickTime, of Unix.
_UNSET = ("1904-01-01", "1970-01-01T00:00:00")
# The first photograph that is left was taken then.
_FIRST_YEAR = 1826
_DATE = re.compile(
    r"(\d{4})[:/-](\d{2})[:/-](\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2})(?:[.,]\d*)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?$"
)
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})$")
_XMP_DEGREES = re.compile(r"(\d{1,3}),(\d{1,2}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?([NSEW])$")
_TOO_LONG = 1_000

# Both sides of a picture that is decoded for its facts alone have at least twice this.
_LEAST_SIDE = SIDE // 2

Tags = Mapping[int, Any]


def facts_in(content: bytes, name: bytes = b"") -> Facts:
    """Return what a picture's file and its pixels say; nothing of the pixels if they cannot be decoded."""
    try:
        image = decoding.decode(content, (_LEAST_SIDE, _LEAST_SIDE), name)
    except decoding.Unreadable:
        return read(content, name)
    return facts_of(content, image, name)


def facts_of(content: bytes, image: Image.Image, name: bytes = b"") -> Facts:
    """Return what a picture's file and its pixels say. image: as decoded, perhaps smaller, or its grey levels."""
    said = read(content, name)
    width, height = said.width, said.height
    if (width < height and image.width > image.height) or (width > height and image.width < image.height):
        width, height = height, width
    if not (width and height):
        width, height = image.size
    return replace(said, width=width, height=height, **measure(image)._asdict())


def read(content: bytes, name: bytes = b"") -> Facts:
    """Return what a file says; the least is its size in bytes. name: of the file, whose suffix tells raw pictures."""
    facts = Facts(bytes=len(content))
    try:
        blocks = blocks_of(content, name)
        if blocks is not None:
            facts = _said(blocks, facts)
    except Exception:  # parsers raise anything on damaged files, and their pixels are what matters
        log.debug("metadata of %r cannot be read", name, exc_info=True)
    return facts


def _said(blocks: Blocks, facts: Facts) -> Facts:
    """Return what the blocks say; each of them is read by itself, so that a damaged one costs what is in it."""
    main, exif, gps = _directories(blocks)
    xmp = _Xmp(blocks.xmp or _as_bytes(main.get(_XMP)))
    iptc = _iptc(blocks.iptc or _as_bytes(main.get(_IPTC)))
    turns = (blocks.orientation, main.get(_ORIENTATION), xmp.text("tiff:Orientation"))
    orientation = next((turn for turn in (_whole(said, 1, 8) for said in turns) if turn is not None), None)
    latitude, longitude = _place(gps, xmp)
    width, height = blocks.size or (_whole(exif.get(_WIDTH)) or 0, _whole(exif.get(_HEIGHT)) or 0)
    if orientation is not None and orientation >= 5 and not blocks.is_upright:
        width, height = height, width
    return replace(
        facts,
        taken=next(_dates(exif, xmp, iptc), None),
        maker=_text(main.get(_MAKE)) or _text(xmp.text("tiff:Make")),
        camera=_text(main.get(_MODEL)) or _text(xmp.text("tiff:Model")),
        lens=_text(exif.get(_LENS)) or _text(xmp.text("exifEX:LensModel")) or _text(xmp.text("aux:Lens")),
        orientation=orientation,
        latitude=latitude,
        longitude=longitude,
        width=width,
        height=height,
        format=blocks.format or None,
        rating=_rating(xmp.text("xmp:Rating")) or _rating(main.get(_RATING)),
        keywords=_keywords(main, xmp, iptc),
        caption=next(_captions(main, xmp, iptc), None),
    )


# Exif


def _directories(blocks: Blocks) -> tuple[Tags, Tags, Tags]:
    """Return the tags of the file, of the shot and of the place."""
    tiff = blocks.exif.removeprefix(b"Exif\0\0")
    main = _directory(tiff)
    exif = _directory(blocks.exif_ifd) or _directory(tiff, main.get(_EXIF_IFD))
    gps = _directory(blocks.gps_ifd) or _directory(tiff, main.get(_GPS_IFD))
    return main, exif, gps


def _directory(tiff: bytes, at: Any = None) -> Tags:
    """Return what is read of a directory, by default the first; nothing of one that is damaged, or long to read.

    Texts are read as UTF-8 where they are that; Pillow takes them for Latin-1.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or not isinstance(at, int | None):
        return {}
    found = {}
    with suppress(Exception):  # Pillow raises anything on damaged blocks
        at = struct.unpack_from(f"{order}L", tiff, 4)[0] if at is None else at
        if not _is_modest(tiff, at, order):
            return {}
        tags, file = TiffImagePlugin.ImageFileDirectory_v2(tiff[:8]), io.BytesIO(tiff)
        file.seek(at)
        tags.load(file)
        for tag in _READ_TAGS.intersection(tags):
            with suppress(Exception):
                # IPTC is bytes that Photoshop and exiftool call 32-bit numbers, of which Pillow gives the first.
                value = tags._tagdata[tag] if tag == _IPTC else tags[tag]
                found[tag] = _decoded(value.encode("latin-1")) if isinstance(value, str) else value
    return found


def _is_modest(tiff: bytes, at: int, order: str) -> bool:
    n_entries = struct.unpack_from(f"{order}H", tiff, at)[0]
    if n_entries > MAX_ENTRIES:
        return False
    entries = tiff[at + 2 : at + 2 + 12 * n_entries]
    fields = struct.iter_unpack(f"{order}HHLL", entries[: len(entries) // 12 * 12])
    n_bytes = sum(_TYPE_BYTES.get(kind, 1) * count for _, kind, count, _ in fields)
    return bool(n_bytes <= MAX_ENTRY_BYTES)


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""


# XMP


class _Xmp:
    """The properties of a packet of XMP; none of one that is damaged, too long, or declares a document type."""

    def __init__(self, packet: bytes) -> None:
        self._properties: dict[str, list[str]] = {}
        packet = packet.strip(b"\0 \t\r\n")
        if not packet or len(packet) > MAX_TEXT_BYTES:
            return
        import defusedxml.ElementTree  # only those who have such pictures wait for it to load

        with suppress(Exception):
            root = defusedxml.ElementTree.fromstring(packet, forbid_dtd=True)
            for rdf in root.iter(f"{_RDF}RDF"):
                for described in rdf.findall(f"{_RDF}Description"):
                    self._take(described)

    def _take(self, described: Element) -> None:
        for name, value in described.attrib.items():
            self._properties.setdefault(name, [value])
        for child in described:
            items = [item.text or "" for item in child.iter(f"{_RDF}li")]
            self._properties.setdefault(child.tag, items or [child.text or ""])

    def texts(self, name: str) -> list[str]:
        prefix, _, local = name.partition(":")
        return self._properties.get(f"{{{_NAMESPACES[prefix]}}}{local}", [])

    def text(self, name: str) -> str | None:
        return next(iter(self.texts(name)), None)


# IPTC


def _iptc(block: bytes) -> dict[int, list[bytes]]:
    """Return the values of the fields of the second record, where all that is kept here is."""
    found: dict[int, list[bytes]] = {}
    block, at = block[:MAX_IPTC_BYTES], 0
    while at + 5 <= len(block) and block[at] == 0x1C:
        record, field, length = block[at + 1], block[at + 2], int.from_bytes(block[at + 3 : at + 5])
        at += 5
        if length & 0x8000:  # the number of bytes that the length is in
            return found
        if record == 2:
            found.setdefault(field, []).append(block[at : at + length])
        at += length
    return found


_IPTC_KEYWORDS, _IPTC_CREATED, _IPTC_DIGITIZED, _IPTC_CAPTION = 25, (55, 60), (62, 63), 120


def _iptc_moment(iptc: dict[int, list[bytes]], fields: tuple[int, int]) -> str | None:
    """Return what the fields of a day and a time say: 20260531 and 183005+0200."""
    day, time = (b"".join(iptc.get(field, [])[:1]).decode("latin-1") for field in fields)
    if len(day) != 8:
        return None
    clock = f" {time[:2]}:{time[2:4]}:{time[4:6]}{time[6:11]}" if len(time) >= 6 else ""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}{clock}"


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


# From what is said to what is kept


def _dates(exif: Tags, xmp: _Xmp, iptc: dict[int, list[bytes]]) -> Iterator[str]:
    """Yield when the picture may have been taken, the most reliable first."""
    said: list[tuple[Any, Any]] = [(exif.get(_ORIGINAL), exif.get(_OFFSET_ORIGINAL))]
    said += [(xmp.text("exif:DateTimeOriginal"), None), (xmp.text("photoshop:DateCreated"), None)]
    said += [(_iptc_moment(iptc, _IPTC_CREATED), None)]
    said += [(exif.get(_DIGITIZED), exif.get(_OFFSET_DIGITIZED)), (xmp.text("xmp:CreateDate"), None)]
    said += [(_iptc_moment(iptc, _IPTC_DIGITIZED), None)]
    for when, offset in said:
        found = _moment(when, offset)
        if found is not None:
            yield found


def _moment(when: Any, offset: Any) -> str | None:
    """Return a date, with the time and the offset if there are any, as ISO text; None for one that cannot be."""
    found = _DATE.match(_clean(when, _TOO_LONG))
    if found is None:
        return None
    year, month, day, hour, minute, second, own_offset = found.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        return None
    if moment.year < _FIRST_YEAR or moment > datetime.now() + timedelta(days=2):
        return None
    text = moment.isoformat() if hour else moment.date().isoformat()
    if text.startswith(_UNSET):
        return None
    return text + (_offset(own_offset or _clean(offset, _TOO_LONG)) if hour else "")


def _offset(text: str) -> str:
    if text == "Z":
        return "+00:00"
    found = _OFFSET.match(text)
    if found is None or int(found[2]) > 14 or int(found[3]) > 59:
        return ""
    return f"{found[1]}{found[2]}:{found[3]}"


def _place(gps: Tags, xmp: _Xmp) -> tuple[float, float] | tuple[None, None]:
    latitude = _degrees(gps.get(_LATITUDE), gps.get(_LATITUDE_SIDE), "NS", 90)
    longitude = _degrees(gps.get(_LONGITUDE), gps.get(_LONGITUDE_SIDE), "EW", 180)
    if latitude is None or longitude is None:
        latitude = _xmp_degrees(xmp.text("exif:GPSLatitude"), "NS", 90)
        longitude = _xmp_degrees(xmp.text("exif:GPSLongitude"), "EW", 180)
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None, None
    return latitude, longitude


def _degrees(parts: Any, side: Any, sides: str, most: int) -> float | None:
    """Return degrees, negative on the second side; None for what is no place."""
    side = _clean(side, _TOO_LONG).upper()[:1]
    if not isinstance(parts, tuple) or not 1 <= len(parts) <= 3 or not side or side not in sides:
        return None
    try:
        numbers = [float(part) for part in parts]
        while len(numbers) > 1 and math.isnan(numbers[-1]):  # 0/0, for seconds that are not used
            numbers.pop()
        degrees = math.fsum(number / 60**place for place, number in enumerate(numbers))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not math.isfinite(degrees) or not 0 <= degrees <= most:
        return None
    signed = -degrees if side == sides[1] else degrees
    return round(signed, 7) + 0.0


def _xmp_degrees(text: str | None, sides: str, most: int) -> float | None:
    found = _XMP_DEGREES.match((text or "")[:_TOO_LONG].strip())
    if found is None:
        return None
    return _degrees(tuple(float(part) for part in found.groups()[:3] if part), found[4], sides, most)


def _rating(value: Any) -> int | None:
    """Return a rating; 0 is none."""
    return _whole(value, -1, 5) or None


def _whole(value: Any, least: int = 1, most: int = 1 << 31) -> int | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return int(number) if number.is_integer() and least <= number <= most else None


def _keywords(main: Tags, xmp: _Xmp, iptc: dict[int, list[bytes]]) -> tuple[str, ...]:
    windows = _as_bytes(main.get(_XP_KEYWORDS)).decode("utf-16-le", "ignore")
    said = [*xmp.texts("dc:subject"), *map(_decoded, iptc.get(_IPTC_KEYWORDS, [])), *windows.split(";")]
    found = dict.fromkeys(filter(None, (_clean(text, MAX_KEYWORD) for text in said[: 3 * MAX_KEYWORDS])))
    return tuple(found)[:MAX_KEYWORDS]


def _captions(main: Tags, xmp: _Xmp, iptc: dict[int, list[bytes]]) -> Iterator[str]:
    said = [xmp.text("dc:description"), *map(_decoded, iptc.get(_IPTC_CAPTION, [])), main.get(_DESCRIPTION)]
    yield from filter(None, (_clean(text, MAX_CAPTION) for text in said))


def _text(value: Any) -> str | None:
    return _clean(value, MAX_NAME) or None


def _clean(value: Any, most: int) -> str:
    """Return a text of one line, without what cannot be printed; "" for what is no text."""
    if isinstance(value, bytes):
        value = _decoded(value)
    if not isinstance(value, str):
        return ""
    value = value[: 4 * most].partition("\0")[0]
    printable = "".join(letter if letter.isprintable() else " " for letter in value)
    return " ".join(printable.split())[:most].strip()
