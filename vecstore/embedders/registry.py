"""Which embedder a name opens: a built-in one, one of an installed package, or a weighted combination.

`resnet50`, `efficientnet-lite0`, `efficientnet-lite2` and `hsv` are built in; others come through the entry-point group
`vecstore.embedders`; `timm:NAME`, `torchvision:NAME` and `open_clip:MODEL/PRETRAINED` are models of these libraries;
`onnx:FILE` is a model in a file; `resnet50*0.8+hsv*0.2` joins some of them.
"""

import functools
import importlib
import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vecstore.embedders.combination import Combination
from vecstore.embedders.embedder import Embedder, EmbedderOptions
from vecstore.embedders.network import ONNX
from vecstore.embedders.onnx_model import file_of
from vecstore.embedders.plugin import require_embedder
from vecstore.embedders.runtimes import BF16, require_precision
from vecstore.errors import BadInput, VecstoreError

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
    "onnx": "vecstore.embedders.onnx_model:open_onnx",
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
    name, options = resolve_name(name, options)
    opened = _open(name, options)
    if options.precision == BF16 and BF16 not in opened.spec.precisions.values():
        raise BadInput(f"{opened.spec.name} has no network that runs in bf16; leave --precision out")
    return opened


def _open(name: str, options: EmbedderOptions) -> Embedder:
    terms = _terms(name)
    if len(terms) == 1:
        if options.weights is not None and name in options.files:
            raise BadInput(f"{name} is its own weight file; leave --weights out")
        return _factory(name)(options)
    if len({part for part, _ in terms}) < len(terms):
        raise BadInput(f"the embedder {name!r} names a part twice; give each part once, with its weight")
    takers = [part for part, _ in terms if part not in WITHOUT_WEIGHTS and part not in options.files]
    if options.weights is not None and len(takers) != 1:
        found = " and ".join(takers) or "no part"
        raise BadInput(f"--weights is for one network, but {found} of {name!r} takes weights; leave --weights out")
    others = replace(options, weights=None)
    return Combination(
        name, [(weight, _factory(part)(options if part in takers else others)) for part, weight in terms]
    )


def canonical_name(name: str) -> str:
    """Return the one way to write an embedder's name: without blanks, weights of 1, and folders of files.

    Raises BadInput for a name that is none, as `open_embedder` does.
    """
    return resolve_name(name, EmbedderOptions())[0]


def resolve_name(name: str, options: EmbedderOptions) -> tuple[str, EmbedderOptions]:
    """Return the name as a store records it, and the options with the files of the models that it names by a file."""
    terms, files = [], dict(options.files)
    for part, weight in _terms(name):
        _factory(part)
        if part.startswith(ONNX) and part not in options.expected and part not in files:
            is_path = "/" in part or os.sep in part
            part, file = file_of(part)
            if is_path or file.exists():  # else a store may have recorded it
                files[part] = file
        terms.append((part, weight))
    options = replace(options, files=files) if files else options
    if len(terms) == 1:
        return terms[0][0], options
    return "+".join(part if weight == 1 else f"{part}*{weight:g}" for part, weight in terms), options


def is_known(name: str) -> bool:
    """Say whether a name that a store has recorded opens an embedder here."""
    try:
        resolve_name(name, EmbedderOptions())
    except BadInput:
        return False
    return True


def parts_of(name: str) -> list[str]:
    """Return the embedders that a name joins. Raises BadInput for one that is none."""
    parts = [part for part, _ in _terms(name)]
    for part in parts:
        _factory(part)
    return parts


def known_embedders() -> list[str]:
    """Return the names that `open_embedder` takes on their own."""
    return sorted({*BUILT_IN, *(entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINTS))})


def _terms(name: str) -> list[tuple[str, float]]:
    """Return the parts of a name with their weights."""
    if name.startswith(ONNX) and file_of(name)[1].exists():  # whatever is in its name
        return [(name, 1.0)]
    return [_parse_term(name, term) for term in name.split("+")]


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
        return function_of(BUILT_IN[name])  # type: ignore[no-any-return]
    library, colon, model = name.partition(":")
    if colon and library in LIBRARIES:
        if not model.strip("/ "):
            raise BadInput(f"the embedder {name!r} names no model; write {library}:NAME")
        return functools.partial(function_of(LIBRARIES[library]), name)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        return functools.partial(_open_plugin, entry)
    raise BadInput(
        f"no embedder is called {name!r}; there are {', '.join(known_embedders())}, A+B of them, and "
        "models of libraries and files: `vecstore embedders` lists what can be used here"
    )


def _open_plugin(entry: importlib.metadata.EntryPoint, options: EmbedderOptions) -> Embedder:
    try:
        made = entry.load()(options)
    except VecstoreError:
        raise
    except Exception as error:  # whatever that package does
        said = " ".join(repr(error).split())
        raise BadInput(f"the embedder {entry.name!r} cannot be opened: {said}; its package must be mended") from error
    opened = require_embedder(made, f"what the embedder {entry.name!r} opens")
    if opened.spec.name != entry.name:  # a store is opened again by the name that it has recorded
        raise BadInput(
            f"the embedder {entry.name!r} is called {opened.spec.name!r} by its own spec; its package must give both "
            "the same name"
        )
    return opened


def function_of(address: str) -> Any:
    """Return the function at "module:function"."""
    module, _, function = address.partition(":")
    return getattr(importlib.import_module(module), function)
