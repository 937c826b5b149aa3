"""A classifier's head: the last layer of a network, which the embedder leaves out, for use on the vectors of a store.

An embedder may have a method `head() -> Head | None`; `head_of` asks it. The classes are ImageNet's 1,000, in their
usual order. A head is of the features as the network makes them, and a store keeps them at length 1: so the vector
times the mean length of features gives nearly the logits. Tried with efficientnet-lite0 (docs/quality.md).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecstore.embedders.embedder import Embedder
from vecstore.errors import BadInput

CLASSES = 1_000


@dataclass(frozen=True)
class Head:
    """The last layer of a classifier.

    Attributes
    ----------
    weights: (classes, dim) float32.
    bias: (classes,) float32.
    feature_length: mean length of the features of pictures; None where it was not measured for these weights.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    feature_length: float | None

    def logits(self, units: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, classes) float32 of (n, dim) vectors of length 1."""
        if self.feature_length is None:
            raise ValueError("the features' length is not known")
        return np.asarray(units * np.float32(self.feature_length) @ self.weights.T + self.bias, np.float32)


def head_of(embedder: Embedder) -> Head:
    """Return the head of an embedder.

    Raises BadInput if it has none, or of other classes than ImageNet's, WeightsUnavailable if its weights are not here.
    """
    make = getattr(embedder, "head", None)
    head: Head | None = make() if make is not None else None
    if head is None and hasattr(embedder, "embed_text"):
        raise BadInput(
            f"{embedder.spec.name} reads any text and has no list of words; give words of your own: "
            "`vecstore tag --words FILE`, or `vecstore name --suggest --words FILE` for clusters"
        )
    if head is None:
        raise BadInput(
            f"{embedder.spec.name} knows no words; `vecstore embed DEST --embedder efficientnet-lite0` makes a "
            "store of these pictures that knows 1,000 things"
        )
    return head


def head_from(state: dict[str, Any], layer: str, dim: int, feature_length: float | None, file: str) -> Head:
    """Return the head from the tensors of a network's weights.

    Parameters
    ----------
    state: tensors by name.
    layer: name of the last layer.
    dim: length of its input.
    feature_length: see `Head`.
    file: of the weights, for messages.

    Raises
    ------
    BadInput: there is no such layer, or it is not of ImageNet's classes.
    """
    weights, bias = state.get(f"{layer}.weight"), state.get(f"{layer}.bias")
    if weights is None or bias is None:
        raise BadInput(
            f"{file} has no last layer ({layer}), so its network knows no words; use weights with the classifier, or "
            "--embedder efficientnet-lite0"
        )
    found = tuple(weights.shape)
    if found != (CLASSES, dim) or tuple(bias.shape) != (CLASSES,):
        raise BadInput(
            f"the last layer of {file} has the shape {found}, not {(CLASSES, dim)}: only ImageNet's 1,000 classes have "
            "words; use weights with that classifier, or --embedder efficientnet-lite0"
        )
    head = Head(_array(weights), _array(bias), feature_length)
    if not (np.isfinite(head.weights).all() and np.isfinite(head.bias).all()):
        raise BadInput(f"the last layer of {file} holds numbers that are not finite; use other weights")
    return head


def _array(tensor: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.float().numpy(), np.float32)
