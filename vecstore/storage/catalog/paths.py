"""The paths: where each image was seen, in which state of the file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import is_archive_name
from vecstore.storage.catalog.connection import Database, Queries
from vecstore.storage.catalog.failures import Failures
from vecstore.storage.catalog.sql import CURRENT, FIRST_PATH, below
from vecstore.storage.catalog.undo import Operations


@dataclass(frozen=True)
class KnownPath:
    """What the catalog knows of a path. has_failed: a later try failed, though what it held before is still known."""

    row: int
    size: int
    mtime_ns: int
    has_failed: bool = False

    def is_as_in(self, stamp: FileStamp) -> bool:
        """Say whether the file is in the state in which it was recorded."""
        return (self.size, self.mtime_ns) == (stamp.size, stamp.mtime_ns)


@dataclass(frozen=True)
class RecordedPath:
    """A path with what it held when it was last looked at. sha256: of the content."""

    stamp: FileStamp
    row: int
    sha256: bytes


class Paths(Queries):
    """Where images were seen. Writing one belongs to the operation under way."""

    def __init__(self, database: Database, operations: Operations, failures: Failures) -> None:
        super().__init__(database)
        self._operations = operations
        self._failures = failures

    def count(self) -> int:
        return int(self._value("select count(*) from paths"))

    def known(self, path: bytes) -> KnownPath | None:
        query = """
            select row, size, mtime_ns, exists (select 1 from failures where failures.path = paths.path)
            from   paths
            where  path = :path"""
        found = self.db.execute(query, {"path": path}).fetchone()
        return KnownPath(found[0], found[1], found[2], bool(found[3])) if found else None

    def rows_at(self, paths: Iterable[bytes]) -> dict[bytes, int]:
        """Return the rows of the images at those paths that are known."""
        return dict(self._of_keys("select path, row from paths where path in ({keys})", paths))

    def first_of(self, row: int) -> bytes | None:
        """Return the path shown for an image, None if the image is removed."""
        found = self._value(f"select {FIRST_PATH.format(row=':row')}", row=row)
        return None if found is None else bytes(found)

    def first_of_each(self, rows: Iterable[int]) -> dict[int, bytes]:
        """Return the paths shown for those images that are not removed, by row."""
        query = "select row, min(path) from paths where row in ({keys}) group by row"
        return {row: bytes(path) for row, path in self._of_keys(query, rows)}

    def of(self, row: int) -> list[bytes]:
        """Return all paths of an image; the first is the one shown."""
        query = "select path from paths where row = :row order by path"
        return [bytes(path) for (path,) in self.db.execute(query, {"row": row})]

    def states_of(self, row: int) -> list[FileStamp]:
        """Return the state on record of every path of an image, by path."""
        query = "select path, size, mtime_ns from paths where row = :row order by path"
        return [FileStamp(bytes(path), size, mtime_ns) for path, size, mtime_ns in self.db.execute(query, {"row": row})]

    def all(self) -> Iterator[tuple[int, bytes]]:
        """Yield (row, path) for every path; to be read to the end before anything is written."""
        for row, path in self.db.execute("select row, path from paths"):
            yield row, bytes(path)

    def first_of_all(self) -> Iterator[tuple[int, bytes]]:
        """Yield (row, the path shown) of every living image; to be read to the end before anything is written."""
        for row, path in self.db.execute("select row, min(path) from paths group by row"):
            yield row, bytes(path)

    def rows_with_copies(self) -> list[int]:
        """Return the rows of the images that were seen at more than one path, ascending."""
        return [row for (row,) in self.db.execute("select row from paths group by row having count(*) > 1")]

    def under(self, root: bytes) -> Iterator[bytes]:
        """Yield `root` itself, if it is a known path, and every known path below it or, if it is an archive, in it."""
        query = """
            select path from paths
            where  path = :root or (path >= :below and path < :beyond)
            union all
            select path from failures
            where  path = :root or (path >= :below and path < :beyond)"""
        for (path,) in self.db.execute(query, {"root": root, **below(root)}).fetchall():
            yield path
        if is_archive_name(root):
            yield from self.under(root + b"!")

    def recorded_under(self, root: bytes) -> list[RecordedPath]:
        """Return what is recorded of the images' paths that `under` yields, by path."""
        query = """
            select   path, row, size, mtime_ns, sha256
            from     paths join images using (row)
            where    path = :root or (path >= :below and path < :beyond)
            order by path"""
        found = self.db.execute(query, {"root": root, **below(root)}).fetchall()
        recorded = [RecordedPath(FileStamp(bytes(p), size, time), row, bytes(sha)) for p, row, size, time, sha in found]
        return recorded + (self.recorded_under(root + b"!") if is_archive_name(root) else [])

    def first_and_last(self) -> tuple[bytes, bytes] | None:
        """Return the first and the last path in byte order, None where there is none."""
        first, last = self.db.execute("select min(path), max(path) from paths").fetchone()
        return None if first is None else (bytes(first), bytes(last))

    def rows_below(self, folder: bytes) -> list[int]:
        """Return the row of each path below a folder."""
        query = "select row from paths where path >= :below and path < :beyond"
        return [row for (row,) in self.db.execute(query, below(folder))]

    def rows_in_order(self) -> list[int]:
        """Return the row of each path, in the paths' byte order; one that has several comes as often."""
        return [row for (row,) in self.db.execute("select row from paths order by path")]

    def folders_in(self, folder: bytes) -> list[tuple[bytes, int]]:
        """Return (path, images) of each folder in a folder, by path; an archive has its `!`."""
        query = """
            select   name, count(distinct row)
            from     (
                select substr(path, :start, instr(substr(path, :start), x'2f') - 1) as name, row
                from   paths
                where  path >= :below and path < :beyond and instr(substr(path, :start), x'2f') > 0
            )
            group by name
            order by name"""
        bounds = below(folder)
        found = self.db.execute(query, {**bounds, "start": len(bounds["below"]) + 1})
        return [(bounds["below"] + bytes(name), int(images)) for name, images in found]

    def rows_in_folders_in(self, folder: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield (folder, row) of each path in a folder that is in a folder; see `folders_in`."""
        bounds = below(folder)
        start = len(bounds["below"])
        for path, row in self.db.execute("select path, row from paths where path >= :below and path < :beyond", bounds):
            name, slash, _ = bytes(path[start:]).partition(b"/")
            if slash:
                yield bounds["below"] + name, row

    def sample(self, n: int) -> list[bytes]:
        """Return the paths shown of at most n images, spread over all rows, less those that came without a file."""
        query = "select path, size, mtime_ns from paths where row >= :row order by row, path limit 1"
        n_rows = int(self._value("select coalesce(max(row), -1) + 1 from paths"))
        starts = sorted({n_rows * number // n for number in range(n)})
        found = (self.db.execute(query, {"row": row}).fetchone() for row in starts)
        return sorted({bytes(path) for path, size, mtime_ns in filter(None, found) if (size, mtime_ns) != (0, 0)})

    def upsert(self, stamp: FileStamp, row: int) -> None:
        """Record that the file in this state holds the image; a failure or another image at that path is replaced."""
        self.upsert_all([(stamp, row)])

    def upsert_all(self, placed: Sequence[tuple[FileStamp, int]]) -> None:
        """Record which image each file holds in its state, in this order; what was at the paths is replaced."""
        if not placed:
            return
        since = self._operations.current()
        if since is None and self._moves_an_image(placed):
            since = self._operations.begin()
        # Not `insert or replace`: what that replaces goes without the triggers that `removed` is kept by.
        self.db.insert_all(
            """
            insert into paths values {rows}
            on conflict (path) do update set
                since = case when row = excluded.row then since else excluded.since end,
                row = excluded.row, size = excluded.size, mtime_ns = excluded.mtime_ns""",
            ((stamp.path, row, stamp.size, stamp.mtime_ns, since or 0) for stamp, row in placed),
        )
        self._failures.forget(*(stamp.path for stamp, _ in placed))

    def _moves_an_image(self, placed: Sequence[tuple[FileStamp, int]]) -> bool:
        """Say whether a path is new or leads to another image, and not only its file's state is another."""
        rows = self.rows_at([stamp.path for stamp, _ in placed])
        return any(rows.get(stamp.path) != row for stamp, row in placed)

    def forget(self, path: bytes) -> bool:
        """Forget where an image was seen, or that a file failed; return whether it was an image's path."""
        self._failures.forget(path)
        return self._forget("path = :key", path) > 0

    def forget_all_of(self, row: int) -> int:
        """Forget all paths of an image; return how many it had."""
        return self._forget("row = :key", row)

    def _forget(self, which: str, key: bytes | int) -> int:
        if not self._value(f"select exists (select 1 from paths where {which})", key=key):
            return 0
        # What this operation itself has put there was not there before it.
        self.db.execute(
            f"""
            insert or ignore into changes
            select :operation, path, row, size, mtime_ns, since from paths
            where  {which} and since <> :operation and :operation > 0""",
            {"key": key, "operation": self._operations.begin()},
        )
        return self.db.execute(f"delete from paths where {which}", {"key": key}).rowcount

    def states(self) -> Iterator[tuple[int, FileStamp]]:
        """Yield (row, the state on record) of every path."""
        for path, row, size, mtime_ns in self.db.execute("select path, row, size, mtime_ns from paths order by path"):
            yield row, FileStamp(bytes(path), size, mtime_ns)

    def exported(self) -> Iterator[tuple[Any, ...]]:
        """Yield (row, path, sha256, width, height, added, size, mtime_ns, cluster, distance, name), by row and path.

        A row for each path of the living images whose vector can be used; cluster, distance and name are None without.
        """
        query = f"""
            select   images.row, path, sha256, width, height, added, size, mtime_ns, cluster, distance, name
            from     images
            join     paths on paths.row = images.row
            left     join memberships on memberships.row = images.row and clustering = {CURRENT}
            left     join identities using (cluster)
            where    images.row not in (select row from quarantined)
            order by images.row, path"""
        yield from self.db.execute(query)
