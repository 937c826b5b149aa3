"""What the files of a store are called; docs/design.md says what is in them."""

CATALOG, VECTORS, INDEX, LOCK = "catalog.sqlite", "vectors.f16", "index.faiss", "lock"
MAP = "map.npz"
