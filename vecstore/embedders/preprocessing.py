"""From a picture to a network's pixels, as timm, torchvision and open_clip do it, without importing them or torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
# What fits into `scaled`, by the name of the mode.
MODES = {"shortest": "shorter side", "longest": "longer side", "squash": "whole picture"}


@dataclass(frozen=True)
class Preprocessing:
    """Scale to `scaled`, cut or fill up to `size`, normalise.

    size, scaled: (height, width). mode: "shortest" lets the shorter side fit and keeps the ratio, "longest" the longer
    one, "squash" fits both. fill: RGB of what is filled up. mean, std: of values from 0 to 1, by channel.
    """

    size: tuple[int, int]
    scaled: tuple[int, int]
    mode: str
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fill: tuple[int, ...] = (0, 0, 0)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        # JSON has no tuples.
        fields: dict[str, Any] = {key: tuple(it) if isinstance(it, list) else it for key, it in values.items()}
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def in_words(self) -> str:
        height, width = self.size
        numbers = " ".join(f"{value:g}" for value in (*self.mean, *self.std))
        return (
            f"{MODES[self.mode]} to {self.scaled[1]}x{self.scaled[0]} {self.interpolation}, middle {width}x{height}, "
            f"mean and std {numbers}"
        )

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """Return (height, width, 3) pixels of an RGB picture."""
        scaled = image.resize(self._scaled_size(*image.size), RESAMPLING[self.interpolation])
        return np.asarray(_cut_or_fill(scaled, self.size, self.fill))

    def _scaled_size(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) after scaling, rounded as torchvision's Resize and timm's ResizeKeepRatio round."""
        to_height, to_width = self.scaled
        if self.mode == "squash":
            return to_width, to_height
        if self.mode == "shortest" and to_height == to_width:
            short = min(width, height)
            return max(1, to_width * width // short), max(1, to_height * height // short)
        ratios = (height / to_height, width / to_width)
        ratio = max(ratios) if self.mode == "longest" else min(ratios)
        return max(1, round(width / ratio)), max(1, round(height / ratio))


def _cut_or_fill(image: Image.Image, size: tuple[int, int], fill: Sequence[int]) -> Image.Image:
    """Return the middle of the picture, (height, width); where it is smaller, with equal borders of a colour."""
    height, width = size
    wide, high = max(image.width, width), max(image.height, height)
    if (wide, high) != image.size:
        filled = Image.new("RGB", (wide, high), tuple(fill))
        filled.paste(image, ((wide - image.width) // 2, (high - image.height) // 2))
        image = filled
    left, top = round((wide - width) / 2), round((high - height) / 2)
    return image.crop((left, top, left + width, top + height))
