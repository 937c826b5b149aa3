"""Deep, signed, fractional and many-banded TIFFs: the picture that people see, whatever the numbers."""

import io
import itertools
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.sources.tiffs import tiff
from vecstore.sources import deep_tiff
from vecstore.sources.decoding import Unreadable, decode


def scene(width: int = 48, height: int = 36) -> NDArray[np.float64]:
    """Rings from 0 to 1, as float64: as dark as bright."""
    y, x = np.mgrid[0:height, 0:width]
    rings = np.sin(np.hypot(x - width / 2, y - height / 3) / 2)
    return (rings - rings.min()) / (rings.max() - rings.min())


def dim_scene() -> NDArray[np.float64]:
    """A dark ground with a few patches, the brightest of which is not white."""
    patches = np.zeros((36, 48))
    for i, level in enumerate((0.34, 0.5, 0.7, 0.918)):
        patches[4 + 5 * i : 14 + 5 * i, 4 + 10 * i : 14 + 10 * i] = level
    return patches


SCENES = {"rings": scene(), "dim": dim_scene()}


def in_range(picture: NDArray[np.float64], kind: str, low: float, high: float) -> NDArray[Any]:
    numbers = picture * (high - low) + low
    if kind[0] == "f":
        return numbers.astype(kind)
    return np.rint(numbers).clip(np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)


def grey(content: bytes) -> NDArray[np.float64]:
    return np.asarray(decode(content), np.float64)[..., 0]


def difference(content: bytes, picture: NDArray[np.float64]) -> float:
    """The mean difference from the picture that is meant, in levels of 255."""
    shown = np.asarray(decode(content), np.float64)
    meant = picture * 255 if picture.ndim == 3 else picture[..., None] * 255
    return float(np.abs(shown - meant).mean())


RANGES = [
    *[("u2", 0, high) for high in (255, 1000, 1023, 4095, 10_000, 16_383, 32_767, 65_535)],
    *[("u4", 0, high) for high in (255, 65_535, 10**6, 2**32 - 1)],
    *[("i1", -128, 127), ("i1", 0, 127), ("i2", -2000, 2000), ("i2", -32_768, 32_767), ("i2", 0, 4095)],
    *[("i2", 0, 255), ("i2", -1024, 3071), ("i4", -(2**31), 2**31 - 1), ("i4", -100_000, 100_000)],
    *[("f2", 0, 1), ("f2", 0, 1000), ("f4", 0, 1), ("f4", 0, 255), ("f4", 0, 65_535), ("f4", 0, 1000), ("f4", 0, 0.01)],
    *[("f4", -1, 1), ("f4", 0, 100), ("f4", 0, 4095), ("f4", -0.5, 0.5), ("f8", 0, 1), ("f8", -1, 1), ("f8", 0, 1e6)],
]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize(("kind", "low", "high"), RANGES)
def test_a_picture_is_the_same_in_every_range_of_numbers(
    kind: str, low: float, high: float, name: str, order: str
) -> None:
    picture = SCENES[name]
    assert difference(tiff(in_range(picture, kind, low, high), order=order), picture) < 2


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_numbers_that_are_packed_into_bits_are_scaled_from_all_of_them(bits: int, order: str) -> None:
    numbers = in_range(dim_scene(), "u2", 0, 2**bits - 1)
    assert difference(tiff(numbers, bits=bits, order=order), dim_scene()) < 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("kind", "high"), [("u2", 65_535), ("u4", 2**32 - 1), ("f4", 1), ("f8", 1)])
def test_white_is_zero_at_every_depth(kind: str, high: float, order: str) -> None:
    content = tiff(in_range(1 - dim_scene(), kind, 0, high), photometric=0, order=order)
    assert difference(content, dim_scene()) < 1


def test_white_is_zero_of_12_bits() -> None:
    content = tiff(in_range(1 - dim_scene(), "u2", 0, 4095), bits=12, photometric=0)
    assert difference(content, dim_scene()) < 1


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan, 1e6, -1e6, -9999, -3.4028235e38])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (0, 1000), (-1, 1)])
def test_a_few_odd_numbers_leave_the_rest_as_it_is(low: float, high: float, odd: float) -> None:
    numbers = in_range(scene(), "f4", low, high)
    numbers[10, 10:12] = odd
    assert difference(tiff(numbers), scene()) < 2


