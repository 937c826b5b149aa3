"""Which embedder a name opens: a built-in one, one of an installed package, or a weighted combination.

`resnet50`, `efficientnet-lite0`, `efficientnet-lite2` and `hsv` are built in; others come through the entry-point group
`vecstore.embedders`; `timm:NAME`, `torchvision:NAME` and `open_clip:MODEL/PRETRAINED` are models of these libraries;
`resnet50*0.8+hsv*0.2` joins some of them.
"""

import functools
import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vecstore.embedders.combination import Combination
from vecstore.embedders.embedder import Embedder, EmbedderOptions
from vecstore.embedders.plugin import require_embedder
from vecstore.embedders.runtimes import BF16, require_precision
from vecstore.errors import BadInput

DEFAULT_EMBEDDER = "resnet50"

BUILT_IN = {
    "resnet50": "vecstore.embedders.resnet50:open_resnet50",
    "efficientnet-lite0": "vecstore.embedders.efficientnet:open_efficientnet_lite0",
    "efficientnet-lite2": "vecstore.embedders.efficientnet:open_efficientnet_lite2",
    "hsv": "vecstore.embedders.hsv:open_hsv",
}
# What stands before the colon of a library's model; the function also takes the whole name.
LIBRARIES = {
    "timm": "vecstore.embedders.timm_model:open_timm",
    "torchvision": "vecstore.embedders.torchvision_model:open_torchvision",
    "open_clip": "vecstore.embedders.open_clip_model:open_open_clip",
}
ENTRY_POINTS = "vecstore.embedders"
WITHOUT_WEIGHTS = {
    "efficientnet-lite0",
    "efficientnet-lite2",
    "hsv",
}  # in a combination, a weight file is for another part

Factory = Callable[[EmbedderOptions], Embedder]


def open_embedder(name: str, options: EmbedderOptions | None = None) -> Embedder:
    """Return the embedder of that name or combination.

    Raises BadInput for an unknown name, a combination that is none, weights where none are taken, or a precision that
    it cannot have, and WeightsUnavailable where weights are neither here nor to be had.
    """
    options = options or EmbedderOptions()
    require_precision(options.precision)  # also of those that have no network
    opened = _open(canonical_name(name), options)
    if options.precision == BF16 and BF16 not in opened.spec.precisions.values():
        raise BadInput(f"{opened.spec.name} has no network that runs in bf16; leave --precision out")
    return opened


def _open(name: str, options: EmbedderOptions) -> Embedder:
    terms = [_parse_term(name, term) for term in name.split("+")]
    if len(terms) == 1:
        return _factory(name)(options)
    if len({part for part, _ in terms}) < len(terms):
        raise BadInput(f"the embedder {name!r} names a part twice; give each part once, with its weight")
    takers = [part for part, _ in terms if part not in WITHOUT_WEIGHTS]
    if options.weights is not None and len(takers) != 1:
        found = " and ".join(takers) or "no part"
        raise BadInput(f"--weights is for one network, but {found} of {name!r} takes weights; leave --weights out")
    others = replace(options, weights=None)
    return Combination(
        name, [(weight, _factory(part)(options if part in takers else others)) for part, weight in terms]
    )


def canonical_name(name: str) -> str:
    """Return the one way to write an embedder's name, without blanks and weights of 1.

    Raises BadInput for a name that is none, as `open_embedder` does.
    """
    terms = [_parse_term(name, term) for term in name.split("+")]
    for part, _ in terms:
        _factory(part)
    if len(terms) == 1:
        return terms[0][0]
    return "+".join(part if weight == 1 else f"{part}*{weight:g}" for part, weight in terms)


def known_embedders() -> list[str]:
    """Return the names that `open_embedder` takes on their own."""
    return sorted({*BUILT_IN, *(entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINTS))})


def _parse_term(name: str, term: str) -> tuple[str, float]:
    part, star, weight = term.strip().partition("*")
    try:
        value = float(weight) if star else 1.0
    except ValueError:
        value = 0.0
    if not part.strip() or not 0.0 < value < float("inf"):
        raise BadInput(f"the embedder {name!r} is not of the form A, A+B or A*0.8+B*0.2 with weights above 0")
    return part.strip(), value


def _factory(name: str) -> Factory:
    if name in BUILT_IN:
        return _function(BUILT_IN[name])  # type: ignore[no-any-return]
    library, colon, model = name.partition(":")
    if colon and library in LIBRARIES:
        if not model.strip("/ "):
            raise BadInput(f"the embedder {name!r} names no model; write {library}:NAME")
        return functools.partial(_function(LIBRARIES[library]), name)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        return functools.partial(_open_plugin, entry)
    raise BadInput(f"no embedder is called {name!r}; there are {', '.join(known_embedders())}, and A+B of them")


def _open_plugin(entry: importlib.metadata.EntryPoint, options: EmbedderOptions) -> Embedder:
    opened = require_embedder(entry.load()(options), f"what the embedder {entry.name!r} opens")
    if opened.spec.name != entry.name:  # a store is opened again by the name that it has recorded
        raise BadInput(
            f"the embedder {entry.name!r} is called {opened.spec.name!r} by its own spec; its package must give both "
            "the same name"
        )
    return opened


def _function(address: str) -> Any:
    module, _, function = address.partition(":")
    return getattr(importlib.import_module(module), function)
