"""Names in an export file, shared by the modules that write and read it."""

PARQUET = (".parquet", ".pq")
# Keys of a Parquet file's metadata: the embedder and the clustering, each as JSON; that tags are recorded; and that it
# has columns of facts.
EMBEDDER, CLUSTERING, TAGS = b"vecstore.embedder", b"vecstore.clustering", b"vecstore.tags"
FACTS = b"vecstore.facts"
# The column of an image's tags, bytes as the catalog has them; only where tags are recorded.
TAGS_COLUMN = "tags"
# JSON: a list of what was decided of pairs of contents, as `PairDecision` with bytes in hexadecimal.
DECISIONS = b"vecstore.decisions"
# The names of all selections, as JSON, and the column of those that an image is in; only where there are selections.
SELECTIONS, SELECTIONS_COLUMN = b"vecstore.selections", "selections"
# The column of whether an image is pinned to its cluster; only where there are pinned images.
PINNED_COLUMN = "pinned"
# The columns of facts, fields of `results.Facts`, by the kind of their values. Width and height are columns of before.
FACT_TEXTS = ("taken", "maker", "camera", "lens", "format", "caption")
FACT_INTEGERS = ("orientation", "bytes", "rating")
FACT_REALS = (*("latitude", "longitude", "brightness", "contrast", "shadows", "highlights", "sharpness", "entropy"),)
FACT_LISTS = ("keywords",)
FACT_COLUMNS = (*FACT_TEXTS, *FACT_INTEGERS, *FACT_REALS, *FACT_LISTS)
