"""The trees of clusters: which node is below which, and in what order leaves join."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from vecstore.errors import NotFound, StoreDamaged
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


@dataclass(frozen=True)
class NodeRecord:
    """A node as it is recorded. typical: the leaf that stands for it. kept: as in `ClusterSize`."""

    cluster: int
    level: int
    parent: int | None
    typical: int
    name: str | None
    suggested: str | None
    kept: float | None


class Trees(Queries):
    """The nodes of the clusterings that are trees."""

    def insert(self, clustering: int, nodes: Iterable[tuple[int, int, int | None, int]], mergers: bytes) -> None:
        """Record (cluster, level, parent, typical leaf) of all nodes, and the mergers of the leaves."""
        found = list(nodes)
        born = ((cluster, clustering) for cluster, *_ in found)
        self.db.executemany("insert or ignore into identities (cluster, born) values (?, ?)", born)
        self.db.executemany("insert into tree_nodes values (?, ?, ?, ?, ?)", ((clustering, *node) for node in found))
        self.db.execute("insert into tree_mergers values (?, ?, ?)", (clustering, mergers, zlib.crc32(mergers)))

    def depth(self, clustering: int) -> int:
        """Return how many levels a clustering has; 0 if it is no tree."""
        query = "select coalesce(max(level), 0) from tree_nodes where clustering = :id"
        return int(self._value(query, id=clustering))

    def nodes(self, clustering: int) -> list[NodeRecord]:
        """Return all nodes, by level and id."""
        query = """
            select cluster, level, parent, typical, name, case when name is null then suggested end,
                   case when name is not null and coalesce(named_in, 0) < clustering then (
                       select kept from kept_names
                       where  kept_names.clustering = :id and kept_names.cluster = tree_nodes.cluster
                   ) end
            from   tree_nodes join identities using (cluster)
            where  clustering = :id
            order by level, cluster"""
        return [NodeRecord(*found) for found in self.db.execute(query, {"id": clustering})]

    def parents(self, clustering: int) -> dict[int, int | None]:
        """Return the parent of each node."""
        query = "select cluster, parent from tree_nodes where clustering = :id"
        return dict(self.db.execute(query, {"id": clustering}).fetchall())

    def mergers(self, clustering: int) -> bytes:
        """Return the mergers of the leaves of a tree. Raises NotFound for no tree, StoreDamaged by the checksum."""
        query = "select mergers, checksum from tree_mergers where clustering = :id"
        found = self.db.execute(query, {"id": clustering}).fetchone()
        if found is None:
            raise NotFound("the current clustering is not a tree; make one with `vecstore cluster --tree 20,400`")
        if zlib.crc32(found[0]) != found[1]:
            raise StoreDamaged(
                f"the tree of clustering {clustering} is damaged; `vecstore cluster --tree` makes it again"
            )
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
        """Return how many living images each cluster has that has any."""
        query = """
            select cluster, count(*) from memberships
            where  clustering = :id and row not in (select row from removed) group by cluster"""
        return dict(self.db.execute(query, {"id": clustering}).fetchall())

    def most_typical(self, clustering: int, cluster: int) -> tuple[int, bytes] | None:
        """Return (row, path) of the living image of a cluster that is nearest to its centroid."""
        query = f"""
            select row, {FIRST_PATH.format(row="memberships.row")} from memberships
            where  clustering = :clustering and cluster = :cluster and row not in (select row from removed)
            order by distance, row limit 1"""
        found = self.db.execute(query, {"clustering": clustering, "cluster": cluster}).fetchone()
        return (int(found[0]), bytes(found[1])) if found else None
