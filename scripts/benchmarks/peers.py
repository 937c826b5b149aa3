"""What others make vectors of a folder of photos with; run by `scripts/bench ingest --peers PYTHON` in that Python.

    python peers.py dataloader|imagededup PHOTOS resnet50 WEIGHTS.pth
    python peers.py dataloader|imagededup PHOTOS efficientnet-lite0

Prints images/s over all the photos, imports and the network's loading left out. Imports nothing of vecstore. It needs
torch and torchvision, for `imagededup` that package, and for efficientnet-lite0 `efficientnet_lite_pytorch`.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from PIL import Image
from torchvision.models import ResNet50_Weights

# imagededup's batches are of 64, always. With a process for each core, which then
# competes with torch's own threads, both were slower.
DATALOADER_BATCH = 8
WORKERS = max((os.cpu_count() or 1) // 2, 1)
PREPARE = ResNet50_Weights.IMAGENET1K_V2.transforms()


def main() -> None:
    peer, photos, name, *weights = sys.argv[1:]
    network = _network(name, *weights).eval()
    with torch.inference_mode():
        network(torch.zeros(1, 3, 224, 224))
    encode = {"dataloader": _with_dataloader, "imagededup": _with_imagededup}[peer]
    started = time.perf_counter()
    n = encode(network, Path(photos))
    print(n / (time.perf_counter() - started))


def _network(name: str, *weights: str) -> torch.nn.Module:
    """Return (n, 3, 224, 224) to (n, dim). Without weights they are random, which takes as long."""
    if name == "resnet50":
        network = torchvision.models.resnet50()
        network.load_state_dict(torch.load(weights[0], weights_only=True))
        network.fc = torch.nn.Identity()
        return network  # type: ignore[no-any-return]
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(name)

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network.extract_features(x).mean((2, 3))  # type: ignore[no-any-return]

    return Features()


class Photos(torch.utils.data.Dataset[Any]):
    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.iterdir())

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Any:
        return PREPARE(Image.open(self.files[i]).convert("RGB"))


def _with_dataloader(network: torch.nn.Module, folder: Path) -> int:
    loader = torch.utils.data.DataLoader(Photos(folder), batch_size=DATALOADER_BATCH, num_workers=WORKERS)
    with torch.inference_mode():
        vectors = torch.cat([network(batch) for batch in loader])
    return len(torch.nn.functional.normalize(vectors).numpy())


def _with_imagededup(network: torch.nn.Module, folder: Path) -> int:
    from imagededup.methods import CNN
    from imagededup.utils import CustomModel

    cnn = CNN(verbose=False, model_config=CustomModel(name="the same network", model=network, transform=PREPARE))
    return len(cnn.encode_images(folder, num_enc_workers=WORKERS))


if __name__ == "__main__":
    main()
