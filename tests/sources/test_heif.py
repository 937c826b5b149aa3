"""HEIC pictures that are too large to be decoded whole: by their thumbnail, by their tiles, or refused."""

import io
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from vecstore.sources import decode_memory
from vecstore.sources.decoding import Unreadable, decode

SIZE = (500, 380)  # no multiple of a tile
TILE = 64


def picture() -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, SIZE[0]), np.linspace(0, 255, SIZE[1]))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))


def heic(orientation: int = 1, **options: Any) -> bytes:
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    with io.BytesIO() as file:
        picture().save(file, "HEIF", quality=95, exif=exif.tobytes(), **options)
        return file.getvalue()


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_memory, "MAX_BYTES", 2 << 20)


def assert_like(found: Image.Image, whole: Image.Image) -> None:
    expected = np.asarray(whole.resize(found.size, Image.Resampling.BOX), int)
    assert np.abs(np.asarray(found, int) - expected).mean() < 3  # measured: 1.0; 30 and more turned any other way


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_grid_that_is_too_large_comes_by_its_tiles(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = heic(orientation, tile_size=TILE)
    whole = decode(content)
    monkeypatch.setattr(decode_memory, "MAX_BYTES", 2 << 20)
    found = decode(content, at_least=(80, 80))
    assert sorted(found.size) == [190, 250]
    assert_like(found, whole)


@pytest.mark.usefixtures("little_memory")
def test_a_thumbnail_that_is_large_enough_is_taken_instead_of_tiles() -> None:
    assert decode(heic(tile_size=TILE, thumbnails=[250]), at_least=(80, 80)).size == (250, 190)


@pytest.mark.usefixtures("little_memory")
def test_a_thumbnail_that_is_too_small_is_not_taken_instead_of_tiles() -> None:
    assert min(decode(heic(tile_size=TILE, thumbnails=[128]), at_least=(80, 80)).size) >= 160


@pytest.mark.usefixtures("little_memory")
def test_a_picture_of_one_piece_comes_as_its_thumbnail() -> None:
    found = decode(heic(thumbnails=[250]), at_least=(80, 80))
    assert found.size == (250, 190)
    assert_like(found, picture())


@pytest.mark.usefixtures("little_memory")
def test_a_picture_of_one_piece_without_a_thumbnail_is_refused() -> None:
    with pytest.raises(Unreadable, match="^500 x 380 pixels in one piece are too many to decode"):
        decode(heic(), at_least=(80, 80))


@pytest.mark.usefixtures("little_memory")
def test_a_grid_of_which_a_tile_is_missing_is_refused() -> None:
    content = heic(tile_size=TILE)
    with pytest.raises(Unreadable, match="^cut off: the file ends too early$"):
        decode(content[: len(content) - 200], at_least=(80, 80))
