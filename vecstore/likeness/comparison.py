"""What one picture is to another: a copy of some kind, with how sure that is, or none."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vecstore.likeness.alignment import PARTS, Alignment, Box, align, correlations, in_units, turned_box
from vecstore.likeness.look import Look
from vecstore.likeness.perceptual_hash import GREY_SIDE, ORIENTATIONS, TURNS, turn
from vecstore.sources.plainness import CELLS, cells_agree

# One more with every change here, in `alignment` or in `look` by which two pictures may get another answer: what stores
# keep of an earlier version is judged again.
VERSION = 1

SAME_BYTES, SAME_PIXELS, RE_ENCODED, RESIZED = "same bytes", "same pixels", "re-encoded", "resized"
GREY, EDITED = "grey", "edited"
# A part of the other picture, and one that the other is a part of; the same with bars, and without those of the other.
CROPPED, UNCROPPED, LETTERBOXED, WITHOUT_BARS = "cropped", "uncropped", "letterboxed", "without bars"
REVERSED = {CROPPED: UNCROPPED, UNCROPPED: CROPPED, LETTERBOXED: WITHOUT_BARS, WITHOUT_BARS: LETTERBOXED}
# Relations that change how a picture looks by little or nothing.
SLIGHT = (SAME_PIXELS, RE_ENCODED, RESIZED)

# A copy agrees in so much of its detail, and differs by at most so many levels of lightness in most of its parts.
LEAST_DETAIL, MOST_TONE, MOST_TONE_OF_PART = 0.8, 1.3, 4.0
# A part of a picture has nothing else in it: crops differ by up to 13 levels where they differ most, and two skies that
# are alike by 31 and more.
MOST_WORST_OF_PART = 28.0
# What lies exactly where it lay may have other colours, or brightness that is cut off. Of two shots from one tripod the
# second lies a little aside: the steps of the alignment lead by 0.0026 of a side and more, to where more detail agrees.
EXACTLY_ON_PLACE, EXACT_DETAIL, MOST_TONE_IF_EXACT = 0.002, 0.85, 5.0
# Or they lead astray, with no gain, what has nearly all of its detail where it is.
NO_GAIN, NEARLY_ALL_DETAIL = 0.001, 0.95
# Half of the pixels of what was written across, or partly covered, differ by no more levels than this; of shots from
# one tripod by 1.3 and more.
MOST_REST = 1.0
# Where half of the pixels are the very same, the encoding has harmed nothing. If so much of the parts has other detail
# all the same, there is another content on the same ground: a program's window with another text in it.
SAME_REST, LEAST_AGREEING = 0.4, 0.65
# So much of a pixel of the smaller picture scaling may move it.
MOVED_BY_SCALING = 0.25
# As fractions of a side: how far the corners of a picture may lie from where an edit would have left them.
ON_PLACE, INSIDE = 0.015, 0.012
# No picture is looked for at less of the other's size.
LEAST_SCALE = 0.1
# How far from the picture bars may end.
BARS_END = 0.03
# A crop is not turned, by more degrees than this, and not squeezed by more than this factor.
MOST_ANGLE, MOST_SQUEEZE = 0.6, 1.03
# Turned by some degrees: at the most, and with how much of its detail.
MOST_TURN, TURNED_DETAIL = 15.0, 0.9
# What is re-encoded differs by no more levels and keeps so much detail, at its size or at a fraction of it.
RE_ENCODED_DIFFERENCE, RE_ENCODED_DETAIL = 2.5, 0.88
RESIZED_DIFFERENCE, SMALLER = 7.0, 0.7
# And at its size in no part by more than this.
WORST_PART = 9.0
# What is on a plain picture: parts of more deviation than this, in levels, have to correlate by this on average.
LEAST_LITTLE, LITTLE_AGREES = 2.0, 0.55
# On average so far from grey, a picture is grey, or has colours.
GREY_AT_MOST, COLOURED = 1.2, 2.5
# Colours that vary by more than this have to correlate by this; and all have to be no farther from each other.
VARIED_COLOURS, COLOURS_AGREE, COLOUR_DISTANCE, EDITED_COLOURS = 4.0, 0.7, 30.0, 6.0
# So much of a picture, in percent, has to have its colours; the rest may be covered.
UNCOVERED = 88

WHOLE: Box = (-1.0, -1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Relation:
    """What a picture is to the one that it was compared with. name: for people. confidence: from 0 to 1."""

    name: str
    confidence: float

    def reversed(self) -> "Relation":
        """Return what the other one is to this one."""
        if self.name.startswith("turned "):  # mirrored before, it is its own reverse
            return Relation(f"turned {-int(self.name.removeprefix('turned ')) % 360}", self.confidence)
        return Relation(REVERSED.get(self.name, self.name), self.confidence)

    @property
    def is_of_the_whole(self) -> bool:
        """Whether either picture shows all that the other does."""
        return self.name not in REVERSED

    def then(self, next_one: "Relation") -> "Relation | None":
        """Return what a third picture is to the first, given what it is to the second; None where that is not clear.

        A part of a part is a part, also with bars. Two pictures that have a part in common need not be copies.
        """
        confidence = round(self.confidence * next_one.confidence, 3)
        if next_one.is_of_the_whole:
            return Relation(next_one.name if self.name in SLIGHT else self.name, confidence)
        if self.is_of_the_whole:
            return Relation(next_one.name, confidence)
        if self.name not in (CROPPED, WITHOUT_BARS) or next_one.name == UNCROPPED:
            return None
        return Relation(LETTERBOXED if next_one.name == LETTERBOXED else CROPPED, confidence)


def compare(one: Look, other: Look, *, anywhere: bool = True) -> Relation | None:
    """Return what `other` is to `one`, None if it is no copy of it. anywhere: as for `align`."""
    if one.is_plain or other.is_plain:
        return _of_plain(one, other)
    found = align(one, other, anywhere=anywhere)
    if found is None or max(found.detail, found.kept) < LEAST_DETAIL:
        return None
    if found.rest <= SAME_REST and found.agreeing < LEAST_AGREEING:
        return None
    name = _name(one, other, found)
    if name is None:
        return None
    return Relation(name, round(found.detail * (1 - min(found.tone, MOST_TONE_IF_EXACT) / 20), 3))


def _of_plain(one: Look, other: Look) -> Relation | None:
    """There is too little on them to align; the pixels have to be the same."""
    shape = (CELLS, CELLS, 3)
    for orientation, name in enumerate(TURNS):
        turned = np.ascontiguousarray(turn(other.cells.reshape(shape), orientation)).reshape(1, -1)
        if cells_agree(one.cells[None], turned)[0] and _little_agrees(one.grey, turn(other.grey, orientation)):
            return Relation(name or _of_sizes(one, other), 0.9)
    return None


def _little_agrees(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Say whether the little that is on two plain pictures is the same: a line of text, the stars of a night.

    What a line of text has in common with any other, light and dark rows, is left out: only what is beside the means of
    the rows and columns of each part is compared.
    """
    side = GREY_SIDE // PARTS
    beside = []
    for grey in (one, other):
        parts = grey.astype(np.float32).reshape(PARTS, side, PARTS, side).swapaxes(1, 2).reshape(-1, side, side)
        parts = parts - parts.mean(2, keepdims=True)
        beside.append((parts - parts.mean(1, keepdims=True)).reshape(-1, side * side))
    agree, strengths = correlations(*beside)
    strength = np.maximum(*strengths)
    strength = np.where(strength > LEAST_LITTLE, strength, 0)
    return bool((agree * strength).sum() >= LITTLE_AGREES * strength.sum())


