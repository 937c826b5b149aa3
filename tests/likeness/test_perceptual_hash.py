"""The hash of a picture: it can be turned after it was made, and tells altered copies from other pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.altered import ALTERATIONS, scene, with_bars
from vecstore.likeness.perceptual_hash import (
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


def test_a_record_says_that_a_blank_picture_was_seen_and_has_no_hash() -> None:
    assert hash_record(Image.new("RGB", (40, 30), "white")) == bytes([SEEN]) + bytes(8 * N_FRAMES)
    assert len(hash_record(scene(0))) == RECORD_BYTES
