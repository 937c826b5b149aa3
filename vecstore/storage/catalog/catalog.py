"""The catalog: SQLite, the truth about everything but the vectors' bytes.

It numbers the images: row i of the catalog is row i of the vector file, dense from 0, never reused. An image is a
content (its sha256); a path is where it was seen; an image is alive while it has a path. Rows are committed after
their vectors are on disk, so a vector past the catalog's count belongs to an interrupted add.

All SQL of the project is in this module. It knows no picture, no vector and no FAISS.
"""

import json
import os
import sqlite3
import time
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecstore.errors import NotFound, StoreDamaged, VecstoreError
from vecstore.results import Clustering, Failure, Operation, UndoReport
from vecstore.sources.file_stamp import FileStamp
from vecstore.sources.paths import is_archive_name


@dataclass(frozen=True)
class NewImage:
    """An image to be numbered. sha256: of the file's bytes. width, height: as shown, orientation applied.

    checksum: of its vector and sha256 (`vectors.checksum`); None for one that has no vector, and answers nothing.
    """

    sha256: bytes
    width: int
    height: int
    checksum: int | None = None


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
class ClusterSize:
    """What the living members of one cluster come to. size: how many. squared: their mean squared distance.

    then, since: the mean distance of those that were clustered, and of those added since; None where there are none.
    """

    cluster: int
    name: str | None
    size: int
    squared: float | None
    then: float | None
    since: float | None


def m001_the_store(db: sqlite3.Connection) -> None:
    db.execute("""
        create table store (
            id       integer primary key check (id = 1),
            created  text    not null,
            embedder text    not null  -- EmbedderSpec as JSON
        )""")
    # Content and location are separate: one picture under two paths is one vector.
    # An image without a path is a removed one; its row stays, because rows are positions and are never reused.
    db.execute("""
        create table images (
            row    integer primary key,
            sha256 blob    not null unique,
            width  integer not null,
            height integer not null,
            added  text    not null
        )""")
    db.execute("""
        create table paths (
            path     blob    primary key,
            row      integer not null references images,
            size     integer not null,
            mtime_ns integer not null
        ) without rowid""")
    db.execute("create index paths_by_row on paths (row)")
    # size and mtime_ns: the state in which the file failed; it is tried again only in another one, or on request.
    db.execute("""
        create table failures (
            path     blob    primary key,
            size     integer not null,
            mtime_ns integer not null,
            reason   text    not null,
            failed   text    not null
        ) without rowid""")
    # Archives that were looked through to the end: in which state, for which members, and how many came of it.
    db.execute("""
        create table archives (
            path     blob    primary key,
            size     integer not null,
            mtime_ns integer not null,
            asked    text    not null,
            members  integer not null
        ) without rowid""")
    db.execute("""
        create table clusterings (
            id         integer primary key,
            created    text    not null,
            k          integer not null,
            rows       integer not null,
            objective  real    not null,
            seconds    real    not null,
            device     text    not null,
            restarts   integer not null,
            trained_on integer not null,
            options    text    not null,
            horizon    integer not null,  -- the first row that was added after the run
            centroids  blob    not null   -- (k, dim) little-endian float32, in the order of `position`
        )""")
    # A cluster's id is not its position among the centroids: ids are to survive a re-clustering, positions are not.
    db.execute("""
        create table clusters (
            clustering integer not null references clusterings,
            cluster    integer not null,
            position   integer not null,
            name       text,
            primary key (clustering, cluster)
        ) without rowid""")
    db.execute("""
        create table memberships (
            clustering integer not null references clusterings,
            row        integer not null references images,
            cluster    integer not null,
            distance   real    not null,
            primary key (clustering, row)
        ) without rowid""")
    db.execute("create index memberships_by_cluster on memberships (clustering, cluster, distance)")


def m002_index_settings(db: sqlite3.Connection) -> None:
    db.execute("alter table store add column index_settings text not null default '{}'")  # IndexSettings as JSON


def m003_removed_images(db: sqlite3.Connection) -> None:
    # Which images have no path: few, where those that have one can be millions. A query reads these alone.
    db.execute("create table removed (row integer primary key references images)")
    db.execute("""
        insert into removed
        select row from images where not exists (select 1 from paths where paths.row = images.row)""")
    # Kept by the database itself, so that no way of writing a path can forget it.
    db.execute("""
        create trigger an_image_begins_without_a_path after insert on images begin
            insert into removed values (new.row);
        end""")
    db.execute("""
        create trigger a_path_brings_its_image_to_life after insert on paths begin
            delete from removed where row = new.row;
        end""")
    db.execute("""
        create trigger a_path_leads_to_another_image after update of row on paths begin
            delete from removed where row = new.row;
            insert into removed
            select old.row where not exists (select 1 from paths where row = old.row) and old.row <> new.row;
        end""")
    db.execute("""
        create trigger an_image_goes_with_its_last_path after delete on paths begin
            insert into removed
            select old.row where not exists (select 1 from paths where row = old.row);
        end""")


def m004_clusters_live_on(db: sqlite3.Connection) -> None:
    # Which clustering answers. It used to be the last one; now one can go back to an earlier one.
    db.execute("alter table store add column clustering integer references clusterings")
    db.execute("update store set clustering = (select max(id) from clusterings)")
    # What is the same in every clustering that has the cluster. An id stays here for good, so it is never given again.
    db.execute("""
        create table identities (
            cluster integer primary key,
            born    integer not null references clusterings,
            name    text
        )""")
    db.execute("insert into identities select cluster, min(clustering), null from clusters group by cluster")
    # SQLite before 3.35 cannot drop a column; nothing could set the names that were in this one.
    db.execute("""
        create table renewed (
            clustering integer not null references clusterings,
            cluster    integer not null references identities,
            position   integer not null,
            primary key (clustering, cluster)
        ) without rowid""")
    db.execute("insert into renewed select clustering, cluster, position from clusters")
    db.execute("drop table clusters")
    db.execute("alter table renewed rename to clusters")
    # What became of the clusters of the clustering before. Until now each one numbered its clusters anew.
    db.execute("alter table clusterings add column previous integer references clusterings")
    for counted in ("kept", "split", "merged", "born", "gone", "moved"):
        db.execute(f"alter table clusterings add column {counted} integer not null default 0")
    db.execute("update clusterings set born = k")


