"""The trees of clusters: which node is below which, and in what order leaves join."""

import zlib
from collections.abc import Iterable
from typing import NamedTuple

from vecstore.errors import StoreDamaged
from vecstore.storage.catalog.connection import Queries
from vecstore.storage.catalog.sql import FIRST_PATH

# A node of a clustering's tree, and all nodes below it.
BELOW = """
    with recursive below (cluster) as (
        select :cluster
        union
        select tree_nodes.cluster from tree_nodes join below on tree_nodes.parent = below.cluster
        where  clustering = :clustering
    )"""

# A node that was damaged may have anything for a level; it is at none then.
LEVEL = "case when typeof(level) = 'integer' then level else 0 end"


class Node(NamedTuple):  # of which a tree has thousands, and all are read for the first look at it
    """A node of a tree. parent: None at level 1. typical: the leaf that stands for it."""

    cluster: int
    level: int
    parent: int | None
    typical: int


def damaged(clustering: int) -> StoreDamaged:
    return StoreDamaged(f"the tree of clustering {clustering} is damaged; `vecstore check --repair` mends it")


class Trees(Queries):
    """The nodes of the clusterings that are trees."""

    def insert(self, clustering: int, nodes: Iterable[Node], mergers: bytes) -> None:
        """Record all nodes, and the mergers of the leaves: pairs of int64."""
        found = [(clustering, node.cluster, node.level, node.parent, node.typical) for node in nodes]
        born = ((cluster, clustering) for _, cluster, *_ in found)
        self.db.executemany("insert or ignore into identities (cluster, born) values (?, ?)", born)
        self.db.executemany("insert into tree_nodes values (?, ?, ?, ?, ?)", found)
        self.db.execute("insert into tree_mergers values (?, ?, ?)", (clustering, mergers, zlib.crc32(mergers)))

    def forget(self, clustering: int) -> None:
        """Let a clustering be no tree."""
        for table in ("tree_nodes", "tree_mergers"):
            self.db.execute(f"delete from {table} where clustering = :id", {"id": clustering})

    def shape(self, clustering: int) -> list[Node]:
        """Return the nodes of a clustering as they are on record, by level and id."""
        query = f"""
            select cluster, {LEVEL} as level, parent, typical
            from   tree_nodes where clustering = :id order by level, cluster"""
        return [Node(*found) for found in self.db.execute(query, {"id": clustering})]

    def has_mergers(self, clustering: int) -> bool:
        return bool(self._value("select count(*) from tree_mergers where clustering = :id", id=clustering))

    def depth(self, clustering: int) -> int:
        """Return how many levels a clustering has; 0 if it is no tree."""
        query = "select coalesce(max(level), 0) from tree_nodes where clustering = :id"
        return int(self._value(query, id=clustering))

    def names(self, clustering: int, cluster: int) -> tuple[str | None, str | None, float | None]:
        """Return a node's name, what it could be called while it has none, and `kept` as in `ClusterSize`."""
        query = """
            select name, case when name is null then suggested end,
                   case when name is not null and coalesce(named_in, 0) < :id then (
                       select kept from kept_names where kept_names.clustering = :id and kept_names.cluster = :cluster
                   ) end
            from   identities where cluster = :cluster"""
        found: tuple[str | None, str | None, float | None]
        found = self.db.execute(query, {"id": clustering, "cluster": cluster}).fetchone()
        return found

    def parents(self, clustering: int) -> dict[int, int | None]:
        """Return the parent of each node."""
        query = "select cluster, parent from tree_nodes where clustering = :id"
        return dict(self.db.execute(query, {"id": clustering}).fetchall())

    def mergers(self, clustering: int) -> bytes:
        """Return the mergers of the leaves of a tree: pairs of int64. Raises StoreDamaged."""
        query = "select mergers, checksum from tree_mergers where clustering = :id"
        found = self.db.execute(query, {"id": clustering}).fetchone()
        if found is None or zlib.crc32(found[0]) != found[1]:
            raise damaged(clustering)
        return bytes(found[0])

    def rows_below(self, clustering: int, cluster: int) -> set[int]:
        """Return the living images of a cluster, or of all clusters below a node."""
        query = f"""
            {BELOW}
            select row from memberships
            where  clustering = :clustering and cluster in (select cluster from below)
            and    row not in (select row from removed)"""
        return {row for (row,) in self.db.execute(query, {"clustering": clustering, "cluster": cluster})}

    def clusters_below(self, clustering: int, cluster: int) -> list[int]:
        """Return the clusters below a node, ascending; of a cluster only itself."""
        query = f"""
            {BELOW}
            select cluster from clusters
            where  clustering = :clustering and cluster in (select cluster from below) order by cluster"""
        return [found for (found,) in self.db.execute(query, {"clustering": clustering, "cluster": cluster})]

    def sizes(self, clustering: int) -> dict[int, int]:
        """Return how many living images each cluster has that has any. Raises StoreDamaged."""
        query = """
            select cluster, case when typeof(images) = 'integer' then images else -1 end  -- damaged
            from   clusters join cluster_sizes using (clustering, cluster) where clustering = :id"""
        found = dict(self.db.execute(query, {"id": clustering}).fetchall())
        # Apart, since removed images are few, and come and go without their memberships.
        query = """
            select cluster, count(*) from removed cross join memberships using (row)
            where  clustering = :id group by cluster"""
        for cluster, gone in self.db.execute(query, {"id": clustering}):
            if cluster in found:  # of a damaged image it may be any
                found[cluster] -= gone
        if min(found.values(), default=0) < 0:
            raise damaged(clustering)
        return {cluster: size for cluster, size in found.items() if size}

    def most_typical(self, clustering: int, cluster: int) -> tuple[int, bytes] | None:
        """Return (row, path) of the living image of a cluster that is nearest to its centroid."""
        query = f"""
            select row, {FIRST_PATH.format(row="memberships.row")} from memberships
            where  clustering = :clustering and cluster = :cluster and row not in (select row from removed)
            order by distance, row limit 1"""
        found = self.db.execute(query, {"clustering": clustering, "cluster": cluster}).fetchone()
        return (int(found[0]), bytes(found[1])) if found else None
