"""The embedder that a store's catalog records."""

from vecstore.embedders.embedder import EmbedderSpec
from vecstore.errors import StoreDamaged
from vecstore.storage.catalog.catalog import Catalog


def recorded_embedder(catalog: Catalog) -> EmbedderSpec:
    """Return what made a store's vectors. Raises StoreDamaged where that cannot be read any more."""
    try:
        return EmbedderSpec.from_json(catalog.embedder())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreDamaged(
            f"{catalog.path} does not say any more what made its vectors ({error}); restore the store from a backup"
        ) from error
