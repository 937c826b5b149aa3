"""From a file to RGB pixels: what is made upright, white, scaled and small, and what is refused."""

import hashlib
import io
import os
import struct
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from tests.programs import run_code
from vecstore.embedders.embedder import Embedder
from vecstore.sources import decode_memory, decoders, decoding, jpeg
from vecstore.sources.decoding import Unreadable, decode, looks_like_picture, read
from vecstore.sources.painted import paint

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    if kind == "HEIF":
        pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(image: Image.Image, kind: str = "PNG", **options: Any) -> NDArray[np.uint8]:
    return np.asarray(decode(encoded(image, kind, **options)))


def decoded_bytes(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(decode(content))


def noise(width: int = 6, height: int = 4) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


# How a camera that was held in each of the eight ways stores what it saw: the inverse of what a viewer does.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED_AS)
def test_all_orientations_decode_to_the_same_pixels(orientation: int, kind: str) -> None:
    seen, turn = noise(), STORED_AS[orientation]
    stored = seen if turn is None else seen.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(decoded(stored, kind, exif=exif, **lossless), np.asarray(seen))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_all_orientations_of_a_lossless_picture_have_the_same_vector(kind: str, efficientnet: Embedder) -> None:
    seen = noise().resize((300, 200), Image.Resampling.BICUBIC)
    prepared = []
    for orientation, turn in STORED_AS.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = encoded(seen if turn is None else seen.transpose(turn), kind, exif=exif, lossless=True)
        prepared.append(efficientnet.prepare(decode(stored, at_least=efficientnet.input_size)))
    vectors = efficientnet.embed(prepared)
    assert len(vectors) == 8
    assert (vectors @ vectors.T).min() > 0.999


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "JPEG"])
@pytest.mark.parametrize("orientation", STORED_AS)
def test_all_orientations_look_the_same_in_formats_that_lose_detail(orientation: int, kind: str) -> None:
    seen, turn = noise().resize((96, 64), Image.Resampling.NEAREST), STORED_AS[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = seen if turn is None else seen.transpose(turn)
    found = decoded(stored, kind, exif=exif.tobytes(), quality=95)
    assert found.shape == (64, 96, 3)
    assert np.abs(found - np.asarray(seen, int)).mean() < 12  # measured: 5 at most, 72 turned any other way


def test_a_heic_picture_is_told_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(Image.new("RGB", (64, 48), RED), "HEIF"))
    assert decode(read(os.fsencode(tmp_path / "a.jpg")).data).size == (64, 48)


def test_the_library_for_heic_is_loaded_only_for_one(tmp_path: Path) -> None:
    for kind in ("PNG", "AVIF", "HEIF"):
        (tmp_path / kind).write_bytes(encoded(Image.new("RGB", (64, 64)), kind))
    code = f"""
import sys
from pathlib import Path
from vecstore.sources.decoding import decode
for kind in ("PNG", "AVIF", "HEIF"):
    decode((Path({str(tmp_path)!r}) / kind).read_bytes())
    print(kind, "pillow_heif" in sys.modules)
"""
    assert run_code(code) == "PNG False\nAVIF False\nHEIF True\n"


def test_an_orientation_that_makes_no_sense_changes_nothing() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    np.testing.assert_array_equal(decoded(noise(), exif=exif), np.asarray(noise()))


def test_a_damaged_exif_block_does_not_cost_the_picture() -> None:
    np.testing.assert_array_equal(decoded(noise(), exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"), np.asarray(noise()))


# Modes


@pytest.mark.parametrize(("alpha", "expected"), [(0, WHITE), (255, RED), (128, (255, 127, 127))])
def test_what_is_transparent_is_laid_on_white(alpha: int, expected: tuple[int, int, int]) -> None:
    assert decoded(Image.new("RGBA", (1, 1), (*RED, alpha)))[0, 0].tolist() == list(expected)


def test_transparent_grey_is_laid_on_white() -> None:
    assert decoded(Image.new("LA", (1, 1), (0, 51)))[0, 0].tolist() == [204, 204, 204]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_is_white(kind: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putdata([0, 1])
    assert decoded(image, kind, transparency=0)[0].tolist() == [list(WHITE), list(BLUE)]


def test_a_palette_with_shades_of_transparency_is_laid_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putdata([0, 1])
    assert decoded(image, transparency=b"\x80\xff")[0].tolist() == [[255, 127, 127], list(BLUE)]


def test_a_transparent_colour_without_an_alpha_channel_is_white() -> None:
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), BLUE)
    assert decoded(image, transparency=RED)[0].tolist() == [list(WHITE), list(BLUE)]


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_inks_become_the_colours_that_they_print(kind: str) -> None:
    # No cyan, all magenta, all yellow, no black: red.
    pixel = decoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind)[4, 4].astype(int)
    np.testing.assert_allclose(pixel, RED, atol=3)


