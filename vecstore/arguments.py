"""Checks what the library is given, at its edge: what no method can take is BadInput, of every argument alike.

A check takes the argument's name and value and returns the value as the library uses it: NumPy's numbers become
Python's. `checked` puts checks before a method. Whether there is such an image, cluster or file is asked later.
"""

import functools
import inspect
import numbers
import operator
import os
import threading
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, ParamSpec, TypeAlias, TypeVar

from vecstore.errors import BadInput
from vecstore.given import Pixels, Vector, as_given
from vecstore.sources.decoding import Encoded
from vecstore.sources.paths import AnyPath, absolute
from vecstore.sources.scan import Patterns

P = ParamSpec("P")
R = TypeVar("R")
Check: TypeAlias = Callable[[str, Any], Any]

# SQLite's and NumPy's integers hold no more.
MOST = (1 << 63) - 1
# Longer integers cannot even be printed (Python's limit is 4,300 digits).
MOST_BITS = 1_024
SHOWN_CHARACTERS = 60
# Of an id or a number as text; of longer ones Python makes no number.
MOST_DIGITS = 100


def checked(**checks: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that checks the arguments of these names, those that are given, before each call."""

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:  # which does not say whose argument it is
                raise TypeError(f"{method.__qualname__}(): {error}") from None
            for name, check in checks.items():
                if name in bound.arguments:
                    bound.arguments[name] = check(name, bound.arguments[name])
            return method(*bound.args, **bound.kwargs)

        return call

    return decorate


def whole_number(text: str) -> int | None:
    """Return the number, from 0 on, that text writes in plain digits; None for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < MOST_DIGITS else None


def optional(check: Check) -> Check:
    """Return a check that lets None through."""
    return lambda name, value: None if value is None else check(name, value)


def each(check: Check) -> Check:
    """Return a check of every item of a list or another iterable, but text; it returns a tuple."""

    def check_items(name: str, value: Any) -> tuple[Any, ...]:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise _refused(name, value, "a list")
        try:
            items = iter(value)
        except TypeError as error:  # an array of no dimensions
            raise _refused(name, value, "a list") from error
        return tuple(check(name, item) for item in items)

    return check_items


def require_integer(name: str, value: Any) -> int:
    """Return a whole number, such as an id; no float, no text, no bool."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise _refused(name, value, "a whole number")
    whole = operator.index(value)
    if whole.bit_length() > MOST_BITS:
        raise _refused(name, value, "a number of less digits")
    return whole


def require_cluster(name: str, value: Any) -> int | str:
    """Return what can name a cluster: its id, or its name as text."""
    if isinstance(value, str):
        if not value.strip():
            raise BadInput(f"{name} is empty; give a cluster's id or its name")
        return value
    try:
        return require_integer(name, value)
    except BadInput as error:
        raise _refused(name, value, "a cluster's id or its name") from error


def require_count(name: str, value: Any) -> int:
    """Return a whole number of at least 1; more than there can be of anything is as good as that."""
    return min(_at_least(1, name, value), MOST)


def require_offset(name: str, value: Any) -> int:
    """Return a whole number of at least 0; more than there can be of anything is as good as that."""
    return min(_at_least(0, name, value), MOST)


def require_seed(name: str, value: Any) -> int:
    """Return a whole number from 0 to 2^63 - 1."""
    seed = _at_least(0, name, value)
    if seed > MOST:
        raise BadInput(f"{name} is {seed}; it must be at most {MOST}")
    return seed


def require_k(name: str, value: Any) -> Any:
    """Return the number of clusters to make, which is a whole number or "auto"."""
    if isinstance(value, str) and value == "auto":
        return value
    try:
        return require_integer(name, value)
    except BadInput as error:
        raise _refused(name, value, 'a whole number or "auto"') from error


def require_levels(name: str, value: Any) -> Any:
    """Return the numbers of nodes in each level of a tree, or "auto"."""
    return "auto" if isinstance(value, str) and value == "auto" else each(require_count)(name, value)


def require_number(name: str, value: Any) -> float:
    """Return a number as a float; NaN and infinity are for who knows the bounds to refuse."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise _refused(name, value, "a number")
    try:
        return float(value)
    except OverflowError as error:
        raise _refused(name, value, "a smaller number") from error


def require_score(name: str, value: Any) -> float:
    """Return a score, from -1 to 1."""
    score = require_number(name, value)
    if not -1 <= score <= 1:  # nor NaN
        raise BadInput(f"{name} is {score:g}; scores are from -1 to 1")
    return score


def require_weight(name: str, value: Any) -> float:
    """Return a weight, from 0 to 1."""
    weight = require_number(name, value)
    if not 0 <= weight <= 1:  # nor NaN
        raise BadInput(f"{name} is {weight:g}; weights are from 0 to 1")
    return weight


def require_seconds(name: str, value: Any) -> float:
    """Return a number of seconds, 0 or more."""
    seconds = require_number(name, value)
    if not seconds >= 0:  # nor NaN
        raise BadInput(f"{name} is {seconds:g} seconds; it must be at least 0")
    return seconds


def require_flag(name: str, value: Any) -> bool:
    """Return True or False; nothing else is taken for either."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):  # the latter are NumPy's
        raise _refused(name, value, "True or False")
    return bool(value)


def require_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refused(name, value, "text")
    return value


def require_path(name: str, value: Any) -> AnyPath:
    """Return a path that a file could have: text, bytes or a path object, not empty, without a NUL."""
    if isinstance(value, list | tuple | set):
        raise _refused(name, value, "each path as an argument of its own, such as *paths,")
    if not isinstance(value, str | bytes | os.PathLike):
        raise _refused(name, value, "a path")
    try:
        plain = os.fspath(value)
    except TypeError as error:
        raise _refused(name, value, "a path") from error
    if not plain:
        raise BadInput(f"{name} is empty; name a file or a folder")
    absolute(plain)  # raises BadInput for what no file can be called
    return value


def require_pattern(name: str, value: Any) -> AnyPath:
    """Return a pattern for paths; whether it can fit anything is asked later."""
    if not isinstance(value, str | bytes | os.PathLike):
        raise _refused(name, value, "a pattern such as '*.png'")
    return value


def require_some_patterns(name: str, value: Any) -> tuple[AnyPath, ...]:
    """Return patterns for paths, given as one, as several, or as None for none."""
    if value is None:
        return ()
    if isinstance(value, str | bytes | os.PathLike):
        return (require_pattern(name, value),)
    found: tuple[AnyPath, ...] = each(require_pattern)(name, value)
    return found


def require_place(name: str, value: Any) -> str:
    """Return a place and kilometres as `LATITUDE,LONGITUDE,KM`, given so or as three numbers."""
    if isinstance(value, str):
        return value
    numbers_given = each(require_number)(name, value)
    if len(numbers_given) != 3:
        raise _refused(name, value, "LATITUDE,LONGITUDE,KM")
    return ",".join(f"{number!r}" for number in numbers_given)


def require_image(name: str, value: Any) -> Any:
    """Return what can be an image: an id, a path, `@` and an id, or what `given.as_given` makes of anything else."""
    value = as_given(value)
    if isinstance(value, Vector | Pixels):
        return value
    if isinstance(value, Encoded):
        if not isinstance(value.data, bytes):
            raise BadInput(f"a picture's bytes are {_shown(value.data)}; they must be bytes")
        return value
    if isinstance(value, str | bytes | os.PathLike):
        return require_path(name, value)
    try:
        return require_integer(name, value)
    except BadInput as error:
        several = "; `nearest` and `similar_to_each` take several" if isinstance(value, list | tuple | set) else ""
        raise BadInput(
            f"{_shown(value)} is not an image; name a file or a stored id, or give a file's bytes, a picture or a "
            f"vector{several}"
        ) from error


def require_moment(name: str, value: Any) -> str | date:
    """Return a moment as text or a date; whether the text is one is asked later."""
    if not isinstance(value, str | date):
        raise _refused(name, value, "a date, or text such as 2026-05-31 or 7d")
    return value


def require_patterns(name: str, value: Any) -> Patterns:
    if not isinstance(value, Patterns):
        raise _refused(name, value, "a `Patterns`")
    for part in (value.only, value.exclude):
        each(require_text)(name, part)
    return value


def require_callable(name: str, value: Any) -> Callable[..., Any]:
    if not callable(value):
        raise _refused(name, value, "a function")
    function: Callable[..., Any] = value
    return function


def require_event(name: str, value: Any) -> threading.Event:
    if not isinstance(value, threading.Event):
        raise _refused(name, value, "a `threading.Event`")
    return value


def _at_least(least: int, name: str, value: Any) -> int:
    whole = require_integer(name, value)
    if whole < least:
        raise BadInput(f"{name} is {whole}; it must be at least {least}")
    return whole


def _refused(name: str, value: Any, wanted: str) -> BadInput:
    return BadInput(f"{name} is {_shown(value)}; {wanted} is wanted")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # whatever that object does; also an integer of too many digits
        text = f"of the type {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