def _of_sizes(one: Look, other: Look) -> str:
    return RE_ENCODED if (one.width, one.height) == (other.width, other.height) else RESIZED


def _name(one: Look, other: Look, found: Alignment) -> str | None:
    """Return the kind of copy that would lie on the other picture so, None if none would."""
    corners = found.mapped(WHOLE)
    away = float(np.abs(corners - np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]])).max()) / 2
    if away > ON_PLACE:
        return _of_a_part(one, other, found)
    exactly = max(EXACTLY_ON_PLACE, MOVED_BY_SCALING / min(one.width, one.height, other.width, other.height))
    is_exact = away <= exactly and (
        (found.drift <= exactly and found.detail >= EXACT_DETAIL)
        or (found.gain <= NO_GAIN and found.detail >= NEARLY_ALL_DETAIL)
    )
    is_covered = away <= exactly and found.rest <= MOST_REST
    is_alike = found.detail >= LEAST_DETAIL and found.tone <= (MOST_TONE_IF_EXACT if is_exact else MOST_TONE)
    if not (is_alike or is_covered) or not _colours_agree(one, other, found.orientation):
        return None
    return _of_the_whole(one, other, found)


def _of_a_part(one: Look, other: Look, found: Alignment) -> str | None:
    if found.detail < LEAST_DETAIL or found.tone > MOST_TONE_OF_PART or found.worst > MOST_WORST_OF_PART:
        return None
    if min(found.scales) < LEAST_SCALE:
        return None
    corners = found.mapped(WHOLE)
    if abs(found.angle) > MOST_ANGLE:
        centre = float(np.abs(found.matrix[:, 2]).max()) / 2
        is_turned = centre <= ON_PLACE and abs(found.angle) <= MOST_TURN and found.detail >= TURNED_DETAIL
        return f"turned {_degrees(found)}" if is_turned and not found.orientation else None
    if not _is_in_proportion(one, other, found):
        return None
    # Where all of one lies on the other: the inner one on the outer one, or without its bars the other way round.
    places = corners, Alignment.mapped(replace(found, matrix=_inverse(found.matrix)), WHOLE)
    for place, is_inner in zip(places, (True, False), strict=True):
        if float(np.abs(place).max()) <= 1 + 2 * INSIDE:
            larger = one if found.is_swapped != is_inner else other
            orientation = found.orientation if larger is other else 0
            if _has_bars_around(larger, orientation, place):
                return LETTERBOXED if larger is other else WITHOUT_BARS
            return UNCROPPED if larger is other else CROPPED
    return None


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    inverse = np.linalg.inv(matrix[:, :2])
    return np.concatenate([inverse, -inverse @ matrix[:, 2:]], axis=1)


