"""Embedders: RGB pictures in, vectors of unit length out.

A name says which: `resnet50`, `efficientnet-lite0`, `hsv`, others from the entry-point group `vecstore.embedders`,
and weighted combinations such as `resnet50*0.8+hsv*0.2`. The recorded `EmbedderSpec` says all that a vector depends
on; two vectors may be compared only when their specs are equal.

Opening an embedder resolves its weights and so its spec, cheaply: no torch, no network loaded. That happens at the
first picture. This module knows no store.
"""

import importlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vecstore.errors import BadInput

DEFAULT_EMBEDDER = "resnet50"

BUILT_IN = {
    "resnet50": "vecstore.embedders.resnet50:open_resnet50",
    "efficientnet-lite0": "vecstore.embedders.efficientnet:open_efficientnet_lite0",
    "hsv": "vecstore.embedders.hsv:open_hsv",
}
ENTRY_POINTS = "vecstore.embedders"
WITHOUT_WEIGHTS = {"efficientnet-lite0", "hsv"}  # in a combination, a weight file is for another part

# What `prepare` makes of a picture and `embed` takes: an array, or a tuple of the parts' for a combination.
Prepared = Any


@dataclass(frozen=True)
class EmbedderSpec:
    """All that a vector depends on.

    version: of our own preprocessing and wiring. weights_sha256: of the weight file, None where there are none.
    dim: length of a vector. preprocessing: in words, from the picture to the network's input.
    parts: (weight, spec) of each part of a combination; a weight is that part's share of the score.
    """

    name: str
    version: int
    weights_sha256: str | None
    dim: int
    preprocessing: str
    parts: tuple[tuple[float, "EmbedderSpec"], ...] = field(default=())

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "EmbedderSpec":
        return cls._from_dict(json.loads(text))

    @classmethod
    def _from_dict(cls, values: dict[str, Any]) -> "EmbedderSpec":
        parts = tuple((weight, cls._from_dict(part)) for weight, part in values.pop("parts"))
        return cls(**values, parts=parts)

    @property
    def weights(self) -> dict[str, str]:
        """The sha256 of the weight file of each network in it, by the network's name."""
        if self.parts:
            return {name: sha256 for _, part in self.parts for name, sha256 in part.weights.items()}
        return {self.name: self.weights_sha256} if self.weights_sha256 else {}


class Embedder(Protocol):
    """What the store asks of an embedder. `prepare` and `embed` may be called from many threads at once."""

    @property
    def spec(self) -> EmbedderSpec: ...

    @property
    def batch_size(self) -> int:
        """How many pictures `embed` is fastest with."""
        ...

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) that `prepare` scales a picture down to; decoders may stop at twice that."""
        ...

    def load(self) -> None:
        """Load what `embed` needs, if it is not loaded yet. Raises WeightsUnavailable or BadInput."""
        ...

    def prepare(self, image: Image.Image) -> Prepared:
        """Return what `embed` takes of one RGB picture, upright."""
        ...

    def embed(self, prepared: Sequence[Prepared]) -> NDArray[np.float32]:
        """Return (n, dim) float32 vectors, each of length 1, in the order of `prepared`."""
        ...


@dataclass(frozen=True)
class EmbedderOptions:
    """How to open an embedder.

    weights: a weight file to use instead of the embedder's own. expected: weights' sha256 by network name, where a
    store has recorded them: with the network for it in the cache, no weight file is needed.
    device: "auto", "cpu" or "cuda". quiet: no progress on a download.
    """

    weights: Path | None = None
    expected: dict[str, str] = field(default_factory=dict)
    device: str = "auto"
    quiet: bool = True


Factory = Callable[[EmbedderOptions], Embedder]


def open_embedder(name: str, options: EmbedderOptions | None = None) -> Embedder:
    """Return the embedder of that name or combination.

    Raises BadInput for an unknown name, a combination that is none, or weights where none are taken, and
    WeightsUnavailable where weights are neither here nor to be had.
    """
    options = options or EmbedderOptions()
    name = canonical_name(name)
    terms = [_parse_term(name, term) for term in name.split("+")]
    if len(terms) == 1:
        return _factory(name)(options)
    from vecstore.embedders.combination import Combination

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
        module, _, function = BUILT_IN[name].partition(":")
        return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        return entry.load()  # type: ignore[no-any-return]
    raise BadInput(f"no embedder is called {name!r}; there are {', '.join(known_embedders())}, and A+B of them")


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows scaled to length 1; a row of zeros becomes the first axis, so that it too has a direction."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units = rows / np.where(lengths > 0, lengths, 1)
    units[lengths[:, 0] == 0, 0] = 1
    return units.astype(np.float32, copy=False)
