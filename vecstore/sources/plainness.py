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
    levels = np.sort(np.asarray(small).reshape(-1, 3).T.copy(), axis=1)  # an eighth of the time of np.quantile
    n_stray = int(STRAY_PART * levels.shape[1])
    return bool((levels[:, -1 - n_stray] - levels[:, n_stray]).max() <= UNIFORM_LEVELS)


def is_two_toned(image: Image.Image) -> bool:
    """Say whether an RGB picture is nearly all of one or two tones, such as a line drawing or a page of text."""
    small = np.asarray(image.resize((TONE_SIDE, TONE_SIDE), Image.Resampling.NEAREST), np.int64) // TONE_STEP
    n_steps = 256 // TONE_STEP
    tones = np.bincount(((small[..., 0] * n_steps + small[..., 1]) * n_steps + small[..., 2]).ravel())
    return bool(np.partition(tones, -2)[-2:].sum() >= TWO_TONES_PART * TONE_SIDE**2)


def pixels_agree(one: Image.Image, other: Image.Image) -> bool:
    """Say whether two RGB pictures look the same but for size and loss in encoding."""
    return bool(cells_agree(cells(one)[None], cells(other)[None])[0])


def cells(image: Image.Image) -> NDArray[np.uint8]:
    """Return an RGB picture scaled down to what `cells_agree` compares, (CELLS * CELLS * 3,)."""
    return np.asarray(image.resize((CELLS, CELLS), Image.Resampling.BOX), np.uint8).ravel()


def cells_agree(ones: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say of pairs of pictures, (n, CELLS * CELLS * 3) each, whether they look the same, as `pixels_agree` does."""
    difference = np.maximum(ones, others) - np.minimum(ones, others)
    return np.asarray((difference.mean(1) <= MEAN_DIFFERENCE) & (difference.max(1) <= CELL_DIFFERENCE))
