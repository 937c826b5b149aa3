"""HEIC and HEIF pictures, by pillow-heif, which decodes a picture whole: one that is too large for that, in parts.

A phone stores a large picture as a grid of tiles, each a picture by itself. They are decoded one by one and scaled down
at once, so that what is taken is a tile and the small picture.
"""

import io
from typing import NamedTuple

from PIL import Image, ImageFile

from vecstore.sources import decode_memory, formats, iso_media
from vecstore.sources.unreadable import Unreadable

_TILE_KINDS = (b"hvc1",)
# A 200-megapixel photo has 768 tiles of 512 x 512. Each is decoded, so their number is bounded.
_MAX_TILES = 4096
_MAX_THUMBNAIL_SIDE = 4096
_ROTATE, _MIRROR, _CROP, _COLOUR, _SIZE = b"irot", b"imir", b"clap", b"colr", b"ispe"
_QUARTER_TURNS = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
_MIRRORS = (Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_LEFT_RIGHT)


def opened(content: bytes) -> ImageFile.ImageFile:
    """Return the picture with its header read. Raises Unreadable if it is cut off."""
    from pillow_heif import HeifImageFile  # only those who have such pictures wait for it to load

    if iso_media.is_cut_off(content):  # libheif pads what is missing
        raise Unreadable("cut off: the file ends too early")
    return HeifImageFile(io.BytesIO(content), "")  # type: ignore[no-untyped-call]


def is_too_large(content: bytes) -> bool:
    """Say whether a HEIC picture is beyond the limits when it is decoded whole."""
    if formats.iso_brand(content) not in formats.HEIF_BRANDS:
        return False
    try:
        primary, items = iso_media.items(content)
        size = _of_kind(items[primary], _SIZE)[0]
    except (KeyError, IndexError, StopIteration):  # libheif says better what is wrong
        return False
    n_pixels = int.from_bytes(size[12:16]) * int.from_bytes(size[16:20])
    most_bytes = decode_memory.MAX_BYTES // decode_memory.BYTES_PER_PIXEL["HEIF"]
    return n_pixels > min(decode_memory.MAX_PIXELS, most_bytes)


