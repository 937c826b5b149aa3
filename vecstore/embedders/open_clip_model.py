"""`open_clip:MODEL/PRETRAINED`: a picture tower and a text tower that share one space. Extra: vecstore[clip]."""

import functools
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vecstore.embedders import runtimes, text_tokens
from vecstore.embedders.embedder import EmbedderOptions, unit_rows
from vecstore.embedders.library import (
    LibraryEmbedder,
    Model,
    downloading,
    first_line,
    hub_has,
    load_weights,
    require_library,
    unknown_model,
)
from vecstore.embedders.network import export_checked, exported_path, require_folder
from vecstore.embedders.preprocessing import Preprocessing
from vecstore.embedders.text_tokens import Tokenizer
from vecstore.errors import BadInput, WeightsUnavailable

log = logging.getLogger(__name__)

# What an exported text tower calls its input.
TOKENS = "tokens"
# The least number of different tokens that any text tower knows.
FEWEST_TOKENS = 1_000
# What transformers keeps a tokenizer in.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def open_open_clip(name: str, options: EmbedderOptions) -> "OpenClip":
    return OpenClip(name, options, lambda weights: _make(name, weights))


class OpenClip(LibraryEmbedder):
    """Pictures and texts as vectors of one space.

    The picture tower runs as every network does. The text tower is exported too and runs in ONNX Runtime, in float32:
    with it and the tokenizer in the cache, texts need neither torch nor the weights.
    """

    def load(self) -> None:
        super().load()
        if self._model is not None and not self._text_path().exists():  # the weights may not be at hand later
            self._export_text()
            with suppress(WeightsUnavailable):  # of a tokenizer that is not in the package; texts will ask for it
                _ = self._tokenizer

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
        for text in texts:
            if not text.strip():
                raise BadInput("the text is empty; give at least one word")
        tokens = np.array([self._tokens(text) for text in texts], np.int64)
        return unit_rows(runtimes.run_session(self._text_tower, tokens, TOKENS))

    def _tokens(self, text: str) -> list[int]:
        length, tokenizer = int(self.facts["context_length"]), self._tokenizer
        if isinstance(tokenizer, Tokenizer):
            fits = len(tokenizer.tokens(text)) <= length
        else:
            longer, empty = tokenizer([text, ""], context_length=length + 1).tolist()
            fits = longer[-1] == empty[-1]  # behind the end of a text that fits stands what fills up the empty one
        if not fits:
            raise BadInput(
                f"the text {text[:30]!r}... is too long: {self.spec.name} reads {length} tokens, about "
                f"{length * 3 // 4} words; give a shorter one"
            )
        if isinstance(tokenizer, Tokenizer):
            return tokenizer.filled(text, length)
        return tokenizer([text], context_length=length)[0].tolist()  # type: ignore[no-any-return]

    @functools.cached_property
    def _tokenizer(self) -> Any:
        """The tokenizer that is kept, or made of open_clip's own; that one itself where it cannot be converted."""
        path = self._text_path().with_suffix(".tokenizer.json")
        found = text_tokens.kept(path)
        if found is not None:
            return found
        own = _own_tokenizer(self.spec.name, self._weights)
        converted = text_tokens.convert(own, int(self.facts["context_length"]))
        if converted is None:
            log.info("the tokenizer of %s is open_clip's own: texts need it and torch each time", self.spec.name)
            return own
        require_folder(path.parent)
        try:
            text_tokens.keep(converted, path)
        except OSError as error:
            log.warning("the tokenizer of %s cannot be kept: %s", self.spec.name, error.strerror)
        return converted

    @functools.cached_property
    def _text_tower(self) -> Any:
        """The exported text tower, ready to run."""
        try:
            return runtimes.open_session(self._text_path())
        except Exception as error:  # onnxruntime has a dozen ways to say so
            if self._text_path().exists():
                log.warning("%s is damaged (%s); it is made again", self._text_path(), error)
            self._export_text()
            return runtimes.open_session(self._text_path())

    def _text_path(self) -> Path:
        return exported_path(f"{self.key}-text", self.sha256)

    def _export_text(self) -> None:
        log.info("preparing the text tower, once; kept in %s", self._text_path().parent)
        require_folder(self._text_path().parent)
        tokens = np.random.default_rng(0).integers(1, FEWEST_TOKENS, (2, int(self.facts["context_length"])))
        export_checked(_text_tower(self.model().backbone.model), self._text_path(), TOKENS, tokens)


