"""How an export says what it is, for the room that writes it and the one that reads it."""

PARQUET = (".parquet", ".pq")
# Keys of a Parquet file's metadata: what made the vectors, and the clustering, each as JSON.
EMBEDDER, CLUSTERING = b"vecstore.embedder", b"vecstore.clustering"
