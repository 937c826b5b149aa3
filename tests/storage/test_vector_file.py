"""The vector file: what is cut, what is refused, what anyone can read."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vecstore.errors import StoreDamaged
from vecstore.storage.vector_file import VectorFile, quantize_unit_rows


@pytest.fixture
def vectors(tmp_path: Path) -> VectorFile:
    return VectorFile(tmp_path / "vectors.f16", dim=4)


def rows(*axes: int) -> NDArray[np.float32]:
    """One row of length 1 along each of the axes 1 to 4."""
    return np.eye(4, dtype=np.float32)[np.array(axes) - 1]


def random_rows(n_rows: int, dim: int) -> NDArray[np.float32]:
    given = np.random.default_rng(0).normal(size=(n_rows, dim))
    return (given / np.linalg.norm(given, axis=1, keepdims=True)).astype(np.float32)


def test_rows_the_catalog_never_committed_are_cut(vectors: VectorFile) -> None:
    vectors.append(rows(1, 2, 3), count=0)
    assert (vectors.truncate_uncommitted(count=2), vectors.path.stat().st_size) == (8, 16)  # a row is four float16


def test_half_a_row_is_cut(vectors: VectorFile) -> None:
    vectors.append(rows(1, 2), count=0)
    os.truncate(vectors.path, 13)
    assert (vectors.truncate_uncommitted(count=1), vectors.path.stat().st_size) == (5, 8)


def test_settling_what_agrees_changes_nothing(vectors: VectorFile) -> None:
    vectors.append(rows(1, 2), count=0)
    before = vectors.path.read_bytes()
    assert (vectors.truncate_uncommitted(count=2), vectors.path.read_bytes()) == (0, before)


def test_settling_before_the_first_row_makes_no_file(vectors: VectorFile) -> None:
    assert (vectors.truncate_uncommitted(count=0), vectors.path.exists()) == (0, False)


@pytest.mark.parametrize("method", ["truncate_uncommitted", "read"])
def test_a_file_that_is_too_short_is_damage_with_its_path_and_numbers(vectors: VectorFile, method: str) -> None:
    vectors.append(rows(1, 2, 3), count=0)
    os.truncate(vectors.path, 20)  # two and a half rows
    with pytest.raises(StoreDamaged) as damaged:
        getattr(vectors, method)(count=3)
    assert str(damaged.value) == (
        f"{vectors.path} holds 2 of the 3 vectors that the catalog counts; "
        "`vecstore check --repair` embeds what is missing again, or restore the store from a backup"
    )


def test_a_file_that_is_too_short_is_left_as_it_is(vectors: VectorFile) -> None:
    vectors.append(rows(1, 2, 3), count=0)
    os.truncate(vectors.path, 20)
    with pytest.raises(StoreDamaged):
        vectors.append(rows(4), count=3)
    assert vectors.path.stat().st_size == 20


def test_a_missing_file_is_damage_once_the_catalog_counts_rows(vectors: VectorFile) -> None:
    with pytest.raises(StoreDamaged, match="holds 0 of the 1 vectors"):
        vectors.read(count=1)


@pytest.mark.parametrize("left_over", [4, 8, 12, 80])
def test_an_append_overwrites_what_an_interrupted_one_left(vectors: VectorFile, left_over: int) -> None:
    vectors.append(rows(1, 2), count=0)
    with open(vectors.path, "ab") as file:
        file.write(b"\x7f" * left_over)
    vectors.append(rows(3), count=2)
    np.testing.assert_array_equal(np.fromfile(vectors.path, "<f2").reshape(-1, 4), rows(1, 2, 3))


def test_an_append_never_touches_the_rows_before_it(vectors: VectorFile) -> None:
    vectors.append(rows(1, 2), count=0)
    before = vectors.path.read_bytes()
    vectors.append(rows(3, 4), count=2)
    assert vectors.path.read_bytes()[: len(before)] == before


def test_reading_maps_only_the_rows_that_are_counted(vectors: VectorFile) -> None:
    vectors.append(rows(1, 2, 3), count=0)
    found = vectors.read(count=2)
    assert (type(found), found.tolist()) == (np.memmap, rows(1, 2).tolist())


def test_a_mapped_row_cannot_be_written_to(vectors: VectorFile) -> None:
    vectors.append(rows(1), count=0)
    with pytest.raises(ValueError, match="read-only"):
        vectors.read(count=1)[0, 0] = 9


def test_no_rows_are_an_empty_array_of_the_right_width(vectors: VectorFile) -> None:
    found = vectors.read(count=0)
    assert (found.shape, found.dtype) == ((0, 4), np.dtype("<f2"))


def test_rows_are_stored_as_float16_little_endian(vectors: VectorFile) -> None:
    vectors.append(np.array([[0.5, -0.5, 0.5, 0.5], [1, 0, 0, 0]], np.float32), count=0)
    assert vectors.path.read_bytes() == bytes.fromhex("0038 00b8 0038 0038  003c 0000 0000 0000")


def test_anyone_can_read_the_file_as_documented(vectors: VectorFile) -> None:
    given = random_rows(5, 4)
    vectors.append(given, count=0)
    np.testing.assert_allclose(np.memmap(vectors.path, "<f2").reshape(-1, 4), given, atol=2e-3)


@pytest.mark.parametrize("dim", [360, 2048])
def test_a_stored_row_has_length_one(dim: int) -> None:
    stored = quantize_unit_rows(random_rows(20, dim)).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("dim", [1, 4, 12, 360])
def test_a_stored_number_is_the_nearest_float16_but_for_a_few_nudges(dim: int) -> None:
    given = random_rows(20, dim)
    steps_away = np.abs(quantize_unit_rows(given).view(np.int16).astype(int) - given.astype(np.float16).view(np.int16))
    assert (steps_away.sum(axis=1) <= 16).all()


def nudged_one_by_one(row: NDArray[np.float32]) -> NDArray[np.float16]:
    """The oracle: at most 16 times, the change of one number by one step that brings the length nearest to 1."""
    stored = row.astype(np.float16)
    for _ in range(16):
        squares = np.square(stored, dtype=np.float64)
        missing = 1 - squares.sum()
        nudged = np.nextafter(stored, np.copysign(np.float16(np.inf), stored) if missing > 0 else np.float16(0))
        errors = np.abs(np.square(nudged, dtype=np.float64) - squares - missing)
        best = int(np.argmin(errors))
        if abs(missing) < 1e-6 or errors[best] >= abs(missing):
            break
        stored[best] = nudged[best]
    return stored


@pytest.mark.parametrize("dim", [1, 2, 12, 320, 2048])
@pytest.mark.parametrize("kind", ["any", "never negative", "mostly tiny"])
def test_rows_are_stored_together_as_one_by_one(dim: int, kind: str) -> None:
    given = np.random.default_rng(dim).normal(size=(150, dim))
    given = {"any": given, "never negative": np.maximum(given, 1e-3), "mostly tiny": given**9}[kind]
    given = (given / np.linalg.norm(given, axis=1, keepdims=True)).astype(np.float32)
    expected = np.stack([nudged_one_by_one(row) for row in given])
    np.testing.assert_array_equal(quantize_unit_rows(given).view(np.uint16), expected.view(np.uint16))


def test_rounding_leaves_what_it_is_given() -> None:
    given = random_rows(5, 4)
    before = given.copy()
    quantize_unit_rows(given)
    np.testing.assert_array_equal(given, before)


def test_rows_given_column_by_column_are_stored_row_by_row(vectors: VectorFile) -> None:
    given = np.asfortranarray(rows(3, 1, 4))
    vectors.append(given, count=0)
    np.testing.assert_array_equal(vectors.read(3), given)


def test_rows_of_another_width_are_not_written(vectors: VectorFile) -> None:
    vectors.append(rows(1), count=0)
    with pytest.raises(Exception, match="shape|dim|width"):
        vectors.append(np.ones((4, 3), np.float32), count=1)
    assert vectors.path.stat().st_size == 8


def test_rows_that_were_stored_before_are_left_as_they_are() -> None:
    given = np.array([[0.5, 0.5, 0.5, 0.501], [0.6, 0.8, 0, 0]], np.float16)  # rounding would nudge the first
    expected = given.tolist()
    assert quantize_unit_rows(given.astype(np.float32)).tolist() != expected
    assert quantize_unit_rows(given).tolist() == expected
