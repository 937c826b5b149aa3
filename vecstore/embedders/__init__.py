"""Embedders: RGB pictures in, vectors of unit length out.

Opening an embedder resolves its weights and so its spec, cheaply: no torch, no network loaded. That happens at the
first picture. Nothing here knows a store.
"""
