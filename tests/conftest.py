"""Fixtures: pictures made here, a tiny deterministic embedder in place of a network, real files and a real SQLite.

`shared_pictures(name)` is the folder of real pictures of that name beside the checkout; its tests skip without it.
"""

import gc
import os
import platform
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image, ImageStat

from tests.weights import open_loaded, save_resnet50
from vecstore.embedders import registry
from vecstore.embedders.embedder import Embedder, EmbedderOptions, EmbedderSpec, unit_rows
from vecstore.store import Store

SHARED = Path(os.environ.get("VECSTORE_TEST_PICTURES", Path(__file__).parents[2] / "shared" / "data"))


def pytest_report_header() -> str:
    return f"sqlite {sqlite3.sqlite_version}, numpy {np.__version__}, {platform.platform()}"


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Where VECSTORE_TEST_RERUNS is set, run a test so many times more when it fails.

    Processes, threads and Chromium share two cores on CI, where a wait can end early that ends in time elsewhere. What
    had to be run again is named in the summary: one of six thousand is to be mended, and holds no other change up.
    """
    if reruns := int(os.environ.get("VECSTORE_TEST_RERUNS", "0")):
        for item in items:
            item.add_marker(pytest.mark.flaky(reruns=reruns))


def pytest_collection_finish() -> None:
    """Let garbage collections pass over what is there before the first test: modules, and thousands of tests."""
    gc.collect()
    gc.freeze()


COUNTING = threading.Lock()  # two batches are embedded at once


class TinyEmbedder:
    """The mean colour of each quadrant: 12 numbers that can be worked out by hand. Counts what it embeds."""

    spec = EmbedderSpec(name="tiny", version=1, weights_sha256=None, dim=12, preprocessing="mean colour per quadrant")
    batch_size = 4
    input_size = (2, 2)
    prepared_count = 0
    embedded_count = 0

    def load(self) -> None:
        pass

    def prepare(self, image: Image.Image) -> NDArray[np.float32]:
        TinyEmbedder.prepared_count += 1
        x, y = image.width // 2, image.height // 2
        boxes = [(0, 0, x, y), (x, 0, image.width, y), (0, y, x, image.height), (x, y, image.width, image.height)]
        return np.array([ImageStat.Stat(image.crop(box)).mean for box in boxes], np.float32).ravel()

    def embed(self, prepared: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        with COUNTING:
            TinyEmbedder.embedded_count += len(prepared)
        return unit_rows(np.stack(list(prepared)) - 127.5)


@pytest.fixture(autouse=True)
def _tiny_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `tiny` a built-in name, and count from zero."""
    monkeypatch.setitem(registry.BUILT_IN, "tiny", "tests.conftest:open_tiny")
    TinyEmbedder.prepared_count = TinyEmbedder.embedded_count = 0


def open_tiny(options: EmbedderOptions) -> TinyEmbedder:
    return TinyEmbedder()


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run share, and no other run."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the tests' exported networks out of the user's cache, one export of each for the whole run."""
    os.environ["VECSTORE_CACHE"] = str(whole_run / "cache")
    # No test may find, or fetch, the weights of whoever runs it.
    os.environ["TORCH_HOME"] = str(tmp_path_factory.mktemp("torch"))


def paint(path: Path, seed: int, size: tuple[int, int] = (32, 24)) -> Path:
    """Write a picture of four coloured quadrants drawn from the seed; equal seeds give equal bytes."""
    colours = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colours).resize(size, Image.Resampling.NEAREST).save(path)
    return path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let FAISS use one thread: on a busy machine its threads wait for each other longer than these tests work."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of ten different pictures, two folders deep: 0.png ... 4.png, deep/5.png ... deep/9.png."""
    folder = tmp_path / "pictures"
    for seed in range(10):
        paint(folder / ("deep" if seed >= 5 else "") / f"{seed}.png", seed)
    return folder


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Open, or let the first add make, a store with the tiny embedder; it is closed after the test."""
    with ExitStack() as opened:

        def open_one(**options: object) -> Store:
            return opened.enter_context(
                Store.open(tmp_path / "store", **{"embedder": "tiny", "create": True, **options})
            )

        yield open_one


@pytest.fixture
def shared_pictures() -> Callable[[str], Path]:
    def folder(name: str) -> Path:
        if not (SHARED / name).is_dir():
            pytest.skip(f"the real pictures {name} are not at {SHARED}")
        return SHARED / name

    return folder


@pytest.fixture(scope="session")
def resnet50_weights(whole_run: Path) -> Path:
    """A weight file of a ResNet50 in torchvision's layout, with random weights: for tests only."""
    path = whole_run / "resnet50.pth"
    with FileLock(f"{path}.lock"):
        return path if path.exists() else save_resnet50(path, seed=0)


@pytest.fixture(scope="session")
def resnet50(_cache_of_its_own: None, resnet50_weights: Path) -> Embedder:
    """`resnet50` with those weights on the CPU, its network exported to the tests' cache."""
    with FileLock(f"{resnet50_weights}.lock"):
        return open_loaded("resnet50", resnet50_weights)


@pytest.fixture(scope="session")
def efficientnet(_cache_of_its_own: None, whole_run: Path) -> Embedder:
    """`efficientnet-lite0` on the CPU, its network exported to the tests' cache."""
    with FileLock(whole_run / "efficientnet.lock"):
        return open_loaded("efficientnet-lite0")


@pytest.fixture(scope="session")
def efficientnet_lite2(_cache_of_its_own: None, whole_run: Path) -> Embedder:
    """`efficientnet-lite2` on the CPU, its network exported to the tests' cache."""
    with FileLock(whole_run / "efficientnet-lite2.lock"):
        return open_loaded("efficientnet-lite2")
