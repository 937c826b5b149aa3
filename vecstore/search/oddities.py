"""Pictures that are hardly worth keeping as they are: dark, bright, blurred, nearly blank, tiny, oddly shaped.

Each kind is a bound on one measure. Of 386 photos of flowers, animals and rubbish three are beyond one: they are
blurred, or show little but a smooth wall (docs/facts.md). The kinds are those of cleanvision and fastdup.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vecstore.errors import BadInput
from vecstore.results import Oddity
from vecstore.search.filters import Filter
from vecstore.search.query import allowed_in
from vecstore.session import Session
from vecstore.storage.catalog.conditions import AllOf, Comparison, Condition


@dataclass(frozen=True)
class Bound:
    """What makes a picture odd. unless: it is that already, so that this says nothing new."""

    measure: str
    operator: str
    value: float
    unless: str | None = None

    @property
    def condition(self) -> Comparison:
        return Comparison(self.measure, self.operator, self.value)


BOUNDS = {
    "dark": Bound("highlights", "<", 0.32),
    "bright": Bound("shadows", ">", 0.95),
    # On a page with nothing on it nothing can be sharp.
    "blurred": Bound("sharpness", "<", 15, unless="blank"),
    "blank": Bound("entropy", "<", 3),
    "tiny": Bound("shorter", "<", 64),
    "odd shape": Bound("aspect", ">", 3),
}


def oddities(session: Session, kinds: Sequence[str], conditions: Filter) -> Iterator[Oddity]:
    """Return the odd images, kind by kind, the oddest first; see `Store.oddities`. Raises before the first."""
    for kind in kinds:
        if kind not in BOUNDS:
            raise BadInput(f"there is no oddity {kind!r}; there are {', '.join(BOUNDS)}")
    with session.catalog.reading():
        allowed = allowed_in(session, session.catalog.images.row_count(), conditions)
        found = [(kind, row, value) for kind in kinds or BOUNDS for row, value in _measured(session, kind)]
        kept = [one for one in found if allowed is None or allowed[one[1]]]
        return iter([_oddity(session, *one) for one in kept])


def _measured(session: Session, kind: str) -> list[tuple[int, float]]:
    bound = BOUNDS[kind]
    condition: Condition = bound.condition
    if bound.unless is not None:
        other = BOUNDS[bound.unless]
        condition = AllOf([condition, Comparison(other.measure, ">=", other.value)])
    found = session.catalog.facts.measured(bound.measure, condition)
    return found if bound.operator == "<" else found[::-1]


def _oddity(session: Session, kind: str, row: int, value: float) -> Oddity:
    path = os.fsdecode(session.catalog.paths.first_of(row) or b"")
    return Oddity(kind, row, path, BOUNDS[kind].measure, round(value, 4), BOUNDS[kind].value)
