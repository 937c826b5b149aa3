"""The networks: equal to torch's own, exported once and whole, and never from a file that could run code."""

import http.client
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from cli.app import app
from indexes.devices import Device
from tests.conftest import paint
from tests.weights import resnet50_state, save_resnet50
from vecstore.embedders import efficientnet as efficientnet_module
from vecstore.embedders import network, runtimes
from vecstore.embedders import resnet50 as resnet50_module
from vecstore.embedders.embedder import Embedder, EmbedderOptions
from vecstore.embedders.network import export, with_pixels_in
from vecstore.embedders.registry import open_embedder
from vecstore.errors import BadInput, VecstoreError, WeightsUnavailable, WrongEmbedder
from vecstore.store import Store
from vecstore.words.vocabulary import vocabulary

LANDSCAPE, PORTRAIT, SQUARE, SMALL, PANORAMA = (500, 333), (333, 500), (400, 400), (60, 97), (900, 61)
SIZES = [LANDSCAPE, PORTRAIT, SQUARE, SMALL, PANORAMA]


def noisy(size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def relative_error(found: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    return float(np.abs(found - truth).max() / np.abs(truth).max())


# Equal to torch


@pytest.fixture(scope="module")
def torchvision_features(resnet50_weights: Path) -> Callable[[Any], NDArray[np.float32]]:
    """torchvision's own network with the last layer taken off, on what torchvision's transforms make."""
    import torch
    import torchvision

    reference = torchvision.models.resnet50()
    reference.load_state_dict(torch.load(resnet50_weights, weights_only=True))
    reference.fc = torch.nn.Identity()
    reference.eval()

    def features(normalised: Any) -> NDArray[np.float32]:
        with torch.inference_mode():
            return reference(normalised).numpy()  # type: ignore[no-any-return]

    return features


def torchvision_pixels(image: Image.Image) -> NDArray[np.float32]:
    """Return what torchvision's transforms for IMAGENET1K_V2 make of a picture, with the normalisation undone."""
    from torchvision.models import ResNet50_Weights

    transforms = ResNet50_Weights.IMAGENET1K_V2.transforms()
    values = transforms(image).permute(1, 2, 0).numpy()
    return (values * np.float32(transforms.std) + np.float32(transforms.mean)) * 255  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", SIZES)
def test_resnet50_s_pixels_are_torchvision_s_within_one_grey_level(resnet50: Embedder, size: tuple[int, int]) -> None:
    image = noisy(size)
    prepared = resnet50.prepare(image)
    assert (prepared.shape, prepared.dtype) == ((224, 224, 3), np.uint8)
    assert np.abs(prepared - torchvision_pixels(image)).max() < 1.01


def test_resnet50_s_features_are_torchvision_s(
    resnet50: Any, torchvision_features: Callable[[Any], NDArray[np.float32]]
) -> None:
    from torchvision.models import ResNet50_Weights
    from torchvision.transforms import functional

    pixels = [resnet50.prepare(noisy(size)) for size in (LANDSCAPE, PORTRAIT, SQUARE)]
    transforms = ResNet50_Weights.IMAGENET1K_V2.transforms()
    normalised = [functional.normalize(functional.to_tensor(p.copy()), transforms.mean, transforms.std) for p in pixels]
    truth = np.concatenate([torchvision_features(values[None]) for values in normalised])
    assert relative_error(resnet50.network.features(np.stack(pixels)), truth) <= 1e-5


def test_resnet50_s_vector_is_torchvision_s_direction(
    resnet50: Embedder, torchvision_features: Callable[[Any], NDArray[np.float32]]
) -> None:
    from torchvision.models import ResNet50_Weights

    image = noisy(LANDSCAPE)
    truth = torchvision_features(ResNet50_Weights.IMAGENET1K_V2.transforms()(image)[None])[0]
    vector = resnet50.embed([resnet50.prepare(image)])[0]
    assert vector @ truth / np.linalg.norm(truth) > 0.99999


@pytest.fixture(params=[("efficientnet", 224), ("efficientnet_lite2", 260)], ids=["lite0", "lite2"])
def lite(request: pytest.FixtureRequest) -> Any:
    """One of the Lite networks; (the embedder, the side of its input)."""
    name, side = request.param
    return request.getfixturevalue(name), side


@pytest.mark.parametrize("size", SIZES)
def test_efficientnet_s_pixels_are_the_middle_of_the_squeezed_picture(lite: Any, size: tuple[int, int]) -> None:
    embedder, side = lite
    image = noisy(size)
    middle = (16, 16, side + 16, side + 16)
    truth = np.asarray(image.resize((side + 32,) * 2, Image.Resampling.BILINEAR).crop(middle), np.int16)
    prepared = embedder.prepare(image)
    assert (prepared.shape, prepared.dtype) == ((side, side, 3), np.uint8)
    assert np.abs(prepared - truth).max() <= 2  # scaling the middle alone rounds otherwise in each of two passes


def test_efficientnet_s_features_are_its_own_network_s(lite: Any) -> None:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    embedder, _ = lite
    weights = efficientnet_module._weights_path(embedder.lite)
    reference = EfficientNet.from_pretrained(embedder.spec.name, weights_path=str(weights)).eval()
    pixels = np.stack([embedder.prepare(noisy(size)) for size in (LANDSCAPE, PORTRAIT, SQUARE)])
    normalised = torch.from_numpy((pixels.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
    features = embedder.network.features(pixels)
    with torch.inference_mode():
        maps = reference.extract_features(normalised)
        logits = reference(normalised).numpy()
        through_the_last_layer = reference._fc(torch.from_numpy(features)).numpy()
    assert relative_error(features, torch.nn.functional.adaptive_avg_pool2d(maps, 1).flatten(1).numpy()) <= 1e-5
    # What the package's whole forward says of the same pixels: nothing is lost between the features and its classes.
    assert relative_error(through_the_last_layer, logits) <= 1e-5


def test_openvino_takes_the_input_size_that_a_network_says(efficientnet_lite2: Any) -> None:
    pytest.importorskip("openvino")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 260, 260, 3), np.uint8)
    compiled = runtimes._compile(efficientnet_lite2.network.exported, runtimes.OPENVINO, 0)
    truth = runtimes._onnx_runtime(efficientnet_lite2.network.exported)(pixels)
    assert relative_error(runtimes._openvino(compiled)(pixels), truth) <= 1e-4


def test_a_batch_for_many_cores_has_the_vectors_of_its_pictures_one_by_one_in_order(efficientnet: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (11, 224, 224, 3), np.uint8)  # no whole number of chunks
    one_by_one = np.concatenate([efficientnet.embed([picture]) for picture in pixels])
    np.testing.assert_allclose(efficientnet.embed(list(pixels)), one_by_one, atol=1e-6)


# Exported once


def in_a_new_process(program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a Python program that prints; the tests' cache is in the environment."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=check,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )


EMBED_FROM_THE_CACHE = """
import json, sys
from PIL import Image
from vecstore.embedders.embedder import EmbedderOptions
from vecstore.embedders.registry import open_embedder
name, picture, expected = sys.argv[1:]
embedder = open_embedder(name, EmbedderOptions(expected=json.loads(expected), device="cpu"))
vector = embedder.embed([embedder.prepare(Image.open(picture).convert("RGB"))])[0]
print(json.dumps([vector.tolist(), sorted({"torch", "torchvision", "faiss"} & sys.modules.keys())]))
"""


@pytest.mark.parametrize("name", ["resnet50", "efficientnet-lite0"])
def test_second_open_needs_neither_torch_nor_the_weight_file(
    request: pytest.FixtureRequest, name: str, tmp_path: Path
) -> None:
    embedder: Embedder = request.getfixturevalue(name.removesuffix("-lite0"))
    picture = paint(tmp_path / "picture.png", seed=1)
    ended = in_a_new_process(EMBED_FROM_THE_CACHE, name, str(picture), json.dumps(embedder.spec.weights))
    vector, imported = json.loads(ended.stdout)
    assert imported == []
    np.testing.assert_allclose(vector, embedder.embed([embedder.prepare(Image.open(picture))])[0], atol=1e-6)


@pytest.fixture
def resnet50_store(tmp_path: Path, resnet50: Embedder, resnet50_weights: Path, pictures: Path) -> Path:
    """A store of the ten pictures, whose weight file is gone since."""
    weights = Path(shutil.copy(resnet50_weights, tmp_path / "weights.pth"))
    with Store.open(tmp_path / "store", weights=weights, device="cpu", create=True) as store:
        store.add(pictures)
    weights.unlink()
    return tmp_path / "store"


COMMAND_LINE = """
import atexit, sys
atexit.register(lambda: print(*sorted({"torch", "torchvision"} & sys.modules.keys()), file=sys.stderr))
from cli.app import main
main()
"""


def test_similar_with_a_new_picture_imports_no_torch(resnet50_store: Path, pictures: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.jpg"
    Image.open(pictures / "3.png").resize((64, 48)).save(new, quality=95)
    arguments = ["similar", str(new), "--store", str(resnet50_store), "--device", "cpu", "-k", "3", "--json"]
    ended = in_a_new_process(COMMAND_LINE, *arguments)
    assert ended.stderr.split() == []
    hits = [json.loads(line) for line in ended.stdout.splitlines()]
    with Store.open(resnet50_store, device="cpu") as store:
        assert [(hit["id"], hit["path"]) for hit in hits] == [(hit.id, hit.path) for hit in store.similar(new, k=3)]


def test_store_with_weights_of_its_own_goes_on_without_their_file(resnet50_store: Path, tmp_path: Path) -> None:
    with Store.open(resnet50_store, device="cpu") as store:
        assert store.add(paint(tmp_path / "more.png", seed=99)).added == 1


def test_words_come_from_the_weight_file_s_last_layer_once_and_from_the_store_afterwards(
    resnet50_store: Path, resnet50: Any, resnet50_weights: Path, pictures: Path
) -> None:
    import torch

    state = torch.load(resnet50_weights, weights_only=True)
    weights, bias = (state[f"fc.{name}"].double().numpy() for name in ("weight", "bias"))
    prepared = np.stack([resnet50.prepare(Image.open(path)) for path in sorted(pictures.rglob("*.png"))])
    length = float(np.linalg.norm(resnet50.network.features(prepared), axis=1).mean())
    units = np.fromfile(resnet50_store / "vectors.f16", "<f2").reshape(-1, 2048).astype(np.float64)
    powers = np.exp(units * length @ weights.T + bias)
    shares = powers / powers.sum(axis=1, keepdims=True)
    word = vocabulary().names[int(shares[0].argmax())][0]
    scores = shares[:, sorted(vocabulary().classes_of[word])].sum(axis=1)

    arguments = ["find", word, "--store", str(resnet50_store), "--device", "cpu", "-k", "10", "--json"]
    refused = in_a_new_process(COMMAND_LINE, *arguments, check=False)
    assert refused.returncode == 1
    assert "give the file again with --weights FILE" in refused.stderr
    first = in_a_new_process(COMMAND_LINE, *arguments, "--weights", str(resnet50_weights))
    again = in_a_new_process(COMMAND_LINE, *arguments)
    assert (again.stdout, again.stderr.split()) == (first.stdout, [])
    hits = [json.loads(line) for line in again.stdout.splitlines()]
    assert 0 in [hit["id"] for hit in hits]
    assert [hit["score"] for hit in hits] == pytest.approx([scores[hit["id"]] for hit in hits], rel=1e-3)


def test_store_whose_weights_are_nowhere_asks_for_their_file(
    resnet50_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path / "another cache"))
    with (
        Store.open(resnet50_store, device="cpu") as store,
        pytest.raises(WeightsUnavailable, match=r"has its own weights .* give the file again with --weights FILE"),
    ):
        store.add(paint(tmp_path / "more.png", seed=99))


# Whole or not at all


@dataclass(frozen=True)
class Toy:
    """A network small enough to be exported in a moment."""

    module: Any
    other: Any
    path: Path

    def left_behind(self) -> list[str]:
        return sorted(str(path.relative_to(self.path.parent)) for path in self.path.parent.rglob("*"))


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    import torch

    def made(seed: int) -> Any:
        torch.manual_seed(seed)
        layers = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 5)]
        return with_pixels_in(torch.nn.Sequential(*layers), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))

    return Toy(made(0), made(1), tmp_path / "networks" / "toy.onnx")


