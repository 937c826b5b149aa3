"""From numbers of any range to the 256 levels that are shown.

A picture that fills more than half of a standard range is linear in all of it: 0..1 of fractions, all of an unsigned
type, and 0..255 and 0..65535 where a type says nothing. Any other picture is stretched to its own range, as viewers of
measurements do, so that what was measured can be seen. This module knows no format.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Numbers = NDArray[np.float64]
Box = tuple[int, int, int, int]

# A standard range holds what goes past it by so much: interpolation overshoots.
OVERSHOOT = 0.02
# The part of the values, at either end, that may be outliers: broken sensor elements, numbers that stand for no data.
# Small pictures have a few as well.
OUTLIER_PART, FEWEST_OUTLIERS, PIXELS_PER_OUTLIER = 1 / 2000, 3, 64
# They are outliers if they lie farther outside the others than this part of the others' range.
OUTLIER_DISTANCE = 0.05
# Where nothing was measured, writers put numbers such as 1e38 or -3.4e38, or one of these, far below all others.
BEYOND_MEASURE = 1e30
NO_DATA = frozenset((-999.0, -9999.0, -99999.0))
# So does the least number of a signed type, unless what is seen goes as far up as it goes down.
LEAST_OF_TYPE = frozenset((-32767.0, -32768.0, -2147483647.0, -2147483648.0))
# A range that begins or ends so near to a usual number is taken to begin or end there.
NEAR_ZERO, NEAR_TOP, NEAR_OPPOSITE = 0.05, 0.85, 0.75

# How many numbers are mapped at a time: as float64 a whole picture would take many times its own memory.
BLOCK = 1 << 18


@dataclass(frozen=True)
class SampleType:
    """The type of a number in the file: unsigned, signed (integers) or a fraction, and its number of bits."""

    kind: Literal["u", "i", "f"]
    bits: int

    @property
    def standard_tops(self) -> tuple[float, ...]:
        """The ranges from 0 that pictures of this type usually have, narrowest first."""
        if self.kind == "f":
            return 1.0, 255.0, 65535.0
        if self.kind == "i":
            return 255.0, 65535.0
        full = 2.0**self.bits - 1
        return (full,) if self.bits <= 16 else (255.0, 65535.0, full)


@dataclass(frozen=True)
class SampleRange:
    """The numbers that become black and white, and the one, if any, that stands for no data and becomes black."""

    black: float
    white: float
    no_data: float | None = None


def to_8_bits(numbers: Numbers, shown: SampleRange) -> NDArray[np.uint8]:
    """Return the levels, 0 to 255, of numbers of any shape; NaN and missing data become 0."""
    levels = (numbers.clip(shown.black, shown.white) - shown.black) * (255.0 / (shown.white - shown.black))
    levels[is_missing(numbers, shown)] = 0
    return levels.round().astype(np.uint8)


def find_range(
    blocks: Callable[[], Iterable[Numbers]], n_values: int, sample: SampleType, no_data: float | None = None
) -> SampleRange:
    """Return the range in which a picture is shown.

    blocks: called for the picture's numbers, a part at a time, up to three times. n_values: how many there are in all.
    no_data: the number that the file itself names for what was not measured.
    """
    limits = _limits(blocks(), n_values, no_data)
    least = limits[0]
    if no_data is None and (least in NO_DATA or (least in LEAST_OF_TYPE and not _are_opposite(*limits))):
        others = _limits(blocks(), n_values, least)
        if others[0] >= 0 or others[0] - least > (others[1] - others[0]) / 2:
            return SampleRange(*_range_of(*others, sample), no_data=least)
    return SampleRange(*_range_of(*limits, sample), no_data=no_data)


def _range_of(least: float, most: float, sample: SampleType) -> tuple[float, float]:
    top = _standard_top(least, most, sample)
    if top is not None:
        return 0.0, top
    if most - least <= 1e-6 * max(abs(least), abs(most)):  # one number alone has no range to stretch
        tops = sample.standard_tops
        return 0.0, next((top for top in tops if most <= top * (1 + OVERSHOOT)), tops[-1])
    if _are_opposite(least, most):
        return -max(-least, most), max(-least, most)
    white = _usual_top(least, most)
    return (0.0 if 0 <= least <= NEAR_ZERO * white else least), white


def _standard_top(least: float, most: float, sample: SampleType) -> float | None:
    for top in sample.standard_tops:
        if least >= -OVERSHOOT * top and top / 2 < most <= top * (1 + OVERSHOOT):
            return top
    return None


def _are_opposite(least: float, most: float) -> bool:
    return least < 0 < most and NEAR_OPPOSITE <= most / -least <= 1 / NEAR_OPPOSITE


def _usual_top(least: float, most: float) -> float:
    """Return the end of the range that a picture with these values is likely to have: all ones in binary, or round.

    A picture of 12 bits in 16 whose brightest number is 3,800 is one that goes to 4,095.
    """
    if most <= 0 or _is_round(most):
        return most
    binary = 2.0 ** math.ceil(math.log2(most + 1)) - 1 if most > 1 else math.inf
    step = 10.0 ** math.floor(math.log10(most))
    bottom = min(least, 0.0) if least <= NEAR_ZERO * most else least
    for top in (min(binary, 10 * step), math.ceil(most / step) * step):
        if most - bottom >= NEAR_TOP * (top - bottom):
            return top
    return most


def _is_round(number: float) -> bool:
    step = 10.0 ** math.floor(math.log10(number))
    return number / step == round(number / step) or math.log2(number + 1).is_integer()


def is_missing(numbers: Numbers, shown: SampleRange) -> NDArray[np.bool_]:
    """Say of each number whether it stands for nothing measured."""
    missing = np.isnan(numbers)
    return missing if shown.no_data is None else missing | (numbers == shown.no_data)


def _limits(blocks: Iterable[Numbers], n_values: int, no_data: float | None) -> tuple[float, float]:
    """Return the least and the largest number, outliers apart."""
    fewest = min(n_values // PIXELS_PER_OUTLIER, FEWEST_OUTLIERS)
    extremes = _Extremes(max(int(n_values * OUTLIER_PART), fewest))
    for numbers in blocks:
        is_measured = np.abs(numbers) < BEYOND_MEASURE  # no number is not, either
        extremes.add(numbers[is_measured if no_data is None else is_measured & (numbers != no_data)])
    return extremes.limits()


@dataclass
class _Extremes:
    """The least and the largest of the numbers seen: those that may be outliers, and one more."""

    n_outliers: int
    _low: Numbers = field(default_factory=lambda: np.empty(0))
    _high: Numbers = field(default_factory=lambda: np.empty(0))

    def add(self, numbers: Numbers) -> None:
        self._low = self._least(self._low, numbers)
        self._high = -self._least(-self._high, -numbers)

    def _least(self, known: Numbers, numbers: Numbers) -> Numbers:
        if known.size > self.n_outliers:
            numbers = numbers[numbers < known[-1]]
        return np.sort(np.concatenate((known, numbers)))[: self.n_outliers + 1]

    def limits(self) -> tuple[float, float]:
        if not self._low.size:
            return 0.0, 0.0
        least, most = float(self._low[0]), float(self._high[0])
        inner_least, inner_most = float(self._low[-1]), float(self._high[-1])
        distance = (inner_most - inner_least) * OUTLIER_DISTANCE
        if distance > 0:
            least = inner_least if least < inner_least - distance else least
            most = inner_most if most > inner_most + distance else most
        return least, most


def shown_grey(image: Image.Image) -> Image.Image:
    """Return Pillow's deep greys (modes I, I;16 and F) as RGB, or as RGBA if one number stands for transparent."""
    shown = find_range(lambda: (numbers for _, numbers in _blocks(image)), image.width * image.height, _type_of(image))
    clear = image.info.get("transparency")
    grey = Image.new("L", image.size)
    alpha = Image.new("L", image.size, 255) if isinstance(clear, int) else None
    for box, numbers in _blocks(image):
        grey.paste(Image.fromarray(to_8_bits(numbers, shown)), box)
        if alpha is not None:
            alpha.paste(Image.fromarray(np.where(numbers == clear, 0, 255).astype(np.uint8)), box)
    picture = grey.convert("RGB")
    if alpha is not None:
        picture.putalpha(alpha)
    picture.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return picture


def _type_of(image: Image.Image) -> SampleType:
    if image.mode == "F":
        return SampleType("f", 32)
    # Pillow scales a PGM of any depth to 16 bits, in the mode of signed numbers of 32.
    return SampleType("u", 16) if image.mode.startswith("I;16") or image.format == "PPM" else SampleType("i", 32)


def _blocks(image: Image.Image) -> Iterator[tuple[Box, Numbers]]:
    width = min(image.width, BLOCK)
    height = max(BLOCK // max(width, 1), 1)
    for y, x in itertools.product(range(0, image.height, height), range(0, image.width, width)):
        box = (x, y, min(x + width, image.width), min(y + height, image.height))
        yield box, np.asarray(image.crop(box), np.float64)
