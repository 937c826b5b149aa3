"""Names in an export file, shared by the modules that write and read it."""

PARQUET = (".parquet", ".pq")
# Keys of a Parquet file's metadata: the embedder and the clustering, each as JSON; and that tags are recorded.
EMBEDDER, CLUSTERING, TAGS = b"vecstore.embedder", b"vecstore.clustering", b"vecstore.tags"
# The column of an image's tags, bytes as the catalog has them; only where tags are recorded.
TAGS_COLUMN = "tags"
# JSON: a list of what was decided of pairs of contents, as `PairDecision` with bytes in hexadecimal.
DECISIONS = b"vecstore.decisions"
# The names of all selections, as JSON, and the column of those that an image is in; only where there are selections.
SELECTIONS, SELECTIONS_COLUMN = b"vecstore.selections", "selections"
# The column of whether an image is pinned to its cluster; only where there are pinned images.
PINNED_COLUMN = "pinned"
