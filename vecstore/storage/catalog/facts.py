"""The facts: what each image's file and pixels say, and the images of which a condition on them holds."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecstore.results import Facts
from vecstore.storage.catalog.conditions import (
    FIELDS,
    NAMED_PLACES,
    Condition,
    distance_km,
    fields_of,
    path_text,
    several,
)
from vecstore.storage.catalog.connection import Database, Queries
from vecstore.storage.places import require_installed, towns

# The fields of `Facts` in the order of the table's columns, less the size in pixels, which `images` has.
COLUMNS = (
    *("taken", "maker", "camera", "lens", "orientation", "latitude", "longitude", "bytes", "format", "rating"),
    *("keywords", "caption", "brightness", "contrast", "shadows", "highlights", "sharpness", "entropy"),
)
_TEXTS = ("taken", "maker", "camera", "lens", "format", "keywords", "caption")
_INTEGERS = ("orientation", "bytes", "rating")
_READ = f"images.width, images.height, {', '.join(f'facts.{name}' for name in COLUMNS)}"


class ImageFacts(Queries):
    """The facts of the images, of those whose file was read since facts are kept."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        # Without `deterministic` SQLite would call them as often.
        self.db.create_function("casefold", 1, lambda text: None if text is None else str(text).casefold())
        self.db.create_function("path_text", 1, path_text)
        self.db.create_function("distance_km", 4, distance_km)
        self._named: dict[tuple[float, float], tuple[str, str]] = {}
        for number, name in enumerate(("place_of", "country_of")):
            self.db.create_function(name, 2, partial(self._name_of, number))

    def _name_of(self, number: int, latitude: float | None, longitude: float | None) -> str | None:
        if latitude is None or longitude is None:
            return None
        found = self._named.get((latitude, longitude))
        return found and found[number]

    def put(self, facts: Iterable[tuple[int, Facts]]) -> None:
        """Record the facts of rows, and with them how large the pictures are, where they say so."""
        found = list(facts)
        places = ", ".join("?" * (1 + len(COLUMNS)))
        self.db.executemany(f"insert or replace into facts values ({places})", (_stored(*one) for one in found))
        sizes = ((said.width, said.height, row) for row, said in found if said.width and said.height)
        self.db.executemany("update images set width = ?, height = ? where row = ?", sizes)

    def of(self, row: int) -> Facts | None:
        """Return the facts of a row, None if none were recorded."""
        found = self.db.execute(f"select {_READ} from facts join images using (row) where row = :row", {"row": row})
        values = found.fetchone()
        return None if values is None else _facts(values)

    def of_rows(self, rows: Iterable[int]) -> Iterator[tuple[int, Facts]]:
        """Yield (row, facts) of those of the rows that have facts."""
        query = f"select facts.row, {_READ} from facts join images using (row) where row in ({{keys}})"
        for row, *values in self._of_keys(query, rows):
            yield int(row), _facts(values)

    def has(self, row: int) -> bool:
        return bool(self._value("select exists (select 1 from facts where row = :row)", row=row))

    def rows_without(self) -> list[int]:
        """Return the living images that no facts were recorded of, ascending."""
        query = """
            select   distinct row from paths
            where    not exists (select 1 from facts where facts.row = paths.row)
            order by row"""
        return [row for (row,) in self.db.execute(query)]

    def fitting(self, condition: Condition) -> list[int]:
        """Return the rows, also of removed images, of which a condition holds, ascending.

        Raises BadInput for a condition on the names of places where their table is not installed.
        """
        if fields_of(condition) & NAMED_PLACES:
            self._name_places()
        values: list[Any] = []
        where = condition.sql(values)
        query = f"select images.row from images left join facts using (row) where {where} order by images.row"
        return [row for (row,) in self.db.execute(query, values)]

    def values(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield (row, the values of these columns) of every living image, None where it has no facts, by row.

        names: some of `COLUMNS`; ValueError for any other.
        """
        columns = "".join(f", facts.{COLUMNS[COLUMNS.index(name)]}" for name in names)
        query = f"""
            select images.row{columns} from images left join facts using (row)
            where  images.row not in (select row from removed) order by images.row"""
        yield from self.db.execute(query)

    def known(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield (row, the values of these columns) of the images, also of removed ones, that have all of them.

        names: some of `COLUMNS`; ValueError for any other.
        """
        columns = [COLUMNS[COLUMNS.index(name)] for name in names]
        are_there = " and ".join(f"{name} is not null" for name in columns)
        yield from self.db.execute(f"select row, {', '.join(columns)} from facts where {are_there}")

    def rows_by(self, name: str) -> list[int]:
        """Return the rows of the images, also of removed ones, that have a value in this column, the greatest first."""
        column = COLUMNS[COLUMNS.index(name)]
        query = f"select row from facts where {column} is not null order by {column} desc, row desc"
        return [row for (row,) in self.db.execute(query)]

    def taken_numbers(self, n_characters: int) -> NDArray[np.int64]:
        """Return (n, 2) the row of each image that says when it was taken, and the digits of when: 20240531, 202405.

        n_characters: 10 for the day, 7 for the month.
        """
        query = """
            select row, cast(replace(substr(taken, 1, :length), '-', '') as integer) from facts
            where  taken is not null"""
        found = self.db.execute(query, {"length": n_characters})
        return np.fromiter(chain.from_iterable(found), np.int64).reshape(-1, 2)

    def _name_places(self) -> None:
        """Let conditions know the place and the country of all coordinates; both are fields of several texts."""
        require_installed()
        query = "select distinct latitude, longitude from facts where latitude is not null and longitude is not null"
        new = [place for place in self.db.execute(query) if place not in self._named]
        texts = ((several(town.name, town.town), several(town.country, town.code)) for town in towns(new))
        self._named.update(zip(new, texts, strict=True))

    def each(self, name: str) -> Iterator[tuple[int, Any]]:
        """Yield (row, value of a field of `FIELDS`) of every living image, None where it has none."""
        query = f"""
            select images.row, {FIELDS[name].sql} from images left join facts using (row)
            where  images.row not in (select row from removed)"""
        yield from self.db.execute(query)

    def known_fields(self, names: Iterable[str]) -> set[str]:
        """Return which of these fields of `FIELDS` some image that has facts has a value of."""
        query = "select exists (select 1 from facts join images using (row) where {} is not null)"
        return {name for name in names if self._value(query.format(FIELDS[name].sql))}

    def measured(self, name: str, condition: Condition) -> list[tuple[int, float]]:
        """Return (row, value of a field) of the living images of which a condition holds, by value."""
        values: list[Any] = []
        query = f"""
            select   images.row, {FIELDS[name].sql} as value from images left join facts using (row)
            where    {condition.sql(values)} and images.row not in (select row from removed)
            order by value, images.row"""
        return [(int(row), float(value)) for row, value in self.db.execute(query, values)]

    def damaged_rows(self) -> list[int]:
        """Return the rows whose facts are of a kind that none was recorded of."""
        wrong = [f"typeof({name}) not in ('text', 'null')" for name in _TEXTS]
        wrong += [f"typeof({name}) not in ('integer', 'null')" for name in _INTEGERS]
        rest = [name for name in COLUMNS if name not in (*_TEXTS, *_INTEGERS)]
        wrong += [f"typeof({name}) not in ('real', 'null')" for name in rest]
        wrong += [
            "row in (select row from images where length(sha256) <> 32)",
            "abs(latitude) > 90",
            "abs(longitude) > 180",
            "(latitude is null) <> (longitude is null)",
        ]
        return [row for (row,) in self.db.execute(f"select row from facts where {' or '.join(wrong)} order by row")]

    def forget(self, rows: Iterable[int]) -> None:
        self.db.executemany("delete from facts where row = ?", ((row,) for row in rows))


def _stored(row: int, facts: Facts) -> tuple[Any, ...]:
    values = {**vars(facts), "keywords": several(*facts.keywords) if facts.keywords else None}
    return (row, *(values[name] for name in COLUMNS))


def _facts(values: Iterable[Any]) -> Facts:
    known = dict(zip(("width", "height", *COLUMNS), values, strict=True))
    keywords = known["keywords"]
    known["keywords"] = tuple(keywords.strip("\n").split("\n")) if keywords else ()
    return Facts(**known)
