"""How one picture lies on another: aligned over orientations, frames, places and scales.

First the frames of both (the whole, without bars, inner parts) are compared in all eight orientations, scaled down; if
none fits, each is looked for in the other at any place and scale. From the best of these the pixels are aligned
(Gauss-Newton over affine maps, as Lucas and Kanade do). What counts then is how well the detail agrees, part by part: a
photo taken a moment later is as light in the same places, and differs at every edge.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vecstore.likeness.look import Float32, Look, normalised
from vecstore.likeness.perceptual_hash import GREY_SIDE, N_FRAMES, ORIENTATIONS, turn
from vecstore.likeness.perceptual_hash import Box as PixelBox

# Left, top, right and bottom as places, which reach from -1 to 1.
Box = tuple[float, float, float, float]

# The side of what is aligned, and the parts of it that are compared one by one, on each side.
FINE, PARTS = 64, 8
# Frames that correlate less are not aligned.
LEAST_COARSE = 0.6
# Steps of the alignment, on blurred levels and on sharp ones, and by how much each has to better the correlation.
STEPS, LEAST_GAIN = 6, 1e-4
# It ends where one picture would be that much fainter than the other, or so many times its size away.
LEAST_CONTRAST, FARTHEST = 1e-3, 20.0
# Detail that agrees so well needs no look anywhere else.
GOOD_DETAIL = 0.85
# What the steps lead to counts only if so much more detail agrees there.
CLEARLY = 0.01
# The scales at which one picture is looked for in another, of the largest that fits, and the larger one's side then.
SCALES, SEARCH_SIDE, LEAST_SIDE = tuple(0.92**i for i in range(9)), 40, 12
LEAST_FOUND = 0.7
# In parts of no more deviation than this, in levels, there is nothing to compare; in how many there has to be.
LEAST_DETAIL, LEAST_PARTS = 2.0, 6
# Parts that correlate by this have nearly all detail in common.
NEARLY_ALL = 0.9
# No part weighs more than so many times the middle one: a caption is strong, and small.
MOST_WEIGHT = 2.0
# Of the parts, how many may not differ in lightness, and the steps of the curve that maps one's levels to the other's.
TONE_PERCENTILE, TONE_STEPS = 70, 24


@dataclass(frozen=True)
class Alignment:
    """How a picture, the inner one, lies on another, the outer one.

    Attributes
    ----------
    orientation : of the `ORIENTATIONS`, that the second picture is to be given to look as the first does.
    is_swapped : the first is the inner one.
    matrix : (2, 3), from places in the inner picture to places in the outer one; both reach from -1 to 1.
    box : of the inner one what is aligned, without its bars for one (left, top, right, bottom).
    overlap : how much of that lies on the outer one.
    detail : how much of the detail agrees, from 0 to 1; 0 where there is none.
    kept : how much of the detail of one of the two is on the other, which may have more; whichever is higher.
    agreeing : in what fraction of the parts with something on them nearly all detail agrees.
    rest : by how many levels half of the pixels differ at the most where there is detail, after the curve of `tone`.
    tone : by how many levels the lightness of parts differs, once a curve has mapped the one's levels to the other's.
    drift, gain : how far, as a fraction of a side, the steps led away from where they began, and how much more detail
        agrees there.
    difference, worst : mean difference in levels, without any such curve; and of the part that differs most.
    """

    orientation: int
    is_swapped: bool
    matrix: NDArray[np.float64]
    box: Box
    overlap: float
    detail: float
    kept: float
    agreeing: float
    tone: float
    rest: float
    difference: float
    worst: float
    drift: float = 0.0
    gain: float = 0.0

    @property
    def angle(self) -> float:
        """By how many degrees the inner picture is turned besides."""
        (a, b, _), (c, d, _) = self.matrix.tolist()
        return float(np.degrees(np.arctan2(c - b, a + d)))

    @property
    def scales(self) -> tuple[float, float]:
        return float(np.hypot(*self.matrix[:, 0])), float(np.hypot(*self.matrix[:, 1]))

    def mapped(self, box: Box) -> NDArray[np.float64]:
        """Return where the corners of a box of the inner picture lie on the outer one, (2, 4)."""
        left, top, right, bottom = box
        corners = np.array([[left, left, right, right], [top, bottom, top, bottom], [1, 1, 1, 1]])
        return np.asarray(self.matrix @ corners)


@dataclass(frozen=True)
class _Start:
    """Where to begin with an alignment; see `Alignment`."""

    orientation: int
    is_swapped: bool
    box: Box
    matrix: NDArray[np.float64]


def align(one: Look, other: Look, *, anywhere: bool = True) -> Alignment | None:
    """Return how two pictures lie on each other, by the best of the ways that were tried; None if they do not.

    anywhere: if their frames do not fit, also look for each at any place in the other.
    """
    best: Alignment | None = None
    for start in _starts(one, other, anywhere):
        found = _aligned(one, other, start)
        if best is None or found.detail > best.detail:
            best = found
        if best.detail >= GOOD_DETAIL:
            break
    return best


def _starts(one: Look, other: Look, anywhere: bool) -> Iterator[_Start]:
    start = _by_frames(one, other)
    if start is not None:
        yield start
    if anywhere:
        for orientation in (0, 1):
            for is_swapped in (False, True):
                start = _found_anywhere(one, other, orientation, is_swapped)
                if start is not None:
                    yield start


# By frames


def _by_frames(one: Look, other: Look) -> _Start | None:
    turned = np.stack([np.stack([turn(frame, o) for frame in other.coarse]) for o in range(len(ORIENTATIONS))])
    fits = turned.reshape(-1, one.coarse[0].size) @ one.coarse.reshape(N_FRAMES, -1).T
    fits = fits.reshape(len(ORIENTATIONS), N_FRAMES, N_FRAMES)
    fits[:, 2:, 2:] = -1  # inner parts only with what is no inner part
    orientation, of_other, of_one = (int(i) for i in np.unravel_index(int(np.argmax(fits)), fits.shape))
    if fits[orientation, of_other, of_one] < LEAST_COARSE:
        return None
    boxes = in_units(one.frames[of_one]), turned_box(in_units(other.frames[of_other]), orientation)
    is_swapped = _area(boxes[0]) < _area(boxes[1])
    outer, inner = boxes[::-1] if is_swapped else boxes
    return _Start(orientation, is_swapped, inner, _from_box_to_box(inner, outer))


def in_units(box: PixelBox) -> Box:
    """Return a box of a look's pixels in places from -1 to 1."""
    left, top, right, bottom = (value * 2 / GREY_SIDE - 1 for value in box)
    return left, top, right, bottom


