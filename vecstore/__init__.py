"""vecstore: a folder of pictures as a store of vectors that grows with it.

`from vecstore import Store` is the whole public face. Importing this package loads nothing heavy: the
command line answers `--help` without NumPy, FAISS or torch, so `Store` is looked up when first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from vecstore.version import __version__

if TYPE_CHECKING:
    from vecstore.datasets import StoreDataset
    from vecstore.errors import VecstoreError
    from vecstore.estimators import StoreNeighbors, VecstoreTransformer
    from vecstore.sources.content import Encoded
    from vecstore.store import Store
    from vecstore.tables import Results

__all__ = [
    "Encoded",
    "Results",
    "Store",
    "StoreDataset",
    "StoreNeighbors",
    "VecstoreError",
    "VecstoreTransformer",
    "__version__",
]
# Where each public name is defined.
MODULES = {
    "Encoded": "vecstore.sources.content",
    "Results": "vecstore.tables",
    "Store": "vecstore.store",
    "StoreDataset": "vecstore.datasets",
    "StoreNeighbors": "vecstore.estimators",
    "VecstoreError": "vecstore.errors",
    "VecstoreTransformer": "vecstore.estimators",
}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module 'vecstore' has no attribute {name!r}")
    return getattr(importlib.import_module(MODULES[name]), name)
