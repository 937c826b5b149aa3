"""Whether the catalog is whole: SQLite's own checks, and what every version of this program keeps true."""

from vecstore.storage.catalog.connection import Queries


class Integrity(Queries):
    """What is wrong with the catalog itself."""

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

    def rebuild_removed(self) -> None:
        self.db.execute("delete from removed")
        self.db.execute(f"insert into removed {WITHOUT_PATH}")

    def cluster_sizes_disagree(self) -> bool:
        """Say whether `cluster_sizes` is not how many images are in each cluster."""
        return bool(self._value(f"select exists (select * from ({WRONGLY_COUNTED}))"))

    def rebuild_cluster_sizes(self) -> None:
        self.db.execute("delete from cluster_sizes")
        self.db.execute(f"insert into cluster_sizes {CLUSTER_SIZES}")

    def rebuild_indexes(self) -> None:
        """Rebuild SQLite's own indexes from the tables."""
        self.db.execute("reindex")


WITHOUT_PATH = "select row from images where not exists (select 1 from paths where paths.row = images.row)"


WRONGLY_REMOVED = f"""
    select row from (select row from removed except {WITHOUT_PATH})
    union all
    select row from ({WITHOUT_PATH} except select row from removed)"""


CLUSTER_SIZES = "select clustering, cluster, count(*) from memberships group by clustering, cluster"
RECORDED_SIZES = "select clustering, cluster, images from cluster_sizes"


WRONGLY_COUNTED = f"""
    select clustering from ({RECORDED_SIZES} except {CLUSTER_SIZES})
    union all
    select clustering from ({CLUSTER_SIZES} except {RECORDED_SIZES})"""


# Each counts violations of a rule. These cannot be repaired, because the original values are unknown.
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
        select count(*) from decisions
        where  length(one) <> 32 or length(other) <> 32 or one > other or typeof(decided) <> 'text'
        or     verdict not in ('different', 'both', 'keep') or (verdict = 'keep') <> (kept in (one, other))""",
        "{n} decisions have a field of a wrong type",
    ),
    (
        """
        select count(*) from acts
        where  length(sha256) <> 32 or typeof(path) <> 'blob' or typeof(mode) <> 'integer'
        or     state not in ('started', 'done', 'undoing', 'undone', 'redoing', 'lost')
        or     act not in ('trash', 'move', 'hardlink', 'symlink', 'delete', 'copy', 'link', 'folder')""",
        "{n} acts have a field of a wrong type",
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
        where  length(centroids) <> (k + (json_extract(options, '$.noise') is not null)) * :dim * 4
        or     k + (json_extract(options, '$.noise') is not null) <> (
            select count(*) from clusters where clustering = id
        )
        or     k + (json_extract(options, '$.noise') is not null) <> (
            select count(distinct position) from clusters
            where  clustering = id
            and    position between 0 and k + (json_extract(options, '$.noise') is not null) - 1
        )""",
        "{n} clusterings do not have as many clusters and centroids as they say",
    ),
)
