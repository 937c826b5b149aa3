"""The hash of a picture: it can be turned after it was made, and tells altered copies from other pictures."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.altered import ALTERATIONS, scene, with_bars
from vecstore.likeness.perceptual_hash import (
    BAR_LEVELS,
    BAR_SPREAD,
    LEAST_BAR,
    MOST_BARS,
    N_FRAMES,
    ORIENTATIONS,
    SEEN,
    grey,
    hash_record,
    hashes,
    oriented,
    turn,
    without_bars,
)
from vecstore.search.copies import MOST_BITS
from vecstore.storage.catalog.copies import RECORD_BYTES


def hashed(image: Image.Image) -> np.ndarray:
    found = hashes(grey(image))
    assert found is not None
    return found


def bits(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.bitwise_count(one ^ other).sum())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), orientation=st.integers(0, len(ORIENTATIONS) - 1))
def test_the_hash_of_a_turned_picture_is_the_hash_turned(seed: int, orientation: int) -> None:
    levels = np.asarray(np.random.default_rng(seed).integers(0, 256, (128, 128)), np.uint8)
    turned = hashes(np.ascontiguousarray(turn(levels, orientation)))
    upright = hashes(levels)
    assert turned is not None
    assert upright is not None
    np.testing.assert_array_equal(turned, oriented(upright, orientation))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_copy_has_nearly_the_hash_of_some_frame(name: str, seed: int) -> None:
    one, other = hashed(scene(seed)), hashed(ALTERATIONS[name](scene(seed)))
    nearest = min(bits(frame, found) for o in range(8) for frame in oriented(one, o) for found in other[:2])
    assert nearest <= MOST_BITS


def test_other_pictures_have_other_hashes() -> None:
    all_of_them = [hashed(scene(seed)) for seed in range(12)]
    nearest = min(
        bits(one[0], oriented(other[0], o))
        for place, one in enumerate(all_of_them)
        for other in all_of_them[:place]
        for o in range(8)
    )
    assert nearest > MOST_BITS


def test_bars_are_cut_off_and_pictures_are_not() -> None:
    assert without_bars(grey(scene(0))) == (0, 0, 128, 128)
    left, top, right, bottom = without_bars(grey(with_bars(scene(0), 0, 0.25, "white")))
    assert (left, right) == (0, 128)
    assert abs(top - 128 / 6) <= 2
    assert abs(bottom - 128 * 5 / 6) <= 2


def plain_bars(lines: np.ndarray) -> int:
    lowest, highest = lines.min(1).astype(int), lines.max(1).astype(int)
    middles = (lowest + highest) // 2
    differing = np.flatnonzero((highest - lowest > BAR_SPREAD) | (np.abs(middles - middles[0]) > BAR_LEVELS))
    n = int(differing[0]) if differing.size else len(lines)
    return n + 1 if n >= LEAST_BAR else 0


def plain_without_bars(levels: np.ndarray) -> tuple[int, int, int, int]:
    left, top, right, bottom = (plain_bars(lines) for lines in (levels.T, levels, levels.T[::-1], levels[::-1]))
    if max(left + right, top + bottom) > MOST_BARS * 128:
        return (0, 0, 128, 128)
    return (left, top, 128 - right, 128 - bottom)


def plain_hashes(image: Image.Image) -> list[list[bool]] | None:
    """Return the bits of a picture's hashes, worked out as the module describes them and in no quick way."""
    levels = image.convert("L")
    factor = max(min(image.size) // 256, 1)
    box = (0, 0, image.width / factor, image.height / factor)
    pixels = np.asarray(levels.reduce(factor).resize((128, 128), Image.Resampling.BOX, box))
    if pixels.std() < 4:
        return None
    left, top, right, bottom = plain_without_bars(pixels)
    parts = [pixels, pixels[top:bottom, left:right], *(pixels[cut:-cut, cut:-cut] for cut in (6, 13, 19, 26))]
    return [[bool(bit) for bit in plain_bits(part.astype(np.float64))] for part in parts]


def plain_bits(pixels: np.ndarray) -> Iterator[np.bool_]:
    for down in range(8):
        for across in range(8):
            waves = [
                np.cos(np.pi * frequency * (np.arange(n) + 0.5) / n)
                for frequency, n in zip((down, across), pixels.shape, strict=True)
            ]
            yield np.bool_((down or across) and waves[0] @ pixels @ waves[1] > 0)


def painted() -> Iterator[Image.Image]:
    for seed, size in enumerate([(500, 375), (375, 500), (320, 240), (1600, 1200), (90, 70), (40, 900), (1000, 33)]):
        yield scene(seed, (640, 480)).resize(size)
        yield with_bars(scene(seed), 0.03 * seed, 0.1 * seed, "black" if seed % 2 else "white").resize(size)
        yield scene(seed).convert("L").point(lambda level: 120 + level // 32).resize(size)
        yield with_bars(scene(seed), 0.2, 0.4 * seed, "white").resize(size)
    yield Image.new("RGB", (1, 1), "red")


def test_a_picture_has_the_hashes_that_stores_have_had_of_it() -> None:
    # Records are compared with those of earlier years: another bit for the same picture is a copy that is not found.
    for image in painted():
        expected = plain_hashes(image)
        found = hashes(grey(image))
        assert (found is None) == (expected is None)
        if found is not None:
            np.testing.assert_array_equal(np.unpackbits(found, axis=1), expected)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_bars_are_found_to_the_line(seed: int) -> None:
    random = np.random.default_rng(seed)
    levels = random.integers(0, 256, (128, 128), np.uint8)
    for side in (levels, levels[::-1], levels.T, levels.T[::-1]):
        n, level, steps = random.integers(0, 60), random.integers(30, 200), random.integers(10, 14)
        side[:n] = level + random.choice([-steps, 0, steps], (n, 1))
        side[:n, 5] += random.integers(BAR_SPREAD - 1, BAR_SPREAD + 2, n).astype(np.uint8)
    assert without_bars(levels) == plain_without_bars(levels)


def test_a_record_says_that_a_blank_picture_was_seen_and_has_no_hash() -> None:
    assert hash_record(Image.new("RGB", (40, 30), "white")) == bytes([SEEN]) + bytes(8 * N_FRAMES)
    assert len(hash_record(scene(0))) == RECORD_BYTES
