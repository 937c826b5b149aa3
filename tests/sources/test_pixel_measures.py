"""What is measured of a picture's pixels: the values that stores have had of it, however they are worked out."""

from collections import Counter
from collections.abc import Iterator
from math import log2

import numpy as np
import pytest
from PIL import Image

from tests.altered import scene
from vecstore.sources.pixel_measures import measure


def plain_measures(image: Image.Image) -> dict[str, float]:
    """Return what `measure` does, worked out pixel by pixel."""
    grey = image.convert("L")
    factor = max(max(grey.size) // 512, 1)
    grey = grey.reduce(factor)
    ratio = max(*grey.size, 256) / 256
    grey = grey.resize([max(1, round(side / ratio)) for side in grey.size], Image.Resampling.BOX)
    pixels = sorted(grey.tobytes())
    mean = sum(pixels) / len(pixels)
    parts = [count / len(pixels) for count in Counter(pixels).values()]
    return {
        "brightness": mean / 255,
        "contrast": (sum((pixel - mean) ** 2 for pixel in pixels) / len(pixels)) ** 0.5 / 255,
        "shadows": pixels[-(-len(pixels) * 5 // 100) - 1] / 255,
        "highlights": pixels[-(-len(pixels) * 99 // 100) - 1] / 255,
        "sharpness": plain_sharpness(grey),
        "entropy": -sum(part * log2(part) for part in parts),
    }


def plain_sharpness(grey: Image.Image) -> float:
    """Return the variance of what each pixel and its four neighbours differ by, in the numbers that it is taken in."""
    if min(grey.size) < 3:
        return 0.0
    levels = np.asarray(grey, np.float32)
    around = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:]
    differences = 4 * levels[1:-1, 1:-1] - around
    return max(0.0, float((differences * differences).mean()) - float(differences.mean()) ** 2)


def painted() -> Iterator[Image.Image]:
    sizes = [(500, 375), (375, 500), (320, 240), (1600, 1200), (90, 70), (40, 900), (2000, 33), (3, 3), (2, 700)]
    for seed, size in enumerate(sizes):
        yield scene(seed).resize(size)
        yield scene(seed).convert("L").resize(size)
        noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), np.uint8)
        yield Image.fromarray(noise)
        yield Image.fromarray(noise // 128 * 255)
    yield Image.new("RGB", (1, 1), "red")


def test_a_picture_measures_what_stores_have_had_of_it() -> None:
    for image in painted():
        # Every digit that is kept, and of the sharpness the very sum: in another order, it would be another one.
        expected = {name: round(value, 4) for name, value in plain_measures(image).items()}
        assert measure(image)._asdict() == pytest.approx(expected, abs=1e-9)
