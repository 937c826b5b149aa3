"""vecstore: a folder of pictures as a store of vectors that grows with it.

`from vecstore import Store` is the whole public face. Importing this package loads nothing heavy: the
command line answers `--help` without NumPy, FAISS or torch, so `Store` is looked up when first asked for.
"""

from typing import TYPE_CHECKING, Any

from vecstore.version import __version__

if TYPE_CHECKING:
    from vecstore.errors import VecstoreError
    from vecstore.store import Store

__all__ = ["Store", "VecstoreError", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Store":
        from vecstore.store import Store

        return Store
    if name == "VecstoreError":
        from vecstore.errors import VecstoreError

        return VecstoreError
    raise AttributeError(f"module 'vecstore' has no attribute {name!r}")