def test_exported_network_runs_and_is_alone_in_its_folder(toy: Toy) -> None:
    import torch

    export(toy.module, toy.path)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 224, 224, 3), np.uint8)
    with torch.inference_mode():
        truth = toy.module(torch.from_numpy(pixels)).numpy()
    found = runtimes.open_session(toy.path).run(None, {"pixels": pixels})[0]
    assert toy.left_behind() == ["toy.onnx"]
    assert relative_error(found, truth) <= 1e-5


def test_network_that_differs_from_torch_s_is_refused_and_not_kept(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    export_quietly = network._export_quietly

    def export_another(module: Any, pixels: Any, path: Path, name: str) -> None:
        export_quietly(toy.other, pixels, path, name)

    monkeypatch.setattr(network, "_export_quietly", export_another)
    with pytest.raises(VecstoreError, match=r"the exported network differs from torch by \d\.\de[+-]\d\d"):
        export(toy.module, toy.path)
    assert toy.left_behind() == []


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_export_leaves_nothing_behind(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def write_half(module: Any, pixels: Any, path: Path, name: str) -> None:
        path.write_bytes(b"half a network")
        raise failure

    monkeypatch.setattr(network, "_export_quietly", write_half)
    with pytest.raises(type(failure)):
        export(toy.module, toy.path)
    assert toy.left_behind() == []


def test_export_that_onnx_runtime_cannot_read_leaves_nothing_behind(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_export_quietly", lambda module, pixels, path, name: path.write_bytes(b""))
    with pytest.raises(Exception, match="toy.onnx"):
        export(toy.module, toy.path)
    assert toy.left_behind() == []


def test_network_is_opened_once_by_threads_that_come_first(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def open_slowly(self: network.Network) -> Callable[[Any], Any]:
        time.sleep(0.05)
        opened.append(self)
        return lambda pixels: pixels

    monkeypatch.setattr(network.Network, "_on_cpu", open_slowly)
    toy_network = network.Network("toy", "0" * 64, lambda: toy.module, "cpu")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: toy_network.load(), range(4)))
    assert opened == [toy_network]


def test_network_is_exported_once(toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path))
    built = []

    def build() -> Any:
        built.append("toy")
        return toy.module

    for _ in range(2):
        network.Network("toy", "0" * 64, build, "cpu").load()
    assert built == ["toy"]


def test_damaged_network_in_the_cache_is_exported_again(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path))
    opened = network.Network("toy", "0" * 64, lambda: toy.module, "cpu")
    opened.load()
    os.truncate(opened.exported, 100)  # as a full disk, or a power cut after the rename, leaves it
    again = network.Network("toy", "0" * 64, lambda: toy.module, "cpu")
    pixels = np.zeros((1, 224, 224, 3), np.uint8)
    np.testing.assert_array_equal(again.features(pixels), opened.features(pixels))


