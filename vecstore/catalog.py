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
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecstore.errors import NotFound, StoreDamaged, VecstoreError
from vecstore.paths import is_archive_name
from vecstore.results import Clustering, Failure


@dataclass(frozen=True)
class FileStamp:
    """What tells a file's state without reading it. path: as the file system spells it (`os.fsencode`), absolute.

    A member of an archive has the archive's size and time.
    """

    path: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class NewImage:
    """An image to be numbered. sha256: of the file's bytes. width, height: as shown, orientation applied."""

    sha256: bytes
    width: int
    height: int


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


MIGRATIONS = (
    m001_the_store,
    m002_index_settings,
    m003_removed_images,
    m004_clusters_live_on,
)  # append only; a store's position in it is `pragma user_version`

# The path shown for an image that has several: the first in byte order, so that it is the same every time.
FIRST_PATH = "(select min(paths.path) from paths where paths.row = {row})"
ALIVE = "exists (select 1 from paths where paths.row = {row})"
CURRENT = "(select clustering from store where id = 1)"


def holds_store(path: Path) -> bool:
    """Say whether `path` is the catalog of a store whose creation was completed.

    Raises StoreDamaged if it is no catalog, VecstoreError if it cannot be opened.
    """
    if not path.is_file():
        return False
    try:
        with closing(_connect(path)) as db:
            return int(db.execute("pragma user_version").fetchone()[0]) > 0
    except sqlite3.OperationalError as error:
        raise VecstoreError(f"{path} cannot be opened ({error}); check who may read it, and its folder") from error
    except sqlite3.DatabaseError as error:
        raise StoreDamaged(f"{path} is not a readable catalog ({error}); restore the store from a backup") from error


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database; one that may not be written to for reading alone."""
    # Transactions are begun by hand: sqlite3's own would leave schema changes outside of them.
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return sqlite3.connect(path, isolation_level=None, timeout=30)
    # Reading in WAL mode writes to the -shm file. Where nothing waits in the -wal, the file can be read as it lies.
    log = Path(f"{path}-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=30)


class Catalog:
    """An open catalog. Reads see one moment inside `reading()`; writes happen inside `writing()` or not at all."""

    def __init__(self, path: Path) -> None:
        """Open the catalog of an existing store; `create` makes one. Raises StoreDamaged on a newer format."""
        self.path = path
        self.db = _connect(path)
        self.db.execute("pragma foreign_keys = on")
        # FULL: a commit that was reported is on the disk, also after a power cut.
        self.db.execute("pragma synchronous = full")
        version = self._version()
        if version > len(MIGRATIONS):
            self.close()
            raise StoreDamaged(
                f"{path} is of store format {version}; this vecstore knows formats up to {len(MIGRATIONS)}: "
                "upgrade vecstore to use this store"
            )

    @classmethod
    def create(cls, path: Path, embedder: str) -> "Catalog":
        """Make the catalog of a new store; `embedder` is the recorded description of what makes its vectors."""
        with closing(sqlite3.connect(path)) as db:
            db.execute("pragma journal_mode = wal")  # kept in the file; outside any transaction
        catalog = cls(path)
        with catalog.writing() as db:
            catalog._apply_migrations()
            db.execute(
                "insert into store (id, created, embedder) values (1, :now, :embedder)",
                {"now": _now(), "embedder": embedder},
            )
        return catalog

    def is_older(self) -> bool:
        """Say whether the store is of an older format than this program's."""
        return self._version() < len(MIGRATIONS)

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

    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        if self.db.in_transaction:
            yield self.db
            return
        try:
            self.db.execute(begin)
            yield self.db
            self.db.execute("commit")
        except BaseException as error:  # Ctrl-C too: a half-done transaction must not stay open
            self.abandon()
            if isinstance(error, sqlite3.OperationalError):  # a full disk, one that fails, a lock held too long
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

    def removed_rows(self) -> list[int]:
        """Return the rows of the images that have no path, ascending: few, and the others are not read."""
        return [row for (row,) in self.db.execute("select row from removed order by row")]

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

    def first_path(self, row: int) -> bytes | None:
        """Return the path shown for an image, None if the image is removed."""
        found = self._value(f"select {FIRST_PATH.format(row=':row')}", row=row)
        return None if found is None else bytes(found)

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
        values = {"row": row, "sha256": image.sha256, "width": image.width, "height": image.height, "now": _now()}
        self.db.execute("insert into images values (:row, :sha256, :width, :height, :now)", values)

    def place(self, stamp: FileStamp, row: int) -> None:
        """Record that the file in this state holds the image; a failure or another image at that path is replaced."""
        values = {"path": stamp.path, "row": row, "size": stamp.size, "mtime_ns": stamp.mtime_ns}
        # Not `insert or replace`: what that replaces goes without the triggers that `removed` is kept by.
        self.db.execute(
            """
            insert into paths values (:path, :row, :size, :mtime_ns)
            on conflict (path) do update set row = :row, size = :size, mtime_ns = :mtime_ns""",
            values,
        )
        self.forget_failure(stamp.path)

    def forget_path(self, path: bytes) -> bool:
        """Forget where an image was seen, or that a file failed; return whether it was an image's path."""
        self.forget_failure(path)
        return self.db.execute("delete from paths where path = :path", {"path": path}).rowcount > 0

    def forget_paths_of(self, row: int) -> int:
        """Forget all paths of an image; return how many it had."""
        return self.db.execute("delete from paths where row = :row", {"row": row}).rowcount

    # Failures

    def record_failure(self, stamp: FileStamp, reason: str) -> None:
        values = {"path": stamp.path, "size": stamp.size, "mtime_ns": stamp.mtime_ns, "reason": reason, "now": _now()}
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
                :options, :horizon, :centroids, :previous, :kept, :split, :merged, :born, :gone, :moved
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
            },
        )
        identities = ((cluster, run.clustering) for cluster in cluster_ids)
        self.db.executemany("insert or ignore into identities (cluster, born) values (?, ?)", identities)
        clusters = ((run.clustering, cluster, position) for position, cluster in enumerate(cluster_ids))
        self.db.executemany("insert into clusters values (?, ?, ?)", clusters)

    def insert_memberships(self, clustering: int, memberships: Iterable[tuple[int, int, float]]) -> None:
        """Record (row, cluster, distance) of a clustering."""
        values = ((clustering, row, cluster, distance) for row, cluster, distance in memberships)
        self.db.executemany("insert or replace into memberships values (?, ?, ?, ?)", values)

    def next_clustering(self) -> int:
        return int(self._value("select coalesce(max(id), 0) + 1 from clusterings"))

    def next_cluster(self) -> int:
        """Return the first cluster id that was never given."""
        return int(self._value("select coalesce(max(cluster), -1) + 1 from identities"))

    def current_clustering(self) -> int | None:
        found = self._value(f"select {CURRENT}")
        return None if found is None else int(found)

    def make_current(self, clustering: int) -> None:
        """Let this clustering answer from now on."""
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
        """Return the centroids' bytes, and the cluster id of each position."""
        centroids = self._value("select centroids from clusterings where id = :id", id=clustering)
        query = "select cluster from clusters where clustering = :id order by position"
        return bytes(centroids), [cluster for (cluster,) in self.db.execute(query, {"id": clustering})]

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
        self.db.execute("update identities set name = :name where cluster = :id", {"name": name, "id": cluster})

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
        self, clustering: int, cluster: int, limit: int = -1, farthest: bool = False
    ) -> list[tuple[int, bytes, float]]:
        """Return (row, path, distance) of a cluster's living members, the nearest to the centroid first.

        farthest: the other way round.
        """
        query = f"""
            select   row, {FIRST_PATH.format(row="memberships.row")} as path, distance
            from     memberships
            where    clustering = :clustering and cluster = :cluster and {ALIVE.format(row="memberships.row")}
            order by distance {"desc" if farthest else "asc"}, row
            limit    :limit"""
        values = {"clustering": clustering, "cluster": cluster, "limit": limit}
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
        query = f"""
            select   row, cluster, distance
            from     memberships
            where    clustering = :clustering and {ALIVE.format(row="memberships.row")}
            order by row"""
        yield from self.db.execute(query, {"clustering": clustering})

    def rows_without_cluster(self, clustering: int) -> list[int]:
        """Return the living images that a clustering has no label for, ascending."""
        query = """
            select   distinct row from paths
            where    not exists (select 1 from memberships where clustering = :clustering and row = paths.row)
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

    def _value(self, query: str, **values: Any) -> Any:
        found = self.db.execute(query, values).fetchone()
        return None if found is None else found[0]


def _below(root: bytes) -> dict[str, bytes]:
    """Return the bounds of the paths below a root."""
    below = root.rstrip(b"/") + b"/"
    # "/" + 1: the least string that is greater than everything that starts with `below`.
    return {"below": below, "beyond": below[:-1] + b"0"}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
