"""What pictures' files say: right values of files made here and of shared ones, and nothing from files that lie."""

import io
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from vecstore.results import Facts
from vecstore.sources.metadata import facts_in, read
from vecstore.sources.pixel_measures import measure

SIZE = (48, 32)

# What is written, by exiftool's names, and what is to be read.
WRITTEN = {
    "DateTimeOriginal": "2024:05:31 18:30:05",
    "OffsetTimeOriginal": "+02:00",
    "Make": "FUJIFILM",
    "Model": "X-T5",
    "LensModel": "XF35mmF1.4 R",
    "GPSLatitude": "48.137222",
    "GPSLatitudeRef": "N",
    "GPSLongitude": "-11.575556",
    "GPSLongitudeRef": "W",
    "XMP-xmp:Rating": "4",
    "XMP-dc:Description": "Bäume am Fluß",
}
READ = Facts(
    taken="2024-05-31T18:30:05+02:00",
    maker="FUJIFILM",
    camera="X-T5",
    lens="XF35mmF1.4 R",
    latitude=48.137222,
    longitude=-11.575556,
    width=48,
    height=32,
    rating=4,
    keywords=("birch", "river"),
    caption="Bäume am Fluß",
)
FORMATS = {"jpg": "JPEG", "png": "PNG", "tif": "TIFF", "webp": "WEBP", "heic": "HEIF", "dng": "DNG"}


def painted() -> Image.Image:
    return Image.linear_gradient("L").resize(SIZE).convert("RGB")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture of each format, into which exiftool has written `WRITTEN`."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    folder = tmp_path_factory.mktemp("written")
    for suffix in FORMATS:
        if suffix == "heic":
            pillow_heif.from_pillow(painted()).save(folder / "a.heic")
        else:
            painted().save(folder / f"a.{suffix}", {"dng": "TIFF"}.get(suffix))
    tags = [f"-{name}={value}" for name, value in WRITTEN.items()]
    words = ["-XMP-dc:Subject=birch", "-XMP-dc:Subject=river"]
    files = [str(folder / f"a.{suffix}") for suffix in FORMATS]
    of_raw = ["-execute", "-overwrite_original", "-DNGVersion=1.4.0.0", str(folder / "a.dng")]
    subprocess.run(
        ["exiftool", "-q", "-overwrite_original", "-n", *tags, *words, *files, *of_raw], check=True, timeout=60
    )
    return folder


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_exiftool_writes_is_read(suffix: str, written: Path) -> None:
    content = (written / f"a.{suffix}").read_bytes()
    size: dict[str, Any] = {"width": 0, "height": 0} if suffix == "dng" else {}
    found = read(content, f"a.{suffix}".encode())
    expected = replace(READ, format=FORMATS[suffix], bytes=len(content), orientation=found.orientation, **size)
    assert found == expected


def test_the_day_of_digitizing_is_read_of_iptc_where_there_is_no_better(written: Path) -> None:
    made = written / "digitized.jpg"
    painted().save(made)
    tags = ("-IPTC:DigitalCreationDate=2001:02:03", "-IPTC:DigitalCreationTime=04:05:06+01:00")
    subprocess.run(["exiftool", "-q", "-overwrite_original", *tags, str(made)], check=True, timeout=60)
    assert read(made.read_bytes()).taken == "2001-02-03T04:05:06+01:00"


def test_raw_pictures_of_other_makers_are_read_as_tiff_or_by_their_preview(written: Path) -> None:
    jpeg, tiff = (written / "a.jpg").read_bytes(), (written / "a.tif").read_bytes()
    fuji = b"FUJIFILMCCD-RAW".ljust(84, b"\0") + struct.pack(">LL", 100, len(jpeg)) + bytes(8) + jpeg
    olympus = tiff[:2] + b"RO" + tiff[4:]
    for content, name in ((fuji, b"a.raf"), (olympus, b"a.orf")):
        found = read(content, name)
        assert (found.taken, found.camera, found.latitude, found.rating) == (READ.taken, "X-T5", READ.latitude, 4)
        assert found.format == name[2:].decode().upper()


