"""Float32 to float16: the same bits as NumPy's own conversion."""

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