def test_a_profile_of_inks_decides_what_they_look_like(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Image.new("RGB", (8, 8), (1, 2, 3))
    monkeypatch.setattr(ImageCms, "ImageCmsProfile", lambda file: file.read())
    monkeypatch.setattr(ImageCms, "profileToProfile", lambda image, profile, *_, **__: {b"the inks": shown}[profile])
    content = encoded(Image.new("CMYK", (8, 8)), "TIFF", icc_profile=b"the inks")
    assert decoded_bytes(content)[0, 0].tolist() == [1, 2, 3]


def test_a_damaged_profile_of_inks_does_not_cost_the_picture() -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert decoded(image, "TIFF", icc_profile=b"no profile")[0, 0].tolist() == list(RED)


def test_lab_becomes_rgb() -> None:
    image = Image.new("LAB", (8, 8), (255, 128, 128))
    np.testing.assert_allclose(decoded(image, "TIFF")[0, 0].astype(int), WHITE, atol=3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_grey_is_scaled_and_not_clipped(kind: str) -> None:
    deep = Image.fromarray(np.array([[0, 255, 257, 32896, 65535]], np.uint16))
    assert decoded(deep, kind)[0, :, 0].tolist() == [0, 1, 1, 128, 255]


def test_deep_grey_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decoded(Image.fromarray(np.array([[0, 65535]], np.uint16)), exif=exif)[:, :, 0].tolist() == [[0], [255]]


def test_a_dark_picture_of_deep_grey_stays_dark() -> None:
    assert decoded(Image.fromarray(np.full((2, 2), 200, np.uint16))).max() == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 100.0, 255.0], [0, 100, 255]), ([0.0, 32896.0, 65535.0], [0, 128, 255])],
)
def test_fractions_are_scaled_from_the_range_that_they_fill(values: list[float], expected: list[int]) -> None:
    assert decoded(Image.fromarray(np.array([values], np.float32)), "TIFF")[0, :, 0].tolist() == expected


def test_black_and_white_become_black_and_white() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert decoded(image)[0].tolist() == [[0, 0, 0], list(WHITE)]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_is_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE, WHITE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    found = decoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert found[4, 4].tolist() == list(RED)


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "ICO", "DIB"]
)
def test_every_format_that_is_named_is_decoded(kind: str) -> None:
    pixel = decoded(Image.new("RGB", (32, 32), (0, 0, 0)), kind)[16, 16].astype(int)
    np.testing.assert_allclose(pixel, 0, atol=3)


def test_a_format_whose_decoder_starts_programs_is_refused() -> None:
    with pytest.raises(Unreadable, match="^PostScript pictures are not supported"):
        decode(encoded(noise(), "EPS"))


def test_the_result_is_always_rgb() -> None:
    modes = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]
    assert {decode(encoded(Image.new(mode, (2, 2)))).mode for mode in modes} == {"RGB"}


# JPEG draft


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, (1600, 1200)),
        ((800, 800), (1600, 1200)),
        ((601, 601), (1600, 1200)),
        ((300, 300), (800, 600)),
        ((301, 10), (1600, 1200)),
        ((10, 301), (1600, 1200)),
        ((150, 150), (400, 300)),
        ((108, 108), (400, 300)),
        ((107, 107), (200, 150)),
        ((75, 75), (200, 150)),
        ((1, 1), (200, 150)),
    ],
)
def test_a_jpeg_is_decoded_small_only_while_twice_the_wanted_size_and_at_an_eighth_1_4_times(
    wanted: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    assert decode(encoded(Image.new("RGB", (1600, 1200)), "JPEG"), at_least=wanted).size == expected


def test_a_jpeg_that_stands_upright_is_decoded_small_and_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.new("RGB", (1600, 1200)), "JPEG", exif=exif)
    assert decode(content, at_least=(150, 150)).size == (300, 400)


