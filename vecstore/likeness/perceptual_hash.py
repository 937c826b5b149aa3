"""A perceptual hash of 64 bits that can be turned and mirrored after it was made, of a picture and of its inner parts.

The bits are the signs of the 8 x 8 lowest frequencies of the cosine transform of a small grey picture (pHash compares
with their median, which is next to zero). A mirrored picture has its odd frequencies negated, one
turned by a quarter has rows and columns swapped: so from the signs alone, and from no median, the hashes of all eight
orientations follow, and one of them is kept. Libraries of hashes keep or compute eight, and need SciPy and PyWavelets.
"""

import functools
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 8  # frequencies in each direction
# The grey picture, squeezed to a square, that everything here is made of.
GREY_SIDE = 128
# What is cut off on each side for the hashes of inner parts, which find a picture that was cropped all round.
MARGINS = (0.05, 0.1, 0.15, 0.2)
# The flags of a record: the picture was seen, it has hashes, and it was compared with all others.
SEEN, HASHED, COMPARED = 1, 2, 4
# The frames of a picture: the whole, without its bars, and its inner parts. One hash each.
N_FRAMES = 2 + len(MARGINS)
# Lines at an edge are a bar if they are uniform, by so many levels, and as light as the first, by so many.
BAR_SPREAD, BAR_LEVELS = 24, 12
MOST_BARS = 0.7
LEAST_BAR = 3
# A grey picture whose levels deviate by less has nothing on it that a hash could tell.
LEAST_DEVIATION = 4.0

# (transposed, upside down, mirrored), in this order of doing; the first changes nothing.
ORIENTATIONS = tuple((t, f, m) for t in (False, True) for f in (False, True) for m in (False, True))
# What was done to a picture that looks as another one does when it is turned so; degrees clockwise, after mirroring.
TURNS = (
    "",
    "mirrored",
    "flipped",
    "turned 180",
    "mirrored, turned 270",
    "turned 270",
    "turned 90",
    "mirrored, turned 90",
)

Box = tuple[int, int, int, int]
T = TypeVar("T", bound=np.generic)


def grey(image: Image.Image) -> NDArray[np.uint8]:
    """Return a picture as grey levels, squeezed to (GREY_SIDE, GREY_SIDE)."""
    levels = image.convert("L")
    # From a grid of nearly the same width, a mirrored picture would come out moved by half a pixel.
    factor = max(min(image.size) // (2 * GREY_SIDE), 1)
    # The last of what is reduced may stand for a part of a pixel, by which the whole would be squeezed otherwise.
    box = (0, 0, image.width / factor, image.height / factor)
    if factor > 1:
        levels = levels.reduce(factor)
    return np.asarray(levels.resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX, box), np.uint8)


def frames(levels: NDArray[np.uint8]) -> list[Box]:
    """Return the boxes (left, top, right, bottom) of the frames of a grey picture, in its pixels."""
    side = len(levels)
    cut = [round(side * margin) for margin in MARGINS]
    return [(0, 0, side, side), without_bars(levels), *((c, c, side - c, side - c) for c in cut)]


def without_bars(levels: NDArray[np.uint8]) -> Box:
    """Return the box of a grey picture without uniform bars at its edges; the whole where there are none."""
    side = len(levels)
    top, bottom = _bars(levels)
    left, right = _bars(levels.T)
    if left + right > MOST_BARS * side or top + bottom > MOST_BARS * side:
        return (0, 0, side, side)
    return (left, top, side - right, side - bottom)


def _bars(lines: NDArray[np.uint8]) -> tuple[int, int]:
    """Return how many lines at either end are a bar, with the line beside it, which is often a mixture."""
    extremes = list(zip(lines.min(1).tolist(), lines.max(1).tolist(), strict=True))
    return _bar(extremes), _bar(extremes[::-1])


def _bar(extremes: list[tuple[int, int]]) -> int:
    first = sum(extremes[0]) // 2
    n = 0
    for lowest, highest in extremes:  # mostly one: an array's worth of comparisons takes longer
        if highest - lowest > BAR_SPREAD or abs((lowest + highest) // 2 - first) > BAR_LEVELS:
            break
        n += 1
    return n + 1 if n >= LEAST_BAR else 0


@functools.cache
def _cosines(n: int) -> NDArray[np.float32]:
    """Return the lowest frequencies of the cosine transform of n samples, (SIDE, n)."""
    k, sample = np.arange(SIDE)[:, None], np.arange(n)[None]
    return np.cos(np.pi * k * (2 * sample + 1) / (2 * n)).astype(np.float32)


def hashes(levels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return the hashes of the frames of a grey picture, (N_FRAMES, 8); None for one with nothing on it."""
    if levels.std() < LEAST_DEVIATION:
        return None
    pixels = levels.astype(np.float32)
    found = np.empty((N_FRAMES, SIDE, SIDE), np.bool_)
    for place, (left, top, right, bottom) in enumerate(frames(levels)):
        np.greater(
            _cosines(bottom - top) @ pixels[top:bottom, left:right] @ _cosines(right - left).T, 0, out=found[place]
        )
    found[:, 0, 0] = False  # how light it is
    return np.packbits(found.reshape(N_FRAMES, SIDE * SIDE), axis=1)


def hash_record(image: Image.Image) -> bytes:
    """Return what is kept of a picture: a byte of flags, then the hashes of its frames, or zeros for none."""
    found = hashes(grey(image))
    if found is None:
        return bytes([SEEN]) + bytes(N_FRAMES * SIDE)
    return bytes([SEEN | HASHED]) + found.tobytes()


def oriented(hashes: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return the hashes, (..., 8), that pictures would have in one of the `ORIENTATIONS`."""
    transposed, upside_down, mirrored = ORIENTATIONS[orientation]
    bits = np.unpackbits(hashes, axis=-1).reshape(*hashes.shape[:-1], SIDE, SIDE).astype(np.bool_)
    if transposed:
        bits = np.swapaxes(bits, -1, -2).copy()
    odd = np.arange(SIDE) % 2 == 1
    if upside_down:
        bits = bits ^ odd[:, None]
    if mirrored:
        bits = bits ^ odd
    bits[..., 0, 0] = False
    return np.packbits(bits.reshape(*hashes.shape[:-1], SIDE * SIDE), axis=-1)


def turn(pixels: NDArray[T], orientation: int) -> NDArray[T]:
    """Return pixels, (height, width, ...), in one of the `ORIENTATIONS`."""
    transposed, upside_down, mirrored = ORIENTATIONS[orientation]
    if transposed:
        pixels = np.swapaxes(pixels, 0, 1)
    if upside_down:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if mirrored else pixels
