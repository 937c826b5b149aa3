"""The facts: what each image's file and pixels say, and the images of which a condition on them holds."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vecstore.results import Facts
from vecstore.storage.catalog.conditions import FIELDS, Condition, distance_km, path_text
from vecstore.storage.catalog.connection import Database, Queries

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
        """Return the rows, also of removed images, of which a condition holds, ascending."""
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
    values = {**vars(facts), "keywords": f"\n{chr(10).join(facts.keywords)}\n" if facts.keywords else None}
    return (row, *(values[name] for name in COLUMNS))


def _facts(values: Iterable[Any]) -> Facts:
    known = dict(zip(("width", "height", *COLUMNS), values, strict=True))
    keywords = known["keywords"]
    known["keywords"] = tuple(keywords.strip("\n").split("\n")) if keywords else ()
    return Facts(**known)