def m005_checksums(db: sqlite3.Connection) -> None:
    # Of the row's vector and sha256 (`vectors.checksum`). Null: the row has no vector, any more or yet.
    db.execute("alter table images add column checksum integer")
    # The rows below it got theirs from what was there when the store was brought to this format, and not when added.
    db.execute("alter table store add column checksums_from integer not null default 0")
    db.execute("update store set checksums_from = (select coalesce(max(row) + 1, 0) from images)")
    # Images whose vector is damaged and could not be made anew yet: they are not found.
    db.execute("create table quarantined (row integer primary key references images)")
    db.execute("alter table clusterings add column checksum integer")  # CRC-32 of the centroids
    for number, centroids in db.execute("select id, centroids from clusterings").fetchall():
        db.execute("update clusterings set checksum = ? where id = ?", (zlib.crc32(centroids), number))


def m006_operations(db: sqlite3.Connection) -> None:
    # What can be undone, the last first. clustering: that was current before; cluster, name: what it was called before.
    # Numbers are never given again: paths refer to them.
    db.execute("""
        create table operations (
            id         integer primary key autoincrement,
            kind       text    not null,
            what       text    not null,
            began      text    not null,
            undone     integer not null default 0,
            clustering integer,
            cluster    integer,
            name       text
        )""")
    # The operation that put the path where it is; 0: one that is not on record. So an add writes nothing else.
    db.execute("alter table paths add column since integer not null default 0")
    # What an operation replaced or took away: the path as it was before; row is null where there was none.
    db.execute("""
        create table changes (
            operation integer not null references operations on delete cascade,
            path      blob    not null,
            row       integer,
            size      integer,
            mtime_ns  integer,
            since     integer,
            primary key (operation, path)
        ) without rowid""")
    db.execute("""
        create trigger a_path_remembers_what_it_led_to
        after update of row on paths when new.row <> old.row and new.since > old.since begin
            -- Not `or ignore`: in a trigger the statement that sets it off decides about conflicts.
            insert into changes
            select new.since, old.path, old.row, old.size, old.mtime_ns, old.since
            where  not exists (select 1 from changes where operation = new.since and path = old.path);
        end""")


def m007_engines(db: sqlite3.Connection) -> None:
    # uri: where the vectors are searched, without credentials; null: in this process. uid: tells this store from every
    # other, on an engine that may keep several under names that are used again. built: its index, IndexState as JSON.
    # migrating: of which store and state this is becoming a copy; null: it is complete.
    db.execute("""
        create table engine (
            id        integer primary key check (id = 1),
            uid       text not null,
            uri       text,
            built     text,
            migrating text
        )""")
    db.execute("insert into engine (id, uid) values (1, lower(hex(randomblob(16))))")
    # Rows whose coming or going that engine has not been told of.
    db.execute("create table pending (row integer primary key references images)")
    # An image begins among the removed, so its coming and its going are both changes of that table.
    for hidden in ("removed", "quarantined"):
        for change, row in (("insert", "new.row"), ("delete", "old.row")):
            db.execute(f"""
                create trigger an_engine_is_to_be_told_after_{change}_on_{hidden} after {change} on {hidden}
                when (select uri from engine) is not null begin
                    insert into pending select {row} where not exists (select 1 from pending where row = {row});
                end""")


MIGRATIONS = (
    m001_the_store,
    m002_index_settings,
    m003_removed_images,
    m004_clusters_live_on,
    m005_checksums,
    m006_operations,
    m007_engines,
)  # append only; a store's position in it is `pragma user_version`

# The path shown for an image that has several: the first in byte order, so that it is the same every time.
FIRST_PATH = "(select min(paths.path) from paths where paths.row = {row})"
ALIVE = "exists (select 1 from paths where paths.row = {row})"
FOUND = "row not in (select row from removed) and row not in (select row from quarantined)"
CURRENT = "(select clustering from store where id = 1)"
# What stands for the sha256 of a row that was compacted: its number, which no sha256 is.
VACANT = "cast(cast(row as text) as blob)"
# How long SQLite waits for another process's transaction.
BUSY_SECONDS = 30.0
# So many operations can be undone; what older ones replaced is forgotten.
OPERATIONS_KEPT = 50
# What SQLite says of a full disk, one that fails or may not be written to, and of a lock that is held too long.
DISK_ERRORS = tuple(
    f"SQLITE_{name}" for name in ("FULL", "IOERR", "READONLY", "BUSY", "LOCKED", "CANTOPEN", "PERM", "NOMEM")
)


def holds_store(path: Path) -> bool:
    """Say whether `path` is the catalog of a store whose creation was completed.

    Raises StoreDamaged if it is no catalog, VecstoreError if it cannot be opened.
    """
    if not path.is_file():
        return False
    try:
        with closing(_connect(path)) as db:
            return int(db.execute("pragma user_version").fetchone()[0]) > 0
    except StoreDamaged as error:
        raise StoreDamaged(
            f"{path} is not a readable catalog ({error.__cause__}); restore the store from a backup"
        ) from error
    except (sqlite3.OperationalError, VecstoreError) as error:
        reason = error.__cause__ or error
        raise VecstoreError(f"{path} cannot be opened ({reason}); check who may read it, and its folder") from error


