"""What two pictures are to each other, by their pixels."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from tests.altered import ALTERATIONS, as_jpeg, cropped, scene, with_bars
from vecstore.likeness.comparison import Relation, compare
from vecstore.likeness.look import look

FINELY = Image.Resampling.BICUBIC


def relation(one: Image.Image, other: Image.Image) -> str | None:
    found = compare(look(one, *one.size), look(other, *other.size))
    return None if found is None else found.name


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_copy_is_called_what_was_done_to_it(name: str, seed: int) -> None:
    assert relation(scene(seed), ALTERATIONS[name](scene(seed))) == name


@pytest.mark.parametrize("name", ALTERATIONS)
def test_the_other_way_round_it_is_the_reverse(name: str) -> None:
    one, other = scene(3), ALTERATIONS[name](scene(3))
    forth, back = (compare(look(a, *a.size), look(b, *b.size)) for a, b in ((one, other), (other, one)))
    assert forth is not None
    assert back is not None
    assert back.name == forth.reversed().name


@pytest.mark.parametrize("margins", [(0.3, 0, 0, 0.15), (0, 0.25, 0.25, 0), (0.05, 0.12, 0.2, 0.02)])
def test_a_crop_from_anywhere_is_found(margins: tuple[float, float, float, float]) -> None:
    assert relation(scene(4), as_jpeg(cropped(scene(4), *margins))) == "cropped"
    assert relation(cropped(scene(4), *margins), scene(4)) == "uncropped"


def test_a_small_turn_is_told_in_degrees_clockwise() -> None:
    assert relation(scene(5), scene(5).rotate(-4, Image.Resampling.BICUBIC)) == "turned 4"


def test_other_pictures_are_no_copies() -> None:
    looks = [look(scene(seed), 320, 240) for seed in range(8)]
    assert not any(compare(one, other) for i, one in enumerate(looks) for other in looks[:i])


def test_a_shot_from_a_step_aside_is_no_copy() -> None:
    background, thing = scene(6, (360, 260)), scene(7, (90, 70))
    shots = []
    for aside in (0, 9):
        shot = background.crop((20 + aside, 10, 340 + aside, 250))
        shot.paste(thing, (110 - aside, 80))  # what is near moves the other way
        shots.append(as_jpeg(shot))
    assert relation(*shots) is None


def shot(seed: int, *, aside: float, light: float) -> Image.Image:
    """Return a shot of one thing, from a camera that was moved by some pixels, with a sensor's noise and its light."""
    frame = scene(6, (340, 260)).transform((320, 240), Image.Transform.AFFINE, (1, 0, 8 + aside, 0, 1, 8), FINELY)
    levels = np.asarray(frame, np.float32)
    slope = np.linspace(1 - light, 1 + light, levels.shape[1])[None, :, None]
    noisy = levels * slope + np.random.default_rng(seed).normal(0, 3, levels.shape)
    return as_jpeg(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))


def test_a_second_shot_from_the_same_place_is_no_copy() -> None:
    first = shot(0, aside=0, light=0)
    assert relation(first, shot(1, aside=2, light=0.03)) is None
    assert relation(first, ImageEnhance.Brightness(first).enhance(1.2)) == "edited"


def sticker(image: Image.Image) -> Image.Image:
    image = image.copy()
    ImageDraw.Draw(image).ellipse((190, 20, 290, 110), fill=(250, 210, 40))
    return image


def text(image: Image.Image) -> Image.Image:
    image = image.copy()
    ImageDraw.Draw(image).text((20, 90), "SAMPLE TEXT", fill="white", stroke_width=2, stroke_fill="black", font_size=40)
    return image


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cover", [sticker, text])
def test_what_is_covered_in_part_or_written_across_is_edited(
    cover: Callable[[Image.Image], Image.Image], seed: int
) -> None:
    assert relation(scene(seed), as_jpeg(cover(scene(seed)))) == "edited"


@pytest.mark.parametrize("size", [(412, 500), (331, 257), (1027, 770)])
def test_a_mirrored_picture_of_any_size_agrees_in_every_pixel(size: tuple[int, int]) -> None:
    found = compare(look(scene(0, size), *size), look(ImageOps.mirror(scene(0, size)), *size))
    assert found is not None
    assert (found.name, found.confidence > 0.97) == ("mirrored", True)