# On a GPU


class FailingModule:
    """Stands in for a torch module on a machine whose GPU refuses it."""

    def __init__(self, error: str) -> None:
        self.error = error

    def to(self, device: str) -> Any:
        raise RuntimeError(self.error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of",
            "the GPU has no memory left for torch; end what else uses it, choose another with --device cuda:N, or "
            "choose --device cpu",
        ),
        (
            "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be",
            "this torch has no code for this GPU; install a build that has (https://pytorch.org/get-started/locally), "
            "or choose --device cpu",
        ),
    ],
)
def test_a_gpu_that_refuses_the_network_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: str, said: str
) -> None:
    monkeypatch.setattr(network, "choose_device", lambda requested: Device("cuda", 1))
    with pytest.raises(VecstoreError) as refusal:
        network.Network("toy", "0" * 64, lambda: FailingModule(error), "cuda").load()
    assert str(refusal.value) == said


# Weight files


def build_from(path: Path) -> Any:
    """Build the network of a weight file, as the first picture does, without the export."""
    embedder: Any = open_embedder("resnet50", EmbedderOptions(weights=path, device="cpu"))
    return embedder.network.build()


def test_missing_weight_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refusal:
        open_embedder("resnet50", EmbedderOptions(weights=tmp_path / "absent.pth"))
    assert str(refusal.value) == f"no weight file at {tmp_path / 'absent.pth'}"


