"""The archives that were looked through to the end, so that none is opened again before it changes."""

from vecstore.sources.file_stamp import FileStamp
from vecstore.storage.catalog.connection import Database, Queries
from vecstore.storage.catalog.paths import Paths
from vecstore.storage.catalog.sql import below


class Archives(Queries):
    """Which archives were looked through, and what came of it."""

    def __init__(self, database: Database, paths: Paths) -> None:
        super().__init__(database)
        self._paths = paths

    def record(self, archive: FileStamp, asked: str, members: int, failed: bool) -> None:
        """Record that an archive was looked through, and how many paths came of it, itself included if it failed."""
        values = {"path": archive.path, "size": archive.size, "mtime_ns": archive.mtime_ns}
        with self._database.writing():
            self.db.execute(
                "insert or replace into archives values (:path, :size, :mtime_ns, :asked, :members)",
                {**values, "asked": asked, "members": members},
            )
            if not failed:
                self._paths.forget(archive.path)  # that it failed, or was a picture, earlier

    def count_of(self, archive: FileStamp, asked: str) -> int | None:
        """Return how many paths came of an archive in this state, None if it was not looked through for that."""
        query = """
            select members from archives
            where  path = :path and size = :size and mtime_ns = :mtime_ns and asked = :asked"""
        values = {"path": archive.path, "size": archive.size, "mtime_ns": archive.mtime_ns, "asked": asked}
        found = self._value(query, **values)
        return None if found is None else int(found)

    def under(self, root: bytes) -> list[FileStamp]:
        """Return the archives on record at or below a root, each in the state in which it was looked through."""
        query = """
            select   path, size, mtime_ns from archives
            where    path = :root or (path >= :below and path < :beyond)
            order by path"""
        found = self.db.execute(query, {"root": root, **below(root)}).fetchall()
        return [FileStamp(bytes(path), size, mtime_ns) for path, size, mtime_ns in found]

    def members(self, archive: FileStamp) -> list[bytes]:
        """Return the paths on record in an archive of this state, and its own if that is, by path."""
        query = """
            select path from paths
            where  size = :size and mtime_ns = :mtime_ns and (path = :path or (path >= :below and path < :beyond))
            union
            select path from failures
            where  size = :size and mtime_ns = :mtime_ns and (path = :path or (path >= :below and path < :beyond))
            order  by path"""
        values = {"path": archive.path, "size": archive.size, "mtime_ns": archive.mtime_ns}
        return [bytes(path) for (path,) in self.db.execute(query, {**values, **below(archive.path + b"!")})]