def test_one_pixel_past_a_standard_range_changes_no_other() -> None:
    numbers = in_range(dim_scene(), "f4", 0, 1)
    usual = grey(tiff(numbers))
    numbers[0, 0] = 1.01
    changed = np.argwhere(grey(tiff(numbers)) != usual).tolist()
    assert changed == [[0, 0]]


def test_a_standard_range_is_kept_where_interpolation_has_gone_a_little_past_it() -> None:
    numbers = in_range(scene(), "f4", 0, 1)
    usual = grey(tiff(numbers))
    numbers[numbers > 0.99] = 1.015
    assert np.abs(grey(tiff(numbers)) - usual)[numbers <= 0.99].max() == 0


def test_numbers_of_8_bits_are_never_stretched() -> None:
    dark = np.repeat(in_range(scene(), "u1", 0, 40)[..., None], 5, axis=2)
    assert grey(tiff(dark, photometric=1, extra=(0,) * 4)).max() == 40


@pytest.mark.parametrize("empty", [np.nan, -np.inf, -9999, -99999, -3.4028235e38])
def test_an_area_without_data_is_black_and_leaves_the_rest_as_it_is(empty: float) -> None:
    numbers = in_range(scene(), "f4", 0, 1000)
    numbers[:12] = empty
    meant = scene()
    meant[:12] = 0
    assert difference(tiff(numbers), meant) < 2


def test_an_area_without_data_by_the_least_number_of_its_type_is_left_out() -> None:
    numbers = in_range(scene(), "i2", 100, 3000)
    numbers[:12] = -32_768
    meant = scene()
    meant[:12] = 0
    assert difference(tiff(numbers), meant) < 5


def test_the_least_number_of_a_type_that_is_used_to_its_ends_is_black_and_not_missing() -> None:
    two_tones = np.where(scene() < 0.6, 0, scene())
    assert difference(tiff(in_range(two_tones, "i2", -32_768, 32_767)), two_tones) < 1


def test_the_number_that_a_file_names_for_no_data_is_left_out() -> None:
    numbers = in_range(scene(), "u2", 0, 4000)
    numbers[:12] = 65_535
    meant = scene()
    meant[:12] = 0
    assert difference(tiff(numbers, no_data="65535"), meant) < 2


def test_what_is_not_measured_is_black_where_white_is_zero_too() -> None:
    numbers = in_range(scene(), "f4", 0, 1)
    numbers[0, 0] = np.nan
    assert grey(tiff(numbers, photometric=0))[0, 0] == 0


# Bands


def coloured() -> NDArray[np.float64]:
    return np.stack([scene(), scene()[::-1], scene()[:, ::-1]], axis=2)


@pytest.mark.parametrize("is_planar", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("kind", "low", "high"), [("u2", 0, 65_535), ("u2", 0, 4095), ("i2", -2000, 2000), ("f4", 0, 1), ("f8", 0, 1000)]
)
def test_colours_of_every_range_are_shown(kind: str, low: float, high: float, order: str, is_planar: bool) -> None:
    content = tiff(in_range(coloured(), kind, low, high), order=order, is_planar=is_planar)
    assert difference(content, coloured()) < 2


def test_colours_share_one_range() -> None:
    numbers = in_range(coloured(), "u2", 0, 4095)
    numbers[..., 2] //= 4
    meant = coloured()
    meant[..., 2] /= 4
    assert difference(tiff(numbers), meant) < 2


@pytest.mark.parametrize("kind", ["RGB", "RGBA"])
def test_colours_of_16_bits_are_those_that_pillow_gives(kind: str) -> None:
    numbers = np.random.default_rng(0).integers(0, 65_536, (8, 8, len(kind)), np.uint16)
    content = tiff(numbers, extra=(2,) if kind == "RGBA" else None)
    with Image.open(io.BytesIO(content)) as opened:
        white = Image.new("RGB", opened.size, "white")
        white.paste(opened, mask=opened.getchannel("A") if kind == "RGBA" else None)
    np.testing.assert_array_equal(np.asarray(decode(content)), np.asarray(white))