def test_a_small_decoding_looks_like_the_large_one_scaled_down() -> None:
    x, y = np.meshgrid(np.linspace(0, 255, 800), np.linspace(0, 255, 600))
    content = encoded(Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8)), "JPEG", quality=95)
    small = decode(content, at_least=(50, 50))
    large = decode(content).resize(small.size, Image.Resampling.BOX)
    np.testing.assert_allclose(np.asarray(small, int), np.asarray(large, int), atol=6)


def test_a_jpeg_at_an_eighth_is_to_a_network_what_it_is_at_full_size(efficientnet: Embedder) -> None:
    seen = paint("flower", 1).resize((4000, 3000), Image.Resampling.LANCZOS)
    content = encoded(seen, "JPEG", quality=88)
    small, large = decode(content, at_least=efficientnet.input_size), decode(content)
    assert (small.size, large.size) == ((500, 375), (4000, 3000))
    one, other = efficientnet.embed([efficientnet.prepare(small), efficientnet.prepare(large)])
    assert one @ other > 0.998


PROGRESSIVE: dict[str, tuple[str, dict[str, Any]]] = {
    "colours at half resolution": ("RGB", {"subsampling": 2}),
    "colours at half the width": ("RGB", {"subsampling": 1}),
    "colours in full": ("RGB", {"subsampling": 0}),
    "grey": ("L", {}),
    "inks": ("CMYK", {}),
    "restarts": ("RGB", {"restart_marker_blocks": 7}),
}


def progressive(way: str) -> bytes:
    mode, options = PROGRESSIVE[way]
    small = noise(50, 40).resize((813, 607), Image.Resampling.BICUBIC)
    return encoded(small.convert(mode), "JPEG", progressive=True, quality=80, **options)


@pytest.mark.parametrize("way", PROGRESSIVE)
def test_at_an_eighth_a_progressive_jpeg_has_the_pixels_of_all_its_scans(way: str) -> None:
    content = progressive(way)
    with Image.open(io.BytesIO(content)) as whole:
        whole.draft("RGB", (101, 75))
        expected = np.asarray(whole.convert("RGB"))
    assert expected.shape == (76, 102, 3)
    assert len(jpeg.for_eighth(content, 100)) < 0.8 * len(content)
    np.testing.assert_array_equal(np.asarray(decode(content, at_least=(50, 50))), expected)


@pytest.mark.parametrize("way", PROGRESSIVE)
def test_a_progressive_jpeg_that_lacks_a_scan_is_refused_at_an_eighth_too(way: str) -> None:
    content = progressive(way)
    scans = [marker for marker in jpeg.markers(content) if marker.code == 0xDA]
    assert reason(content[: scans[-2].end], at_least=(50, 50)) == reason(content[: scans[-2].end])


def damaged(content: bytes) -> Iterator[bytes]:
    """Yield a JPEG with other bytes in the headers of its scans, and with segments that are gone, twice, or swapped."""
    found = list(jpeg.markers(content))
    for one, other in pairwise(found[:-1]):
        yield content[: one.at] + content[one.end :]
        yield content[: one.at] + content[other.at : other.end] + content[one.at : one.end] + content[other.end :]
        yield content[: one.end] + content[one.at : one.end] + content[one.end :]
        yield content[: one.end] + b"junk\xff\x11\0\2" + content[one.end :]
    for scan in (marker for marker in found if marker.code == 0xDA):
        for at in range(scan.at + 2, scan.at + 10):
            for value in (0, 1, 0x22, 0xFF):
                yield content[:at] + bytes([value]) + content[at + 1 :]


@pytest.mark.parametrize("way", PROGRESSIVE)
def test_a_damaged_progressive_jpeg_is_at_an_eighth_what_all_its_scans_are(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def become(content: bytes) -> str:
        try:
            return hashlib.sha256(decode(content, at_least=(50, 50)).tobytes()).hexdigest()
        except Unreadable as error:
            return str(error)

    files = [*damaged(progressive(way))]
    found = [become(content) for content in files]
    assert any(jpeg.for_eighth(content, 100) is not content for content in files)
    monkeypatch.setattr(jpeg, "for_eighth", lambda content, side: content)
    assert found == [become(content) for content in files]


def test_all_scans_of_a_progressive_jpeg_are_decoded_where_an_eighth_is_too_small() -> None:
    content = progressive("grey")
    assert jpeg.for_eighth(content, 110) is content
    assert decode(content, at_least=(75, 75)).size == (204, 152)


# Refusals


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    )


