"""`hsv`: colour likeness. Histograms of hue, saturation and value over a two-level spatial pyramid; no network."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vecstore.embedders.embedder import EmbedderOptions, EmbedderSpec, unit_rows
from vecstore.errors import BadInput

# Hue has the finest bins because it tells colours apart best; 8 x 3 x 3 bins in each of 1 + 4 regions.
HUES, SATURATIONS, VALUES = 8, 3, 3
BINS = HUES * SATURATIONS * VALUES
REGIONS = 5
SIDE = 128


def open_hsv(options: EmbedderOptions) -> "Hsv":
    if options.weights is not None:
        raise BadInput("the embedder hsv has no weights; leave --weights out")
    return Hsv()


class Hsv:
    """Colour histograms. The square root of each share is taken, so that the inner product of two vectors is the
    mean over the regions of the histograms' Bhattacharyya coefficient (the whole picture counts like the quarters
    together)."""

    spec = EmbedderSpec(
        name="hsv",
        version=1,
        weights_sha256=None,
        dim=BINS * REGIONS,
        preprocessing=f"whole picture to {SIDE}x{SIDE}, box filter; HSV",
    )
    batch_size = 64
    input_size = (SIDE, SIDE)

    def load(self) -> None:
        pass

    def prepare(self, image: Image.Image) -> NDArray[np.float32]:
        small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
        bins = _bin_of_each_pixel(np.asarray(small.convert("HSV")))
        half = SIDE // 2
        quarters = [bins[:half, :half], bins[:half, half:], bins[half:, :half], bins[half:, half:]]
        shares = [np.sqrt(_histogram(bins) / 2)] + [np.sqrt(_histogram(quarter) / 8) for quarter in quarters]
        return np.concatenate(shares).astype(np.float32)

    def embed(self, prepared: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return unit_rows(np.stack(list(prepared)))


def _bin_of_each_pixel(hsv: NDArray[np.uint8]) -> NDArray[np.intp]:
    # Pillow's hue is 0..255 for the whole circle; shifted by half a bin, so that red is one bin and not two.
    hue = (hsv[..., 0].astype(np.intp) + 256 // HUES // 2) % 256 * HUES // 256
    saturation = hsv[..., 1].astype(np.intp) * SATURATIONS // 256
    value = hsv[..., 2].astype(np.intp) * VALUES // 256
    return (hue * SATURATIONS + saturation) * VALUES + value


def _histogram(bins: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.bincount(bins.ravel(), minlength=BINS) / bins.size
