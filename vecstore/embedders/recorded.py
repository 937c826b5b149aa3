"""The embedder that a store's catalog records, and whether it is the one asked for."""

from pathlib import Path

from vecstore.embedders.embedder import EmbedderSpec
from vecstore.embedders.runtimes import FLOAT32
from vecstore.errors import StoreDamaged, WrongEmbedder
from vecstore.storage.catalog.catalog import Catalog


def recorded_embedder(catalog: Catalog) -> EmbedderSpec:
    """Return what made a store's vectors. Raises StoreDamaged where that cannot be read any more."""
    try:
        return EmbedderSpec.from_json(catalog.embedder())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreDamaged(
            f"{catalog.path} does not say any more what made its vectors ({error}); restore the store from a backup"
        ) from error


def require_recorded(path: Path, recorded: EmbedderSpec, precision: str | None) -> None:
    """Raise WrongEmbedder where a store's networks have another precision than the one asked for."""
    if precision in (None, "auto"):
        return
    if set(recorded.precisions.values()) != {precision} and (recorded.precisions or precision != FLOAT32):
        raise WrongEmbedder(precision_difference(path, recorded, str(precision)))


def precision_difference(path: Path, recorded: EmbedderSpec, *asked: str) -> str:
    """Return what to say of a store whose precision is not the one asked for."""
    if not recorded.precisions:
        return f"the store {path} was made with {recorded.name}, which has no network; leave --precision out"
    found, wanted = (", ".join(sorted(set(names))) for names in (recorded.precisions.values(), asked))
    return (
        f"the store {path} was made with {recorded.name} in {found}, not {wanted}; leave --precision out, or use "
        "another store for the other precision"
    )