@pytest.mark.parametrize("name", ["iptc.jpg", "iptc.tif"])  # in a TIFF exiftool calls it 32-bit numbers
def test_iptc_is_read(name: str, written: Path) -> None:
    made = written / name
    painted().save(made)
    tags = (
        "Caption-Abstract=A caption",
        "Keywords=one",
        "Keywords=two",
        "DateCreated=2001:02:03",
        "TimeCreated=04:05:06+01:00",
    )
    subprocess.run(
        ["exiftool", "-q", "-overwrite_original", *(f"-IPTC:{tag}" for tag in tags), str(made)], check=True, timeout=60
    )
    found = read(made.read_bytes())
    assert (found.taken, found.keywords, found.caption) == ("2001-02-03T04:05:06+01:00", ("one", "two"), "A caption")


def test_what_windows_and_raw_pictures_say_in_exif_alone_is_read() -> None:
    exif = Image.Exif()
    exif.update({0x4746: 3, 0x9C9E: "one;two".encode("utf-16-le")})
    shot = {0x9004: "2001:02:03 04:05:06", 0x9012: "+01:00", 0xA002: 6000, 0xA003: 4000, 0x927C: bytes(4096)}
    exif.get_ifd(ExifTags.IFD.Exif).update(shot)
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    expected = Facts(
        taken="2001-02-03T04:05:06+01:00",
        bytes=len(content),
        format="DNG",
        width=6000,
        height=4000,
        rating=3,
        keywords=("one", "two"),
    )
    assert read(content, b"a.dng") == expected


# Files that lie

# What some cameras write for seconds that they do not use.
UNUSED = IFDRational(0, 0)


def with_exif(main: dict[int, Any], shot: dict[int, Any] | None = None, place: dict[int, Any] | None = None) -> bytes:
    """A JPEG with these tags."""
    exif = Image.Exif()
    exif.update(main)
    exif.get_ifd(ExifTags.IFD.Exif).update(shot or {})
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(place or {})
    made = io.BytesIO()
    painted().save(made, "JPEG", exif=exif)
    return made.getvalue()


def with_xmp(packet: bytes) -> bytes:
    made = io.BytesIO()
    painted().save(made, "WEBP", xmp=packet)
    return made.getvalue()


def packet_of(properties: str) -> bytes:
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
        <rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" {properties}/></rdf:RDF></x:xmpmeta>""".encode()


@pytest.mark.parametrize(
    ("when", "taken"),
    [
        ("2011:12:13 14:15:16", "2011-12-13T14:15:16"),
        ("2011-12-13 14:15", "2011-12-13T14:15:00"),
        ("2011:12:13", "2011-12-13"),
        *[(lie, None) for lie in ("0000:00:00 00:00:00", "1904:01:01 00:00:00", "1970:01:01 00:00:00", "    :  :  ")],
        *[
            (lie, None)
            for lie in ("2011:02:30 00:00:00", "9999:12:31 23:59:59", "1066:10:14 12:00:00", "yesterday", "")
        ],
        ("2011:12:13 24:00:00", None),
        ("9" * 5_000, None),
    ],
)
def test_a_date_that_cannot_be_is_none(when: str, taken: str | None) -> None:
    assert read(with_exif({}, {0x9003: when})).taken == taken


@pytest.mark.parametrize(
    ("offset", "ending"), [("+05:30", "+05:30"), ("Z", "+00:00"), ("+25:00", ""), ("here", ""), ("-0800", "-08:00")]
)
def test_an_offset_that_cannot_be_leaves_a_local_time(offset: str, ending: str) -> None:
    assert read(with_exif({}, {0x9003: "2011:12:13 14:15:16", 0x9011: offset})).taken == f"2011-12-13T14:15:16{ending}"


