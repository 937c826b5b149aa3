"""Which frame stands for an animation, or page for a file: the first that shows anything."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.sources.tiffs import tiff
from vecstore.sources import frames
from vecstore.sources.decoding import decode

RED, BLUE = (255, 0, 0), (0, 0, 255)
KINDS = ["GIF", "PNG", "WEBP", "AVIF", "TIFF", "HEIF"]


def animation(kind: str, pictures: Sequence[Image.Image], **options: Any) -> bytes:
    if kind == "HEIF":
        pillow_heif.register_heif_opener()
    lossless = {"lossless": True} if kind == "WEBP" else {}
    file = io.BytesIO()
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], **lossless, **options)
    return file.getvalue()


def blank(colour: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    return Image.new("RGB", (32, 32), colour)


def drawn(colour: tuple[int, int, int], at: int = 8) -> Image.Image:
    image = blank()
    ImageDraw.Draw(image).rectangle((at, at, at + 15, at + 15), fill=colour)
    return image


def shown(content: bytes) -> NDArray[np.int64]:
    return np.asarray(decode(content), np.int64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_blank", [1, 3])
def test_blank_frames_at_the_beginning_are_passed_over(n_blank: int, kind: str) -> None:
    # Frames of one colour each, or writers would put them together as one.
    first = [blank((40 * i, 40 * i, 0)) for i in range(n_blank)]
    found = shown(animation(kind, [*first, drawn(RED), drawn(BLUE)]))
    assert np.abs(found - np.asarray(drawn(RED), int)).mean() < 8  # half as much as between red and blue, or more


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_frame_that_shows_something_is_taken(kind: str) -> None:
    found = shown(animation(kind, [drawn(BLUE), drawn(RED, 12), blank()]))
    assert np.abs(found - np.asarray(drawn(BLUE), int)).mean() < 8


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_a_first_frame_that_is_clear_is_passed_over(kind: str) -> None:
    second = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    ImageDraw.Draw(second).rectangle((8, 8, 23, 23), fill=(*RED, 255))
    found = shown(animation(kind, [Image.new("RGBA", (32, 32), (0, 0, 0, 0)), second]))
    assert [found[0, 0].tolist(), found[16, 16].tolist()] == [[255, 255, 255], list(RED)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_animation_of_blank_frames_alone_is_its_first(kind: str) -> None:
    found = shown(animation(kind, [blank(RED), blank(BLUE), blank()]))
    np.testing.assert_allclose(found[16, 16], RED, atol=3)


def test_a_frame_is_shown_with_what_earlier_ones_left() -> None:
    one = Image.new("RGBA", (32, 32), (*BLUE, 255))
    two = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    ImageDraw.Draw(two).rectangle((8, 8, 23, 23), fill=(*RED, 255))
    found = shown(animation("PNG", [one, two], blend=1, disposal=0))
    assert [found[0, 0].tolist(), found[16, 16].tolist()] == [list(BLUE), list(RED)]


def test_a_frame_is_shown_without_what_earlier_ones_took_away() -> None:
    one = Image.new("RGBA", (32, 32), (*BLUE, 255))
    two = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    ImageDraw.Draw(two).rectangle((8, 8, 23, 23), fill=(*RED, 255))
    found = shown(animation("PNG", [one, two], blend=1, disposal=1))
    assert [found[0, 0].tolist(), found[16, 16].tolist()] == [[255, 255, 255], list(RED)]


def test_a_frame_is_turned_upright_though_a_blank_one_was_before_it() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = [Image.new("RGB", (32, 16)), Image.new("RGB", (32, 16))]
    wide[1].paste(RED, (0, 0, 8, 16))
    for kind in ("PNG", "WEBP"):
        found = shown(animation(kind, wide, exif=exif))
        assert (found.shape, found[0, 8].tolist(), found[-1, 8].tolist()) == ((32, 16, 3), list(RED), [0, 0, 0])


def test_no_more_frames_are_looked_at_than_the_limit() -> None:
    first = [blank((i % 2 * 200, i * 7, 0)) for i in range(frames.MAX_FRAMES)]
    assert np.unique(shown(animation("PNG", [*first, drawn(RED)]))).tolist() == [0]


def test_no_more_pixels_are_looked_at_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_PIXELS", 2 * 32 * 32)
    content = animation("PNG", [blank(), blank(BLUE), drawn(RED)])
    assert np.unique(shown(content)).tolist() == [0]


def test_a_damaged_later_frame_does_not_cost_the_first() -> None:
    content = animation("PNG", [blank(BLUE), drawn(RED)])
    assert shown(content.replace(b"fdAT", b"fdAT\0\0", 1))[0, 0].tolist() == list(BLUE)


def test_a_later_page_that_takes_more_memory_than_the_first_is_passed_over() -> None:
    large = drawn(RED).resize((320, 320))
    content = animation("TIFF", [blank(), large, drawn(BLUE)])
    assert shown(content).shape == (32, 32, 3)
    assert shown(content)[16, 16].tolist() == list(BLUE)


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_pages_of_deep_numbers_that_are_blank_are_passed_over(kind: str) -> None:
    pages = np.zeros((3, 16, 16), kind)
    pages[1] = 1000
    pages[2, 4:8] = 1000
    found = shown(tiff(pages[0], pages=(pages[1], pages[2])))
    assert (found[0, 0].tolist(), found[5, 5].tolist()) == ([0, 0, 0], [255, 255, 255])


def test_the_sizes_of_an_icon_and_the_preview_of_a_photo_are_not_asked_for() -> None:
    icon, photo = io.BytesIO(), io.BytesIO()
    blank().save(icon, "ICO", append_images=[drawn(RED).resize((16, 16))], sizes=[(16, 16), (32, 32)])
    blank().save(photo, "MPO", save_all=True, append_images=[drawn(RED)])
    assert [int(shown(file.getvalue()).max()) for file in (icon, photo)] == [0, 0]