def _has_bars_around(look: Look, orientation: int, place: NDArray[np.float64]) -> bool:
    """Say whether nothing but bars is around a place in a picture, given by its corners in that orientation."""
    box = turned_box(in_units(look.frames[1]), orientation)
    found = (*place.min(1).tolist(), *place.max(1).tolist())
    return box != WHOLE and bool(np.abs(np.subtract(box, found)).max() <= 2 * BARS_END)


def _degrees(found: Alignment) -> int:
    """Return by how many degrees the second picture is turned against the first, clockwise."""
    return round(found.angle if found.is_swapped else -found.angle) % 360


def _is_in_proportion(one: Look, other: Look, found: Alignment) -> bool:
    """Say whether the inner picture has the proportions, in its own pixels, of where it lies on the outer one."""
    width, height = (
        (other.width, other.height) if not ORIENTATIONS[found.orientation][0] else (other.height, other.width)
    )
    outer, inner = ((width, height), (one.width, one.height))
    if not found.is_swapped:
        outer, inner = inner, outer
    across, down = found.scales
    squeeze = across / down * (outer[0] / outer[1]) / (inner[0] / inner[1])
    return 1 / MOST_SQUEEZE <= squeeze <= MOST_SQUEEZE


def _of_the_whole(one: Look, other: Look, found: Alignment) -> str:
    if found.orientation:
        return TURNS[found.orientation]
    if GREY_AT_MOST >= min(one.colours, other.colours) and max(one.colours, other.colours) > COLOURED:
        return GREY
    smaller = min(one.width, other.width) / max(one.width, other.width)
    most, worst = (RESIZED_DIFFERENCE, np.inf) if smaller <= SMALLER else (RE_ENCODED_DIFFERENCE, WORST_PART)
    colours = np.abs(one.colour.astype(np.float32) - other.colour).mean()
    if found.difference > most or found.worst > worst or found.detail < RE_ENCODED_DETAIL or colours > EDITED_COLOURS:
        return EDITED
    return _of_sizes(one, other)


def _colours_agree(one: Look, other: Look, orientation: int) -> bool:
    """Say whether the colours are the same but for their strength, or are missing in one."""
    if min(one.colours, other.colours) <= COLOURED:
        return True
    ones, others = one.colour.astype(np.float32), turn(other.colour, orientation).astype(np.float32)
    ones, others = ones.reshape(-1, 2), others.reshape(-1, 2)
    differs = np.abs(ones - others).max(1)
    uncovered = differs <= np.percentile(differs, UNCOVERED)
    ones, others = ones[uncovered], others[uncovered]
    middles = ones.mean(0), others.mean(0)
    if np.abs(middles[0] - middles[1]).max() > COLOUR_DISTANCE:
        return False
    ones, others = ones - middles[0], others - middles[1]
    deviations = ones.std(), others.std()
    return min(deviations) <= VARIED_COLOURS or bool((ones * others).mean() >= COLOURS_AGREE * np.prod(deviations))
