"""The language of conditions: from `camera = "X-T5" and taken >= 2024-05` to a tree that the catalog can ask.

    condition  = and-part { "or" and-part }
    and-part   = part { "and" part }
    part       = "not" part | "(" condition ")" | "near" "(" LATITUDE "," LONGITUDE "," KM ")" | comparison
    comparison = NAME operator value | NAME ["not"] "in" "(" value { "," value } ")" | NAME "is" ["not"] "missing"
    operator   = "=" | "!=" | "<" | "<=" | ">" | ">=" | "contains" | "like"

Names are those of `storage.catalog.conditions.FIELDS`. A value is a number, a word, a text in quotes, or a date. A date
is a whole period: `taken = 2024-05` is all of May, `taken > 2024-05` what comes after it.
"""

import calendar
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, NoReturn

from vecstore.errors import BadInput
from vecstore.storage.catalog.conditions import (
    FIELDS,
    OPERATORS,
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Kind,
    Missing,
    Near,
    Not,
    Within,
)

# Conditions come from strangers through the API.
# SQLite's own parser holds 100 symbols, of which a bracket with an `or` and an `and` before the next takes six.
MAX_CHARACTERS, MAX_COMPARISONS, MAX_DEPTH = 4_000, 200, 12
UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"[^"]*"|'[^']*')|(?P<operator><=|>=|!=|<>|==|[=<>])|(?P<mark>[(),])|(?P<word>[^\s()<>=!,"']+))"""
)
_SAME = {"==": "=", "<>": "!="}
_PERIOD = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2})(?::(\d{2})(?::(\d{2})(?:\.\d+)?)?)?)?)?)?(Z|[+-]\d{2}:?\d{2})?$"
)
_AGO = re.compile(r"(\d{1,6})([hdw])$")
_LAST = "~"  # after every moment
DATES = "a date such as 2024-05-31, 2024-05 or 2024, a time such as 2024-05-31T18:30, or a period up to now such as 7d"


class Token(NamedTuple):
    """kind: text (in quotes), operator, mark, word or end."""

    kind: str
    text: str

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.lower() == word