def turned_box(box: Box, orientation: int) -> Box:
    """Return where a box lies once its picture is turned."""
    left, top, right, bottom = box
    transposed, upside_down, mirrored = ORIENTATIONS[orientation]
    if transposed:
        left, top, right, bottom = top, left, bottom, right
    if upside_down:
        top, bottom = -bottom, -top
    if mirrored:
        left, right = -right, -left
    return left, top, right, bottom


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _from_box_to_box(inner: Box, outer: Box) -> NDArray[np.float64]:
    across, down = (outer[2] - outer[0]) / (inner[2] - inner[0]), (outer[3] - outer[1]) / (inner[3] - inner[1])
    return np.array([[across, 0, outer[0] - inner[0] * across], [0, down, outer[1] - inner[1] * down]])


# Anywhere


def _found_anywhere(one: Look, other: Look, orientation: int, is_swapped: bool) -> _Start | None:
    """Look for the inner picture in the outer one by normalised cross-correlation, at each of the scales."""
    outer, inner = (other, one) if is_swapped else (one, other)
    outer_levels, inner_levels = (
        (turn(outer.grey, orientation), inner.grey) if is_swapped else (outer.grey, turn(inner.grey, orientation))
    )
    factor = SEARCH_SIDE / max(outer.width, outer.height)
    width, height = (max(LEAST_SIDE, round(side * factor)) for side in (outer.width, outer.height))
    field = _scaled(outer_levels, width, height)
    field = field - field.mean()
    shape = (2 * SEARCH_SIDE, 2 * SEARCH_SIDE)
    spectrum, summed, squares = np.fft.rfft2(field, shape), _summed(field), _summed(field * field)
    fitting = min(width / inner.width, height / inner.height)
    best, place = LEAST_FOUND, None
    for scale in SCALES:
        w, h = round(inner.width * fitting * scale), round(inner.height * fitting * scale)
        if min(w, h) < LEAST_SIDE:
            break
        template = normalised(_scaled(inner_levels, w, h))
        products = np.fft.irfft2(spectrum * np.conj(np.fft.rfft2(template, shape)), shape)
        fits = products[: height - h + 1, : width - w + 1] / _lengths(summed, squares, w, h)
        top, left = (int(i) for i in np.unravel_index(int(np.argmax(fits)), fits.shape))
        if fits[top, left] > best:
            best, place = float(fits[top, left]), (left, top, w, h)
    if place is None:
        return None
    left, top, w, h = place
    found = (2 * left / width - 1, 2 * top / height - 1, 2 * (left + w) / width - 1, 2 * (top + h) / height - 1)
    whole = (-1.0, -1.0, 1.0, 1.0)
    return _Start(orientation, is_swapped, whole, _from_box_to_box(whole, found))