@pytest.mark.parametrize(
    ("place", "degrees"),
    [
        ({1: "S", 2: (33.0, 30.0, 36.0), 3: "E", 4: (151.0, 12.0, 0.0)}, (-33.51, 151.2)),
        ({1: "N", 2: (48.0, 30.0, UNUSED), 3: "E", 4: (11.0, UNUSED, UNUSED)}, (48.5, 11.0)),
        ({1: "N", 2: (48.0, UNUSED, 36.0), 3: "E", 4: (11.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (UNUSED, 0.0, 0.0), 3: "E", 4: (11.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (5.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (48.0, 0.0, 0.0), 3: "E", 4: (181.0, 0.0, 0.0)}, (None, None)),
        ({2: (48.0, 0.0, 0.0), 4: (11.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (48.0, 0.0, 0.0)}, (None, None)),
        ({1: "X", 2: (48.0, 0.0, 0.0), 3: "E", 4: (11.0, 0.0, 0.0)}, (None, None)),
    ],
)
def test_a_place_that_cannot_be_is_none(place: dict[int, Any], degrees: tuple[float | None, float | None]) -> None:
    found = read(with_exif({}, place=place))
    assert (found.latitude, found.longitude) == degrees


def test_texts_are_kept_in_one_line_of_bounded_length() -> None:
    found = read(with_exif({0x110: "a\tb\x1b[31m" + "c" * 500, 0x10E: "line\r\nline\0rest" + "d" * 9_000}))
    assert (found.camera, found.caption) == ("a b [31m" + "c" * 112, "line line")


@pytest.mark.parametrize(
    "packet",
    [
        b'<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>' + packet_of('xmp:Rating="5"'),
        b"<!DOCTYPE a>" + packet_of('xmp:Rating="5"'),
        packet_of('xmp:Rating="5"') + b" " * (1 << 20) + b"<!-- -->",
        packet_of('xmp:Rating="5"')[:-20],
        b"<a>" * 100_000,
        b"\xff\xfe" + bytes(1_000),
    ],
    ids=["entities", "a document type", "too long", "cut off", "deep", "no text"],
)
def test_xmp_that_is_made_to_keep_a_reader_busy_says_nothing(packet: bytes) -> None:
    found = read(with_xmp(packet))
    assert (found.rating, found.width, found.format) == (None, 48, "WEBP")


def test_a_packet_of_40_mb_costs_no_more_than_its_facts() -> None:
    made = io.BytesIO()
    painted().save(made, "PNG")
    text = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet_of('xmp:Rating="5"') + b" " * 40_000_000)
    chunk = struct.pack(">L", len(text)) + b"iTXt" + text + struct.pack(">L", zlib.crc32(b"iTXt" + text))
    content = made.getvalue()
    content = content[:33] + chunk + content[33:]
    found = facts_in(content)
    assert (found.rating, found.width, found.height, found.entropy is not None) == (None, 48, 32, True)


def tiff_of(entries: list[tuple[int, int, int, int]], behind: bytes = b"") -> bytes:
    packed = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + packed + bytes(4) + behind


@pytest.mark.parametrize(
    "tiff",
    [
        tiff_of([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8)]),
        tiff_of([(0x8769, 4, 1, 1 << 31)]),
        tiff_of([(0x110, 2, 4, 0x00636261), (0x1000, 7, 17 << 20, 38)], bytes(17 << 20)),
        tiff_of([(0x110, 2, 1 << 31, 8)]),
        tiff_of([(1_000 + number, 3, 1, 0) for number in range(1_000)] + [(0x110, 2, 4, 0x00636261)]),
        b"MM\0*",
    ],
    ids=["loop", "far", "17 MiB", "long", "many entries", "short"],
)
def test_exif_that_is_made_to_keep_a_reader_busy_says_nothing(tiff: bytes) -> None:
    made = io.BytesIO()
    painted().save(made, "PNG")
    content = made.getvalue()
    chunk = struct.pack(">L", len(tiff)) + b"eXIf" + tiff + struct.pack(">L", zlib.crc32(b"eXIf" + tiff))
    found = read(content[:33] + chunk + content[33:])
    assert found == Facts(bytes=len(content) + len(chunk), format="PNG", width=48, height=32)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_damaged_file_says_nothing_that_cannot_be(data: st.DataObject) -> None:
    place = {1: "N", 2: (48.0, 1.0, 2.0), 3: "E", 4: (11.0, 1.0, 2.0)}
    content = bytearray(with_exif({0x110: "camera", 0x112: 6}, {0x9003: "2011:12:13 14:15:16"}, place))
    for at in data.draw(st.lists(st.integers(0, 400), min_size=1, max_size=8)):
        content[at] = data.draw(st.integers(0, 255))
    found = read(bytes(content), b"a.jpg")
    kinds = {
        int: ("orientation", "width", "height", "rating"),
        float: ("latitude", "longitude"),
        str: ("taken", "camera"),
    }
    for kind, names in kinds.items():
        assert all(isinstance(getattr(found, name), kind | None) for name in names)
    assert found.latitude is None or (abs(found.latitude) <= 90 and abs(found.longitude or 0) <= 180)
    assert found.camera is None or found.camera.isprintable()


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"a.jpg", b"a.cr2", b"a.raf", b"a", b"a.cr3"]))
def test_whatever_the_bytes_are_nothing_is_raised(content: bytes, name: bytes) -> None:
    beginnings = (
        b"",
        b"\xff\xd8\xff\xe1",
        b"II*\0",
        b"FUJIFILMCCD-RAW",
        b"\0\0\0\x18ftypcrx ",
        b"\x89PNG\r\n\x1a\n",
        b"\0\0\0\x0cJXL \r\n\x87\n",
    )
    for beginning in beginnings:
        assert read(beginning + content, name).bytes == len(beginning + content)