@pytest.mark.parametrize(("kind", "high"), [("u1", 255), ("u2", 65_535), ("f4", 1)])
@pytest.mark.parametrize("extra", [(0,), (0, 0), (0,) * 5])
@pytest.mark.parametrize("is_planar", [False, True])
def test_bands_that_are_no_colour_and_no_transparency_are_left_out(
    extra: tuple[int, ...], kind: str, high: float, is_planar: bool
) -> None:
    more = np.stack([scene() * 0.6] * len(extra), axis=2)
    numbers = in_range(np.concatenate((coloured(), more), axis=2), kind, 0, high)
    assert difference(tiff(numbers, extra=extra, is_planar=is_planar), coloured()) < 1


@pytest.mark.parametrize(("kind", "high"), [("u1", 255), ("u2", 65_535), ("f4", 1)])
def test_a_fourth_band_of_which_the_file_says_nothing_is_no_transparency_if_it_is_mostly_in_between(
    kind: str, high: float
) -> None:
    infrared = (0.2 + 0.5 * scene())[..., None]
    numbers = in_range(np.concatenate((coloured(), infrared), axis=2), kind, 0, high)
    assert difference(tiff(numbers), coloured()) < 1


@pytest.mark.parametrize(("kind", "high"), [("u1", 255), ("u2", 65_535), ("f4", 1)])
def test_a_fourth_band_of_which_the_file_says_nothing_is_transparency_if_it_is_all_or_nothing(
    kind: str, high: float
) -> None:
    alpha = (scene() > 0.5).astype(float)[..., None]
    numbers = in_range(np.concatenate((coloured(), alpha), axis=2), kind, 0, high)
    assert difference(tiff(numbers), np.where(alpha == 1, coloured(), 1)) < 1


@pytest.mark.parametrize(("kind", "high"), [("u2", 65_535), ("u2", 4095), ("f4", 1)])
def test_deep_transparency_lets_the_ground_through(kind: str, high: float) -> None:
    alpha = np.linspace(0, 1, 48)[None, :, None] * np.ones((36, 1, 1))
    numbers = in_range(np.concatenate((coloured(), alpha), axis=2), kind, 0, high)
    assert difference(tiff(numbers, extra=(2,)), coloured() * alpha + 1 - alpha) < 2


def test_deep_colours_that_are_multiplied_with_their_transparency_are_laid_on_the_ground_once() -> None:
    alpha = np.linspace(0.2, 1, 48)[None, :, None] * np.ones((36, 1, 1))
    numbers = in_range(np.concatenate((coloured() * alpha, alpha), axis=2), "u2", 0, 65_535)
    assert difference(tiff(numbers, extra=(1,)), coloured() * alpha + 1 - alpha) < 2


def test_deep_grey_with_transparency_is_laid_on_the_ground() -> None:
    numbers = in_range(np.stack([scene(), np.ones_like(scene())], axis=2), "u2", 0, 65_535)
    numbers[:, :10, 1] = 0
    meant = scene()
    meant[:, :10] = 1
    assert difference(tiff(numbers, photometric=1, extra=(2,)), meant) < 1


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_grey_with_more_bands_is_its_first(kind: str) -> None:
    numbers = in_range(coloured(), kind, 0, np.iinfo(kind).max)
    assert difference(tiff(numbers, photometric=1, extra=(0, 0)), scene()) < 1


# Compression, tiles and predictors