def reason(content: bytes, **options: Any) -> str:
    with pytest.raises(Unreadable) as refused:
        decode(content, **options)
    return str(refused.value)


def test_a_picture_beyond_the_limit_is_refused_with_its_size() -> None:
    assert reason(png_that_claims(60_000, 50_000)) == "60000 x 50000 pixels are more than the limit of 100,000,000"


def test_a_picture_beyond_the_limit_is_refused_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(Image.new("RGB", (3000, 3000)))
    monkeypatch.setattr(decode_memory, "MAX_PIXELS", 1000)
    loaded = []
    load = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda image: (loaded.append(image.size), load(image))[1])
    tracemalloc.start()
    reason(content)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (loaded, peak_bytes < 3000 * 3000) == ([], True)


def test_the_limit_is_on_what_is_decoded_and_not_on_what_the_file_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_memory, "MAX_PIXELS", 200 * 150)
    content = encoded(Image.new("RGB", (1600, 1200)), "JPEG")
    assert decode(content, at_least=(10, 10)).size == (200, 150)


def test_a_picture_of_exactly_the_limit_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_memory, "MAX_PIXELS", 24)
    assert decode(encoded(noise(6, 4))).size == (6, 4)


def test_an_icon_cannot_hide_a_picture_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_memory, "MAX_PIXELS", 1000)
    inside = encoded(Image.new("RGB", (64, 64)))
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inside), 22)
    icon = struct.pack("<HHH", 0, 1, 1) + entry + inside
    assert reason(icon) == "64 x 64 pixels are more than the limit of 1,000"


def test_an_icon_is_looked_into_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    icon = encoded(Image.new("RGB", (64, 64)), "ICO", sizes=[(32, 32), (64, 64)], bitmap_format="bmp")
    monkeypatch.setattr(decode_memory, "MAX_ICON_PIXELS", 2000)
    decoders._register()
    monkeypatch.setitem(Image.OPEN, "ICO", (None, Image.OPEN["ICO"][1]))  # would fail with another reason
    assert reason(icon) == "32 x 64 pixels are more than the limit of 2,000"  # a bitmap's mask counts as its height


def jpeg_that_claims(width: int, height: int, **options: Any) -> bytes:
    """A JPEG of 8 x 8 pixels whose header says another size."""
    content = encoded(Image.new("RGB", (8, 8)), "JPEG", **options)
    return content.replace(struct.pack(">HH", 8, 8), struct.pack(">HH", height, width), 1)


def test_a_giant_progressive_jpeg_is_refused_by_its_header() -> None:
    content = jpeg_that_claims(40_000, 40_000, progressive=True)
    assert len(content) < 1000
    expected = "decoding its 5000 x 5000 pixels would take 4,768 MiB; the limit is 1,024"
    assert reason(content, at_least=(224, 224)) == expected


def test_a_jpeg_whose_colours_come_one_after_the_other_is_as_large_as_a_progressive_one() -> None:
    content = bytearray(jpeg_that_claims(40_000, 40_000))
    scan = content.index(b"\xff\xda\0\x0c\3")
    content[scan : scan + 14] = b"\xff\xda\0\x08\1\1\0\0\x3f\0"
    # What a reader of all bytes, and not of markers, would take for the first scan.
    content[2:2] = b"\xff\xfe\0\x10" + b"\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0"
    assert reason(bytes(content), at_least=(224, 224)).startswith(
        "decoding its 5000 x 5000 pixels would take 4,768 MiB"
    )