def test_folder_is_no_weight_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no weight file at"):
        open_embedder("resnet50", EmbedderOptions(weights=tmp_path))


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"these are no weights\n", b"PK\x03\x04 cut off"])
def test_file_that_holds_no_weights_is_refused_by_name(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadInput) as refusal:
        build_from(path)
    assert str(refusal.value).startswith(f"{path} is not a weight file that can be loaded safely: ")


def test_an_empty_weight_file_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").touch()
    with pytest.raises(BadInput, match="loaded safely: it is empty$"):
        build_from(tmp_path / "weights.pth")


class RunsCode:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


def pickled(path: Path, content: Any) -> None:
    path.write_bytes(pickle.dumps(content))


def torch_saved(path: Path, content: Any) -> None:
    import torch

    torch.save(content, path)


@pytest.mark.parametrize("save", [pickled, torch_saved])
@pytest.mark.parametrize("name", ["weights.pth", "weights.pkl", "weights.safetensors"])
def test_code_in_a_weight_file_is_not_run(tmp_path: Path, save: Callable[[Path, Any], None], name: str) -> None:
    path, trace = tmp_path / name, tmp_path / "the code was run"
    save(path, {"conv1.weight": RunsCode(trace)})
    with pytest.raises(BadInput, match="is not a weight file that can be loaded safely"):
        build_from(path)
    assert not trace.exists()


