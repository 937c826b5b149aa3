"""The memberships: which image is in which cluster of a clustering, and how far from its centroid."""

import json
from collections.abc import Iterable, Iterator

from vecstore.storage.catalog.connection import Database, Queries
from vecstore.storage.catalog.sql import CURRENT, FIRST_PATH
from vecstore.storage.catalog.undo import Operations


class Memberships(Queries):
    """Which image is in which cluster."""

    def __init__(self, database: Database, operations: Operations) -> None:
        super().__init__(database)
        self._operations = operations

    def insert(self, clustering: int, memberships: Iterable[tuple[int, int, float]]) -> None:
        """Record (row, cluster, distance) of a clustering."""
        values = ((clustering, row, cluster, distance) for row, cluster, distance in memberships)
        # `insert or replace` would look for what to delete before each row: a quarter more time.
        self.db.executemany(
            """
            insert into memberships (clustering, row, cluster, distance)
            values      (?, ?, ?, ?)
            on conflict (clustering, row) do update
            set         cluster = excluded.cluster, distance = excluded.distance""",
            values,
        )

    def cluster_of(self, row: int) -> tuple[int, float] | None:
        """Return an image's cluster in the current clustering, and its distance to the centroid."""
        query = f"select cluster, distance from memberships where clustering = {CURRENT} and row = :row"
        found = self.db.execute(query, {"row": row}).fetchone()
        return (int(found[0]), float(found[1])) if found else None

    def clusters_of(self, rows: Iterable[int]) -> dict[int, int]:
        """Return the clusters of the rows in the current clustering, of those that have one."""
        query = f"select row, cluster from memberships where clustering = {CURRENT} and row in ({{keys}})"
        return dict(self._of_keys(query, rows))

    def members(
        self,
        clustering: int,
        *clusters: int,
        limit: int = -1,
        farthest: bool = False,
        start: int = 0,
    ) -> list[tuple[int, bytes, float]]:
        """Return (row, path, distance) of some clusters' living members, the nearest to their centroid first.

        farthest: the other way round. start: how many of them to pass over.
        """
        # Of a single cluster the index has them in this order.
        held = "cluster = :first" if len(clusters) == 1 else "cluster in (select value from json_each(:clusters))"
        query = f"""
            select   row, {FIRST_PATH.format(row="memberships.row")} as path, distance
            from     memberships
            where    clustering = :clustering and {held} and row not in (select row from removed)
            order by distance {"desc" if farthest else "asc"}, row
            limit    :limit offset :start"""
        first = clusters[0] if clusters else None
        values = {"clustering": clustering, "first": first, "clusters": json.dumps(clusters)}
        values |= {"limit": limit, "start": start}
        return [(int(row), bytes(path), float(d)) for row, path, d in self.db.execute(query, values)]

    def member_rows(self, clustering: int, cluster: int) -> list[int]:
        query = "select row from memberships where clustering = :clustering and cluster = :cluster"
        return [row for (row,) in self.db.execute(query, {"clustering": clustering, "cluster": cluster})]

    def rows_by_distance(self, clustering: int, cluster: int | None = None, *, farthest: bool = False) -> list[int]:
        """Return the rows that have a label, the nearest to their centroid first. cluster: only its members.

        farthest: the other way round.
        """
        query = f"""
            select   row from memberships
            where    clustering = :clustering {"" if cluster is None else "and cluster = :cluster"}
            order by distance {"desc" if farthest else "asc"}, row"""
        values = {"clustering": clustering} | ({} if cluster is None else {"cluster": cluster})
        return [row for (row,) in self.db.execute(query, values)]

    def labels(self, clustering: int) -> list[tuple[int, int]]:
        """Return (row, cluster) of every label of a clustering."""
        return self.db.execute(
            "select row, cluster from memberships where clustering = :clustering", {"clustering": clustering}
        ).fetchall()

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

    def all(self, clustering: int) -> Iterator[tuple[int, int, float]]:
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
        query = """
            select avg(case when row < horizon then distance end), avg(case when row >= horizon then distance end)
            from   memberships
            join   clusterings on clusterings.id = memberships.clustering
            where  clustering = :clustering and row not in (select row from removed)"""
        then, since = self.db.execute(query, {"clustering": clustering}).fetchone()
        return then, since

    def change(self, clustering: int, memberships: Iterable[tuple[int, int, float, bool]]) -> None:
        """Change (row, cluster, distance, pinned) of images of a clustering by hand, to be undone.

        Images that are in that cluster and pinned so already are left as they are.
        """
        remember = """
            insert or ignore into membership_changes
            select ?, clustering, row, cluster, distance, pinned from memberships where clustering = ? and row = ?"""
        change = "update memberships set cluster = ?, distance = ?, pinned = ? where clustering = ? and row = ?"
        held = "select cluster, pinned from memberships where clustering = ? and row = ?"
        for row, cluster, distance, pinned in memberships:
            if self.db.execute(held, (clustering, row)).fetchone() == (cluster, pinned):
                continue
            self.db.execute(remember, (self._operations.begin(), clustering, row))
            self.db.execute(change, (cluster, distance, pinned, clustering, row))

    def pin(self, clustering: int, rows: Iterable[int]) -> None:
        """Pin images of a clustering that has just been made where they are."""
        values = ((clustering, row) for row in rows)
        self.db.executemany("update memberships set pinned = 1 where clustering = ? and row = ?", values)

    def measure(self, clustering: int, distances: Iterable[tuple[int, float]]) -> None:
        """Record (row, distance) of images that stay in their cluster."""
        values = ((distance, clustering, row) for row, distance in distances)
        self.db.executemany("update memberships set distance = ? where clustering = ? and row = ?", values)

    def pinned(self, clustering: int) -> list[tuple[int, int]]:
        """Return (row, cluster) of the pinned images, also removed ones, ascending."""
        query = "select row, cluster from memberships where clustering = :clustering and pinned order by row"
        return self.db.execute(query, {"clustering": clustering}).fetchall()

    def pins(self, clustering: int) -> list[tuple[int, int, bytes]]:
        """Return (row, cluster, path) of the living images that are pinned, ascending."""
        query = f"""
            select   row, cluster, {FIRST_PATH.format(row="memberships.row")}
            from     memberships
            where    clustering = :clustering and pinned and row not in (select row from removed)
            order by row"""
        found = self.db.execute(query, {"clustering": clustering})
        return [(int(row), int(cluster), bytes(path)) for row, cluster, path in found]

    def forget(self, clustering: int, rows: Iterable[int]) -> None:
        values = ((clustering, row) for row in rows)
        self.db.executemany("delete from memberships where clustering = ? and row = ?", values)

    def rows_of_unknown_clusters(self, clustering: int) -> list[int]:
        """Return the rows that a clustering has in a cluster that is not one of its own."""
        query = """
            select row from memberships
            where  clustering = :clustering
            and    cluster not in (select cluster from clusters where clustering = :clustering)"""
        return [row for (row,) in self.db.execute(query, {"clustering": clustering})]

    def forget_labels(self, kept: int) -> None:
        """Forget which images are in which cluster of all but the last `kept` clusterings and the current one.

        Their centroids stay, so going back to one works it out again. Pinned images are not worked out, and stay.
        """
        query = f"""
            delete from memberships
            where  clustering not in (select id from clusterings order by id desc limit :kept)
            and    clustering is not {CURRENT} and not pinned"""
        self.db.execute(query, {"kept": kept})
