"""Several embedders' vectors side by side, weighted."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vecstore.embedders import calling
from vecstore.embedders.embedder import Embedder, EmbedderSpec, Prepared, unit_rows


class Combination:
    """`A*w+B*v`: the score of two pictures is the weighted mean of the parts' scores, (w a + v b) / (w + v).

    For that each part's unit vector is scaled by the square root of its share before they are joined:
    an inner product of the joined vectors is the sum of the parts' products, each with its share.
    """

    def __init__(self, name: str, parts: Sequence[tuple[float, Embedder]]) -> None:
        total = sum(weight for weight, _ in parts)
        self.parts = [embedder for _, embedder in parts]
        self.scales = [math.sqrt(weight / total) for weight, _ in parts]
        self.spec = EmbedderSpec(
            name=name,
            version=1,
            weights_sha256=None,
            dim=sum(part.spec.dim for part in self.parts),
            preprocessing="each part's own",
            parts=tuple((weight / total, part.spec) for weight, part in parts),
        )
        self.batch_size = max(part.batch_size for part in self.parts)
        self.input_size = (
            max(part.input_size[0] for part in self.parts),
            max(part.input_size[1] for part in self.parts),
        )

    def load(self) -> None:
        for part in self.parts:
            calling.load(part)

    def prepare(self, image: Image.Image) -> Prepared:
        return tuple(calling.prepare(part, image) for part in self.parts)

    def embed(self, prepared: Sequence[Prepared]) -> NDArray[np.float32]:
        columns = zip(*prepared, strict=True)
        vectors = [
            calling.rows_of(part, column) * np.float32(scale)
            for part, scale, column in zip(self.parts, self.scales, columns, strict=True)
        ]
        return unit_rows(np.concatenate(vectors, axis=1))
