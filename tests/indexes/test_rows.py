"""Float32 to float16 and back: the same bits as NumPy's own conversion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.rows import to_float16, to_float32


def test_every_float16_up_to_one_and_all_between_two_of_them_become_what_numpy_makes_of_them() -> None:
    numbers = np.arange(0x3C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves = (numbers[:-1] + numbers[1:]) / 2
    near = [np.nextafter(halves, np.float32(limit)) for limit in (0, 1)]
    every = np.concatenate([numbers, halves, *near])
    rows = np.stack([every, -every])
    np.testing.assert_array_equal(to_float16(rows).view(np.uint16), rows.astype(np.float16).view(np.uint16))


@given(st.lists(st.floats(width=32), min_size=1, max_size=8))
def test_any_number_becomes_what_numpy_makes_of_it(numbers: list[float]) -> None:
    row = np.array([numbers], np.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(to_float16(row), row.astype(np.float16))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_nothing_becomes_nothing(shape: tuple[int, int]) -> None:
    assert to_float32(to_float16(np.empty(shape, np.float32))).shape == shape


def test_every_float16_becomes_the_float32_that_numpy_makes_of_it() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(-1, 1)
    finite = every[np.isfinite(every[:, 0])]
    np.testing.assert_array_equal(to_float32(finite).view(np.uint32), finite.astype(np.float32).view(np.uint32))
    for rows in (every, every.reshape(256, -1), every[:1].repeat(70_000, axis=1)):
        np.testing.assert_array_equal(to_float32(rows), rows.astype(np.float32))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_no_finite_number_stays_so(odd: float) -> None:
    rows = np.array([[1, odd, -0.5]], np.float16)
    np.testing.assert_array_equal(to_float32(rows), rows.astype(np.float32))
