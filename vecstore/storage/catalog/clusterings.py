"""The clusterings: runs of k-means, their centroids, and the clusters with their ids and names."""

import json
import zlib
from dataclasses import dataclass, replace
from typing import Any

from vecstore.arguments import whole_number
from vecstore.defaults import NOISE
from vecstore.errors import BadInput, NotFound, StoreDamaged
from vecstore.results import Clustering
from vecstore.storage.catalog.connection import Database, Queries
from vecstore.storage.catalog.near_names import near_names
from vecstore.storage.catalog.sql import CURRENT
from vecstore.storage.catalog.undo import Operations


@dataclass(frozen=True)
class ClusterSize:
    """What the living members of one cluster come to. size: how many. squared: their mean squared distance.

    then, since: the mean distance of those that were clustered, and of those added since; None where there are none.
    suggested: what it could be called, while it has no name. noise: it stands for the images in no cluster. kept: what
    part of the images that it was named for it had when the clustering was made; None where it has them all, or its
    name was given or confirmed since.
    """

    cluster: int
    name: str | None
    size: int
    squared: float | None
    then: float | None
    since: float | None
    suggested: str | None
    noise: bool
    kept: float | None


class Clusterings(Queries):
    """The clusterings that were made, and which one is current."""

    def __init__(self, database: Database, operations: Operations) -> None:
        super().__init__(database)
        self._operations = operations

    def insert(
        self, run: Clustering, options: dict[str, Any], horizon: int, centroids: bytes, cluster_ids: list[int]
    ) -> None:
        """Record a clustering; cluster_ids[i] is the id of the cluster whose centroid is at position i."""
        options = {**options, "method": run.method, "noise": run.noise, "bound": run.bound}
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
        if run.noise is not None:
            self._name_noise(run.noise, run.clustering)

    def _name_noise(self, noise: int, clustering: int) -> None:
        """Call the noise of a clustering noise, unless it has a name or another cluster is called so."""
        names = {name for cluster, name in self.cluster_names(clustering) if cluster != noise}
        if NOISE not in names:
            values = {"name": NOISE, "id": noise}
            self.db.execute("update identities set name = coalesce(name, :name) where cluster = :id", values)

    def noise_id(self) -> int:
        """Return the id that stands for noise in every clustering; the next one where none has had noise."""
        found = self._value("select max(json_extract(options, '$.noise')) from clusterings")
        return self.next_cluster_id() if found is None else int(found)

    def noise_of(self, clustering: int) -> tuple[int | None, float | None]:
        """Return which cluster of a clustering is its noise, and from which distance to every centroid images are."""
        options = self.options(clustering)
        return options.get("noise"), options.get("bound")

    def next_id(self) -> int:
        return int(self._value("select coalesce(max(id), 0) + 1 from clusterings"))

    def next_cluster_id(self) -> int:
        """Return the first cluster id that was never given."""
        return int(self._value("select coalesce(max(cluster), -1) + 1 from identities"))

    def current(self) -> int | None:
        found = self._value(f"select {CURRENT}")
        return None if found is None else int(found)

    def make_current(self, clustering: int | None) -> None:
        """Let this clustering answer from now on; None: none does."""
        if self.current() == clustering:
            return
        self._operations.begin()
        self.db.execute("update store set clustering = :id", {"id": clustering})

    def all(self) -> list[Clustering]:
        """Return all k-means runs, oldest first."""
        fields = (
            *("rows", "objective", "seconds", "device", "restarts", "trained_on", "previous"),
            *("split", "merged", "gone", "moved", "created"),
        )
        query = f"select id, id is {CURRENT}, options, k, kept, born, {', '.join(fields)} from clusterings order by id"
        return [
            Clustering(
                clustering=number,
                current=bool(now),
                k_reason=(told := json.loads(asked)).get("k_reason"),
                k=k,
                kept=kept,
                born=born,
                empty=k - kept - born,
                **dict(zip(fields, values, strict=True)),
                method=told.get("method", "kmeans"),
                noise=told.get("noise"),
                bound=told.get("bound"),
            )
            for number, now, asked, k, kept, born, *values in self.db.execute(query).fetchall()
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
        """Record that a clustering cannot be used again, because its centroids are damaged."""
        self.db.execute("update clusterings set checksum = null where id = :id", {"id": clustering})

    def usable(self) -> list[int]:
        """Return the clusterings that can be used again unless their centroids are damaged, oldest first."""
        query = "select id from clusterings where checksum is not null order by id"
        return [number for (number,) in self.db.execute(query)]

    def cluster_count(self) -> int | None:
        found = self._value(f"select k from clusterings where id = {CURRENT}")
        return None if found is None else int(found)

    def name_cluster(self, cluster: int, name: str | None) -> None:
        """Give a cluster its name, in all clusterings that have it; None takes it away.

        It is the name of the images that the cluster has in the current clustering, and no longer doubtful.
        """
        named_in = self.current() if name is not None else None
        before = self.db.execute("select name, named_in from identities where cluster = ?", (cluster,)).fetchone()
        if before == (name, named_in):
            return
        values = {"name": name, "named_in": named_in, "id": cluster, "operation": self._operations.begin()}
        self.db.execute(
            """
            update operations
            set    cluster = :id, (name, named_in) = (select name, named_in from identities where cluster = :id)
            where  id = :operation""",
            values,
        )
        self.db.execute("update identities set name = :name, named_in = :named_in where cluster = :id", values)

    def suggest_names(self, clustering: int, names: dict[int, str]) -> None:
        """Record what clusters and nodes of a clustering could be called, in place of what was suggested before."""
        query = """
            select cluster from clusters where clustering = :id
            union select cluster from tree_nodes where clustering = :id"""
        values = [(names.get(cluster), cluster) for (cluster,) in self.db.execute(query, {"id": clustering})]
        self.db.executemany("update identities set suggested = ? where cluster = ?", values)

    def named(self, clustering: int) -> list[tuple[int, str, int | None]]:
        """Return (cluster, name, clustering that it was named in) of the clusters and nodes of one that have a name."""
        query = """
            select cluster, name, named_in from identities
            where  name is not null and (
                cluster in (select cluster from clusters where clustering = :id)
                or cluster in (select cluster from tree_nodes where clustering = :id)
            )
            order by cluster"""
        return self.db.execute(query, {"id": clustering}).fetchall()

    def record_kept(self, clustering: int, kept: dict[int, float]) -> None:
        """Record what part of the images that they were named for clusters have."""
        values = ((clustering, cluster, part) for cluster, part in kept.items())
        self.db.executemany("insert or replace into kept_names values (?, ?, ?)", values)

    def carry_kept(self, clustering: int, kept: dict[int, float]) -> None:
        """Record the same of names that come from another store, where they were given before such a clustering."""
        self.record_kept(clustering, kept)
        self.db.executemany("update identities set named_in = null where cluster = ?", ((c,) for c in kept))

    def kept(self, clustering: int) -> list[tuple[int, str, float]]:
        """Return (cluster, name, part that it kept) of named clusters, but those named or confirmed since."""
        query = """
            select cluster, name, kept from kept_names join identities using (cluster)
            where  clustering = :id and name is not null and coalesce(named_in, 0) < clustering
            order by cluster"""
        return self.db.execute(query, {"id": clustering}).fetchall()

    def cluster_named(self, name: str, clustering: int) -> int | None:
        """Return the cluster of a clustering, or the node of its tree, that has this name."""
        query = """
            select cluster from identities
            where  name = :name and (
                cluster in (select cluster from clusters where clustering = :clustering)
                or cluster in (select cluster from tree_nodes where clustering = :clustering)
            )"""
        found = self._value(query, name=name, clustering=clustering)
        return None if found is None else int(found)

    def cluster_sizes(self, clustering: int, cluster: int | None = None) -> list[ClusterSize]:
        """Return what the living members of each cluster, or of one, come to, the largest first and noise last."""
        query = """
            select   clusters.cluster, identities.name, count(memberships.row),
                     avg(distance * distance),
                     avg(case when memberships.row < horizon then distance end),
                     avg(case when memberships.row >= horizon then distance end),
                     case when identities.name is null then identities.suggested end,
                     clusters.cluster is :noise as noise,
                     (
                         select kept from kept_names
                         where  kept_names.clustering = clusters.clustering and kept_names.cluster = clusters.cluster
                         and    identities.name is not null
                         and    coalesce(identities.named_in, 0) < kept_names.clustering
                     )
            from     clusters
            join     identities using (cluster)
            join     clusterings on clusterings.id = clusters.clustering
            left     join memberships on  memberships.clustering = clusters.clustering
                                      and memberships.cluster = clusters.cluster
                                      and memberships.row not in (select row from removed)
            where    clusters.clustering = :clustering
            and      (:cluster is null or clusters.cluster = :cluster)
            group by clusters.cluster
            order by noise, count(memberships.row) desc, clusters.cluster"""
        values = {"clustering": clustering, "cluster": cluster, "noise": self.noise_of(clustering)[0]}
        found = (ClusterSize(*size) for size in self.db.execute(query, values))
        return [replace(size, noise=bool(size.noise)) for size in found]

    def with_images(self, clustering: int) -> list[int]:
        """Return the clusters of a clustering that have a living member."""
        query = """
            select cluster from clusters
            where  clustering = :clustering and exists (
                select 1 from memberships
                where  memberships.clustering = clusters.clustering and memberships.cluster = clusters.cluster
                and    row not in (select row from removed)
            )"""
        return [cluster for (cluster,) in self.db.execute(query, {"clustering": clustering})]

    def require_cluster(self, clustering: int, cluster: int | str) -> int:
        """Return the id of a cluster of a clustering, given by its id or its name; an id wins.

        Raises NotFound, with what there is, unless the clustering has it; BadInput if the text may be several names.
        """
        number = cluster if isinstance(cluster, int) else whole_number(cluster.strip())
        # An id from outside can be more than SQLite's integers hold.
        query = "select exists (select 1 from clusters where clustering = :clustering and cluster = :cluster)"
        if number is not None and 0 <= number < 1 << 63 and self._value(query, clustering=clustering, cluster=number):
            return number
        named = {found: name for found, name in self.cluster_names(clustering) if name is not None}
        if isinstance(cluster, str) and (found := _called(cluster.strip(), named)) is not None:
            return found
        if (node := self._node(clustering, cluster)) is not None:
            raise NotFound(
                f"{cluster} is above clusters in the tree; give a cluster below it, down which "
                f"`vecstore clusters --below {node}` leads"
            )
        if number is None and named:
            raise NotFound(f"no cluster is called {cluster!r}; {near_names(str(cluster), sorted(named.values()))}")
        ids = [size.cluster for size in self.cluster_sizes(clustering)]
        shown = ", ".join(str(c) for c in sorted(ids)[:20]) + (", ..." if len(ids) > 20 else "")
        called = cluster if number is not None else repr(cluster)
        raise NotFound(f"no cluster {called} in the current clustering; there are {shown}")

    def require_node(self, clustering: int, cluster: int | str) -> int:
        """Return the id of a cluster, or of a node above clusters, by its id or its name.

        Raises as `require_cluster` does.
        """
        node = self._node(clustering, cluster)
        return self.require_cluster(clustering, cluster) if node is None else node

    def _node(self, clustering: int, cluster: int | str) -> int | None:
        """Return the id of a node of a tree by its id or its name, None for no such node."""
        nodes = dict(
            self.db.execute(
                "select cluster, name from tree_nodes join identities using (cluster) where clustering = :id",
                {"id": clustering},
            ).fetchall()
        )
        number = cluster if isinstance(cluster, int) else whole_number(cluster.strip())
        if number is not None and number in nodes:
            return number
        named = {node: name for node, name in nodes.items() if name is not None}
        return _called(cluster.strip(), named) if isinstance(cluster, str) else None

    def options(self, clustering: int) -> dict[str, Any]:
        """Return the options that a clustering was made with."""
        found: dict[str, Any] = json.loads(self._value("select options from clusterings where id = :id", id=clustering))
        return found

    def horizon(self, clustering: int) -> int:
        """Return the first row that was added after a clustering was run."""
        return int(self._value("select horizon from clusterings where id = :id", id=clustering))

    def cluster_names(self, clustering: int) -> list[tuple[int, str | None]]:
        """Return (cluster, name) of the clusters of a clustering."""
        query = "select cluster, name from clusters join identities using (cluster) where clustering = :id"
        return self.db.execute(query, {"id": clustering}).fetchall()


def _called(text: str, named: dict[int, str]) -> int | None:
    """Return the cluster of this name; where none is called so, the one whose name differs by upper and lower case."""
    exact = [cluster for cluster, name in named.items() if name == text]
    alike = exact or [cluster for cluster, name in named.items() if name.casefold() == text.casefold()]
    if len(alike) > 1:
        candidates = ", ".join(f"{cluster} ({named[cluster]!r})" for cluster in sorted(alike))
        raise BadInput(f"{text!r} may be any of the clusters {candidates}; give its id")
    return alike[0] if alike else None