def parse(text: str) -> Condition:
    """Return the condition that a text says. Raises BadInput, which says where it goes wrong.

    >>> parse("rating >= 4 and not taken < 2024-05").parts[1]
    Not(part=Within(field='taken', start=None, beyond='2024-05', is_in=True))
    """
    if len(text) > MAX_CHARACTERS:
        raise BadInput(f"the condition has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"the condition {text[:60]!r} has bytes that are no UTF-8; type it again") from error
    return _Parser(text).parsed()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split(text)
        self._at = 0
        self._n_comparisons = 0

    def parsed(self) -> Condition:
        found = self._any(0)
        if self._next.kind != "end":
            self._refuse(f"{self._next.text!r} is more than a condition; put `and` or `or` before it")
        return found

    def _split(self, text: str) -> list[Token]:
        tokens, at = [], 0
        text = text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                self._refuse(f"{text[at:].strip()[:20]!r} cannot be read; texts stand in quotes of one kind")
            kind = str(found.lastgroup)
            part = found[kind]
            tokens.append(Token(kind, part[1:-1] if kind == "text" else _SAME.get(part, part)))
            at = found.end()
        return [*tokens, Token("end", "the end")]

    def _refuse(self, what: str) -> NoReturn:
        shown = self._text if len(self._text) <= 60 else f"{self._text[:60]}..."
        raise BadInput(f"the condition {shown!r}: {what}")

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token.kind != "end"
        return token

    def _takes(self, word: str) -> bool:
        """Take the next token if it is this word, or mark."""
        if self._next.is_word(word) or (self._next.kind == "mark" and self._next.text == word):
            self._at += 1
            return True
        return False

    def _require(self, mark: str) -> None:
        if not self._takes(mark):
            self._refuse(f"{self._next.text!r} stands where {mark!r} is wanted")

    def _any(self, depth: int) -> Condition:
        parts = [self._all(depth)]
        while self._takes("or"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else AnyOf(parts)

    def _all(self, depth: int) -> Condition:
        parts = [self._part(depth)]
        while self._takes("and"):
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else AllOf(parts)

    def _part(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            self._refuse(f"more than {MAX_DEPTH} brackets or `not` stand within each other")
        if self._takes("not"):
            return Not(self._part(depth + 1))
        if self._takes("("):
            found = self._any(depth + 1)
            self._require(")")
            return found
        self._n_comparisons += 1
        if self._n_comparisons > MAX_COMPARISONS:
            self._refuse(f"there are more than {MAX_COMPARISONS} comparisons")
        if self._next.is_word("near") and self._tokens[self._at + 1] == Token("mark", "("):
            return self._near()
        return self._comparison()

    def _near(self) -> Condition:
        self._at += 2
        numbers = []
        for mark in (",", ",", ")"):
            numbers.append(self._take().text)
            self._require(mark)
        return near(",".join(numbers))

    def _comparison(self) -> Condition:
        token = self._take()
        name = token.text.lower()
        if token.kind != "word" or name not in FIELDS:
            self._refuse(f"{token.text!r} stands where a name is wanted; there are {', '.join(FIELDS)}")
        if self._takes("is"):
            is_there = self._takes("not")
            if not self._takes("missing"):
                self._refuse(f"{self._next.text!r} stands where `missing` is wanted")
            return Not(Missing(name)) if is_there else Missing(name)
        negated = self._takes("not")
        if self._takes("in"):
            found = self._one_of(name)
            return Not(found) if negated else found
        operator = self._take()
        is_known = operator.text.lower() in OPERATORS[FIELDS[name].kind] and operator.kind in ("operator", "word")
        if negated or not is_known:
            known = ", ".join((*OPERATORS[FIELDS[name].kind], "in", "is missing"))
            said = "not" if negated else operator.text
            self._refuse(f"{said!r} stands behind {name}; it can be compared by {known}")
        return self._compared(name, operator.text.lower())

    def _one_of(self, name: str) -> Condition:
        self._require("(")
        parts = [self._compared(name, "=")]
        while self._takes(","):
            parts.append(self._compared(name, "="))
        self._require(")")
        return AnyOf(parts)

    def _compared(self, name: str, operator: str) -> Condition:
        token = self._take()
        if token.kind not in ("word", "text"):
            self._refuse(f"{token.text!r} stands where a value for {name} is wanted")
        kind = FIELDS[name].kind
        if kind is Kind.NUMBER:
            return Comparison(name, operator, self._number(name, token.text))
        if kind in (Kind.TEXT, Kind.TEXTS):
            return Comparison(name, operator, token.text)
        try:
            start, beyond = period(token.text, kind)
        except ValueError:
            self._refuse(f"{token.text!r} is not a date; give {DATES}")
        return moment_condition(name, operator, start, beyond)

    def _number(self, name: str, text: str) -> float:
        text = text.removeprefix("@") if name == "id" else text
        if not re.fullmatch(r"[+-]?(\d{1,18}(\.\d{1,18})?|\.\d{1,18})(e[+-]?\d{1,2})?", text, re.I | re.A):
            self._refuse(f"{text!r} is not a number, and {name} is one")
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


def moment_condition(name: str, operator: str, start: str, beyond: str) -> Condition:
    """Return what holds of a moment that is before, in or after a period, as the operator says."""
    return {
        "=": Within(name, start, beyond),
        "!=": Within(name, start, beyond, is_in=False),
        "<": Within(name, None, start),
        "<=": Within(name, None, beyond),
        ">": Within(name, beyond, None),
        ">=": Within(name, start, None),
    }[operator]


def near(text: str) -> Near:
    """Return the condition that `LATITUDE,LONGITUDE,KM` says. Raises BadInput.

    >>> near("48.14,11.58,5")
    Near(latitude=48.14, longitude=11.58, km=5.0)
    """
    try:
        latitude, longitude, km = (float(part) for part in text.split(","))
    except ValueError:
        latitude = longitude = km = float("nan")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180 and 0 <= km < 1e6):
        raise BadInput(f"{text[:60]!r} is not LATITUDE,LONGITUDE,KM; give degrees and kilometres such as 48.14,11.58,5")
    return Near(latitude, longitude, km)


def period(when: str | date, kind: Kind = Kind.LOCAL) -> tuple[str, str]:
    """Return the first moment of a date or time, and the first one after it, as the catalog writes moments.

    Of the camera's clock a moment is as long as it is said: `2024-05` is before all of that month. Raises ValueError.
    """
    start, beyond, digits = _bounds(when, kind)
    if kind is Kind.UTC:
        return _utc(start), _utc(beyond) if beyond is not None else _LAST
    return start.isoformat()[:digits], beyond.isoformat()[:digits] if beyond is not None else _LAST


def _bounds(when: str | date, kind: Kind) -> tuple[datetime, datetime | None, int]:
    """Return the first moment, the first one after it, None for none, and how many letters of ISO text say both."""
    if isinstance(when, datetime):
        if kind is Kind.LOCAL:  # what the clock on the wall showed
            when = when.replace(tzinfo=None)
        return _second(when)
    if isinstance(when, date):
        return _day(datetime(when.year, when.month, when.day))
    ago = _AGO.fullmatch(when.strip())
    if ago:
        try:
            return _second((datetime.now(UTC) if kind is Kind.UTC else datetime.now()) - int(ago[1]) * UNITS[ago[2]])
        except OverflowError as error:
            raise ValueError(when) from error
    found = _PERIOD.fullmatch(when.strip())
    if found is None or not when.isascii() or (found[7] and (found[4] is None or kind is Kind.LOCAL)):
        raise ValueError(when)
    numbers = [int(part) for part in found.groups()[:6] if part is not None]
    start = datetime(*(*numbers, *(1, 1, 1)[len(numbers) :])) if len(numbers) < 3 else datetime(*numbers)  # type: ignore[arg-type]
    if found[7]:
        start = datetime.fromisoformat(f"{start.isoformat()}{found[7].replace('Z', '+00:00')}")
    return _PERIODS[len(numbers)](start)


def _year(start: datetime) -> tuple[datetime, datetime | None, int]:
    return start, start.replace(year=start.year + 1) if start.year < 9999 else None, 4


def _month(start: datetime) -> tuple[datetime, datetime | None, int]:
    return start, _after(start, timedelta(days=calendar.monthrange(start.year, start.month)[1])), 7


def _day(start: datetime) -> tuple[datetime, datetime | None, int]:
    return start, _after(start, timedelta(days=1)), 10


def _hour(start: datetime) -> tuple[datetime, datetime | None, int]:
    return start, _after(start, timedelta(hours=1)), 13


def _minute(start: datetime) -> tuple[datetime, datetime | None, int]:
    return start, _after(start, timedelta(minutes=1)), 16


def _second(start: datetime) -> tuple[datetime, datetime | None, int]:
    start = start.replace(microsecond=0)
    return start, _after(start, timedelta(seconds=1)), 19


_PERIODS: dict[int, Callable[[datetime], tuple[datetime, datetime | None, int]]] = {
    **{1: _year, 2: _month, 3: _day},
    **{4: _hour, 5: _minute, 6: _second},
}


def _after(start: datetime, length: timedelta) -> datetime | None:
    try:
        return start + length
    except OverflowError:
        return None


def _utc(moment: datetime) -> str:
    try:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError) as error:
        raise ValueError(moment) from error
