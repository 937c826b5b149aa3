"""TIFFs whose numbers Pillow cannot read, or reads as others: deep, signed, fractions, and bands of any number.

libtiff, inside Pillow, undoes the compression: it is handed the picture as one of 8 bits, as wide as a row has
bytes. What the bytes mean is worked out here, a few rows at a time. What is compressed as a picture (JPEG, CCITT,
WebP), and colours other than grey and RGB, are left to Pillow.
"""

import functools
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from vecstore.sources import tone_mapping, transparency
from vecstore.sources.tone_mapping import Numbers, SampleType

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _ORIENTATION, _BANDS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 274, 277, 278, 279
_PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 284, 317, 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT, _NO_DATA = 338, 339, 42113

_UNCOMPRESSED = 1
# LZW, two of deflate, PackBits, LZMA and Zstandard: these know nothing of pixels.
_COMPRESSIONS = frozenset((_UNCOMPRESSED, 5, 8, 32946, 32773, 34925, 50000))
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_PREMULTIPLIED, _ALPHA = 1, 2
_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}
# More bands than any instrument has that writes TIFFs that people look at.
_MAX_BANDS = 4096

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class NotDeep(SyntaxError):
    """A page that is Pillow's to read, or nobody's."""


@dataclass(frozen=True)
class _Layout:
    """How a page's numbers lie in the file."""

    width: int
    height: int
    sample: SampleType
    n_bands: int
    photometric: int
    extra: tuple[int, ...] | None
    is_planar: bool
    compression: int
    predictor: int
    fill_order: int
    tile_width: int
    tile_height: int
    is_tiled: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    byte_order: str
    orientation: int
    no_data: float | None

    @property
    def n_colours(self) -> int:
        return 3 if self.photometric == _RGB else 1

    @property
    def alpha_kind(self) -> int:
        """How the band behind the colours is transparency: premultiplied, plainly or, with 0, not at all."""
        if self.n_bands == self.n_colours:
            return 0
        if self.extra is None:  # `transparency.without_false_alpha` looks at what it holds
            return _ALPHA if (self.photometric, self.n_bands) == (_RGB, 4) else 0
        return self.extra[0] if self.extra and self.extra[0] in (_PREMULTIPLIED, _ALPHA) else 0

    @property
    def bands(self) -> range:
        """Those that are shown: colours, and what says how transparent they are."""
        return range(self.n_colours + (1 if self.alpha_kind else 0))

    @property
    def bands_together(self) -> int:
        return 1 if self.is_planar else self.n_bands

    @property
    def n_across(self) -> int:
        return -(-self.width // self.tile_width)

    @property
    def n_down(self) -> int:
        return -(-self.height // self.tile_height)

    @property
    def tile_row_bytes(self) -> int:
        return -(-self.tile_width * self.bands_together * self.sample.bits // 8)

    @property
    def row_bytes(self) -> int:
        return self.n_across * self.tile_row_bytes

    @property
    def planes(self) -> range:
        return self.bands if self.is_planar else range(1)


def opened(tiff: bytes) -> "DeepTiff | None":
    """Return a TIFF with its header read, or None if it is Pillow's to read or to refuse."""
    try:
        return DeepTiff(io.BytesIO(tiff), "")
    except Exception:  # damaged headers raise anything; what is wrong with them Pillow says
        return None


class DeepTiff(ImageFile.ImageFile):
    """Such a TIFF, opened as Pillow opens others; loaded, it is L, RGB, RGBA or RGBa of 8 bits, and upright."""

    format = "TIFF"
    format_description = "TIFF of deep numbers"

    def _open(self) -> None:
        self._content: bytes = self.fp.getvalue()  # type: ignore[union-attr]
        self._page_offsets: list[int] = [_no_tags(self._content).next]
        self._turn_to(0)

    @property
    def bytes_to_load(self) -> int:
        """An upper bound of the memory that `load` takes."""
        layout = self._layout
        decoded = layout.row_bytes * layout.height * len(layout.planes)
        in_libtiff = 0 if layout.compression == _UNCOMPRESSED else layout.tile_row_bytes * layout.tile_height
        # The numbers of a part as float64, with what tells which of them count, and the levels of all.
        working = 60 * max(layout.width * len(layout.bands), layout.n_across * layout.tile_width, tone_mapping.BLOCK)
        unpacked = 16 * layout.row_bytes if layout.sample.bits % 8 else 2 * layout.row_bytes
        return decoded + in_libtiff + sum(layout.counts) + working + unpacked + 8 * layout.width * layout.height

    def seek(self, frame: int) -> None:
        while len(self._page_offsets) <= frame:
            after = _tags_at(self._content, self._page_offsets[-1]).next
            if not after or after in self._page_offsets:
                raise EOFError("no more pages")
            self._page_offsets.append(after)
        self._turn_to(frame)

    def tell(self) -> int:
        return self._page

    def _turn_to(self, page: int) -> None:
        self._page = page
        self._layout = _layout_of(_tags_at(self._content, self._page_offsets[page]))
        width, height = self._layout.width, self._layout.height
        self._size = (height, width) if self._layout.orientation in (5, 6, 7, 8) else (width, height)
        self._mode = _mode_of(self._layout)
        self.tile = []
        self._shown: Image.Image | None = None

    def load(self) -> Any:
        if self._shown is None:
            self._shown = _shown(self._content, self._layout)
            self.im, self._mode = self._shown.im, self._shown.mode
        return Image.Image.load(self)


def _mode_of(layout: _Layout) -> str:
    if layout.alpha_kind:
        return "RGBa" if layout.alpha_kind == _PREMULTIPLIED else "RGBA"
    return "RGB" if layout.n_colours == 3 else "L"


# The header


def _no_tags(content: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    is_big = 43 in content[2:4]  # BigTIFF, whose offsets have 8 bytes
    return TiffImagePlugin.ImageFileDirectory_v2(content[: 16 if is_big else 8])


def _tags_at(content: bytes, offset: int) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = _no_tags(content)
    file = io.BytesIO(content)
    file.seek(offset)
    tags.load(file)
    return tags


def _layout_of(tags: TiffImagePlugin.ImageFileDirectory_v2) -> _Layout:
    """Return how a page lies in the file. Raises NotDeep if it is Pillow's to read."""
    n_bands = _number(tags, _BANDS, 1)
    if not 1 <= n_bands <= _MAX_BANDS:
        raise NotDeep("too many bands")
    bits = _same(tags.get(_BITS, (1,)))
    kind = _KINDS.get(_same(tags.get(_SAMPLE_FORMAT, (1,))))
    width, height = _number(tags, _WIDTH, 0), _number(tags, _HEIGHT, 0)
    is_tiled = _TILES in tags
    layout = _Layout(
        width=width,
        height=height,
        sample=SampleType(kind, bits),  # type: ignore[arg-type]  # looked at below
        n_bands=n_bands,
        photometric=_number(tags, _PHOTOMETRIC, -1),
        extra=_numbers(tags, _EXTRA_SAMPLES) if _EXTRA_SAMPLES in tags else None,
        is_planar=_number(tags, _PLANAR, 1) == 2 and n_bands > 1,
        compression=_number(tags, _COMPRESSION, _UNCOMPRESSED),
        predictor=_number(tags, _PREDICTOR, 1),
        fill_order=_number(tags, _FILL_ORDER, 1),
        tile_width=_number(tags, _TILE_WIDTH, 0) if is_tiled else width,
        tile_height=_number(tags, _TILE_HEIGHT, 0) if is_tiled else min(_number(tags, _ROWS_PER_STRIP, height), height),
        is_tiled=is_tiled,
        offsets=_numbers(tags, _TILES if is_tiled else _STRIPS),
        counts=_numbers(tags, _TILE_BYTES if is_tiled else _STRIP_BYTES),
        byte_order=">" if tags.prefix == b"MM" else "<",
        orientation=_number(tags, _ORIENTATION, 1),
        no_data=_no_data(tags),
    )
    if not (_is_understood(layout) and _is_beyond_pillow(layout)):
        raise NotDeep("unknown pixel mode")
    return layout


def _is_understood(layout: _Layout) -> bool:
    bits, kind = layout.sample.bits, layout.sample.kind
    whole = bits in ((16, 32, 64) if kind == "f" else (8, 16, 32, 64))
    packed = kind == "u" and 8 < bits < 16 and layout.predictor == 1
    return (
        (whole or packed)
        and kind is not None
        and layout.compression in _COMPRESSIONS
        and layout.predictor in ((1, 2, 3) if kind == "f" else (1, 2))
        and layout.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
        and layout.n_bands >= layout.n_colours
        and min(layout.width, layout.height, layout.tile_width, layout.tile_height) > 0
        and len(layout.offsets) >= layout.n_across * layout.n_down * (layout.n_bands if layout.is_planar else 1)
        and len(layout.counts) in (0, len(layout.offsets))
    )


def _is_beyond_pillow(layout: _Layout) -> bool:
    if layout.sample != SampleType("u", 8) or (layout.is_planar and layout.n_bands > layout.n_colours):
        return True
    return layout.n_bands > (6 if layout.photometric == _RGB else 2 if layout.photometric == _BLACK_IS_ZERO else 1)


def _numbers(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int) -> tuple[int, ...]:
    found = tags.get(tag, ())
    found = found if isinstance(found, tuple) else (found,)
    if not all(isinstance(number, int) for number in found):
        raise NotDeep(f"tag {tag} is not a number")
    return found


def _number(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int, usual: int) -> int:
    return next(iter(_numbers(tags, tag)), usual)


def _same(numbers: Any) -> int:
    """Return the number that all bands share."""
    found = set(numbers) if isinstance(numbers, tuple) else {numbers}
    if len(found) != 1:
        raise NotDeep("bands of different kinds")
    return int(found.pop())


def _no_data(tags: TiffImagePlugin.ImageFileDirectory_v2) -> float | None:
    """Return the number that stands for no data, as GDAL writes it: https://gdal.org/drivers/raster/gtiff.html"""
    try:
        number = float(str(tags[_NO_DATA]).strip("\0 "))
    except (KeyError, ValueError):
        return None
    is_single = _same(tags.get(_BITS, (1,))) == 32 and _same(tags.get(_SAMPLE_FORMAT, (1,))) == 3
    with np.errstate(over="ignore"):
        return float(np.float32(number)) if is_single else number


# The bytes


def _plane(content: bytes, layout: _Layout, plane: int) -> Image.Image:
    """Return the bytes of a plane's rows, as a picture of 8 bits; tiles in one row of them side by side."""
    n_tiles = layout.n_across * layout.n_down
    mine = range(plane * n_tiles, (plane + 1) * n_tiles)
    tiles = [_tile(content, layout, at) for at in mine]
    offset, offsets = 8, []
    for tile in tiles:
        offsets.append(offset)
        offset += len(tile)
    geometry = (
        {_TILE_WIDTH: [layout.tile_row_bytes], _TILE_HEIGHT: [layout.tile_height]}
        if layout.is_tiled
        else {_ROWS_PER_STRIP: [layout.tile_height]}
    )
    tags = {
        **{_WIDTH: [layout.row_bytes], _HEIGHT: [layout.height], _BITS: [8], _COMPRESSION: [layout.compression]},
        **{_PHOTOMETRIC: [_BLACK_IS_ZERO], _FILL_ORDER: [layout.fill_order], _BANDS: [1], **geometry},
        **{_TILES if layout.is_tiled else _STRIPS: offsets},
        **{_TILE_BYTES if layout.is_tiled else _STRIP_BYTES: [len(tile) for tile in tiles]},
    }
    padding = offset % 2  # directories begin at even offsets
    directory = _directory(tags, offset + padding)
    tiff = b"".join((struct.pack("<2sHI", b"II", 42, offset + padding), *tiles, bytes(padding), directory))
    del tiles
    picture = TiffImagePlugin.TiffImageFile(io.BytesIO(tiff))
    picture.load()
    return picture


def _tile(content: bytes, layout: _Layout, at: int) -> bytes:
    offset = layout.offsets[at]
    if layout.compression == _UNCOMPRESSED:
        row = at // layout.n_across % layout.n_down
        n_rows = (
            layout.tile_height if layout.is_tiled else min(layout.tile_height, layout.height - row * layout.tile_height)
        )
        count = n_rows * layout.tile_row_bytes
    else:
        count = layout.counts[at] if layout.counts else len(content) - offset
    if offset + count > len(content):
        raise OSError("image file is truncated")
    return content[offset : offset + count]


def _directory(tags: dict[int, list[int]], offset: int) -> bytes:
    entries, behind = [], b""
    first_behind = offset + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        value = struct.pack(f"<{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            value, behind = struct.pack("<I", first_behind + len(behind)), behind + value
        entries.append(struct.pack("<HHI4s", tag, 4, len(numbers), value))
    return struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4) + behind


# The numbers


def _rows(layout: _Layout, planes: list[Image.Image]) -> Iterator[tuple[int, Numbers]]:
    """Return the numbers of the bands that are shown, (rows, width, bands), each with its first row."""
    n_rows = max(tone_mapping.BLOCK * layout.sample.bits // 8 // layout.row_bytes, 1)
    for y in range(0, layout.height, n_rows):
        box = (0, y, layout.row_bytes, min(y + n_rows, layout.height))
        parts = [_unpacked(np.asarray(plane.crop(box)), layout) for plane in planes]
        together = np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]
        yield y, together[:, : layout.width, layout.bands].astype(np.float64)


def _unpacked(rows: NDArray[np.uint8], layout: _Layout) -> NDArray[Any]:
    """Return the numbers of rows of bytes as (rows, width, bands), whatever is behind the width."""
    bits, n_bands = layout.sample.bits, layout.bands_together
    tiles = rows.reshape(len(rows), layout.n_across, layout.tile_row_bytes)
    n_numbers = layout.tile_width * n_bands
    if bits % 8:
        binary = np.unpackbits(tiles, axis=2)[:, :, : n_numbers * bits].reshape(*tiles.shape[:2], n_numbers, bits)
        numbers: NDArray[Any] = np.zeros(binary.shape[:3], np.uint16)
        for bit in range(bits):
            numbers = numbers << 1 | binary[..., bit]
    elif layout.predictor == 3:
        numbers = _undo_float_predictor(tiles, layout)
    else:
        numbers = np.ascontiguousarray(tiles).view(f"{layout.byte_order}u{bits // 8}")
        if layout.predictor == 2:
            bands = numbers.reshape(*tiles.shape[:2], layout.tile_width, n_bands)
            numbers = np.cumsum(bands, axis=2, dtype=f"u{bits // 8}").reshape(numbers.shape)
        numbers = numbers.view(numbers.dtype.str.replace("u", layout.sample.kind))
    return numbers.reshape(len(rows), layout.n_across * layout.tile_width, n_bands)


def _undo_float_predictor(tiles: NDArray[np.uint8], layout: _Layout) -> NDArray[Any]:
    """Undo what Adobe's Photoshop TIFF Technical Note 3 describes: all first bytes of a row, then all second ones,

    highest first whatever the file's order, and each less the one a pixel before.
    """
    n_bytes = layout.sample.bits // 8
    steps = tiles.reshape(*tiles.shape[:2], -1, layout.bands_together)
    sums = np.cumsum(steps, axis=2, dtype=np.uint8).reshape(*tiles.shape[:2], n_bytes, -1)
    return np.ascontiguousarray(np.moveaxis(sums, 2, 3)).view(f">f{n_bytes}")[..., 0]


# The picture


def _shown(content: bytes, layout: _Layout) -> Image.Image:
    planes = [_plane(content, layout, plane) for plane in layout.planes]
    n_pixels, n_colours = layout.width * layout.height, layout.n_colours
    find = functools.partial(tone_mapping.find_range, sample=layout.sample)
    colours = find(
        lambda: (numbers[..., :n_colours] for _, numbers in _rows(layout, planes)),
        n_pixels * n_colours,
        no_data=layout.no_data,
    )
    if layout.sample == SampleType("u", 8):  # bytes are what they are, as everywhere
        colours = tone_mapping.SampleRange(0, 255)
    full = tone_mapping.SampleRange(0, 1 if layout.sample.kind == "f" else 2.0**layout.sample.bits - 1)
    alpha = full
    if layout.alpha_kind and colours.white != full.white:  # of 12 bits in 16, it goes no farther than the colours
        alpha = find(lambda: (numbers[..., n_colours:] for _, numbers in _rows(layout, planes)), n_pixels)
    picture = Image.new(_mode_of(layout), (layout.width, layout.height))
    for y, numbers in _rows(layout, planes):
        levels = _levels(numbers, layout, colours, alpha)
        picture.paste(_picture_of(levels, picture.mode), (0, y))
    if layout.extra is None:
        picture = transparency.without_false_alpha(picture)
    turn = _UPRIGHT.get(layout.orientation)
    return picture if turn is None else picture.transpose(turn)


def _levels(
    numbers: Numbers, layout: _Layout, colours: tone_mapping.SampleRange, alpha: tone_mapping.SampleRange
) -> NDArray[np.uint8]:
    n_colours = layout.n_colours
    if layout.photometric == _RGB and layout.sample == SampleType("u", 16) and colours.white == 65535:
        levels = (numbers[..., :n_colours].astype(np.uint16) >> 8).astype(np.uint8)  # as Pillow does
    else:
        levels = tone_mapping.to_8_bits(numbers[..., :n_colours], colours)
    if layout.photometric == _WHITE_IS_ZERO:
        levels = np.where(tone_mapping.is_missing(numbers[..., :n_colours], colours), 0, 255 - levels)
    if not layout.alpha_kind:
        return levels
    if n_colours == 1:
        levels = np.repeat(levels, 3, axis=2)
    if layout.sample == SampleType("u", 16) and alpha.white == 65535:
        return np.concatenate((levels, (numbers[..., n_colours:].astype(np.uint16) >> 8).astype(np.uint8)), axis=2)
    return np.concatenate((levels, tone_mapping.to_8_bits(numbers[..., n_colours:], alpha)), axis=2)


def _picture_of(levels: NDArray[np.uint8], mode: str) -> Image.Image:
    height, width, _ = levels.shape
    return Image.frombytes(mode, (width, height), np.ascontiguousarray(levels, np.uint8).tobytes())