def test_a_giant_jpeg_of_one_scan_is_decoded_at_an_eighth() -> None:
    assert decode(jpeg_that_claims(40_000, 40_000), at_least=(2000, 2000)).size == (5000, 5000)


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    content = encoded(noise(64, 64), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    assert reason(content[:-2] + content[last:-2] * 200 + content[-2:]).startswith("a JPEG of more than 100 scans")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF", "JPEG2000", "HEIF"])
def test_what_decoding_takes_is_bounded_before_it_begins(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(Image.new("RGB", (1024, 1024)), kind)
    monkeypatch.setattr(decode_memory, "MAX_BYTES", 7 << 20)
    assert reason(content).startswith("decoding its 1024 x 1024 pixels would take")


def test_a_tile_larger_than_its_picture_is_refused() -> None:
    content = encoded(noise(16, 16), "TIFF", tiffinfo={65000: 30_000, 65001: 20_000})
    for tag, meant in ((65000, 322), (65001, 323)):
        content = content.replace(struct.pack("<H", tag), struct.pack("<H", meant))
    assert reason(content) == "30000 x 20000 pixels are more than the limit of 100,000,000"


def test_decodings_wait_until_there_is_memory_for_them() -> None:
    budget, order = decode_memory.MemoryBudget(10), []
    started = threading.Event()

    def second() -> None:
        started.set()
        with budget.taking(6):
            order.append("second")

    thread = threading.Thread(target=second)
    with budget.taking(6):
        thread.start()
        started.wait()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_large_picture_of_any_kind_is_scaled_down_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LARGE_BYTES", 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode(encoded(Image.new("RGBA", (1200, 900), (*RED, 128)), exif=exif), at_least=(150, 150))
    assert (found.size, found.getpixel((5, 5))) == ((300, 400), (255, 127, 127))


@pytest.mark.parametrize(
    "content",
    [
        b"II*\0\x10\0\0\0CR\2\0",
        b"II*\0\x10\0\0\0IIIIwaR",
        b"II\x1a\0\0\0HEAPCCDR",
        b"FOVb\1\0\4\0",
        b"\0MRM\0\1\0\0",
        b"IIU\0\x18\0\0\0",
        b"IIRO\x08\0\0\0",
        b"FUJIFILMCCD-RAW 0201",
        b"\0\0\0\x18ftypcrx \0\0\0\1",
        encoded(noise(), "TIFF", tiffinfo={50706: b"\1\4\0\0"}),
        encoded(noise(), "TIFF", tiffinfo={254: 1, 330: 8}),
    ],
)
def test_camera_raw_is_refused_by_name_without_its_extra(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    assert reason(content) == "a camera raw picture, which vecstore reads after `pip install 'vecstore[raw]'`"


def test_a_tiff_with_a_reduced_picture_alone_is_no_camera_raw() -> None:
    assert decode(encoded(noise(), "TIFF", tiffinfo={254: 1})).size == (6, 4)


def test_a_format_that_is_known_but_not_this_kind_of_it_is_named() -> None:
    content = encoded(noise(), "TIFF", tiffinfo={262: 77})
    assert reason(content.replace(struct.pack("<HHII", 262, 3, 1, 2), struct.pack("<HHII", 262, 3, 1, 77))) == (
        "a TIFF picture of an unsupported kind, or damaged (unknown pixel mode)"
    )


def test_an_empty_file_is_named_as_such() -> None:
    assert reason(b"") == "the file is empty"


# These decoders do not say that it is the end that is missing.
CUT_OFF = {"TIFF": ("cut off", "broken", "a TIFF"), "JPEG2000": ("cut off", "broken", "a JPEG2000")}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_cut_off_picture_is_refused_and_not_half_taken(kind: str, part: float) -> None:
    content = encoded(noise(64, 64), kind)
    assert reason(content[: int(len(content) * part)]).startswith(CUT_OFF.get(kind, "cut off: the file ends too early"))


def test_a_refused_tiff_writes_nothing_to_stderr_by_itself(capfd: pytest.CaptureFixture[str]) -> None:
    file = io.BytesIO()
    noise(64, 64).save(file, "TIFF", compression="tiff_lzw")
    damaged = file.getvalue()[:20] + b"\xff" * 3000 + file.getvalue()[3020:]
    with pytest.raises(decoding.Unreadable):
        decoding.decode(damaged)
    assert capfd.readouterr().err == ""


def test_what_pillow_logs_of_a_refused_picture_is_not_printed() -> None:
    inks = encoded(noise().convert("CMYK"), "TIFF")
    content = inks.replace(struct.pack("<HHII", 277, 3, 1, 4), struct.pack("<HHII", 277, 3, 1, 99))
    code = f"""
import sys
from vecstore.sources.decoding import Unreadable, decode
sys.stderr = sys.stdout
try:
    decode({content!r})
except Unreadable as refused:
    print(refused)
"""
    expected = "a TIFF picture of an unsupported kind, or damaged (Invalid value for samples per pixel)"
    assert run_code(code).splitlines() == [expected]


@pytest.mark.parametrize(
    "error", [OverflowError, RecursionError, MemoryError, AssertionError, struct.error, zlib.error]
)
def test_whatever_a_decoder_raises_becomes_one_line(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: Image.Image) -> None:
        raise error("several\nlines " + "and more " * 100)

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    said = reason(encoded(noise()))
    assert (said.splitlines(), len(said) < 400) == ([said], True)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_picture_is_decoded_or_refused_and_nothing_else(seed: int) -> None:
    random = np.random.default_rng(seed)
    kind = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "ICO")[seed % 8]
    content = bytearray(encoded(noise(32, 32), kind))
    for position in random.integers(0, len(content), 8).tolist():
        content[position] = int(random.integers(256))
    try:
        found = decode(bytes(content)).mode
    except Unreadable as error:
        found = type(error).__name__ if str(error) else "no reason"
    assert found in ("RGB", "Unreadable")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page, not a picture"),
        (b"\n  <HTML lang=en><p>", "a web page, not a picture"),
        (
            b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
            "an SVG drawing, not a picture of pixels",
        ),
        (b"<svg/>", "an SVG drawing, not a picture of pixels"),
        (b"v/1\1\2\0\0\0", "OpenEXR pictures are not supported; export it as a PNG or JPEG"),
        (b"#?RADIANCE\n", "Radiance HDR pictures are not supported; export it as a PNG or JPEG"),
        (b"just some text", "not a picture in a known format, or its beginning is damaged"),
        (bytes(1000), "not a picture in a known format, or its beginning is damaged"),
    ],
)
def test_what_is_no_picture_is_named(content: bytes, expected: str) -> None:
    assert reason(content) == expected


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(noise(), "PNG"))
    np.testing.assert_array_equal(decode(read(os.fsencode(tmp_path / "a.jpg")).data), np.asarray(noise()))