def decoded_in_parts(content: bytes, side: int) -> Image.Image:
    """Return a picture that is too large to be decoded whole at a fraction of its size, upright.

    That is its own thumbnail if it is at least `side` in both directions; else what its tiles make, at least as large;
    else a thumbnail of half of that. Waits for its share of the memory. Raises Unreadable if there is none of these.
    """
    grid = _grid_of(content)
    with opened(content) as image:
        width, height = image.size
        thumbnail = _thumbnail(image, side) or (None if grid else _thumbnail(image, side // 2))
    if thumbnail is not None:
        return thumbnail
    if grid is None:
        raise Unreadable(
            f"{width} x {height} pixels in one piece are too many to decode, and no thumbnail can be used instead"
        )
    return _decoded_by_tiles(content, grid, side)


def _thumbnail(image: ImageFile.ImageFile, side: int) -> Image.Image | None:
    """Return the picture's own thumbnail if it is at least so large, lies as the picture does and shows all of it."""
    thumbnails = image.info.get("thumbnails")
    if not thumbnails or max(thumbnails) > _MAX_THUMBNAIL_SIDE:
        return None
    with decode_memory.budget.taking(_MAX_THUMBNAIL_SIDE**2 * decode_memory.BYTES_PER_PIXEL["HEIF"]):
        if image.draft("RGB", (side, side)) is None:
            return None
        image.load()
        return image.convert("RGB")


class Grid(NamedTuple):
    """A picture made of tiles, row by row. size: of the picture, before it is turned. turns: to be done in order."""

    columns: int
    size: tuple[int, int]
    tiles: list[iso_media.Item]
    colours: list[bytes]
    turns: list[Image.Transpose]


def _grid_of(content: bytes) -> Grid | None:
    """Return the tiles that a picture is made of; None if it is one piece, or is to be put together in another way."""
    try:
        primary, items = iso_media.items(content)
        item = items[primary]
        if item.kind != b"grid":
            return None
        head = item.data(content)
        n_bytes = 4 if head[1] & 1 else 2
        size = (int.from_bytes(head[4 : 4 + n_bytes]), int.from_bytes(head[4 + n_bytes : 4 + 2 * n_bytes]))
        tiles = [items[number] for number in item.made_of]
    except (KeyError, IndexError, StopIteration):
        return None
    is_usual = all(tile.kind in _TILE_KINDS and not _of_kind(tile, _ROTATE, _MIRROR, _CROP) for tile in tiles)
    if not is_usual or _of_kind(item, _CROP) or not 0 < len(tiles) <= _MAX_TILES:
        return None
    if len(tiles) != (head[2] + 1) * (head[3] + 1) or not all(size):
        return None
    return Grid(head[3] + 1, size, tiles, _of_kind(item, _COLOUR), _turns(item))


def _of_kind(item: iso_media.Item, *kinds: bytes) -> list[bytes]:
    return [box for box in item.properties if box[4:8] in kinds]


def _turns(item: iso_media.Item) -> list[Image.Transpose]:
    found = []
    for box in _of_kind(item, _ROTATE, _MIRROR):
        turn = _QUARTER_TURNS[box[8] & 3] if box[4:8] == _ROTATE else _MIRRORS[box[8] & 1]
        if turn is not None:
            found.append(turn)
    return found


def _decoded_by_tiles(content: bytes, grid: Grid, side: int) -> Image.Image:
    """Return a picture at a fraction of its size, at least `side` in both directions, upright.

    Waits for its share of the memory. Raises Unreadable if even so it takes too much, or if it is too small for that.
    """
    tile_size = _opened_tile(content, grid, 0).size
    n_rows = len(grid.tiles) // grid.columns
    if tile_size[0] * grid.columns < grid.size[0] or tile_size[1] * n_rows < grid.size[1]:
        raise Unreadable("broken picture: its tiles do not cover it")
    factor = _factor(grid.size, tile_size, side)
    size = (-(-grid.size[0] // factor), -(-grid.size[1] // factor))
    per_pixel = decode_memory.BYTES_PER_PIXEL["HEIF"]
    n_bytes = per_pixel * (tile_size[0] * tile_size[1] + size[0] * size[1])
    decode_memory.check_pixels(*tile_size, decode_memory.MAX_PIXELS)
    decode_memory.check_pixels(*size, decode_memory.MAX_PIXELS)
    decode_memory.check_bytes(n_bytes, *size)
    with decode_memory.budget.taking(n_bytes):
        picture = Image.new("RGB", size)
        for number in range(len(grid.tiles)):
            with _opened_tile(content, grid, number) as tile:
                if tile.size != tile_size:
                    raise Unreadable("broken picture: its tiles are of different sizes")
                row, column = divmod(number, grid.columns)
                small = tile.convert("RGB").reduce(factor)
                picture.paste(small, (column * small.width, row * small.height))
        for turn in grid.turns:
            picture = picture.transpose(turn)
        return picture


def _opened_tile(content: bytes, grid: Grid, number: int) -> ImageFile.ImageFile:
    tile = grid.tiles[number]
    data = tile.data(content)
    if len(data) != sum(length for _, length in tile.extents):
        raise Unreadable("cut off: the file ends too early")
    return opened(iso_media.still(tile, data, [] if _of_kind(tile, _COLOUR) else grid.colours))


def _factor(size: tuple[int, int], tile_size: tuple[int, int], side: int) -> int:
    """Return by how much each tile is scaled down: the most that tiles and picture allow."""
    factor = 1
    while min(size) >= side * factor * 2 and not tile_size[0] % (factor * 2) and not tile_size[1] % (factor * 2):
        factor *= 2
    return factor
