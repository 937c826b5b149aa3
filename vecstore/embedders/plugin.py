"""What an embedder that others wrote must have: looked at before a store is made with it (docs/embedders.md)."""

from typing import Any, cast

from vecstore.embedders.embedder import Embedder, EmbedderSpec
from vecstore.errors import BadInput

METHODS = ("load", "prepare", "embed")
ASK = "docs/embedders.md has the protocol and an example"


def require_embedder_or_name(name: str, value: Any) -> str | Embedder:
    """Return the argument of this name: an embedder's name, or an object that has all members of one."""
    if isinstance(value, str):
        return value
    return require_embedder(value, f"{name}, of the type {type(value).__name__},")


def require_embedder(found: Any, called: str) -> Embedder:
    """Return an object that has all members of an Embedder. Raises BadInput that names what is missing or wrong."""
    lacking = [member for member in ("spec", "batch_size", "input_size", *METHODS) if not hasattr(found, member)]
    if lacking:
        raise BadInput(f"{called} is not an embedder: it has no {', '.join(lacking)}; {ASK}")
    for method in METHODS:
        if not callable(getattr(found, method)):
            raise BadInput(f"{called} is not an embedder: its {method} cannot be called; {ASK}")
    _require_spec(found.spec, called)
    if not _is_count(found.batch_size):
        raise BadInput(f"{called} is not an embedder: its batch_size is {found.batch_size!r}, not at least 1; {ASK}")
    size = found.input_size
    if not (isinstance(size, tuple) and len(size) == 2 and all(_is_count(side) for side in size)):
        raise BadInput(f"{called} is not an embedder: its input_size is {size!r}, not (width, height); {ASK}")
    return cast(Embedder, found)


def _require_spec(spec: Any, called: str) -> None:
    if not isinstance(spec, EmbedderSpec):
        raise BadInput(f"{called} is not an embedder: its spec is a {type(spec).__name__}, not an EmbedderSpec; {ASK}")
    if not isinstance(spec.name, str) or not spec.name.strip():
        raise BadInput(f"{called} is not an embedder: its spec has the name {spec.name!r}, not a text; {ASK}")
    if not _is_count(spec.dim) or not _is_count(spec.version):
        raise BadInput(
            f"{called} is not an embedder: its spec has the dim {spec.dim!r} and the version {spec.version!r}, which "
            f"must be whole numbers from 1; {ASK}"
        )
    try:
        same = EmbedderSpec.from_json(spec.to_json()) == spec
    except (TypeError, ValueError, KeyError, AttributeError):
        same = False
    if not same:
        raise BadInput(f"{called} is not an embedder: its spec cannot be kept as JSON; {ASK}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