def _parts(name: str) -> tuple[str, str]:
    """Return the model and the tag of its weights; the tag is empty where none is named."""
    model, _, tag = name.partition(":")[2].partition("/")
    return model, tag


def look(name: str) -> tuple[int | None, bool]:
    """Return the length of a model's vectors, and whether its weights are here. Raises BadInput for an unknown one."""
    open_clip = require_library("open_clip", "clip", name)
    model, tag = _known(open_clip, name)
    dim = open_clip.get_model_config(model).get("embed_dim")
    own = open_clip.get_pretrained_cfg(model, tag) if tag else {}
    repository, _, file = own.get("hf_hub", "").rpartition("/")
    files = [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    url = own.get("url") or ""
    here = bool(repository) and hub_has(repository, *files)
    here = here or bool(url) and (Path("~/.cache/clip").expanduser() / url.rpartition("/")[2]).exists()
    return dim, here


def _own_tokenizer(name: str, weights: Path | None) -> Any:
    """Return open_clip's tokenizer of a model: in the package, beside the weight file, or in the hub's cache.

    Raises BadInput where files beside the weights are no tokenizer, WeightsUnavailable where there is none.
    """
    open_clip = require_library("open_clip", "clip", name)
    model = _parts(name)[0]
    text = open_clip.get_model_config(model).get("text_cfg", {})
    source = text.get("hf_tokenizer_name")
    if source and weights is not None and any((weights.parent / file).exists() for file in TOKENIZER_FILES):
        options = {"clean": "whitespace", **text.get("tokenizer_kwargs", {})}
        try:
            return open_clip.tokenizer.HFTokenizer(
                str(weights.parent), tokenizer_mode=text.get("tokenizer_mode"), **options
            )
        except Exception as error:  # transformers has a dozen ways to say so
            raise BadInput(f"the tokenizer in {weights.parent} cannot be read: {first_line(error)}") from error
    advice = f"put the tokenizer's files of {source} ({' and '.join(TOKENIZER_FILES)}) beside the weights, and give "
    with downloading(f"the tokenizer of {name} is", f"{advice}these with --weights FILE"):
        return open_clip.get_tokenizer(model)


def _known(open_clip: Any, name: str) -> tuple[str, str]:
    """Return the model and the tag of its weights, which may be empty. Raises BadInput for what open_clip has not."""
    model, tag = _parts(name)
    if model not in open_clip.list_models():
        raise unknown_model("open_clip", model, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(model)
    if tag and tag not in tags:
        raise unknown_model("open_clip", f"{model}/{tag}", [f"{model}/{other}" for other in tags])
    return model, tag


def _make(name: str, weights: Path | None) -> Model:
    open_clip = require_library("open_clip", "clip", name)
    model, tag = _known(open_clip, name)
    if not tag and weights is None:
        tags = open_clip.list_pretrained_tags_by_model(model)
        there = f"{name}/{tags[0]}" if tags else "--weights FILE"
        raise BadInput(f"{name} does not say which weights; name them, such as {there}")
    own = open_clip.get_pretrained_cfg(model, tag) if tag else {}
    with downloading(f"the weights of {name} are"), _without_notice_of_weights():
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


@contextmanager
def _without_notice_of_weights() -> Iterator[None]:
    """Keep back what open_clip logs of a model whose weights are put in afterwards: that it is random."""

    def is_other(record: logging.LogRecord) -> bool:
        return "initialized randomly" not in record.getMessage()

    root = logging.getLogger()  # open_clip has no logger of its own
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)


def _text_tower(towers: Any) -> Any:
    import torch

    class TextTower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = towers

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.model.encode_text(tokens)  # type: ignore[no-any-return]

    return TextTower().eval()


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
