"""`torchvision:NAME`: any classifier of torchvision without its last layer, with its own weights' transforms."""

import io
import os
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from vecstore.embedders.embedder import EmbedderOptions
from vecstore.embedders.library import (
    LibraryEmbedder,
    Model,
    dim_without_weights,
    downloading,
    load_weights,
    unknown_model,
)
from vecstore.embedders.preprocessing import Preprocessing
from vecstore.errors import BadInput


def open_torchvision(name: str, options: EmbedderOptions) -> LibraryEmbedder:
    return LibraryEmbedder(name, options, lambda weights: _make(name, weights))


def look(name: str) -> tuple[int | None, bool]:
    """Return the length of a model's vectors, and whether its weights are here. Raises BadInput for an unknown one."""
    import torch
    from torchvision import models

    model = _known(name)
    own = models.get_model_weights(model).DEFAULT

    def make() -> Model:
        module = models.get_model(model, weights=None).eval()
        _remove_last_layer(module, name)
        return Model(module, preprocessing_of(own.transforms()))

    here = (Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(own.url)).exists()
    return dim_without_weights(name, make), here


def _known(name: str) -> str:
    from torchvision import models

    model, known = name.partition(":")[2], models.list_models(module=models)
    if model not in known:
        raise unknown_model("torchvision", model, known)
    return model


def _make(name: str, weights: Path | None) -> Model:
    from torchvision import models

    model = _known(name)
    module = models.get_model(model, weights=None)
    own = models.get_model_weights(model).DEFAULT
    if weights is None:
        # torch.hub says what it downloads on stdout, which is for results.
        with downloading(f"the weights of {name} are"), redirect_stdout(io.StringIO()):
            module.load_state_dict(own.get_state_dict(progress=False, check_hash=True))
    head = _remove_last_layer(module, name)
    if weights is not None:
        load_weights(module, weights, name, (f"{head}.", "aux", "AuxLogits."))
    return Model(module.eval(), preprocessing_of(own.transforms()))


def _remove_last_layer(module: Any, name: str) -> str:
    """Put nothing in the place of the last layer, and return its name."""
    import torch

    layers = [(path, layer) for path, layer in module.named_modules() if isinstance(layer, torch.nn.Linear)]
    children = list(module.named_children())
    last = layers[-1][0] if layers else ""
    if not last or last.partition(".")[0] != children[-1][0]:
        raise BadInput(f"{name} has no pooled feature: it does not end in a linear layer; choose another model")
    parent, _, child = last.rpartition(".")
    setattr(module.get_submodule(parent), child, torch.nn.Identity())
    return last


def preprocessing_of(transforms: Any) -> Preprocessing:
    """Return what torchvision's ImageClassification transforms do."""
    (side,), (crop,) = transforms.resize_size, transforms.crop_size
    return Preprocessing(
        (crop, crop),
        (side, side),
        "shortest",
        transforms.interpolation.value,
        tuple(transforms.mean),
        tuple(transforms.std),
    )
