"""`timm:NAME`: any picture model of timm, its pooled features, with timm's own data config. Extra: vecstore[timm]."""

import sys
from pathlib import Path
from typing import Any

from vecstore.embedders.embedder import EmbedderOptions
from vecstore.embedders.library import (
    LibraryEmbedder,
    Model,
    dim_without_weights,
    downloading,
    hub_has,
    load_weights,
    require_library,
    unknown_model,
)
from vecstore.embedders.preprocessing import Preprocessing


def open_timm(name: str, options: EmbedderOptions) -> LibraryEmbedder:
    return LibraryEmbedder(name, options, lambda weights: _make(name, weights))


def look(name: str) -> tuple[int | None, bool]:
    """Return the length of a model's vectors, and whether its weights are here. Raises BadInput for an unknown one."""
    timm = require_library("timm", "timm", name)
    model = _known(timm, name)

    def make() -> Model:
        module = timm.create_model(model, pretrained=False, num_classes=0).eval()
        return Model(module, preprocessing_of(timm.data.resolve_model_data_config(module)))

    config = timm.get_pretrained_cfg(model)
    hub = str(getattr(config, "hf_hub_id", None) or "")
    here = bool(hub) and hub_has(hub, "model.safetensors", "pytorch_model.bin")
    return dim_without_weights(name, make), here


def _known(timm: Any, name: str) -> str:
    model = name.partition(":")[2]
    if not timm.is_model(model):
        raise unknown_model("timm", model, [*timm.list_models(), *timm.list_pretrained()])
    return model


def _make(name: str, weights: Path | None) -> Model:
    timm = require_library("timm", "timm", name)
    model = _known(timm, name)
    if weights is None:
        with downloading(f"the weights of {name} are"):
            module = timm.create_model(model, pretrained=True, num_classes=0)
    else:
        module = timm.create_model(model, pretrained=False, num_classes=0)
        classifier = module.pretrained_cfg.get("classifier") or ()
        heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        # Nearly every file of timm has a function of this name, which knows the layouts that others publish.
        convert = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
        load_weights(module, weights, name, tuple(f"{head}." for head in heads), convert)
    return Model(module.eval(), preprocessing_of(timm.data.resolve_model_data_config(module)))


def preprocessing_of(config: dict[str, Any]) -> Preprocessing:
    """Return what timm's `create_transform` does with a data config when it does not train."""
    _, height, width = config["input_size"]
    crop = config["crop_pct"]
    mode = {"squash": "squash", "border": "longest"}.get(config["crop_mode"], "shortest")
    fill = tuple(round(255 * value) for value in config["mean"]) if mode == "longest" else (0, 0, 0)
    return Preprocessing(
        (height, width),
        (int(height / crop), int(width / crop)),
        mode,
        config["interpolation"],
        tuple(config["mean"]),
        tuple(config["std"]),
        fill,
    )
