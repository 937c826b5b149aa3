"""The names of a store's files; docs/design.md describes their contents."""

CATALOG, VECTORS, INDEX, LOCK = "catalog.sqlite", "vectors.f16", "index.faiss", "lock"
MAP = "map.npz"
HEAD = "head.npz"