# Reading


def test_what_is_read_comes_with_its_hash_and_stamp(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    expected = decoding.Content(b"content", hashlib.sha256(b"content").digest(), 7, 1_234_567_890_123_456_789)
    assert read(os.fsencode(path)) == expected


def refusal_to_read(path: Path) -> str:
    with pytest.raises(Unreadable) as refused:
        read(os.fsencode(path))
    return str(refused.value)


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert refusal_to_read(tmp_path / "pipe.jpg") == "not a regular file"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert refusal_to_read(tmp_path) == "cannot be read: Is a directory"


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    assert refusal_to_read(tmp_path / "gone") == "cannot be read: No such file or directory"


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "large.jpg", "wb") as file:
        file.truncate(decoding.MAX_FILE_BYTES + 1)  # takes no room on the disk
    assert refusal_to_read(tmp_path / "large.jpg") == "the file has 1,073,741,825 bytes; the limit is 1,073,741,824"


# What is taken for a picture


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("notes.txt", b"notes", False),
        ("notes.txt", encoded(noise(), "JPEG"), True),
        ("no suffix", encoded(noise(), "PNG"), True),
        ("a.GIF", b"nothing of the kind", True),
        ("a.jpg", b"", True),
        ("empty", b"", False),
        ("drawing.svg", b"<svg/>", True),
        ("._x.jpg", encoded(noise(), "JPEG"), False),
        ("._x", encoded(noise(), "JPEG"), False),
        (".jpg", b"hidden, no suffix", False),
        (".hidden.jpg", b"", True),
        ("a.webp.part", encoded(noise(), "WEBP"), True),
        ("sound.wav", b"RIFF\0\0\0\0WAVEfmt ", False),
        ("film.mp4", b"\0\0\0\x18ftypisom\0\0\0\0", False),
        ("a.dat", encoded(noise(), "AVIF"), True),
        ("a.dat", encoded(noise(), "GIF"), True),
        ("a.dat", encoded(noise(), "TIFF"), True),
        ("a.dat", encoded(noise(), "JPEG2000"), True),
        ("a.dat", b"\0\0\0\x18ftypheic\0\0\0\0", True),
        ("a.NEF", b"", True),
        ("a.dng", b"", True),
        ("a.cr3", b"", True),
    ],
)
def test_a_picture_is_known_by_its_suffix_or_its_beginning(
    name: str, content: bytes, expected: bool, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert looks_like_picture(os.fsencode(tmp_path / name)) is expected


def test_a_file_that_is_gone_looks_like_none(tmp_path: Path) -> None:
    assert looks_like_picture(os.fsencode(tmp_path / "gone")) is False
