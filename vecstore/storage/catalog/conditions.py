"""Conditions on what is known of images, as a tree, and the SQL that a tree stands for.

Names are those of `FIELDS` and nothing else, and values are bound and never written into SQL, so that a condition may
come from anyone. A condition is true or false of an image, never unknown: what an image lacks fits no comparison.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from vecstore.storage.catalog.sql import CURRENT

EARTH_KM = 6371.0088
# Degrees of latitude that a kilometre is, at the most.
_DEGREES_PER_KM = 180 / (math.pi * EARTH_KM)


class Kind(Enum):
    """What a field holds: a number, a text, several texts, a moment on the camera's clock, a moment in UTC."""

    NUMBER = "number"
    TEXT = "text"
    TEXTS = "texts"
    LOCAL = "date"
    UTC = "date in UTC"


@dataclass(frozen=True)
class Field:
    """sql: its value in a query over `images left join facts`, null where an image lacks it."""

    kind: Kind
    sql: str


_PATHS = """(
    select char(10) || group_concat(path_text(path), char(10)) || char(10) from paths where paths.row = images.row)"""
_SIDES = "nullif(min(images.width, images.height), 0)"
FIELDS = {
    "id": Field(Kind.NUMBER, "images.row"),
    "path": Field(Kind.TEXTS, _PATHS),
    "added": Field(Kind.UTC, "images.added"),
    "cluster": Field(
        Kind.NUMBER,
        f"(select cluster from memberships where clustering = {CURRENT} and memberships.row = images.row)",
    ),
    "taken": Field(Kind.LOCAL, "facts.taken"),
    **{name: Field(Kind.TEXT, f"facts.{name}") for name in ("maker", "camera", "lens", "format", "caption")},
    "keywords": Field(Kind.TEXTS, "facts.keywords"),
    "place": Field(Kind.TEXTS, "place_of(facts.latitude, facts.longitude)"),
    "country": Field(Kind.TEXTS, "country_of(facts.latitude, facts.longitude)"),
    **{name: Field(Kind.NUMBER, f"facts.{name}") for name in ("orientation", "latitude", "longitude", "rating")},
    "bytes": Field(Kind.NUMBER, "facts.bytes"),
    **{name: Field(Kind.NUMBER, f"nullif(images.{name}, 0)") for name in ("width", "height")},
    "pixels": Field(Kind.NUMBER, "nullif(images.width * images.height, 0)"),
    "shorter": Field(Kind.NUMBER, _SIDES),
    "aspect": Field(Kind.NUMBER, f"cast(max(images.width, images.height) as real) / {_SIDES}"),
    **{
        name: Field(Kind.NUMBER, f"facts.{name}")
        for name in ("brightness", "contrast", "shadows", "highlights", "sharpness", "entropy")
    },
}


# What the table of towns says, and the catalog does not.
NAMED_PLACES = {"place", "country"}


@dataclass(frozen=True)
class Comparison:
    """field operator value, the operator one of `OPERATORS`; texts in any case.

    Of several texts one is equal to, or contains, the value; for != none is equal.
    """

    field: str
    operator: str
    value: float | str

    def sql(self, values: list[Any]) -> str:
        field = FIELDS[self.field]
        if field.kind is Kind.NUMBER:
            values.append(self.value)
            return f"ifnull({field.sql} {_COMPARED[self.operator]} ?, 0)"
        held = f"casefold({field.sql})"
        text = str(self.value).casefold().encode("utf-8", "replace").decode()  # SQLite takes nothing else
        if field.kind is Kind.TEXTS and self.operator != "contains":
            values.append(f"\n{text}\n")
            return f"ifnull(instr({held}, ?) {'>' if self.operator == '=' else '='} 0, 0)"
        values.append(text)
        return f"ifnull({_TEXT_TESTS[self.operator].format(held=held)}, 0)"


