"""`open_clip:MODEL/PRETRAINED`: a picture tower and a text tower that share one space. Extra: vecstore[clip]."""

import functools
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecstore.embedders.embedder import EmbedderOptions, unit_rows
from vecstore.embedders.library import (
    LibraryEmbedder,
    Model,
    downloading,
    load_weights,
    require_library,
    unknown_model,
)
from vecstore.embedders.preprocessing import Preprocessing
from vecstore.errors import BadInput


def open_open_clip(name: str, options: EmbedderOptions) -> "OpenClip":
    return OpenClip(name, options, lambda weights: _make(name, weights))


class OpenClip(LibraryEmbedder):
    """Pictures and texts as vectors of one space.

    The picture tower runs as every network does; the text tower runs in torch, in float32, from the weights.
    """

    @property
    def logit_scale(self) -> float:
        """What the model multiplies a cosine by: the inverse of its temperature."""
        return float(self.facts["logit_scale"])

    @property
    def logit_bias(self) -> float | None:
        """What the model adds to the scaled cosine before a sigmoid, as SigLIP does; None where it has a softmax."""
        return self.facts["logit_bias"]  # type: ignore[no-any-return]

    def match(self, cosines: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return the probability that picture and text belong together; None for a model that only ranks texts."""
        if self.logit_bias is None:
            return None
        logits = cosines * np.float32(self.logit_scale) + np.float32(self.logit_bias)
        return 1 / (1 + np.exp(-logits))  # type: ignore[no-any-return]

    def choose(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability of each text of a row, (n, texts), that one of them is the picture's."""
        logits = cosines * np.float32(self.logit_scale)
        values = np.exp(logits - logits.max(axis=1, keepdims=True))
        return values / values.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    def embed_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (n, dim) float32 vectors of length 1, one for each text.

        Raises BadInput for a text that is empty or too long for the tokenizer, WeightsUnavailable where the text
        tower's weights or the tokenizer's files are not to be had.
        """
        import torch

        for text in texts:
            if not text.strip():
                raise BadInput("the text is empty; give at least one word")
        model = self.model().backbone.model
        tokens = self._tokens(list(texts), model)
        with torch.inference_mode():
            return unit_rows(model.encode_text(tokens).float().numpy())

    def _tokens(self, texts: list[str], model: Any) -> Any:
        length = int(self.facts["context_length"])
        longer, empty = (self._tokenizer(some, context_length=length + 1) for some in (texts, [""]))
        for text, tokens in zip(texts, longer, strict=True):
            # Behind the end of a text that fits stands what fills up the empty one.
            if tokens[-1] != empty[0, -1]:
                raise BadInput(
                    f"the text {text[:30]!r}... is too long: {self.spec.name} reads {length} tokens, about "
                    f"{length * 3 // 4} words; give a shorter one"
                )
        return self._tokenizer(texts, context_length=length)

    @functools.cached_property
    def _tokenizer(self) -> Any:
        open_clip = require_library("open_clip", "clip", self.spec.name)
        with downloading(f"{self.spec.name}'s tokenizer"):
            return open_clip.get_tokenizer(_parts(self.spec.name)[0])


def _parts(name: str) -> tuple[str, str]:
    """Return the model and the tag of its weights; the tag is empty where none is named."""
    model, _, tag = name.partition(":")[2].partition("/")
    return model, tag


def _make(name: str, weights: Path | None) -> Model:
    open_clip = require_library("open_clip", "clip", name)
    model, tag = _parts(name)
    if model not in open_clip.list_models():
        raise unknown_model("open_clip", model, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(model)
    if tag and tag not in tags:
        raise unknown_model("open_clip", f"{model}/{tag}", [f"{model}/{other}" for other in tags])
    if not tag and weights is None:
        there = f"{name}/{tags[0]}" if tags else "--weights FILE"
        raise BadInput(f"{name} does not say which weights; name them, such as {there}")
    own = open_clip.get_pretrained_cfg(model, tag) if tag else {}
    with downloading(name):
        towers = open_clip.create_model(
            model,
            pretrained=tag if weights is None else None,
            pretrained_text=False,
            force_quick_gelu=bool(own.get("quick_gelu")),
            force_preprocess_cfg={
                key: own[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in own
            },
            output_dict=False,
        )
    towers = towers.float().eval()
    if weights is not None:
        load_weights(towers, weights, name)
    bias = getattr(towers, "logit_bias", None)
    text = getattr(towers, "text", towers)
    more = {
        "logit_scale": math.exp(towers.logit_scale.item()),
        "logit_bias": None if bias is None else bias.item(),
        "context_length": int(getattr(towers, "context_length", None) or text.context_length),
    }
    return Model(_picture_tower(towers), preprocessing_of(open_clip, towers.visual), more)


def _picture_tower(towers: Any) -> Any:
    import torch

    class PictureTower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = towers

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model.encode_image(x)  # type: ignore[no-any-return]

    return PictureTower().eval()


def preprocessing_of(open_clip: Any, visual: Any) -> Preprocessing:
    """Return what open_clip's `image_transform` does when it does not train."""
    config = asdict(open_clip.transform.PreprocessCfg(**visual.preprocess_cfg))
    size = config["size"]
    size = (size, size) if isinstance(size, int) else tuple(size)
    fill = (config["fill_color"],) * 3
    return Preprocessing(
        size, size, config["resize_mode"], config["interpolation"], tuple(config["mean"]), tuple(config["std"]), fill
    )
