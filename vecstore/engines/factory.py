"""Which engine a store gets."""

from pathlib import Path

from indexes.devices import Device
from vecstore.engines import milvus
from vecstore.engines.address import Address
from vecstore.engines.embedded import EmbeddedEngine
from vecstore.engines.engine import Engine
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.layout import INDEX
from vecstore.storage.vector_file import VectorFile


def engine_for(folder: Path, address: Address | None, catalog: Catalog, vectors: VectorFile, device: Device) -> Engine:
    """Return the engine of a store whose catalog and rows are in the folder. Nothing is connected to by this."""
    if address is None:
        return EmbeddedEngine(folder / INDEX, catalog, vectors, device)
    return milvus.MilvusEngine(address, catalog, vectors)


def require_room(address: Address | None) -> None:
    """Raise BadInput if a new store cannot be made at the address because something is there."""
    if address is not None:
        milvus.require_room(address)