# The shared pictures

SHARED: dict[str, dict[str, Any]] = {
    "broken/pillow_invalid-exif.jpg": {"taken": "2017-03-13T23:03:09-07:00"},
    "broken/pillow_sugarshack_bad_mpo_header.jpg": {"camera": "Nintendo 3DS", "format": "JPEG"},
    "cmyk/sharp_cmyk_icc.jpg": {"taken": "2004-03-20T14:54:55", "camera": "Canon EOS 300D DIGITAL", "maker": "Canon"},
    "exif_orientation/Portrait_6.jpg": {"orientation": 6, "width": 1200, "height": 1800, "taken": None},
    "exif_orientation/pillow_hopper_orientation_5.webp": {"orientation": 5, "format": "WEBP"},
    "heic/arrow.heic": {
        **{"taken": "2018-07-31T14:52:07", "maker": "Apple", "camera": "iPhone 8 Plus", "orientation": 6},
        **{"lens": "iPhone 8 Plus back dual camera 3.99mm f/1.8", "width": 3024, "height": 4032, "format": "HEIF"},
    },
    "huge/sharp_giant-image.jpg": {"width": 20_000, "height": 14_000, "format": "JPEG"},
    "other/pillow_hopper.psd": {"taken": "2014-09-18T14:29:04+03:00", "format": "PSD"},
    "other/sharp_Landscape_9.jpg": {"lens": "EF85mm f/1.2L II USM", "rating": 2, "orientation": 1},
    "other/sharp_cosmos.avif": {"width": 2048, "height": 858, "format": "AVIF", "camera": None},
    "wrong_ext/ukbench09380_is_jpeg.bmp": {"camera": "Canon IXY DIGITAL 320", "format": "JPEG"},
    "wrong_ext/html.png": {"format": None, "width": 0},
}


@pytest.mark.parametrize("name", SHARED)
def test_the_shared_pictures_say_what_they_say(name: str, shared_pictures: Callable[[str], Path]) -> None:
    file = shared_pictures("hostile") / name
    found = read(file.read_bytes(), os.fsencode(file))
    assert {fact: getattr(found, fact) for fact in SHARED[name]} == SHARED[name]


# What the pixels say


def noise(width: int, height: int) -> Image.Image:
    return Image.effect_noise((width, height), 60).convert("RGB")


def measures() -> Iterator[tuple[str, Image.Image, dict[str, float]]]:
    yield "white", Image.new("RGB", (300, 200), "white"), {"brightness": 1, "contrast": 0, "shadows": 1, "entropy": 0}
    yield "black", Image.new("RGB", (2, 2)), {"brightness": 0, "highlights": 0, "sharpness": 0, "entropy": 0}
    halves = Image.new("RGB", (100, 100))
    halves.paste("white", (0, 0, 50, 100))
    yield "halves", halves, {"brightness": 0.5, "contrast": 0.5, "shadows": 0, "highlights": 1, "entropy": 1}


@pytest.mark.parametrize(
    ("name", "image", "expected"), list(measures()), ids=lambda part: part if isinstance(part, str) else ""
)
def test_pixels_are_measured(name: str, image: Image.Image, expected: dict[str, float]) -> None:
    found = measure(image)._asdict()
    assert {name: found[name] for name in expected} == expected


def test_sharpness_depends_little_on_the_size_and_much_on_blur() -> None:
    sharp = noise(256, 192)
    large = sharp.resize((1024, 768), Image.Resampling.NEAREST)
    blurred = large.resize((64, 48)).resize((1024, 768), Image.Resampling.BICUBIC)
    of_sharp, of_large, of_blurred = (measure(image).sharpness for image in (sharp, large, blurred))
    assert of_large == pytest.approx(of_sharp, rel=0.05)
    assert of_blurred < of_sharp / 20
