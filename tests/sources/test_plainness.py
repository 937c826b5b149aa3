"""Nearly uniform pictures, of which only the pixels say whether two are the same."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from vecstore.sources.decoding import decode
from vecstore.sources.plainness import is_nearly_uniform, is_two_toned, pixels_agree


def plain(level: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def noisy(level: int, seed: int) -> Image.Image:
    numbers = np.random.default_rng(seed).normal(level, 3, (150, 200, 3))
    return Image.fromarray(numbers.clip(0, 255).astype(np.uint8))


def with_mark(picture: Image.Image, at: int, side: int = 16) -> Image.Image:
    ImageDraw.Draw(picture).rectangle((at, at, at + side - 1, at + side - 1), fill="black")
    return picture


@pytest.mark.parametrize("picture", [plain(0), plain(255), plain(90), noisy(128, 0), with_mark(plain(255), 40)])
def test_pictures_of_one_colour_are_nearly_uniform(picture: Image.Image) -> None:
    assert is_nearly_uniform(picture)


def test_pictures_that_show_something_are_not_nearly_uniform() -> None:
    half = plain(255)
    half.paste((0, 0, 0), (0, 0, 30, 150))
    gradient = Image.linear_gradient("L").convert("RGB")
    assert [is_nearly_uniform(half), is_nearly_uniform(gradient)] == [False, False]


@pytest.mark.parametrize(("one", "other"), [(0, 255), (255, 230), (0, 20), (100, 110)])
def test_plain_pictures_of_different_levels_do_not_agree(one: int, other: int) -> None:
    assert not pixels_agree(plain(one), plain(other))


def test_plain_pictures_of_different_colours_do_not_agree() -> None:
    assert not pixels_agree(Image.new("RGB", (8, 8), (200, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 200)))


def test_the_same_picture_in_another_size_and_encoding_agrees() -> None:
    picture = with_mark(noisy(200, 1), 60)
    file = io.BytesIO()
    picture.resize((320, 240)).save(file, "JPEG", quality=60)
    assert pixels_agree(picture, decode(file.getvalue()))


def test_noise_over_the_same_level_agrees() -> None:
    assert pixels_agree(noisy(128, 0), noisy(128, 1))


@pytest.mark.parametrize("side", [16, 6])
def test_pages_with_marks_in_different_places_do_not_agree(side: int) -> None:
    assert not pixels_agree(with_mark(plain(255), 20, side), with_mark(plain(255), 100, side))


def ring(radius: int) -> Image.Image:
    picture = plain(0, (256, 256))
    ImageDraw.Draw(picture).ellipse((128 - radius, 128 - radius, 128 + radius, 128 + radius), outline="white", width=15)
    return picture


def test_drawings_have_two_tones_and_photos_more() -> None:
    photo = Image.effect_noise((256, 256), 60).convert("RGB")
    assert [is_two_toned(picture) for picture in (ring(80), plain(255), photo)] == [True, True, False]


def test_drawings_in_the_same_two_tones_agree_only_if_they_are_the_same() -> None:
    smaller = ring(80).resize((200, 200), Image.Resampling.LANCZOS)
    assert [pixels_agree(ring(80), smaller), pixels_agree(ring(80), ring(60))] == [True, False]