def _connect(path: Path) -> "_Connection":
    """Open the database; one that may not be written to for reading alone."""
    # Transactions are begun by hand: sqlite3's own would leave schema changes outside of them.
    options: dict[str, Any] = {"isolation_level": None, "timeout": BUSY_SECONDS, "factory": _Connection}
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        with translate_sqlite_errors(path):
            db: _Connection = sqlite3.connect(path, **options)
        db.place = path
        try:
            db.execute("pragma user_version")
        except StoreDamaged:
            db.close()
            raise
        except VecstoreError:
            # WAL wants some KB beside the file, which a full disk does not have. Alone it can do without them
            # (https://sqlite.org/wal.html, "Use of WAL Without Shared-Memory"): others wait, and answers are right.
            db.close()
            db = sqlite3.connect(path, **options)
            db.place = path
            db.execute("pragma locking_mode = exclusive")
        return db
    # Reading in WAL mode writes to the -shm file. Where nothing waits in the -wal, the file can be read as it lies.
    log = Path(f"{path}-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    with translate_sqlite_errors(path):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, **options)
    db.place = path
    return db


class _Connection(sqlite3.Connection):
    """A connection whose errors say what to do, wherever damage or a failing disk is met."""

    place = Path()

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        with translate_sqlite_errors(self.place):
            return self.cursor(_Cursor).execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        with translate_sqlite_errors(self.place):
            return self.cursor(_Cursor).executemany(*arguments)


class _Cursor(sqlite3.Cursor):
    def fetchone(self) -> Any:
        with translate_sqlite_errors(self.connection.place):  # type: ignore[attr-defined]
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with translate_sqlite_errors(self.connection.place):  # type: ignore[attr-defined]
            return super().fetchall()

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        with translate_sqlite_errors(self.connection.place):  # type: ignore[attr-defined]
            while rows := self.fetchmany(1_000):  # as quick as SQLite's own iterator; row by row is half as quick
                yield from rows


@contextmanager
def translate_sqlite_errors(place: Path) -> Iterator[None]:
    """Raise StoreDamaged for damage and VecstoreError for a disk that fails, is full, or a lock held too long.

    Any other error is a mistake of this program, and stays what it is.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")) or "decode" in str(error):
            raise StoreDamaged(
                f"the catalog {place} is damaged ({error}); `vecstore check` says where; a backup can be restored"
            ) from error
        if name.startswith(DISK_ERRORS):
            raise VecstoreError(f"the catalog {place} cannot be used: {error}; nothing was changed") from error
        raise
    except UnicodeDecodeError as error:  # of SQLite's own message, which quotes what is damaged
        raise StoreDamaged(
            f"the catalog {place} is damaged; `vecstore check` says where; a backup can be restored"
        ) from error


class Catalog:
    """An open catalog. Reads see one moment inside `reading()`; writes happen inside `writing()` or not at all."""

    def __init__(self, path: Path) -> None:
        """Open the catalog of an existing store; `create` makes one. Raises StoreDamaged on a newer format."""
        self.path = path
        # The operation that `announce` spoke of, until its first change; then its number; and both at the last commit.
        self._announced: tuple[str, str] | None = None
        self._operation = 0
        self._committed: tuple[tuple[str, str] | None, int] = (None, 0)
        self.db = _connect(path)
        self.db.execute("pragma foreign_keys = on")
        # A damaged page is noticed when it is read, instead of being believed as far as it goes.
        self.db.execute("pragma cell_size_check = on")
        # FULL: a commit that was reported is on the disk, also after a power cut.
        self.db.execute("pragma synchronous = full")
        # KiB. SQLite's own 2 MiB make recording a large clustering, whose index is written in no order, take half as
        # long again: 200,000 memberships 1.44 s of CPU time, 0.91 s with this.
        self.db.execute("pragma cache_size = -65536")
        version = self._version()
        if version > len(MIGRATIONS):
            self.close()
            raise StoreDamaged(
                f"{path} is of store format {version}; this vecstore knows formats up to {len(MIGRATIONS)}: "
                "upgrade vecstore to use this store"
            )

    @classmethod
    def create(cls, path: Path, embedder: str, engine: str | None = None, *, shared: bool = False) -> "Catalog":
        """Make the catalog of a new store; `embedder` is the recorded description of what makes its vectors.

        engine: the URI of where they are searched, None for in this process.
        shared: it is on a network disk. WAL needs memory that all processes share, which two machines do not
        (https://sqlite.org/wal.html): there SQLite's older journal is kept, and readers and writers take turns.
        """
        with closing(sqlite3.connect(path)) as db:
            # Kept in the file; outside any transaction.
            db.execute(f"pragma journal_mode = {'delete' if shared else 'wal'}")
        catalog = cls(path)
        with catalog.writing() as db:
            catalog._apply_migrations()
            db.execute(
                "insert into store (id, created, embedder) values (1, :now, :embedder)",
                {"now": now(), "embedder": embedder},
            )
            if engine is not None:
                db.execute("update engine set uri = :uri", {"uri": engine})
        return catalog

    def is_older(self) -> bool:
        """Say whether the store is of an older format than this program's."""
        return self._version() < len(MIGRATIONS)

    def lacks_checksums(self) -> bool:
        """Say whether the store is of a format from before rows had checksums."""
        return self._version() <= MIGRATIONS.index(m005_checksums)

    def migrate(self) -> None:
        """Bring an older store up to this program's format, each step in one transaction with its version stamp."""
        if self.is_older():
            with self.writing():
                self._apply_migrations()

    def _apply_migrations(self) -> None:
        for number, step in enumerate(MIGRATIONS[self._version() :], start=self._version() + 1):
            step(self.db)
            self.db.execute(f"pragma user_version = {number:d}")  # a pragma takes no parameters

    def _version(self) -> int:
        return int(self.db.execute("pragma user_version").fetchone()[0])

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: all of it or, on any error or interruption, nothing."""
        yield from self._transaction("begin immediate")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One read transaction: every query inside sees the same moment, whatever a writer commits meanwhile."""
        yield from self._transaction("begin")

    def abandon(self) -> None:
        """Roll back what an interruption has left open: one that strikes between a transaction and its block."""
        if self.db.in_transaction:
            self.db.execute("rollback")
            self._announced, self._operation = self._committed

    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        if self.db.in_transaction:
            yield self.db
            return
        try:
            self._committed = self._announced, self._operation
            self.db.execute(begin)
            yield self.db
            self.db.execute("commit")
        except BaseException as error:  # Ctrl-C too: a half-done transaction must not stay open
            self.abandon()
            if isinstance(error, sqlite3.OperationalError):
                raise VecstoreError(f"the catalog {self.path} cannot be used: {error}; nothing was changed") from error
            raise

    # The store

    def embedder(self) -> str:
        return str(self._value("select embedder from store"))

    def index_settings(self) -> str:
        return str(self._value("select index_settings from store"))

    def set_index_settings(self, settings: str) -> None:
        with self.writing() as db:
            db.execute("update store set index_settings = :settings", {"settings": settings})

    def created(self) -> str:
        return str(self._value("select created from store"))

    # The engine that searches the vectors

    def uid(self) -> str:
        return str(self._value("select uid from engine"))

    def engine(self) -> str | None:
        """Return the URI of where the vectors are searched, None for in this process."""
        return self._text("select uri from engine")

    def move_to_engine(self, uri: str | None) -> None:
        """Make this the catalog of another store with the same images, none of which its engine has been told of."""
        with self.writing() as db:
            values = {"uri": uri, "uid": uuid.uuid4().hex}
            db.execute("update engine set uri = :uri, uid = :uid, built = null", values)
            db.execute("delete from pending")
            if uri is not None:
                db.execute(f"insert into pending select row from images where {FOUND}")

    def migrating(self) -> str | None:
        """Return what this catalog is becoming a copy of, None if it is complete."""
        return self._text("select migrating from engine")

    def set_migrating(self, source: str | None) -> None:
        with self.writing() as db:
            db.execute("update engine set migrating = :source", {"source": source})

    def engine_index(self) -> str | None:
        return self._text("select built from engine")

    def set_engine_index(self, state: str | None) -> None:
        with self.writing() as db:
            db.execute("update engine set built = :state", {"state": state})

    def pending_rows(self, limit: int) -> list[int]:
        """Return rows whose coming or going the engine has not been told of, the first `limit`, ascending; -1: all."""
        query = "select row from pending order by row limit :limit"
        return [row for (row,) in self.db.execute(query, {"limit": limit})]

    def pending_count(self) -> int:
        """Return how many images that can be found the engine has not been told of."""
        return int(self._value(f"select count(*) from pending where {FOUND}"))

    def found_count(self) -> int:
        """Return how many images can be found: those that are alive, less those whose vector is quarantined."""
        return self.row_count() - len(self.hidden_rows())

    def mark_pending(self, rows: Iterable[int]) -> None:
        with self.writing() as db:
            db.executemany("insert or ignore into pending values (?)", ((row,) for row in rows))

    def clear_pending(self, rows: Iterable[int]) -> None:
        with self.writing() as db:
            db.executemany("delete from pending where row = ?", ((row,) for row in rows))

    # Images and paths

    def row_count(self) -> int:
        """Return the number of rows ever given out, removed ones included: the rows that the vector file holds."""
        return int(self._value("select coalesce(max(row) + 1, 0) from images"))

    def image_count(self) -> int:
        """Return the number of images that are alive."""
        return self.row_count() - int(self._value("select count(*) from removed"))

    def path_count(self) -> int:
        return int(self._value("select count(*) from paths"))

    def alive_rows(self) -> list[int]:
        """Return the rows of the images that have a path, ascending."""
        return [row for (row,) in self.db.execute("select distinct row from paths order by row")]

    def searchable_rows(self) -> list[int]:
        """Return the rows of the living images whose vector can be used, ascending."""
        query = "select distinct row from paths where row not in (select row from quarantined) order by row"
        return [row for (row,) in self.db.execute(query)]

    def removed_rows(self) -> list[int]:
        """Return the rows of the images that have no path, ascending: few, and the others are not read."""
        return [row for (row,) in self.db.execute("select row from removed order by row")]

    def hidden_rows(self) -> list[int]:
        """Return the rows that are never found: of removed images, and of those whose vector is quarantined."""
        return sorted({*self.removed_rows(), *self.quarantined_rows()})

    def is_alive(self, row: int) -> bool:
        # An id from outside can be more than SQLite's integers hold.
        return 0 <= row < 1 << 63 and bool(self._value("select exists (select 1 from paths where row = :row)", row=row))

    def known_path(self, path: bytes) -> KnownPath | None:
        query = """
            select row, size, mtime_ns, exists (select 1 from failures where failures.path = paths.path)
            from   paths
            where  path = :path"""
        found = self.db.execute(query, {"path": path}).fetchone()
        return KnownPath(found[0], found[1], found[2], bool(found[3])) if found else None

    def row_of_content(self, sha256: bytes) -> int | None:
        """Return the row of a content, also of a removed one: its vector is still there."""
        found = self.db.execute("select row from images where sha256 = :sha256", {"sha256": sha256}).fetchone()
        return int(found[0]) if found else None

    def sha256_of(self, row: int) -> bytes | None:
        """Return the sha256 of an image's content, also of a removed one; None for no such row."""
        found = self._value("select sha256 from images where row = :row", row=row)
        return None if found is None else bytes(found)

    def contents(self) -> Iterator[bytes]:
        """Yield the sha256 of every content that has a row, also of removed images: their vectors are still there."""
        for (sha256,) in self.db.execute("select sha256 from images"):
            yield bytes(sha256)

    def first_path(self, row: int) -> bytes | None:
        """Return the path shown for an image, None if the image is removed."""
        found = self._value(f"select {FIRST_PATH.format(row=':row')}", row=row)
        return None if found is None else bytes(found)

    def size_and_time(self, row: int) -> tuple[int, int, str]:
        """Return an image's width and height in pixels, and when it was added, in UTC."""
        query = "select width, height, added from images where row = :row"
        width, height, added = self.db.execute(query, {"row": row}).fetchone()
        return int(width), int(height), str(added)

    def newest_rows(self, limit: int, before: int | None = None) -> list[int]:
        """Return the living images, those added last first. before: only rows below this one."""
        query = f"""
            select   row from images
            where    row < :before and {ALIVE.format(row="images.row")}
            order by row desc
            limit    :limit"""
        values = {"before": self.row_count() if before is None else before, "limit": limit}
        return [row for (row,) in self.db.execute(query, values)]

    def paths_of(self, row: int) -> list[bytes]:
        """Return all paths of an image; the first is the one shown."""
        query = "select path from paths where row = :row order by path"
        return [bytes(path) for (path,) in self.db.execute(query, {"row": row})]

    def all_paths(self) -> Iterator[tuple[int, bytes]]:
        """Yield (row, path) for every path; to be read to the end before anything is written."""
        for row, path in self.db.execute("select row, path from paths"):
            yield row, bytes(path)

    def rows_with_copies(self) -> list[int]:
        """Return the rows of the images that were seen at more than one path, ascending."""
        return [row for (row,) in self.db.execute("select row from paths group by row having count(*) > 1")]

    def rows_added_since(self, moment: str) -> list[int]:
        """Return the rows of the images that were added at a moment, in UTC as `added` has it, or later."""
        return [row for (row,) in self.db.execute("select row from images where added >= :moment", {"moment": moment})]

    def pixel_counts(self) -> Iterator[tuple[int, int]]:
        """Yield (row, width x height) of every image, removed ones too, by row; 0 where it is not known."""
        yield from self.db.execute("select row, width * height from images order by row")

    def paths_under(self, root: bytes) -> Iterator[bytes]:
        """Yield `root` itself, if it is a known path, and every known path below it or, if it is an archive, in it."""
        query = """
            select path from paths
            where  path = :root or (path >= :below and path < :beyond)
            union all
            select path from failures
            where  path = :root or (path >= :below and path < :beyond)"""
        for (path,) in self.db.execute(query, {"root": root, **_below(root)}).fetchall():
            yield path
        if is_archive_name(root):
            yield from self.paths_under(root + b"!")

    def insert_image(self, row: int, image: NewImage) -> None:
        values = {"row": row, "now": now(), **vars(image)}
        self.db.execute("insert into images values (:row, :sha256, :width, :height, :now, :checksum)", values)

    def upsert_path(self, stamp: FileStamp, row: int) -> None:
        """Record that the file in this state holds the image; a failure or another image at that path is replaced."""
        values = {"path": stamp.path, "row": row, "size": stamp.size, "mtime_ns": stamp.mtime_ns}
        # Not `insert or replace`: what that replaces goes without the triggers that `removed` is kept by.
        self.db.execute(
            """
            insert into paths values (:path, :row, :size, :mtime_ns, :since)
            on conflict (path) do update set
                since = case when row = :row then since else :since end,
                row = :row, size = :size, mtime_ns = :mtime_ns""",
            {**values, "since": self._begin()},
        )
        self.forget_failure(stamp.path)

    def forget_path(self, path: bytes) -> bool:
        """Forget where an image was seen, or that a file failed; return whether it was an image's path."""
        self.forget_failure(path)
        return self._forget("path = :key", path) > 0

    def forget_paths_of(self, row: int) -> int:
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
            {"key": key, "operation": self._begin()},
        )
        return self.db.execute(f"delete from paths where {which}", {"key": key}).rowcount

    # Failures

    def record_failure(self, stamp: FileStamp, reason: str) -> None:
        values = {"path": stamp.path, "size": stamp.size, "mtime_ns": stamp.mtime_ns, "reason": reason, "now": now()}
        self.db.execute("insert or replace into failures values (:path, :size, :mtime_ns, :reason, :now)", values)

    def has_failed(self, stamp: FileStamp) -> bool:
        """Say whether the file failed in exactly this state, so that another try would end the same."""
        query = "select exists (select 1 from failures where path = :path and size = :size and mtime_ns = :mtime_ns)"
        return bool(self._value(query, path=stamp.path, size=stamp.size, mtime_ns=stamp.mtime_ns))

    def forget_failure(self, path: bytes) -> None:
        self.db.execute("delete from failures where path = :path", {"path": path})

    def failures_of_size(self, size: int) -> list[bytes]:
        """Return the paths of the failures that are recorded with this size."""
        return [bytes(path) for (path,) in self.db.execute("select path from failures where size = :s", {"s": size})]

    def failures(self) -> list[Failure]:
        rows = self.db.execute("select path, reason from failures order by path")
        return [Failure(os.fsdecode(path), reason) for path, reason in rows]

    def failure_count(self) -> int:
        return int(self._value("select count(*) from failures"))

    # Archives

    def record_archive(self, archive: FileStamp, asked: str, members: int, failed: bool) -> None:
        """Record that an archive was looked through, and how many paths came of it, itself included if it failed."""
        values = {"path": archive.path, "size": archive.size, "mtime_ns": archive.mtime_ns}
        with self.writing():
            self.db.execute(
                "insert or replace into archives values (:path, :size, :mtime_ns, :asked, :members)",
                {**values, "asked": asked, "members": members},
            )
            if not failed:
                self.forget_path(archive.path)  # that it failed, or was a picture, earlier

    def archive_count(self, archive: FileStamp, asked: str) -> int | None:
        """Return how many paths came of an archive in this state, None if it was not looked through for that."""
        query = """
            select members from archives
            where  path = :path and size = :size and mtime_ns = :mtime_ns and asked = :asked"""
        values = {"path": archive.path, "size": archive.size, "mtime_ns": archive.mtime_ns, "asked": asked}
        found = self._value(query, **values)
        return None if found is None else int(found)

    def archive_members(self, archive: FileStamp) -> list[bytes]:
        """Return the paths on record in an archive of this state, and its own if that is, by path."""
        query = """
            select path from paths
            where  size = :size and mtime_ns = :mtime_ns and (path = :path or (path >= :below and path < :beyond))
            union
            select path from failures
            where  size = :size and mtime_ns = :mtime_ns and (path = :path or (path >= :below and path < :beyond))
            order  by path"""
        values = {"path": archive.path, "size": archive.size, "mtime_ns": archive.mtime_ns}
        return [bytes(path) for (path,) in self.db.execute(query, {**values, **_below(archive.path + b"!")})]

    # Clusterings

    def insert_clustering(
        self, run: Clustering, options: dict[str, Any], horizon: int, centroids: bytes, cluster_ids: list[int]
    ) -> None:
        """Record a k-means run; cluster_ids[i] is the id of the cluster whose centroid is at position i."""
        self.db.execute(
            """
            insert into clusterings
            values (
                :id, :created, :k, :rows, :objective, :seconds, :device, :restarts, :trained_on,
                :options, :horizon, :centroids, :previous, :kept, :split, :merged, :born, :gone, :moved, :checksum
            )""",
            {
                "id": run.clustering,
                "created": run.created,
                "k": run.k,
                "rows": run.rows,
                "objective": run.objective,
                "seconds": run.seconds,
                "device": run.device,
                "restarts": run.restarts,
                "trained_on": run.trained_on,
                "options": json.dumps(options),
                "horizon": horizon,
                "centroids": centroids,
                "previous": run.previous,
                "kept": run.kept,
                "split": run.split,
                "merged": run.merged,
                "born": run.born,
                "gone": run.gone,
                "moved": run.moved,
                "checksum": zlib.crc32(centroids),
            },
        )
        identities = ((cluster, run.clustering) for cluster in cluster_ids)
        self.db.executemany("insert or ignore into identities (cluster, born) values (?, ?)", identities)
        clusters = ((run.clustering, cluster, position) for position, cluster in enumerate(cluster_ids))
        self.db.executemany("insert into clusters values (?, ?, ?)", clusters)

    def insert_memberships(self, clustering: int, memberships: Iterable[tuple[int, int, float]]) -> None:
        """Record (row, cluster, distance) of a clustering."""
        values = ((clustering, row, cluster, distance) for row, cluster, distance in memberships)
        # `insert or replace` would look for what to delete before each row: a quarter more time.
        self.db.executemany(
            """
            insert into memberships
            values      (?, ?, ?, ?)
            on conflict (clustering, row) do update
            set         cluster = excluded.cluster, distance = excluded.distance""",
            values,
        )

    def next_clustering(self) -> int:
        return int(self._value("select coalesce(max(id), 0) + 1 from clusterings"))

    def next_cluster(self) -> int:
        """Return the first cluster id that was never given."""
        return int(self._value("select coalesce(max(cluster), -1) + 1 from identities"))

    def current_clustering(self) -> int | None:
        found = self._value(f"select {CURRENT}")
        return None if found is None else int(found)

    def make_current(self, clustering: int | None) -> None:
        """Let this clustering answer from now on; None: none does."""
        self._begin()
        self.db.execute("update store set clustering = :id", {"id": clustering})

    def clusterings(self) -> list[Clustering]:
        """Return all k-means runs, the first first."""
        fields = (
            *("k", "rows", "objective", "seconds", "device", "restarts", "trained_on", "previous"),
            *("kept", "split", "merged", "born", "gone", "moved", "created"),
        )
        query = f"select id, id is {CURRENT}, options, {', '.join(fields)} from clusterings order by id"
        return [
            Clustering(
                clustering=number,
                current=bool(now),
                k_reason=json.loads(asked).get("k_reason"),
                **dict(zip(fields, values, strict=True)),
            )
            for number, now, asked, *values in self.db.execute(query).fetchall()
        ]

    def centroids(self, clustering: int) -> tuple[bytes, list[int]]:
        """Return the centroids' bytes, and the cluster id of each position. Raises StoreDamaged by their checksum."""
        if self._value("select checksum from clusterings where id = :id", id=clustering) != zlib.crc32(
            centroids := bytes(self._value("select centroids from clusterings where id = :id", id=clustering))
        ):
            raise StoreDamaged(
                f"the centroids of clustering {clustering} are damaged; run `vecstore check --repair`, which goes back "
                "to one whose are not"
            )
        query = "select cluster from clusters where clustering = :id order by position"
        return centroids, [cluster for (cluster,) in self.db.execute(query, {"id": clustering})]

    def give_up_centroids(self, clustering: int) -> None:
        """Record that a clustering cannot be gone back to, because its centroids are damaged."""
        self.db.execute("update clusterings set checksum = null where id = :id", {"id": clustering})

    def clusterings_in_use(self) -> list[int]:
        """Return the clusterings that can be gone back to, if their centroids are not damaged, the first first."""
        query = "select id from clusterings where checksum is not null order by id"
        return [number for (number,) in self.db.execute(query)]

    def cluster_count(self) -> int | None:
        found = self._value(f"select k from clusterings where id = {CURRENT}")
        return None if found is None else int(found)

    def cluster_of(self, row: int) -> tuple[int, float] | None:
        """Return an image's cluster in the current clustering, and its distance to the centroid."""
        query = f"select cluster, distance from memberships where clustering = {CURRENT} and row = :row"
        found = self.db.execute(query, {"row": row}).fetchone()
        return (int(found[0]), float(found[1])) if found else None

    def name_cluster(self, cluster: int, name: str | None) -> None:
        """Give a cluster its name, in all clusterings that have it; None takes it away."""
        values = {"name": name, "id": cluster, "operation": self._begin()}
        self.db.execute(
            """
            update operations set cluster = :id, name = (select name from identities where cluster = :id)
            where  id = :operation""",
            values,
        )
        self.db.execute("update identities set name = :name where cluster = :id", values)

    def cluster_named(self, name: str, clustering: int) -> int | None:
        """Return the cluster of a clustering that has this name."""
        query = """
            select cluster from clusters join identities using (cluster)
            where  name = :name and clustering = :clustering"""
        found = self._value(query, name=name, clustering=clustering)
        return None if found is None else int(found)

    def cluster_sizes(self, clustering: int) -> list[ClusterSize]:
        """Return what the living members of each cluster come to, the largest cluster first."""
        query = f"""
            select   clusters.cluster, identities.name, count(memberships.row),
                     avg(distance * distance),
                     avg(case when memberships.row < horizon then distance end),
                     avg(case when memberships.row >= horizon then distance end)
            from     clusters
            join     identities using (cluster)
            join     clusterings on clusterings.id = clusters.clustering
            left     join memberships on  memberships.clustering = clusters.clustering
                                      and memberships.cluster = clusters.cluster
                                      and {ALIVE.format(row="memberships.row")}
            where    clusters.clustering = :clustering
            group by clusters.cluster
            order by count(memberships.row) desc, clusters.cluster"""
        return [ClusterSize(*found) for found in self.db.execute(query, {"clustering": clustering})]

    def members(
        self, clustering: int, cluster: int, limit: int = -1, farthest: bool = False, start: int = 0
    ) -> list[tuple[int, bytes, float]]:
        """Return (row, path, distance) of a cluster's living members, the nearest to the centroid first.

        farthest: the other way round. start: how many of them to pass over.
        """
        query = f"""
            select   row, {FIRST_PATH.format(row="memberships.row")} as path, distance
            from     memberships
            where    clustering = :clustering and cluster = :cluster and {ALIVE.format(row="memberships.row")}
            order by distance {"desc" if farthest else "asc"}, row
            limit    :limit offset :start"""
        values = {"clustering": clustering, "cluster": cluster, "limit": limit, "start": start}
        return [(int(row), bytes(path), float(d)) for row, path, d in self.db.execute(query, values)]

    def member_rows(self, clustering: int, cluster: int) -> list[int]:
        query = "select row from memberships where clustering = :clustering and cluster = :cluster"
        return [row for (row,) in self.db.execute(query, {"clustering": clustering, "cluster": cluster})]

    def farthest(self, clustering: int, limit: int) -> list[tuple[int, bytes, float]]:
        """Return (row, path, distance) of the living images that are farthest from their centroid, these first."""
        query = f"""
            select row, {FIRST_PATH.format(row="farthest.row")}, distance
            from   (
                select   row, distance
                from     memberships
                where    clustering = :clustering and row not in (select row from removed)
                order by distance desc, row
                limit    :limit
            ) as farthest
            order by distance desc, row"""
        values = {"clustering": clustering, "limit": limit}
        return [(int(row), bytes(path), float(d)) for row, path, d in self.db.execute(query, values)]

    def memberships(self, clustering: int) -> Iterator[tuple[int, int, float]]:
        """Yield (row, cluster, distance) of the living images that a clustering has a label for, by row."""
        query = """
            select   row, cluster, distance
            from     memberships
            where    clustering = :clustering and row not in (select row from removed)
            order by row"""
        yield from self.db.execute(query, {"clustering": clustering})

    def rows_without_cluster(self, clustering: int) -> list[int]:
        """Return the living images that a clustering has no label for, ascending."""
        query = """
            select   distinct row from paths
            where    not exists (select 1 from memberships where clustering = :clustering and row = paths.row)
            and      row not in (select row from quarantined)
            order by row"""
        return [row for (row,) in self.db.execute(query, {"clustering": clustering})]

    def mean_distances(self, clustering: int) -> tuple[float | None, float | None]:
        """Return the living members' mean distance to their centroid: of those clustered, and of those added since."""
        query = f"""
            select avg(case when row < horizon then distance end), avg(case when row >= horizon then distance end)
            from   memberships
            join   clusterings on clusterings.id = memberships.clustering
            where  clustering = :clustering and {ALIVE.format(row="memberships.row")}"""
        then, since = self.db.execute(query, {"clustering": clustering}).fetchone()
        return then, since

    def require_cluster(self, clustering: int, cluster: int) -> None:
        """Raise NotFound, with the ids that there are, unless the clustering has the cluster."""
        values = {"clustering": clustering, "cluster": cluster}
        query = "select exists (select 1 from clusters where clustering = :clustering and cluster = :cluster)"
        # An id from outside can be more than SQLite's integers hold.
        if not (0 <= cluster < 1 << 63 and self._value(query, **values)):
            ids = [size.cluster for size in self.cluster_sizes(clustering)]
            shown = ", ".join(str(c) for c in sorted(ids)[:20]) + (", ..." if len(ids) > 20 else "")
            raise NotFound(f"no cluster {cluster} in the current clustering; there are {shown}")

    # Operations, and undoing them

    @contextmanager
    def announced(self, kind: str, what: str) -> Iterator[None]:
        """Let what is changed inside be one operation, to be undone as one; nothing is recorded if nothing is changed.

        kind: what `operations` calls it. what: what it is about, for a person.
        """
        self._announced, self._operation = (kind, what), 0
        try:
            yield
        finally:
            self._announced, self._operation = None, 0

    def _begin(self) -> int:
        """Return the number of the operation under way, recorded with its first change; 0 if none was announced."""
        if self._announced is not None:
            kind, what = self._announced
            # What was undone before cannot be redone on top of something else.
            self.db.execute("delete from operations where undone")
            values = {"kind": kind, "what": what, "now": now()}
            query = f"insert into operations (kind, what, began, clustering) values (:kind, :what, :now, {CURRENT})"
            number = self.db.execute(query, values).lastrowid
            self.db.execute(f"delete from operations where id <= :id - {OPERATIONS_KEPT}", {"id": number})
            self._announced, self._operation = None, int(number or 0)
        return self._operation

    def operations(self) -> list[Operation]:
        """Return the operations that can be undone or redone, the last first."""
        query = "select id, kind, what, began, undone from operations order by id desc"
        found = self.db.execute(query).fetchall()
        return [Operation(number, kind, what, began, bool(undone)) for number, kind, what, began, undone in found]

    def undo(self, operation: Operation) -> UndoReport:
        """Put back what an operation replaced, keeping what it made, so that the next call does it again.

        Paths that led to an image that was compacted since stay as they are.
        """
        values = {"id": operation.operation}
        for step in UNDO:
            self.db.execute(step, values)
        gone, back, lost = self.db.execute(COUNT_TURNED, values).fetchone()
        for step in (*PUT_BACK, *UNDO_CLUSTERS.get(operation.kind, ())):
            self.db.execute(step, values)
        self.db.execute("update operations set undone = not undone where id = :id", values)
        turned = {**vars(operation), "undone": not operation.undone}
        return UndoReport(**turned, forgotten=gone, restored=back, lost=lost)

    # Checksums, quarantine, and rows without an image

    def checksums(self, first: int, beyond: int) -> list[tuple[int, bytes, int | None]]:
        """Return (row, sha256, checksum) of the rows from first up to and without beyond that are not vacant."""
        query = """
            select row, sha256, checksum from images
            where  row >= :first and row < :beyond and length(sha256) = 32
            order  by row"""
        return self.db.execute(query, {"first": first, "beyond": beyond}).fetchall()

    def checksum_of(self, row: int) -> tuple[bytes, int | None]:
        """Return a row's sha256 and checksum."""
        found = self.db.execute("select sha256, checksum from images where row = :row", {"row": row}).fetchone()
        return (found[0], found[1]) if found else (b"", None)

    def set_checksums(self, checksums: Iterable[tuple[int, int]]) -> None:
        """Record (row, checksum)."""
        self.db.executemany("update images set checksum = ?2 where row = ?1", checksums)

    def checksums_from(self) -> int:
        """Return the row from which on checksums are as old as the vectors; those below were taken later."""
        return int(self._value("select checksums_from from store"))

    def quarantined_rows(self) -> list[int]:
        return [row for (row,) in self.db.execute("select row from quarantined order by row")]

    def quarantine(self, rows: Iterable[int]) -> None:
        """Let these rows not be found any more."""
        self.db.executemany("insert or ignore into quarantined values (?)", ((row,) for row in rows))

    def release(self, rows: Iterable[int]) -> None:
        """Let rows be found again that were quarantined."""
        self.db.executemany("delete from quarantined where row = ?", ((row,) for row in rows))

    def purge_removed(self, quarantined_only: bool = False) -> int:
        """Forget the contents of removed images: their rows stay, empty, and a content that comes back is a new image.

        quarantined_only: only those whose vector is damaged, so that they cannot come back with it. Returns how many.
        """
        which = f"select row from removed {'where row in (select row from quarantined)' if quarantined_only else ''}"
        vacated = self.db.execute(
            f"update images set sha256 = {VACANT}, checksum = null where row in ({which}) and length(sha256) = 32"
        ).rowcount
        if vacated:
            vacant = "(select row from images where length(sha256) <> 32)"
            self.db.execute(f"delete from quarantined where row in {vacant}")
            self.db.execute(f"delete from memberships where row in {vacant}")
        return vacated

    def forget_labels(self, kept: int) -> None:
        """Forget which images are in which cluster of all but the last `kept` clusterings and the current one.

        Their centroids stay, so going back to one works it out again.
        """
        query = f"""
            delete from memberships
            where  clustering not in (select id from clusterings order by id desc limit :kept)
            and    clustering is not {CURRENT}"""
        self.db.execute(query, {"kept": kept})

    def vacant_rows(self) -> list[int]:
        """Return the rows whose image was removed and compacted, ascending."""
        return [row for (row,) in self.db.execute("select row from images where length(sha256) <> 32 order by row")]

    # Checking, mending and copying the catalog as a whole

    def problems(self) -> list[str]:
        """Return what SQLite finds wrong with the file: pages, records, indexes, references."""
        found = [text for (text,) in self.db.execute("pragma integrity_check(20)") if text != "ok"]
        counts: dict[tuple[str, str], int] = {}
        for table, _, parent, _ in self.db.execute("pragma foreign_key_check") if not found else ():
            counts[table, parent] = counts.get((table, parent), 0) + 1
        return found + [
            f"{n} rows of {table} refer to {parent} that are not there" for (table, parent), n in counts.items()
        ]

    def violations(self, dim: int) -> list[str]:
        """Return what is wrong with the contents, in words: what every version of this program keeps true."""
        counts = [(self._value(query, dim=dim), text) for query, text in INVARIANTS]
        return [text.format(n=count) for count, text in counts if count]

    def removed_disagrees(self) -> bool:
        """Say whether `removed` is not the list of the images without a path."""
        return bool(self._value(f"select exists (select * from ({WRONGLY_REMOVED}))"))

    def list_removed_anew(self) -> None:
        self.db.execute("delete from removed")
        self.db.execute(f"insert into removed {WITHOUT_PATH}")

    def rows_of_unknown_clusters(self, clustering: int) -> list[int]:
        """Return the rows that a clustering has in a cluster that is not one of its own."""
        query = """
            select row from memberships
            where  clustering = :clustering
            and    cluster not in (select cluster from clusters where clustering = :clustering)"""
        return [row for (row,) in self.db.execute(query, {"clustering": clustering})]

    def forget_memberships(self, clustering: int, rows: Iterable[int]) -> None:
        values = ((clustering, row) for row in rows)
        self.db.executemany("delete from memberships where clustering = ? and row = ?", values)

    def horizon(self, clustering: int) -> int:
        """Return the first row that was added after a clustering was run."""
        return int(self._value("select horizon from clusterings where id = :id", id=clustering))

    def cluster_names(self, clustering: int) -> list[tuple[int, str | None]]:
        """Return (cluster, name) of the clusters of a clustering."""
        query = "select cluster, name from clusters join identities using (cluster) where clustering = :id"
        return self.db.execute(query, {"id": clustering}).fetchall()

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

    def path_states(self) -> Iterator[tuple[int, FileStamp]]:
        """Yield (row, the state on record) of every path."""
        for path, row, size, mtime_ns in self.db.execute("select path, row, size, mtime_ns from paths order by path"):
            yield row, FileStamp(bytes(path), size, mtime_ns)

    def rebuild_indexes(self) -> None:
        """Make SQLite's own indexes anew from the tables."""
        self.db.execute("reindex")

    def vacuum(self) -> None:
        """Write the file anew without its unused pages; what is there until then is whole at any moment."""
        self.db.execute("vacuum")

    def is_wal(self) -> bool:
        """Say whether readers do not wait for writers, for which all of them have to be on one machine."""
        return str(self._value("pragma journal_mode")) == "wal"

    def checkpoint_wal(self) -> bool:
        """Return whether every reader sees the present state, so that what was taken away before may be touched."""
        busy, _, _ = self.db.execute("pragma wal_checkpoint(truncate)").fetchone()
        return not busy

    def copy_to(self, path: Path, *, shared: bool) -> None:
        """Copy the catalog as it is at this moment, whoever writes meanwhile, and return when it is on the disk.

        shared: as for `create`. Raises OSError if the copy cannot be written.
        """
        with closing(sqlite3.connect(path)) as copy:
            try:
                self.db.backup(copy)
                copy.execute(f"pragma journal_mode = {'delete' if shared else 'wal'}")
            except sqlite3.DatabaseError as error:
                raise OSError(f"its catalog cannot be written ({error})") from error

    def _text(self, query: str) -> str | None:
        found = self._value(query)
        return None if found is None else str(found)

    def _value(self, query: str, **values: Any) -> Any:
        found = self.db.execute(query, values).fetchone()
        return None if found is None else found[0]


WITHOUT_PATH = "select row from images where not exists (select 1 from paths where paths.row = images.row)"
WRONGLY_REMOVED = f"""
    select row from (select row from removed except {WITHOUT_PATH})
    union all
    select row from ({WITHOUT_PATH} except select row from removed)"""
# Each counts what is against a rule. These are not mended: nothing says what was there.
INVARIANTS = (
    (
        """
        select count(*) from clusterings
        where  not json_valid(options) or typeof(created) <> 'text' or typeof(centroids) <> 'blob'
        or     typeof(k) <> 'integer' or typeof(objective) not in ('real', 'integer')""",
        "{n} clusterings have a field of a wrong type",
    ),
    ("select count(*) <> 1 from store", "the record of the store itself is missing"),
    ("select coalesce(max(row) + 1, 0) - count(*) from images", "{n} rows are missing among the images"),
    (
        """
        select count(*) from images
        where  typeof(sha256) <> 'blob' or typeof(width) <> 'integer' or typeof(height) <> 'integer'
        or     typeof(added) <> 'text' or typeof(checksum) not in ('integer', 'null') or row < 0""",
        "{n} images have a field of a wrong type",
    ),
    (
        """
        select count(*) from paths
        where  typeof(path) <> 'blob' or typeof(size) <> 'integer' or typeof(mtime_ns) <> 'integer'
        or     typeof(since) <> 'integer'""",
        "{n} paths have a field of a wrong type",
    ),
    (
        "select count(*) from paths join images using (row) where length(sha256) <> 32",
        "{n} paths lead to rows whose image was compacted",
    ),
    (
        """
        select count(*) from memberships
        where  typeof(cluster) <> 'integer' or typeof(distance) <> 'real' or typeof(row) <> 'integer'""",
        "{n} memberships have a field of a wrong type",
    ),
    (
        """
        select count(*) from clusterings
        where  length(centroids) <> k * :dim * 4
        or     k <> (select count(*) from clusters where clustering = id)
        or     k <> (
            select count(distinct position) from clusters
            where  clustering = id and position between 0 and k - 1
        )""",
        "{n} clusterings do not have as many clusters and centroids as they say",
    ),
)

# `undo`, a statement a step. What is there now is kept as what the next turn puts back.
UNDO = (
    """
    insert or ignore into changes (operation, path)
    select :id, path from paths where since = :id""",
    "drop table if exists temp.turned",
    """
    create temp table turned as
    select changes.path, paths.row, paths.size, paths.mtime_ns, paths.since
    from   changes left join paths using (path) where operation = :id""",
)
COUNT_TURNED = """
    select count(*) filter (where changes.row is null and turned.row is not null),
           count(*) filter (where changes.row is not null and images.checksum is not null),
           count(*) filter (where changes.row is not null and images.checksum is null)
    from   changes join turned using (path) left join images on images.row = changes.row
    where  operation = :id"""
PUT_BACK = (
    "delete from paths where path in (select path from changes where operation = :id and row is null)",
    """
    insert into paths
    select path, changes.row, size, mtime_ns, since from changes join images using (row)
    where  operation = :id and checksum is not null
    on conflict (path) do update set
        since = excluded.since, row = excluded.row, size = excluded.size, mtime_ns = excluded.mtime_ns""",
    "delete from changes where operation = :id",
    "insert into changes select :id, * from turned",
    "drop table turned",
)
UNDO_CURRENT = (
    "create temp table turned as select clustering from store",
    "update store set clustering = (select clustering from operations where id = :id)",
    "update operations set clustering = (select clustering from turned) where id = :id",
    "drop table turned",
)
# What operations of these kinds replace beside paths; each swaps what is there with what is kept.
UNDO_CLUSTERS = {
    "cluster": UNDO_CURRENT,
    "import": UNDO_CURRENT,
    "name": (
        """
        create temp table turned as
        select identities.name from identities join operations using (cluster) where id = :id""",
        """
        update identities set name = (select name from operations where id = :id)
        where  cluster = (select cluster from operations where id = :id)""",
        "update operations set name = (select name from turned) where id = :id",
        "drop table turned",
    ),
}


def _below(root: bytes) -> dict[str, bytes]:
    """Return the bounds of the paths below a root."""
    below = root.rstrip(b"/") + b"/"
    # "/" + 1: the least string that is greater than everything that starts with `below`.
    return {"below": below, "beyond": below[:-1] + b"0"}


def now() -> str:
    """Return the moment as it is recorded, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
