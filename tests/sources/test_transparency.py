"""What is transparent, and the ground: white, unless the drawing would vanish on it."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.sources.tiffs import tiff
from vecstore.embedders.embedder import Embedder
from vecstore.sources.decoding import decode

WHITE, BLACK = [255, 255, 255], [0, 0, 0]
DISC = (16, 16, 48, 48)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def shown(image: Image.Image, kind: str = "PNG", **options: Any) -> NDArray[np.uint8]:
    return np.asarray(decode(encoded(image, kind, **options)))


def drawing(colour: tuple[int, int, int], opacity: int = 255, beneath: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """A disc of a colour on a ground that is clear."""
    image = Image.new("RGBA", (64, 64), (*beneath, 0))
    ImageDraw.Draw(image).ellipse(DISC, fill=(*colour, opacity))
    return image


def on_white(image: Image.Image) -> NDArray[np.uint8]:
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return np.asarray(white)


def ends(pixels: NDArray[np.uint8]) -> list[list[int]]:
    """The ground and the middle of the disc."""
    return [pixels[0, 0].tolist(), pixels[32, 32].tolist()]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "TGA"])
def test_a_white_drawing_on_a_clear_ground_is_shown_on_black(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert ends(shown(drawing((255, 255, 255)), kind, **options)) == [BLACK, WHITE]


def test_a_nearly_white_drawing_is_shown_on_black() -> None:
    assert ends(shown(drawing((240, 245, 238)))) == [BLACK, [240, 245, 238]]


def test_a_white_drawing_whose_edges_fade_is_shown_on_black() -> None:
    image = Image.new("RGBA", (256, 256), (255, 255, 255, 0))
    image.putalpha(drawing((0, 0, 0)).getchannel("A").resize((256, 256), Image.Resampling.BICUBIC))
    assert shown(image).min() == 0


def test_a_white_drawing_in_grey_with_transparency_is_shown_on_black() -> None:
    assert ends(shown(drawing((255, 255, 255)).convert("LA"))) == [BLACK, WHITE]


def test_a_white_drawing_in_a_palette_is_shown_on_black() -> None:
    image = Image.new("P", (64, 64))
    image.putpalette([9, 9, 9, 255, 255, 255])
    ImageDraw.Draw(image).ellipse(DISC, fill=1)
    assert [ends(shown(image, kind, transparency=0)) for kind in ("PNG", "GIF")] == [[BLACK, WHITE]] * 2


def test_a_half_transparent_white_drawing_is_shown_on_black() -> None:
    assert ends(shown(drawing((255, 255, 255), 128))) == [BLACK, [128, 128, 128]]


def test_a_white_drawing_that_was_multiplied_with_its_transparency_is_shown_on_black() -> None:
    numbers = np.asarray(drawing((255, 255, 255), 128)).copy()
    numbers[..., :3] //= 2
    found = np.asarray(decode(tiff(numbers, extra=(1,))))
    assert found[0, 0].tolist() == BLACK
    np.testing.assert_allclose(found[32, 32], 128, atol=2)


@pytest.mark.parametrize(
    ("colour", "opacity"),
    [((0, 0, 0), 255), ((0, 0, 0), 128), ((255, 255, 0), 128), ((200, 200, 200), 128), ((230, 230, 230), 255)],
)
def test_a_drawing_that_shows_on_white_stays_on_white(colour: tuple[int, int, int], opacity: int) -> None:
    image = drawing(colour, opacity)
    np.testing.assert_array_equal(shown(image), on_white(image))


def test_a_white_page_with_a_little_text_stays_on_white() -> None:
    image = drawing((255, 255, 255))
    ImageDraw.Draw(image).rectangle((30, 30, 33, 31), fill=(0, 0, 0, 255))
    np.testing.assert_array_equal(shown(image), on_white(image))


@pytest.mark.parametrize(("level", "opacity"), [(0, 24), (128, 40)])
def test_what_is_too_faint_for_either_ground_stays_on_white(level: int, opacity: int) -> None:
    image = drawing((level, level, level), opacity)
    np.testing.assert_array_equal(shown(image), on_white(image))


def test_a_picture_without_anything_to_see_is_white_whatever_is_beneath() -> None:
    assert np.unique(shown(drawing((255, 0, 0), 0, beneath=(255, 255, 255)))).tolist() == [255]


def test_white_drawings_are_no_near_duplicates_of_each_other(efficientnet: Embedder) -> None:
    pictures = []
    for sides in (3, 4, 6, 12):
        image = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
        ImageDraw.Draw(image).regular_polygon((128, 128, 20 * sides - 20 if sides < 6 else 110), sides, fill="white")
        pictures.append(efficientnet.prepare(decode(encoded(image), at_least=efficientnet.input_size)))
    vectors = efficientnet.embed(pictures)
    assert np.triu(vectors @ vectors.T, 1).max() < 0.98


# A colour that stands for transparent


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour_type: int, data: bytes, clear: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    rows = len(data) // height
    lines = b"".join(b"\0" + data[y * rows : (y + 1) * rows] for y in range(height))
    chunks = chunk(b"IHDR", header) + chunk(b"tRNS", clear) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_a_transparent_grey_of_16_bits_is_the_ground() -> None:
    content = png(3, 1, 16, 0, struct.pack(">3H", 0x1234, 0x1235, 0xFFFF), struct.pack(">H", 0x1234))
    assert np.asarray(decode(content))[0, :, 0].tolist() == [255, 18, 255]


def test_a_transparent_colour_of_16_bits_is_the_ground() -> None:
    content = png(
        2, 1, 16, 2, struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0, 0, 0), struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)
    )
    assert np.asarray(decode(content))[0].tolist() == [WHITE, BLACK]


def test_a_transparent_colour_of_16_bits_is_scaled_once_though_many_frames_are_looked_at() -> None:
    blank = struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)
    first = png(1, 2, 16, 2, blank * 2, blank)
    at = first.index(b"IDAT") - 4
    control = struct.pack(">IIIIIHHBB", 0, 1, 2, 0, 0, 1, 1, 0, 0)
    second = struct.pack(">I", 2) + zlib.compress(b"\0" + blank + b"\0" + bytes(6))
    chunks = [(b"acTL", struct.pack(">II", 2, 0)), (b"fcTL", control)]
    behind = [(b"fcTL", struct.pack(">I", 1) + control[4:]), (b"fdAT", second)]
    end = first.index(b"IEND") - 4
    content = first[:at] + b"".join(chunk(*each) for each in chunks) + first[at:end]
    content += b"".join(chunk(*each) for each in behind) + first[end:]
    assert np.asarray(decode(content))[:, 0].tolist() == [WHITE, BLACK]


@pytest.mark.parametrize(("depth", "byte"), [(2, 0b01_00_11_00), (4, 0x50)])
def test_a_transparent_grey_of_few_bits_is_the_ground(depth: int, byte: int) -> None:
    clear = byte >> (8 - depth)
    content = png(2, 1, depth, 0, bytes([byte]), struct.pack(">H", clear))
    assert np.asarray(decode(content))[0, :, 0].tolist() == [255, 0]
