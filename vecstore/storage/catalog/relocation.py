"""Moving what is recorded of paths to other paths, for files that were moved.

What is here is not checked against any file: that is for the caller. Each is set-based, and inside `writing()`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vecstore.sources.file_stamp import FileStamp
from vecstore.storage.catalog.connection import Database, Queries
from vecstore.storage.catalog.undo import Operations


@dataclass(frozen=True)
class PathMove:
    """An image's path that is another one now. stamp: the new path, with the state of the file there."""

    old: bytes
    stamp: FileStamp
    row: int


class Relocation(Queries):
    """Moves of paths and failures, which belong to the operation under way, and of what is known of archives."""

    def __init__(self, database: Database, operations: Operations) -> None:
        super().__init__(database)
        self._operations = operations

    def move_paths(self, moves: Iterable[PathMove]) -> None:
        """Let images be at new paths instead of old ones; one that is known at the new one already loses the old."""
        self.db.execute("create temp table moving (old blob primary key, new blob, row, size, mtime_ns) without rowid")
        moving = ((move.old, move.stamp.path, move.row, move.stamp.size, move.stamp.mtime_ns) for move in moves)
        self.db.executemany("insert into moving values (?, ?, ?, ?, ?)", moving)
        for step in MOVE_PATHS:
            self.db.execute(step, {"operation": self._operations.begin()})

    def move_failures(self, moves: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Let failures be at new paths instead of old ones, in the state that is recorded; None: they are forgotten.

        What is recorded of a failure at the new path is replaced.
        """
        self.db.execute("create temp table moving (old blob primary key, new blob) without rowid")
        self.db.executemany("insert into moving values (?, ?)", moves)
        for step in MOVE_FAILURES:
            self.db.execute(step, {"operation": self._operations.begin()})

    def copy_archive(self, archive: FileStamp, path: bytes) -> None:
        """Let an archive in this state count as looked through at another path too.

        The old record does no harm: where fewer members are known than it says, the archive is opened. So nothing of
        it has to be undone.
        """
        query = """
            insert or replace into archives
            select :new, size, mtime_ns, asked, members from archives
            where  path = :path and size = :size and mtime_ns = :mtime_ns"""
        self.db.execute(query, {**vars(archive), "new": path})


# The new paths come before the old ones go, so that no image is without a path in between: an engine elsewhere would be
# told that it went and came back. A path can be both, where a folder was moved into itself.
MOVE_PATHS = (
    """
    insert into changes
    select :operation, path, paths.row, paths.size, paths.mtime_ns, since from paths join moving on path = old""",
    """
    insert into paths
    select new, row, size, mtime_ns, :operation from moving where true
    on conflict (path) do update set
        since = case when row = excluded.row then since else excluded.since end,
        row = excluded.row, size = excluded.size, mtime_ns = excluded.mtime_ns""",
    "delete from paths where path in (select old from moving) and path not in (select new from moving)",
    "drop table moving",
)


MOVE_FAILURES = (
    "create temp table touched as select old as path from moving union select new from moving where new is not null",
    """
    create temp table moved as
    select new, size, mtime_ns, reason, failed from failures join moving on path = old where new is not null""",
    """
    insert into failure_changes
    select :operation, path, size, mtime_ns, reason, failed from touched left join failures using (path)""",
    "delete from failures where path in (select path from touched)",
    "insert or replace into failures select * from moved",
    "drop table moving",
    "drop table moved",
    "drop table touched",
)