def page(seed: int) -> Image.Image:
    random, image = np.random.default_rng(seed), Image.new("RGB", (400, 560), "white")
    draw = ImageDraw.Draw(image)
    for line in range(24):
        words = " ".join("x" * int(random.integers(2, 9)) for _ in range(9))
        draw.text((40, 40 + 20 * line), words, fill="black")
    return image


def test_pages_of_text_are_copies_only_of_themselves() -> None:
    assert relation(page(0), page(1)) is None
    assert relation(page(0), as_jpeg(page(0))) == "re-encoded"


def test_pictures_with_nothing_on_them_are_copies_only_if_their_pixels_agree() -> None:
    white, black = (Image.new("RGB", (80, 60), colour) for colour in ("white", "black"))
    assert relation(white, black) is None
    assert relation(white, white.resize((40, 30))) == "resized"


def test_what_differs_in_colour_alone_is_no_copy_of_other_colours() -> None:
    red, blue, other = scene(8).split()
    assert relation(scene(8), Image.merge("RGB", (other, red, blue))) is None


def test_bars_on_both_are_no_reason_to_be_copies() -> None:
    assert relation(with_bars(scene(9), 0, 0.2), with_bars(scene(10), 0, 0.2)) is None


@pytest.mark.parametrize("name", [*ALTERATIONS, "turned 3", "same pixels"])
def test_reversing_twice_changes_nothing(name: str) -> None:
    assert Relation(name, 0.5).reversed().reversed() == Relation(name, 0.5)


def test_two_parts_of_one_picture_need_not_be_copies() -> None:
    part = Relation("cropped", 0.9)
    assert part.then(part) == Relation("cropped", 0.81)
    assert part.reversed().then(part) is None
    assert part.then(part.reversed()) is None


def words(random: np.random.Generator, number: int) -> str:
    return " ".join("".join(random.choice(list("abdeglmnopqrstu"), random.integers(2, 9))) for _ in range(number))


def line_of_text(seed: int) -> Image.Image:
    image = Image.new("RGB", (800, 1100), "white")
    ImageDraw.Draw(image).text((60, 60), words(np.random.default_rng(seed), 7), fill="black", font_size=30)
    return image


def night(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.normal(10, 3, (600, 800, 3)).clip(0, 255).astype(np.uint8))
    for x, y, radius, level in random.integers((0, 0, 0, 120), (800, 600, 3, 255), (180, 4)).tolist():
        ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(level, level, level))
    return image


def window(seed: int) -> Image.Image:
    """A program's window: its frame and its list are the same, and the text in it is another."""
    image, random = Image.new("RGB", (1280, 720), (245, 245, 247)), np.random.default_rng(seed)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 1280, 36), fill=(60, 60, 70))
    draw.rectangle((0, 36, 220, 720), fill=(225, 225, 230))
    draw.rectangle((0, 690, 1280, 720), fill=(0, 110, 190))
    for line in range(14):
        draw.text((20, 60 + line * 28), f"file_{line}.py", fill=(60, 60, 70), font_size=16)
    for line in range(22):
        place = 240 + 30 * int(random.integers(3)), 60 + 28 * line
        draw.text(place, words(random, int(random.integers(2, 9))), fill=(90, 160, 220), font_size=18)
    return image


def flag(*colours: str) -> Image.Image:
    image = Image.new("RGB", (300, 200))
    for place, colour in enumerate(colours):
        image.paste(colour, (100 * place, 0, 100 * place + 100, 200))
    return image


@pytest.mark.parametrize("draw", [line_of_text, night, window])
def test_another_content_on_the_same_ground_is_no_copy(draw: Callable[[int], Image.Image]) -> None:
    looks = [look(draw(seed), *draw(seed).size) for seed in range(4)]
    assert not any(compare(one, other) for i, one in enumerate(looks) for other in looks[:i])


@pytest.mark.parametrize("alter", [as_jpeg, lambda image: as_jpeg(image.reduce(4), 40), ImageOps.mirror])
@pytest.mark.parametrize("draw", [line_of_text, night, window])
def test_a_copy_of_what_has_little_on_it_is_found(
    draw: Callable[[int], Image.Image], alter: Callable[[Image.Image], Image.Image]
) -> None:
    assert relation(draw(0), alter(draw(0))) is not None


def test_flags_of_other_colours_are_no_copies() -> None:
    assert relation(flag("#0055a4", "white", "#ef4135"), flag("black", "#fdda24", "#ef3340")) is None
