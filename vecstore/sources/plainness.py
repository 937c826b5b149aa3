"""Whether a picture is nearly uniform or has two tones, and whether two agree pixel by pixel.

A network sees in plain black and plain white alike that nothing is on them; a histogram of colours sees in two white
drawings on black alike that they are white on black. There a score says little, and the pixels do. This module knows no
file and no score.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# In a nearly uniform picture, all but this fraction lies within this number of levels, in each of red, green and blue.
STRAY_PART = 0.02
UNIFORM_LEVELS = 16
# Two tones are most of a picture if these hold so much of it; the rest is edges.
TONE_STEP, TWO_TONES_PART, TONE_SIDE = 16, 0.9, 128
# Pictures agree if, scaled down to the same few cells, they differ by no more than this on average and in any cell.
CELLS = 32
MEAN_DIFFERENCE, CELL_DIFFERENCE = 4, 24


def is_nearly_uniform(image: Image.Image) -> bool:
    """Say whether an RGB picture is one colour nearly everywhere, such as plain black, a clear sky or a blank page."""
    small = image.resize((2 * CELLS, 2 * CELLS), Image.Resampling.BOX)
    low, high = np.quantile(np.asarray(small), (STRAY_PART, 1 - STRAY_PART), axis=(0, 1))
    return bool((high - low).max() <= UNIFORM_LEVELS)


def is_two_toned(image: Image.Image) -> bool:
    """Say whether an RGB picture is nearly all of one or two tones, such as a line drawing or a page of text."""
    small = np.asarray(image.resize((TONE_SIDE, TONE_SIDE), Image.Resampling.NEAREST), np.int64) // TONE_STEP
    n_steps = 256 // TONE_STEP
    tones = np.bincount(((small[..., 0] * n_steps + small[..., 1]) * n_steps + small[..., 2]).ravel())
    return bool(np.sort(tones)[-2:].sum() >= TWO_TONES_PART * TONE_SIDE**2)


def pixels_agree(one: Image.Image, other: Image.Image) -> bool:
    """Say whether two RGB pictures look the same but for size and loss in encoding."""
    difference = np.abs(_cells(one) - _cells(other))
    return bool(difference.mean() <= MEAN_DIFFERENCE and difference.max() <= CELL_DIFFERENCE)


def _cells(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image.resize((CELLS, CELLS), Image.Resampling.BOX), np.int64)
