"""The selections: named sets of images, by row.

A removed image stays in its sets and is not shown; compacting takes it out of them. Each change belongs to the
operation under way, with what was there before.
"""

import unicodedata
from collections.abc import Iterable, Iterator

from vecstore.errors import NotFound
from vecstore.results import SelectionInfo
from vecstore.storage.catalog.connection import Database, Queries, now
from vecstore.storage.catalog.near_names import near_names
from vecstore.storage.catalog.sql import FIRST_PATH
from vecstore.storage.catalog.undo import Operations


class Selections(Queries):
    """Which images are in which set. A set is known by its number, which its name keeps for good."""

    def __init__(self, database: Database, operations: Operations) -> None:
        super().__init__(database)
        self._operations = operations

    def all(self) -> list[SelectionInfo]:
        """Return the sets, by name, with the number of living images in each."""
        query = """
            select   name, count(selected.row), created
            from     selections
            left     join selected on selection = id and selected.row not in (select row from removed)
            where    created is not null
            group by id
            order by name"""
        return [SelectionInfo(*found) for found in self.db.execute(query)]

    def named(self, name: str) -> int | None:
        """Return the number of the set of this name, None if there is none."""
        found = self._value("select id from selections where name = :name and created is not null", name=name)
        return None if found is None else int(found)

    def require(self, name: str) -> int:
        """Return the number of the set of this name. Raises NotFound, with near spellings."""
        # What no name can be is not one; SQLite takes no lone surrogates.
        number = self.named(unicodedata.normalize("NFC", name.strip())) if name.isprintable() else None
        if number is not None:
            return number
        names = self.names()
        if not names:
            raise NotFound(f"no selection {name!r}; there are none yet: `vecstore select NAME IMAGE...` makes one")
        raise NotFound(f"no selection {name!r}; {near_names(name, names)}")

    def names(self) -> list[str]:
        query = "select name from selections where created is not null order by name"
        return [name for (name,) in self.db.execute(query)]

    def rows(self, selection: int) -> list[int]:
        """Return the images of a set, also removed ones, ascending."""
        query = "select row from selected where selection = :selection order by row"
        return [row for (row,) in self.db.execute(query, {"selection": selection})]

    def size(self, selection: int) -> int:
        """Return how many living images are in a set."""
        query = """
            select count(*) from selected
            where  selection = :selection and row not in (select row from removed)"""
        return int(self._value(query, selection=selection))

    def images(self, selection: int, limit: int = -1, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield (row, path) of the living images of a set, by row. start: how many of them to pass over."""
        query = f"""
            select   row, {FIRST_PATH.format(row="selected.row")}
            from     selected
            where    selection = :selection and row not in (select row from removed)
            order by row
            limit    :limit offset :start"""
        values = {"selection": selection, "limit": limit, "start": start}
        for row, path in self.db.execute(query, values):
            yield int(row), bytes(path)

    def create(self, name: str) -> int:
        """Return the number of the set of this name, which is made if it is not there."""
        self.db.execute("insert or ignore into selections (name) values (:name)", {"name": name})
        number = int(self._value("select id from selections where name = :name", name=name))
        if self.named(name) is None:
            self._remember(number)
            self.db.execute("update selections set created = :now where id = :id", {"now": now(), "id": number})
        return number

    def add(self, selection: int, rows: Iterable[int]) -> int:
        """Put images into a set; return how many were not in it."""
        new = sorted({*rows}.difference(self.rows(selection)))
        self._remember_rows(selection, new, was_in=False)
        self.db.executemany("insert into selected values (?, ?)", ((selection, row) for row in new))
        return len(new)

    def take_out(self, selection: int, rows: Iterable[int]) -> int:
        """Take images out of a set; return how many were in it."""
        gone = sorted({*rows}.intersection(self.rows(selection)))
        self._remember_rows(selection, gone, was_in=True)
        self.db.executemany("delete from selected where selection = ? and row = ?", ((selection, row) for row in gone))
        return len(gone)

    def delete(self, selection: int) -> None:
        """Let there be no set of this number, until it is made again."""
        self.take_out(selection, self.rows(selection))
        self._remember(selection)
        self.db.execute("update selections set created = null where id = :id", {"id": selection})

    def _remember(self, selection: int) -> None:
        self.db.execute(
            "insert or ignore into selection_changes select :operation, id, created from selections where id = :id",
            {"operation": self._operations.begin(), "id": selection},
        )

    def _remember_rows(self, selection: int, rows: list[int], *, was_in: bool) -> None:
        if not rows:
            return
        operation = self._operations.begin()
        values = ((operation, selection, row, was_in) for row in rows)
        # The first change of an image in an operation is from how it was before.
        self.db.executemany("insert or ignore into selected_changes values (?, ?, ?, ?)", values)