def test_refusal_of_a_file_with_code_does_not_advise_to_load_it_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch_saved(path, {"conv1.weight": RunsCode(tmp_path / "trace")})
    with pytest.raises(BadInput) as refusal:
        build_from(path)
    assert "can still be loaded" not in str(refusal.value)


def test_the_command_line_refuses_a_file_with_code_and_makes_no_store(tmp_path: Path, pictures: Path) -> None:
    weights, trace, store = tmp_path / "weights.pth", tmp_path / "the code was run", tmp_path / "store"
    torch_saved(weights, {"conv1.weight": RunsCode(trace)})
    arguments = ["add", str(pictures), "--weights", str(weights), "--store", str(store), "--device", "cpu", "-q"]
    ended = CliRunner().invoke(app, arguments)
    assert (ended.exit_code, ended.stdout, trace.exists(), store.exists()) == (2, "", False, False)
    assert ended.stderr.startswith(f"Error: {weights} is not a weight file that can be loaded safely: ")


@pytest.mark.parametrize("records", [1, 30])
def test_a_zip_bomb_in_place_of_weights_is_refused_before_it_is_unpacked(tmp_path: Path, records: int) -> None:
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        for number in range(records):
            archive.writestr(f"archive/data/{number}", bytes(1 << 20))
    with pytest.raises(BadInput, match=r"loaded safely: its [0-9,]+ bytes would unpack"):
        build_from(path)


def test_weights_of_a_resnet18_are_refused_by_what_is_missing(tmp_path: Path) -> None:
    import torchvision

    path = tmp_path / "resnet18.pth"
    torch_saved(path, torchvision.models.resnet18().state_dict())
    with pytest.raises(BadInput, match=r"resnet18\.pth is no ResNet50: \d+ of its 318 tensors are missing, such as "):
        build_from(path)


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, {"state_dict": {}}])
def test_dict_without_tensors_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    torch_saved(tmp_path / "weights.pth", content)
    with pytest.raises(BadInput, match="is no ResNet50: 318 of its 318 tensors are missing"):
        build_from(tmp_path / "weights.pth")


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": [1, 2]}])
def test_what_is_no_dict_is_refused(tmp_path: Path, content: Any) -> None:
    torch_saved(tmp_path / "weights.pth", content)
    with pytest.raises(BadInput, match="holds a list, not a state_dict"):
        build_from(tmp_path / "weights.pth")


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    return resnet50_state(seed=0)


def test_wide_resnet50_is_refused_by_its_shapes(tmp_path: Path) -> None:
    import torchvision

    path = tmp_path / "wide.pth"
    torch_saved(path, torchvision.models.wide_resnet50_2().state_dict())
    with pytest.raises(BadInput) as refusal:
        build_from(path)
    assert str(refusal.value) == (
        f"{path} is no ResNet50: its layer1.0.conv1.weight has the shape (128, 64, 1, 1), not (64, 64, 1, 1)"
    )


