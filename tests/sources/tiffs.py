"""TIFFs written byte by byte, so that their tags say what a test wants and no writer would."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = {"u": 1, "i": 2, "f": 3}


def tiff(values: NDArray[Any], *, pages: tuple[NDArray[Any], ...] = (), **options: Any) -> bytes:
    """Return a TIFF of one strip a page; options: those of `_page`, for all of its pages."""
    order = options.pop("order", "<")
    content = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    every = (values, *pages)
    for number, page in enumerate(every):
        content += _page(page, len(content), order, is_last=number == len(every) - 1, **options)
    return content


def _page(
    values: NDArray[Any],
    start: int,
    order: str,
    *,
    is_last: bool,
    photometric: int | None = None,
    bits: int | None = None,
    extra: tuple[int, ...] | None = None,
    is_planar: bool = False,
    orientation: int = 1,
    no_data: str | None = None,
    colours: list[int] | None = None,
) -> bytes:
    """values: (height, width) or (height, width, bands), in the type that the file is to have."""
    bands = values if values.ndim == 3 else values[..., None]
    height, width, n_bands = bands.shape
    depth = bits or values.dtype.itemsize * 8
    if bits is not None:
        data = packed(bands, bits)
    else:
        data = (np.moveaxis(bands, 2, 0) if is_planar else bands).astype(values.dtype.newbyteorder(order)).tobytes()
    photometric = photometric if photometric is not None else 2 if n_bands > 2 else 1
    shorts = {256: [width], 257: [height], 258: [depth] * n_bands, 259: [1], 262: [photometric], 274: [orientation]}
    shorts |= {277: [n_bands], 278: [height], 284: [2 if is_planar else 1]}
    shorts[339] = [KINDS[values.dtype.kind]] * n_bands
    if extra is not None:
        shorts[338] = list(extra)
    if colours is not None:
        shorts[320] = colours
    one_plane = len(data) // n_bands
    parts = n_bands if is_planar else 1
    sizes = [one_plane] * parts if is_planar else [len(data)]
    entries: dict[int, tuple[int, int, bytes]] = {
        tag: (3, len(numbers), struct.pack(f"{order}{len(numbers)}H", *numbers)) for tag, numbers in shorts.items()
    }
    if no_data is not None:
        entries[42113] = (2, len(no_data) + 1, no_data.encode() + b"\0")
    n_entries = len(entries) + 2
    behind_at = start + 2 + 12 * n_entries + 4
    n_behind = sum(len(value) + len(value) % 2 for _, _, value in entries.values() if len(value) > 4)
    n_behind += 2 * 4 * parts if parts > 1 else 0
    data_at = behind_at + n_behind
    offsets = [data_at + i * sizes[0] for i in range(parts)]
    entries[273] = (4, parts, struct.pack(f"{order}{parts}I", *offsets))
    entries[279] = (4, parts, struct.pack(f"{order}{parts}I", *sizes))
    directory, behind = struct.pack(order + "H", n_entries), b""
    for tag, (kind, count, value) in sorted(entries.items()):
        directory += struct.pack(order + "HHI", tag, kind, count)
        if len(value) > 4:
            directory += struct.pack(order + "I", behind_at + len(behind))
            behind += value + bytes(len(value) % 2)
        else:
            directory += value.ljust(4, b"\0")
    end = data_at + len(data) + len(data) % 2
    directory += struct.pack(order + "I", 0 if is_last else end)
    return directory + behind + data + bytes(len(data) % 2)


def packed(bands: NDArray[Any], bits: int) -> bytes:
    """Return numbers of so many bits each, the highest bit first, every row at the beginning of a byte."""
    rows = bands.reshape(len(bands), -1).astype(np.uint32)
    binary = (rows[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint32)) & 1
    return np.packbits(binary.reshape(len(bands), -1).astype(np.uint8), axis=1).tobytes()