def _summed(values: Float32) -> NDArray[np.float64]:
    """Return the sums over all that lies above and to the left of each place (an integral image)."""
    summed = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    np.cumsum(values.cumsum(0, np.float64), 1, out=summed[1:, 1:])
    return summed


def _lengths(summed: NDArray[np.float64], squares: NDArray[np.float64], w: int, h: int) -> NDArray[np.float64]:
    """Return the lengths of all parts of w x h of a field, each less its mean, from its sums and its squares'."""
    total, square = (of[h:, w:] - of[:-h, w:] - of[h:, :-w] + of[:-h, :-w] for of in (summed, squares))
    return np.asarray(np.sqrt((square - total**2 / (w * h)).clip(w * h * LEAST_DETAIL**2)))


def _scaled(pixels: NDArray[np.uint8], width: int, height: int) -> Float32:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX), np.float32)


# Aligned


def _aligned(one: Look, other: Look, start: _Start) -> Alignment:
    turned = [np.ascontiguousarray(turn(level, start.orientation)) for level in other.levels]
    outer, inner = (turned, one.levels) if start.is_swapped else (one.levels, turned)
    left, top, right, bottom = start.box
    line = (np.arange(FINE) + 0.5) / FINE
    across, down = np.meshgrid(left + (right - left) * line, top + (bottom - top) * line)
    points = np.stack([across.ravel(), down.ravel(), np.ones(FINE * FINE)]).astype(np.float32)
    matrix = start.matrix
    for outer_level, inner_level in zip(outer, inner, strict=True):
        template, _ = _sampled(inner_level, points[0], points[1])
        matrix = _climbed(outer_level, template, points, matrix)
    # What is written across a picture can lead the steps astray, and brightness that is cut off too.
    before, after = (_judged(outer[1], template, points, each, start) for each in (start.matrix, matrix))
    gain = after.detail - before.detail
    drift = float(np.abs(after.mapped(start.box) - before.mapped(start.box)).max()) / 2
    return replace(after if gain > CLEARLY and after.rest < before.rest else before, drift=drift, gain=gain)


def _sampled(pixels: Float32, x: Float32, y: Float32) -> tuple[Float32, NDArray[np.bool_]]:
    """Return the pixels at places from -1 to 1, with straight lines between them, and which places are inside."""
    side = len(pixels)
    inside = (np.abs(x) <= 1) & (np.abs(y) <= 1)
    column, row = (((v + 1) * np.float32(side / 2) - np.float32(0.5)).clip(0, side - 1.001) for v in (x, y))
    left, top = column.astype(np.intp), row.astype(np.intp)
    a, b = column - left, row - top
    flat, at = pixels.ravel(), top * side + left
    upper = flat[at] * (1 - a) + flat[at + 1] * a
    lower = flat[at + side] * (1 - a) + flat[at + side + 1] * a
    return (upper * (1 - b) + lower * b).astype(np.float32), inside