_COMPARED = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_TEXT_TESTS = {
    "=": "{held} = ?",
    "!=": "{held} <> ?",
    "contains": "instr({held}, ?) > 0",
    "like": "{held} like ? escape '\\'",
}
# What each kind of field can be compared with, beside `in` and `is missing`, which are for all.
OPERATORS = {
    Kind.NUMBER: tuple(_COMPARED),
    Kind.TEXT: tuple(_TEXT_TESTS),
    Kind.TEXTS: ("=", "!=", "contains"),
    Kind.LOCAL: tuple(_COMPARED),
    Kind.UTC: tuple(_COMPARED),
}


@dataclass(frozen=True)
class Within:
    """A moment in a period, or outside of it. start, beyond: as the catalog writes moments; None for no bound."""

    field: str
    start: str | None
    beyond: str | None
    is_in: bool = True

    def sql(self, values: list[Any]) -> str:
        held = FIELDS[self.field].sql
        bounds = [(">=", self.start), ("<", self.beyond)]
        values.extend(bound for _, bound in bounds if bound is not None)
        tests = [f"{held} {operator} ?" for operator, bound in bounds if bound is not None]
        inside = " and ".join(tests or [f"{held} is not null"])
        return f"ifnull({inside}, 0)" if self.is_in else f"ifnull(not ({inside}), 0)"


@dataclass(frozen=True)
class Near:
    """Taken within so many kilometres of a place."""

    latitude: float
    longitude: float
    km: float

    def sql(self, values: list[Any]) -> str:
        reach = self.km * _DEGREES_PER_KM * 1.001
        values.extend((self.latitude - reach, self.latitude + reach, self.latitude, self.longitude, self.km))
        # A case, as SQLite works out both sides of an `and` within an expression.
        return """
            case when facts.latitude between ? and ?
            then distance_km(facts.latitude, facts.longitude, ?, ?) <= ? else 0 end"""


@dataclass(frozen=True)
class Missing:
    """What an image has no such fact of."""

    field: str

    def sql(self, _values: list[Any]) -> str:
        return f"({FIELDS[self.field].sql} is null)"


@dataclass(frozen=True)
class Not:
    part: "Condition"

    def sql(self, values: list[Any]) -> str:
        return f"(not {self.part.sql(values)})"


@dataclass(frozen=True)
class AllOf:
    """Every part holds; without parts, always."""

    parts: Sequence["Condition"]

    def sql(self, values: list[Any]) -> str:
        return "(" + (" and ".join(part.sql(values) for part in self.parts) or "1") + ")"


@dataclass(frozen=True)
class AnyOf:
    """Any part holds; without parts, never."""

    parts: Sequence["Condition"]

    def sql(self, values: list[Any]) -> str:
        return "(" + (" or ".join(part.sql(values) for part in self.parts) or "0") + ")"


Condition: TypeAlias = Comparison | Within | Near | Missing | Not | AllOf | AnyOf


def fields_of(condition: Condition) -> set[str]:
    """Return the fields that a condition asks for."""
    match condition:
        case AllOf() | AnyOf():
            return {name for part in condition.parts for name in fields_of(part)}
        case Not():
            return fields_of(condition.part)
        case Near():
            return {"latitude", "longitude"}
        case _:
            return {condition.field}


def distance_km(
    latitude: float | None, longitude: float | None, other_latitude: float, other_longitude: float
) -> float | None:
    """Return the distance of two places on a sphere, by the haversine formula; None from nowhere."""
    if latitude is None or longitude is None:
        return None
    one, other = math.radians(latitude), math.radians(other_latitude)
    across = math.radians(other_longitude - longitude)
    half = math.sin((other - one) / 2) ** 2 + math.cos(one) * math.cos(other) * math.sin(across / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def several(*texts: str) -> str:
    """Return texts, each of one line, as a field of several holds them."""
    return f"\n{chr(10).join(texts)}\n"


def path_text(path: bytes) -> str:
    """Return a path as conditions compare it: in one line, bytes that are no UTF-8 replaced."""
    return path.decode("utf-8", "replace").replace("\n", " ")
