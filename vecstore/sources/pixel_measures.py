"""What a picture's pixels say of it: how bright, contrasting, sharp and varied it is. Knows no file and no bound.

All is measured on grey levels at a fixed size, so that it depends little on how many pixels a picture has, or was
decoded at.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

# Pixels of the longer side that is measured.
SIDE = 256
_LEVELS = np.arange(256)


class PixelMeasures(NamedTuple):
    """The fields are those of `results.Facts`."""

    brightness: float
    contrast: float
    shadows: float
    highlights: float
    sharpness: float
    entropy: float


def measure(image: Image.Image) -> PixelMeasures:
    """Return the measures of an RGB or grey picture."""
    grey = _small_grey(image)
    counts = np.asarray(grey.histogram(), np.int64)
    n_pixels = int(counts.sum())
    mean = float(counts @ _LEVELS) / n_pixels
    variance = float(counts @ (_LEVELS - mean) ** 2) / n_pixels
    below = np.cumsum(counts)
    shadows, highlights = np.searchsorted(below, (0.05 * n_pixels, 0.99 * n_pixels)).tolist()
    parts = counts[counts > 0] / n_pixels
    return PixelMeasures(
        brightness=_rounded(mean / 255),
        contrast=_rounded(variance**0.5 / 255),
        shadows=_rounded(shadows / 255),
        highlights=_rounded(highlights / 255),
        sharpness=_rounded(_laplacian_variance(grey)),
        entropy=_rounded(float(-(parts @ np.log2(parts)))),
    )


def _small_grey(image: Image.Image) -> Image.Image:
    grey = image.convert("L")
    factor = max(grey.size) // (2 * SIDE)
    if factor > 1:  # quicker than resizing a large picture at once
        grey = grey.reduce(factor)
    longer = max(grey.size)
    if longer <= SIDE:
        return grey
    size = (max(1, round(grey.width * SIDE / longer)), max(1, round(grey.height * SIDE / longer)))
    return grey.resize(size, Image.Resampling.BOX)


def _laplacian_variance(grey: Image.Image) -> float:
    """Return the variance over the pixels that have four neighbours; 0 where there are none."""
    if min(grey.size) < 3:
        return 0.0
    width = grey.width
    pixels = np.asarray(grey).astype(np.int16).ravel()  # end to end, which takes less time than row by row
    differences = 4 * pixels[width:-width]
    for at in (0, 2 * width, width - 1, width + 1):  # of the first pixel's neighbours above, below, left and right
        differences -= pixels[at : at + differences.size]
    found = differences.reshape(-1, width)[:, 1:-1].astype(np.float32)
    mean = float(found.mean())
    found *= found  # np.var takes longer
    return max(0.0, float(found.mean()) - mean * mean)


def _rounded(value: float) -> float:
    """Return a measure with the digits that mean something: no more than these are kept, and compared with."""
    return round(value, 4) + 0.0  # no -0.0
