"""Weights made here, random on purpose, and the networks that are exported from them once for the whole run.

`conftest.py` turns these into session fixtures; torch and torchvision are imported by the first test that asks.
"""

from pathlib import Path
from typing import Any

from vecstore.embedders.embedder import Embedder, EmbedderOptions
from vecstore.embedders.registry import open_embedder


def resnet50_state(seed: int) -> dict[str, Any]:
    """Return the state_dict of a ResNet50 with random weights drawn from the seed, in torchvision's layout."""
    import torch
    import torchvision

    torch.manual_seed(seed)
    state: dict[str, Any] = torchvision.models.resnet50().state_dict()
    return state


def save_resnet50(path: Path, seed: int) -> Path:
    """Write a weight file as torchvision's are written."""
    import torch

    torch.save(resnet50_state(seed), path)
    return path


def open_loaded(name: str, weights: Path | None = None, device: str = "cpu") -> Embedder:
    """Return the embedder, loaded, on the CPU unless told otherwise; only a resnet50 is given the weights."""
    options = EmbedderOptions(weights=weights if "resnet50" in name else None, device=device)
    embedder = open_embedder(name, options)
    embedder.load()
    return embedder