def stored(numbers: NDArray[Any], compression: str, tags: dict[int, int]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(numbers).save(file, "TIFF", compression=compression, tiffinfo=tags)
    return file.getvalue()


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd"])
@pytest.mark.parametrize("rows_per_strip", [5, 36])
@pytest.mark.parametrize("kind", ["u2", "i4", "f4"])
def test_compressed_numbers_are_those_that_were_stored(kind: str, rows_per_strip: int, compression: str) -> None:
    high = {"u2": 65_535, "i4": 2000, "f4": 1}[kind]
    low = -2000 if kind == "i4" else 0
    content = stored(in_range(scene(), kind, low, high), compression, {278: rows_per_strip})
    assert difference(content, scene()) < 1


@pytest.mark.parametrize(("kind", "high", "predictor"), [("u2", 65_535, 2), ("f4", 1, 2), ("f4", 1, 3)])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_predicted_numbers_are_those_that_were_stored(kind: str, high: float, predictor: int, compression: str) -> None:
    content = stored(in_range(scene(), kind, 0, high), compression, {317: predictor})
    assert difference(content, scene()) < 1


def tiled(numbers: NDArray[Any], side: int) -> bytes:
    """A TIFF of one band in square tiles, filled up with zeros."""
    height, width = numbers.shape
    down, across = -(-height // side), -(-width // side)
    whole = np.zeros((down * side, across * side), numbers.dtype)
    whole[:height, :width] = numbers
    tiles = [
        whole[y * side : (y + 1) * side, x * side : (x + 1) * side].tobytes()
        for y, x in itertools.product(range(down), range(across))
    ]
    size, n_tiles = len(tiles[0]), len(tiles)
    tags = {256: [width], 257: [height], 258: [16], 259: [1], 262: [1], 277: [1], 322: [side], 323: [side]}
    behind_at = 8 + 2 + 12 * (len(tags) + 2) + 4
    data_at = behind_at + 8 * n_tiles
    tags |= {324: [data_at + i * size for i in range(n_tiles)], 325: [size] * n_tiles}
    entries, behind = b"", b""
    for tag, numbers_of_tag in sorted(tags.items()):
        value = struct.pack(f"<{len(numbers_of_tag)}I", *numbers_of_tag)
        if len(value) > 4:
            value, behind = struct.pack("<I", behind_at + len(behind)), behind + value
        entries += struct.pack("<HHI", tag, 4, len(numbers_of_tag)) + value
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8) + directory + behind + b"".join(tiles)


def test_tiles_lie_where_they_belong_and_what_fills_them_up_does_not_count() -> None:
    assert difference(tiled(in_range(scene(), "u2", 0, 65_535), 32), scene()) < 1


# Everything else


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_picture_is_turned_upright_as_others_are(orientation: int) -> None:
    numbers = in_range(scene(), "u2", 0, 65_535)
    shallow = tiff(in_range(scene(), "u1", 0, 255), orientation=orientation)
    deep = grey(tiff(numbers, orientation=orientation))
    np.testing.assert_allclose(deep, grey(shallow), atol=1)


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_a_deep_picture_that_is_cut_off_is_refused(kind: str) -> None:
    with pytest.raises(Unreadable, match="^cut off"):
        decode(tiff(in_range(scene(), kind, 0, 1))[:-500])


def test_what_a_deep_picture_takes_is_bounded_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = tiff(np.zeros((4, 4), "f8"))
    for tag, number in ((256, 40_000), (257, 2400), (278, 2400)):
        content = content.replace(struct.pack("<HHIH", tag, 3, 1, 4), struct.pack("<HHIH", tag, 3, 1, number))
    monkeypatch.setattr(deep_tiff, "_shown", lambda *_: pytest.fail("its pixels were read"))
    with pytest.raises(Unreadable, match="^decoding its 40000 x 2400 pixels would take 1,"):
        decode(content)


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_deep_picture_is_decoded_or_refused_and_nothing_else(seed: int) -> None:
    random = np.random.default_rng(seed)
    kind = ("u2", "i2", "f4", "f8")[seed % 4]
    content = bytearray(tiff(in_range(scene(), kind, 0, 100), order="<>"[seed % 2]))
    for position in random.integers(0, 250, 6).tolist():
        content[position] = int(random.integers(256))
    try:
        found = decode(bytes(content)).mode
    except Unreadable as error:
        found = type(error).__name__ if str(error) else "no reason"
    assert found in ("RGB", "Unreadable")


# Palettes


@pytest.mark.parametrize("order", "<>")
def test_a_palette_of_0_to_255_has_the_colours_of_one_of_0_to_65535(order: str) -> None:
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16)
    ramp = [*range(256), *range(255, -1, -1), *[7] * 256]
    right = decode(tiff(indices, photometric=3, colours=[level * 257 for level in ramp], order=order))
    found = decode(tiff(indices, photometric=3, colours=ramp, order=order))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(right))
    assert np.asarray(found)[0, 5].tolist() == [5, 250, 7]