def test_resnet101_is_refused_though_it_has_all_that_resnet50_has(tmp_path: Path, state: dict[str, Any]) -> None:
    path = tmp_path / "deeper.pth"
    torch_saved(path, state | {"layer3.6.conv1.weight": state["layer3.5.conv1.weight"]})
    with pytest.raises(BadInput) as refusal:
        build_from(path)
    assert str(refusal.value) == (
        f"{path} is no ResNet50: it has 1 tensors that a ResNet50 has not, such as layer3.6.conv1.weight"
    )


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, state: dict[str, Any]) -> None:
    path = tmp_path / "nan.pth"
    torch_saved(path, state | {"bn1.bias": state["bn1.bias"] * float("nan")})
    with pytest.raises(BadInput, match="cannot be used: its bn1.bias holds numbers that are not finite"):
        build_from(path)


def wrapped_by_data_parallel(path: Path, state: dict[str, Any]) -> None:
    torch_saved(path, {f"module.{name}": tensor for name, tensor in state.items()})


def wrapped_by_a_training_script(path: Path, state: dict[str, Any]) -> None:
    torch_saved(path, {"epoch": 90, "state_dict": state})


def wrapped_by_both(path: Path, state: dict[str, Any]) -> None:
    torch_saved(path, {"epoch": 90, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}})


def with_other_classes(path: Path, state: dict[str, Any]) -> None:
    import torch

    torch_saved(path, {**state, "fc.weight": torch.zeros(7, 2048), "fc.bias": torch.zeros(7)})


def without_the_last_layer(path: Path, state: dict[str, Any]) -> None:
    torch_saved(path, {name: tensor for name, tensor in state.items() if not name.startswith("fc.")})


def as_safetensors(path: Path, state: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    save_file(state, path)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("weights.pth", wrapped_by_data_parallel),
        ("weights.tar", wrapped_by_a_training_script),
        ("weights.pth", wrapped_by_both),
        ("weights.pth", with_other_classes),
        ("weights.pth", without_the_last_layer),
        ("weights.safetensors", as_safetensors),
        ("WEIGHTS.SAFETENSORS", as_safetensors),
    ],
)
def test_usual_forms_of_a_weight_file_are_accepted(
    tmp_path: Path, state: dict[str, Any], name: str, save: Callable[[Path, dict[str, Any]], None]
) -> None:
    import torch

    save(tmp_path / name, state)
    built = build_from(tmp_path / name).backbone.state_dict()
    assert list(built) == [tensor for tensor in state if not tensor.startswith("fc.")]
    assert all(torch.equal(tensor, state[name]) for name, tensor in built.items())


# No weights to be had

WAYS_ON = ("--weights FILE", "--embedder efficientnet-lite0", "--embedder hsv")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A proxy, not listening, that all downloads of this process go through."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


@pytest.fixture
def _no_network_exported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither torchvision's weights nor the network for them are at hand. torch is imported: that is not timed."""
    import torchvision  # noqa: F401

    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def add_with_resnet50(pictures: Path, store: Path) -> tuple[int, str, str, float]:
    """Return exit code, stdout, stderr and seconds of `vecstore add`."""
    started = time.monotonic()
    ended = CliRunner().invoke(app, ["add", str(pictures), "--store", str(store), "--device", "cpu", "-q"])
    return ended.exit_code, ended.stdout, ended.stderr, time.monotonic() - started


@pytest.mark.usefixtures("proxy", "_no_network_exported")
def test_without_weights_and_network_the_error_says_the_three_ways_on(tmp_path: Path, pictures: Path) -> None:
    code, _, stderr, seconds = add_with_resnet50(pictures, tmp_path / "store")
    assert code == 1
    assert stderr.startswith(f"Error: torchvision's resnet50 weights are not in {tmp_path}/torch/hub/checkpoints and ")
    assert [way for way in WAYS_ON if way not in stderr] == []
    assert seconds < 30
    assert not (tmp_path / "store").exists()


