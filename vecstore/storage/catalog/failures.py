"""The failures: files that could not be added, the state that they were in, and the reason."""

import os

from vecstore.results import Failure
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import is_archive_name
from vecstore.storage.catalog.connection import Queries, now
from vecstore.storage.catalog.sql import below


class Failures(Queries):
    """The files that could not be added."""

    def record(self, stamp: FileStamp, reason: str) -> None:
        values = {"path": stamp.path, "size": stamp.size, "mtime_ns": stamp.mtime_ns, "reason": reason, "now": now()}
        self.db.execute("insert or replace into failures values (:path, :size, :mtime_ns, :reason, :now)", values)

    def has(self, stamp: FileStamp) -> bool:
        """Say whether the file failed in exactly this state, so that another try would end the same."""
        query = "select exists (select 1 from failures where path = :path and size = :size and mtime_ns = :mtime_ns)"
        return bool(self._value(query, path=stamp.path, size=stamp.size, mtime_ns=stamp.mtime_ns))

    def under(self, root: bytes) -> list[FileStamp]:
        """Return the state in which each file at `root`, below it or, if it is an archive, in it failed, by path."""
        query = """
            select   path, size, mtime_ns from failures
            where    path = :root or (path >= :below and path < :beyond)
            order by path"""
        found = self.db.execute(query, {"root": root, **below(root)}).fetchall()
        failed = [FileStamp(bytes(path), size, mtime_ns) for path, size, mtime_ns in found]
        return failed + (self.under(root + b"!") if is_archive_name(root) else [])

    def is_known(self, path: bytes) -> bool:
        return bool(self._value("select exists (select 1 from failures where path = :path)", path=path))

    def forget(self, *paths: bytes) -> None:
        if self._value("select exists (select 1 from failures)"):
            self.db.executemany("delete from failures where path = ?", ((path,) for path in paths))

    def of_size(self, size: int) -> list[bytes]:
        """Return the paths of the failures that are recorded with this size."""
        return [bytes(path) for (path,) in self.db.execute("select path from failures where size = :s", {"s": size})]

    def all(self) -> list[Failure]:
        rows = self.db.execute("select path, reason from failures order by path")
        return [Failure(os.fsdecode(path), reason) for path, reason in rows]

    def count(self) -> int:
        return int(self._value("select count(*) from failures"))
