"""The engine that searches the vectors, as far as the catalog knows it: where it is, and what it has yet to be sent."""

import uuid
from collections.abc import Iterable

from vecstore.storage.catalog.connection import Queries
from vecstore.storage.catalog.sql import FOUND


class EngineState(Queries):
    """Where the vectors are searched, and which rows that engine has not been sent yet."""

    def uid(self) -> str:
        return str(self._value("select uid from engine"))

    def uri(self) -> str | None:
        """Return the URI of where the vectors are searched, None for in this process."""
        return self._text("select uri from engine")

    def move_to(self, uri: str | None) -> None:
        """Make this the catalog of another store with the same images, none of which its engine has received."""
        with self._database.writing() as db:
            values = {"uri": uri, "uid": uuid.uuid4().hex}
            db.execute("update engine set uri = :uri, uid = :uid, built = null", values)
            db.execute("delete from pending")
            if uri is not None:
                db.execute(f"insert into pending select row from images where {FOUND}")

    def migrating(self) -> str | None:
        """Return what this catalog is becoming a copy of, None if it is complete."""
        return self._text("select migrating from engine")

    def set_migrating(self, source: str | None) -> None:
        with self._database.writing() as db:
            db.execute("update engine set migrating = :source", {"source": source})

    def index_state(self) -> str | None:
        return self._text("select built from engine")

    def set_index_state(self, state: str | None) -> None:
        with self._database.writing() as db:
            db.execute("update engine set built = :state", {"state": state})

    def pending_rows(self, limit: int) -> list[int]:
        """Return rows whose addition or removal the engine has not received, ascending. limit: at most; -1: all."""
        query = "select row from pending order by row limit :limit"
        return [row for (row,) in self.db.execute(query, {"limit": limit})]

    def pending_count(self) -> int:
        """Return how many of the images that can be found the engine has not received."""
        return int(self._value(f"select count(*) from pending where {FOUND}"))

    def mark_pending(self, rows: Iterable[int]) -> None:
        with self._database.writing() as db:
            db.executemany("insert or ignore into pending values (?)", ((row,) for row in rows))

    def clear_pending(self, rows: Iterable[int]) -> None:
        with self._database.writing() as db:
            db.executemany("delete from pending where row = ?", ((row,) for row in rows))
