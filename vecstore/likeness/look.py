"""What is kept of a picture while it is compared: grey levels, colours, and whether there is anything on it."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vecstore.likeness import perceptual_hash
from vecstore.likeness.perceptual_hash import Box
from vecstore.sources.plainness import cells, is_nearly_uniform, is_two_toned

Float32 = NDArray[np.float32]

# The side of what frames are compared at first, and of the colours that are kept.
COARSE, COLOURS = 32, 16


@dataclass(frozen=True)
class Look:
    """A picture scaled down. width, height: of the picture itself, in pixels, as shown.

    grey: (128, 128) levels, squeezed. colour: (16, 16, 2), Cb and Cr. cells: (32 * 32 * 3,) as `plainness` compares
    them. is_plain: it is nearly uniform or has two tones.
    """

    grey: NDArray[np.uint8]
    colour: NDArray[np.uint8]
    cells: NDArray[np.uint8]
    is_plain: bool
    width: int
    height: int

    @functools.cached_property
    def frames(self) -> list[Box]:
        """The boxes of the frames, in the pixels of `grey`."""
        return perceptual_hash.frames(self.grey)

    @functools.cached_property
    def coarse(self) -> Float32:
        """The frames scaled down, of mean 0 and length 1: (frames, COARSE, COARSE)."""
        image = Image.fromarray(self.grey)
        parts = [image.resize((COARSE, COARSE), Image.Resampling.BOX, box=box) for box in self.frames]
        return np.stack([normalised(np.asarray(part, np.float32)) for part in parts])

    @functools.cached_property
    def levels(self) -> tuple[Float32, Float32]:
        """The grey levels, much blurred and a little."""
        sharp = blurred(np.asarray(self.grey, np.float32), 1)
        return blurred(blurred(sharp, 3), 3), sharp

    @functools.cached_property
    def colours(self) -> float:
        """How far from grey it is on average, in levels."""
        return float(np.abs(self.colour.astype(np.float32) - 128).mean())


def look(image: Image.Image, width: int, height: int) -> Look:
    """Return the look of an RGB picture, which may have been scaled down. width, height: of the original."""
    colour = np.asarray(image.resize((COLOURS, COLOURS), Image.Resampling.BOX).convert("YCbCr"), np.uint8)[..., 1:]
    is_plain = is_nearly_uniform(image) or is_two_toned(image)
    return Look(perceptual_hash.grey(image), colour, cells(image), is_plain, width, height)


def normalised(pixels: Float32) -> Float32:
    """Return pixels of mean 0 and length 1; zeros where all are equal."""
    pixels = pixels - pixels.mean()
    length = np.sqrt((pixels * pixels).sum())
    return pixels / length if length > 1e-3 else np.zeros_like(pixels)


def blurred(pixels: Float32, radius: int) -> Float32:
    """Return the means over squares of 2 * radius + 1."""
    for axis in (0, 1):
        padded = np.pad(pixels, [(radius + 1, radius) if a == axis else (0, 0) for a in (0, 1)], "edge")
        sums = padded.cumsum(axis, dtype=np.float64)
        before = np.arange(pixels.shape[axis])
        among = np.take(sums, before + 2 * radius + 1, axis) - np.take(sums, before, axis)
        pixels = (among / (2 * radius + 1)).astype(np.float32)
    return pixels
