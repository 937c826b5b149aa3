"""Names in an export file, shared by the modules that write and read it."""

PARQUET = (".parquet", ".pq")
# Keys of a Parquet file's metadata: the embedder and the clustering, each as JSON.
EMBEDDER, CLUSTERING = b"vecstore.embedder", b"vecstore.clustering"