@pytest.mark.usefixtures("proxy", "_no_network_exported")
def test_download_says_nothing_on_stdout_where_results_go(tmp_path: Path, pictures: Path) -> None:
    _, stdout, _, _ = add_with_resnet50(pictures, tmp_path / "store")
    assert stdout == ""


@pytest.mark.usefixtures("_no_network_exported")
def test_network_that_never_answers_does_not_hang_the_command(
    tmp_path: Path, pictures: Path, proxy: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resnet50_module.DOWNLOAD_TIMEOUT_SECONDS <= 20  # what is shortened here
    monkeypatch.setattr(resnet50_module, "DOWNLOAD_TIMEOUT_SECONDS", 0.5)
    proxy.listen()
    code, _, stderr, seconds = add_with_resnet50(pictures, tmp_path / "store")
    assert code == 1
    assert [way for way in WAYS_ON if way not in stderr] == []
    assert seconds < 10
    assert socket.getdefaulttimeout() is None


@pytest.mark.usefixtures("_no_network_exported")
@pytest.mark.parametrize(
    "failure",
    [
        TimeoutError("timed out"),
        RuntimeError('invalid hash value (expected "11ad3fa6", got "00000000")'),
        http.client.IncompleteRead(b"", 100),
    ],
)
def test_every_way_a_download_fails_ends_in_the_three_ways_on(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    import torch

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise failure

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(WeightsUnavailable) as refusal:
        open_embedder("resnet50", EmbedderOptions(device="cpu"))
    assert [way for way in WAYS_ON if way not in str(refusal.value)] == []


def test_a_torchvision_of_another_torch_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)  # importing it fails
    with pytest.raises(WeightsUnavailable, match=r"torchvision does not load beside this torch .* choose --embedder"):
        open_embedder("resnet50", EmbedderOptions(device="cpu"))


# The store keeps to its embedder


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_resnet50(tmp_path_factory.mktemp("other") / "resnet50.pth", seed=1)


def test_store_made_with_one_weight_file_refuses_another(
    resnet50_store: Path, resnet50: Embedder, other_weights: Path
) -> None:
    recorded = str(resnet50.spec.weights_sha256)
    given = open_embedder("resnet50", EmbedderOptions(weights=other_weights, device="cpu")).spec.weights_sha256
    with pytest.raises(WrongEmbedder) as refusal:
        Store.open(resnet50_store, weights=other_weights, device="cpu")
    assert str(refusal.value) == (
        f"the store {resnet50_store} was made with resnet50 and other weights (sha256 {recorded[:12]}..., not "
        f"{str(given)[:12]}...); give the same file with --weights, or use another store"
    )


def test_store_accepts_the_same_weights_again(resnet50_store: Path, resnet50_weights: Path) -> None:
    with Store.open(resnet50_store, weights=resnet50_weights, device="cpu") as store:
        assert store.info().embedder == "resnet50"


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("name", ["hsv", "resnet50+hsv"])
def test_store_refuses_another_embedder_by_name(resnet50_store: Path, name: str, create: bool) -> None:
    with pytest.raises(WrongEmbedder) as refusal:
        Store.open(resnet50_store, embedder=name, create=create)
    assert str(refusal.value) == (
        f"the store {resnet50_store} was made with resnet50, not {name}; leave --embedder out, or use another "
        "store for the other embedder"
    )


Command = Literal["add", "sync"]


@pytest.mark.parametrize("command", ["add", "sync"])
def test_wrong_embedder_is_exit_code_2_and_changes_nothing(
    resnet50_store: Path, pictures: Path, command: Command
) -> None:
    vectors = (resnet50_store / "vectors.f16").read_bytes()
    paint(pictures / "new.png", seed=77)
    ended = CliRunner().invoke(app, [command, str(pictures), "--store", str(resnet50_store), "--embedder", "hsv"])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"Error: the store {resnet50_store} was made with resnet50, not hsv; ")
    assert (resnet50_store / "vectors.f16").read_bytes() == vectors


def test_store_refuses_weights_where_its_embedder_takes_none(tmp_path: Path, pictures: Path) -> None:
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(pictures)
    with pytest.raises(BadInput, match="the embedder hsv has no weights; leave --weights out"):
        Store.open(tmp_path / "store", weights=tmp_path / "weights.pth")
