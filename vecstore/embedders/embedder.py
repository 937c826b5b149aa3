"""What an embedder is: RGB pictures in, vectors of unit length out.

The recorded `EmbedderSpec` says all that a vector depends on; two vectors may be compared only when their specs are
equal. This module knows no particular embedder, and none of them is found through it (`registry`).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# What `prepare` makes of a picture and `embed` takes: an array, or a tuple of the parts' for a combination.
Prepared = Any


@dataclass(frozen=True)
class EmbedderSpec:
    """All that a vector depends on.

    version: of our own preprocessing and wiring. weights_sha256: of the weight file, None where there are none.
    dim: length of a vector. preprocessing: in words, from the picture to the network's input.
    parts: (weight, spec) of each part of a combination; a weight is that part's share of the score.
    precision: of a network's arithmetic, "float32" or "bf16".
    """

    name: str
    version: int
    weights_sha256: str | None
    dim: int
    preprocessing: str
    parts: tuple[tuple[float, "EmbedderSpec"], ...] = field(default=())
    precision: str = "float32"

    def to_json(self) -> str:
        return json.dumps(self._to_dict())

    def _to_dict(self) -> dict[str, Any]:
        values = {**asdict(self), "parts": [(share, part._to_dict()) for share, part in self.parts]}
        if self.precision == "float32":  # as stores were written before there was another, for older vecstores to read
            del values["precision"]
        return values

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

    @property
    def preprocessings(self) -> dict[str, str]:
        """How each network in it has its pictures prepared, by the network's name."""
        specs = [part for _, part in self.parts] or [self]
        return {spec.name: spec.preprocessing for spec in specs if spec.weights_sha256}

    @property
    def precisions(self) -> dict[str, str]:
        """The precision of each network in it, by the network's name."""
        specs = [part for _, part in self.parts] or [self]
        return {spec.name: spec.precision for spec in specs if spec.weights_sha256}


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
        """(width, height) that `prepare` scales a picture down to; decoders may stop at twice that, and with
        an eighth of a JPEG at 1.4 times."""
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
    store has recorded them: with the network for it in the cache, no weight file is needed. described: how these
    networks have their pictures prepared, by name, as recorded.
    files: of models that were named by their file, by the name that a store records.
    device: "auto", "cpu", "cuda" or "cuda:N". quiet: no progress on a download.
    precision: of new vectors, "float32", "bf16", or "auto": bf16 where it is faster and as good. recorded: networks'
    precision by name, where a store has recorded it; goes before `precision`.
    """

    weights: Path | None = None
    expected: dict[str, str] = field(default_factory=dict)
    device: str = "auto"
    quiet: bool = True
    precision: str = "float32"
    recorded: dict[str, str] = field(default_factory=dict)
    described: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows scaled to length 1; a row of zeros becomes the first axis, so that it too has a direction."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units = rows / np.where(lengths > 0, lengths, 1)
    units[lengths[:, 0] == 0, 0] = 1
    return units.astype(np.float32, copy=False)
