"""`resnet50`: torchvision's ResNet50 without its last layer, 2048 numbers a picture; the default.

Weights: torchvision's IMAGENET1K_V2 by torchvision's own loader, or a file in torchvision's layout (`--weights`).
"""

import functools
import hashlib
import io
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexes.devices import choose_device
from vecstore.embedders.embedder import EmbedderOptions, EmbedderSpec
from vecstore.embedders.heads import Head, head_from
from vecstore.embedders.network import Network, NetworkEmbedder, is_exported, network_key, with_pixels_in
from vecstore.embedders.runtimes import resolve
from vecstore.embedders.weight_file import fill, load_state
from vecstore.errors import BadInput, WeightsUnavailable
from vecstore.sources.paths import cache_dir

log = logging.getLogger(__name__)

NAME = "resnet50"
VERSION = 1
KEY = network_key(NAME, VERSION)
DIM = 2048
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# torchvision's own preprocessing for IMAGENET1K_V2: shorter side to 232, bilinear, then the middle 224 x 224.
RESIZED_SIDE, INPUT_SIDE = 232, 224
# In bf16 they did not, on random weights with photos' statistics (docs/quality.md); trained ones were not at hand.
NEIGHBOURS_STAY = False
# torchvision names the file by the first digits of its sha256, and its loader checks them.
TORCHVISION_FILE = "resnet50-11ad3fa6.pth"
TORCHVISION_SHA256 = "11ad3fa6"
# A network that swallows packets must not hang the command; torch.hub sets no limit of its own.
DOWNLOAD_TIMEOUT_SECONDS = 15

WAYS_ON = "give a weight file with --weights FILE, or choose --embedder efficientnet-lite0 or --embedder hsv"


def open_resnet50(options: EmbedderOptions) -> "ResNet50":
    return ResNet50(options)


class ResNet50(NetworkEmbedder):
    def __init__(self, options: EmbedderOptions) -> None:
        """Resolve the weights: the file asked for, those a store has recorded, or torchvision's own.

        Raises BadInput for a file that is not there, WeightsUnavailable where none can be had.
        """
        sha256, self._weights = _resolve(options)
        build = functools.partial(_build, self._weights, sha256)
        device = choose_device(options.device)
        precision = resolve(options.recorded.get(NAME), options.precision, device, NEIGHBOURS_STAY)
        network = Network(KEY, sha256, build, options.device, precision)
        spec = EmbedderSpec(
            name=NAME,
            version=VERSION,
            weights_sha256=sha256,
            dim=DIM,
            preprocessing=f"shorter side to {RESIZED_SIDE} bilinear, middle {INPUT_SIDE}x{INPUT_SIDE}, "
            "ImageNet mean and std",
            precision=precision,
        )
        super().__init__(network, spec, RESIZED_SIDE)

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        # The arithmetic of torchvision's Resize and CenterCrop, so that the pixels are the same ones.
        width, height = image.size
        short = min(width, height)
        new_width, new_height = RESIZED_SIDE * width // short, RESIZED_SIDE * height // short
        left, top = round((new_width - INPUT_SIDE) / 2), round((new_height - INPUT_SIDE) / 2)
        # Only the middle is scaled: a panorama's ends are cut off anyway.
        x, y = width / new_width, height / new_height
        middle = (left * x, top * y, (left + INPUT_SIDE) * x, (top + INPUT_SIDE) * y)
        return np.asarray(image.resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.BILINEAR, box=middle))

    def head(self) -> Head:
        """Return the classifier's last layer, whose features' length is not known. Raises what `head_from` does."""
        if self._weights is None:
            raise WeightsUnavailable(_weights_of_its_own(self.spec.weights[NAME]))
        return head_from(load_state(self._weights), "fc", DIM, None, str(self._weights))


def weights_at_hand() -> bool:
    """Say whether resnet50 can be used now without a download."""
    return _torchvision_path().exists() or _exported_torchvision() is not None


def _resolve(options: EmbedderOptions) -> tuple[str, Path | None]:
    """Return the weights' sha256, and their file; None where only the exported network is here."""
    if options.weights is not None:
        if not options.weights.is_file():
            raise BadInput(f"no weight file at {options.weights}")
        return _of_file(options.weights)
    expected = options.expected.get(NAME)
    if expected is not None and not expected.startswith(TORCHVISION_SHA256):
        if not is_exported(KEY, expected):
            raise WeightsUnavailable(_weights_of_its_own(expected))
        return expected, None
    if _torchvision_path().exists():
        return _of_file(_torchvision_path())
    exported = _exported_torchvision()
    if exported is not None:
        return exported, None
    _download(options.quiet)
    return _of_file(_torchvision_path())


def _exported_torchvision() -> str | None:
    """Return the sha256 of torchvision's weights if their network is in the cache, so that the file is not needed."""
    for path in (cache_dir() / "networks").glob(f"{KEY}-{TORCHVISION_SHA256}*.onnx"):
        return path.stem.removeprefix(f"{KEY}-")
    return None


def _weights_of_its_own(sha256: str) -> str:
    return (
        f"this store's resnet50 has its own weights (sha256 {sha256[:12]}...), which are not in the cache; "
        "give the file again with --weights FILE"
    )


def _of_file(path: Path) -> tuple[str, Path]:
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return sha256, path


def _torchvision_path() -> Path:
    # torch.hub.get_dir() without torch: https://docs.pytorch.org/docs/stable/hub.html#where-are-my-downloaded-models-saved
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints" / TORCHVISION_FILE


def _download(quiet: bool) -> None:
    """Have torchvision fetch its weights into its own cache, hash-checked. Raises WeightsUnavailable."""
    try:
        from torchvision.models import ResNet50_Weights
    except (ImportError, RuntimeError) as error:  # built for another torch, such as CUDA's beside the CPU's
        raise WeightsUnavailable(
            f"torchvision does not load beside this torch ({error}); install builds of the two that belong together, "
            "or choose --embedder efficientnet-lite0 or --embedder hsv"
        ) from error
    log.info("fetching torchvision's ResNet50 weights, once (98 MB)")
    # torch.hub says what it downloads on stdout, which is for results.
    with _socket_timeout(DOWNLOAD_TIMEOUT_SECONDS), redirect_stdout(io.StringIO()):
        try:
            ResNet50_Weights.IMAGENET1K_V2.get_state_dict(progress=not quiet, check_hash=True)
        except (OSError, HTTPException, RuntimeError) as error:  # no route, a full disk; cut off; a wrong hash
            raise WeightsUnavailable(
                f"torchvision's resnet50 weights are not in {_torchvision_path().parent} and could not be "
                f"downloaded ({error}); {WAYS_ON}"
            ) from error


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _build(path: Path | None, sha256: str) -> Any:
    """Return the torch module, (n, 224, 224, 3) uint8 to (n, 2048), from a weight file.

    Raises BadInput, WeightsUnavailable where there is none.
    """
    import torch
    import torchvision

    if path is None:
        raise WeightsUnavailable(_weights_of_its_own(sha256))
    network = torchvision.models.resnet50(weights=None)
    network.fc = torch.nn.Identity()
    # Whatever classes the last layer told apart; but a ResNet101 has all that a ResNet50 has, and more.
    fill(network, load_state(path), path, "no ResNet50", "a ResNet50", "torchvision", ("fc.",))
    return with_pixels_in(network, MEAN, STD)