def _climbed(pixels: Float32, template: Float32, points: Float32, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a map made better by Gauss-Newton steps, as long as they make it better."""
    half = np.float32(len(pixels) / 2)
    by_row, by_column = (np.asarray(part * half, np.float32) for part in np.gradient(pixels))
    best, best_fit = matrix, -1.0
    for _ in range(STEPS + 1):
        x, y = (matrix @ points).astype(np.float32)
        values, inside = _sampled(pixels, x, y)
        if np.count_nonzero(inside) < len(values) / 2:
            break
        fit = _correlation(values[inside], template[inside])
        if fit <= best_fit + LEAST_GAIN:
            break
        best, best_fit = matrix, fit
        down, across = _sampled(by_row, x, y)[0], _sampled(by_column, x, y)[0]
        # template = gain * (values + gradient . step) + offset, solved for gain * step, gain and offset.
        slopes = np.stack([*(across * p for p in points), *(down * p for p in points), values, np.ones_like(values)])
        slopes = slopes[:, inside].astype(np.float64)
        solved = np.linalg.solve(slopes @ slopes.T + 1e-3 * np.eye(len(slopes)), slopes @ template[inside])
        if abs(solved[6]) < LEAST_CONTRAST:
            break
        matrix = matrix + (solved[:6] / solved[6]).reshape(2, 3)
        if np.abs(matrix).max() > FARTHEST:
            break
    return best


def _correlation(one: Float32, other: Float32) -> float:
    return float((normalised(one) * normalised(other)).sum())


def _judged(
    pixels: Float32, template: Float32, points: Float32, matrix: NDArray[np.float64], start: _Start
) -> Alignment:
    x, y = (matrix @ points).astype(np.float32)
    values, inside = _sampled(pixels, x, y)
    overlap = float(inside.mean())
    if overlap < 0.5:
        nothing = (overlap, 0.0, 0.0, 0.0, np.inf, np.inf, np.inf, np.inf)
        return Alignment(start.orientation, start.is_swapped, matrix, start.box, *nothing)
    whole = _parts(inside).mean(1) > 0.9
    agree, strengths = correlations(_parts(values)[whole], _parts(template)[whole])
    both = np.maximum(*strengths)
    counted = both > LEAST_DETAIL
    detail, kept = _weighted(agree, both), max(_weighted(agree, strength) for strength in strengths)
    agreeing = float((agree[counted] >= NEARLY_ALL).mean()) if counted.any() else 0.0
    left = _parts(_beside_the_curve(values, template, inside))[whole]
    tone = float(np.percentile(np.abs(left.mean(1)), TONE_PERCENTILE)) if whole.any() else np.inf
    rest = float(np.median(np.abs(left[counted]))) if counted.any() else np.inf
    differences = np.abs(values - template)
    difference = float(differences[inside].mean())
    worst = float(_parts(differences).mean(1)[whole].max(initial=0))
    found = (overlap, detail, kept, agreeing, tone, rest, difference, worst)
    return Alignment(start.orientation, start.is_swapped, matrix, start.box, *found)


def _parts(pixels: NDArray[np.generic]) -> Float32:
    """Return the pixels of each part of what is aligned, (PARTS * PARTS, pixels of each)."""
    side = FINE // PARTS
    parts = np.asarray(pixels, np.float32).reshape(PARTS, side, PARTS, side).swapaxes(1, 2)
    return parts.reshape(PARTS * PARTS, side * side)


def correlations(ones: Float32, others: Float32) -> tuple[Float32, tuple[Float32, Float32]]:
    """Return how well the parts of two pictures correlate, from 0 to 1, and how much there is in each picture's.

    ones, others: (parts, pixels of each). What there is in a part is its deviation, in levels.
    """
    ones, others = ones - ones.mean(1, keepdims=True), others - others.mean(1, keepdims=True)
    strengths = np.sqrt((ones * ones).mean(1)), np.sqrt((others * others).mean(1))
    return ((ones * others).mean(1) / (strengths[0] * strengths[1] + 1e-6)).clip(0), strengths


def _weighted(agree: Float32, strength: Float32) -> float:
    counted = strength > LEAST_DETAIL
    if np.count_nonzero(counted) < LEAST_PARTS:
        return 0.0
    weight = strength[counted].clip(max=MOST_WEIGHT * np.median(strength[counted]))
    return float((weight * agree[counted]).sum() / weight.sum())


def _beside_the_curve(values: Float32, template: Float32, inside: NDArray[np.bool_]) -> Float32:
    """Return by how much pixels differ in lightness, once levels are mapped by the curve that suits them best.

    Brightness, contrast and the like are such a curve, and what is written across a picture does not bend it, as it is
    one of medians. Light that falls otherwise is none.
    """
    ones, others = values[inside], template[inside]
    steps = np.array_split(np.argsort(ones), TONE_STEPS)
    curve = [np.median(ones[step]) for step in steps], [np.median(others[step]) for step in steps]
    left = np.zeros(values.shape, np.float32)
    left[inside] = others - np.interp(ones, *curve)
    return left
