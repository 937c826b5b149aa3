"""`onnx:FILE`: models made here, against ONNX Runtime's own output of the same file, and what is refused."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, save
from PIL import Image

from tests.conftest import paint
from tests.programs import run_program
from vecstore.embedders import overview, runtimes
from vecstore.embedders.embedder import Embedder, EmbedderOptions, unit_rows
from vecstore.embedders.registry import canonical_name, open_embedder
from vecstore.errors import BadInput, WeightsUnavailable, WrongEmbedder
from vecstore.store import Store

needs_openvino = pytest.mark.skipif(not runtimes.has_openvino(), reason="OpenVINO has no wheel for this machine")
SIDE, DIM = 16, 6
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(autouse=True)
def _not_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep networks here, and let ONNX Runtime run them: which runtime is faster is tested elsewhere."""
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runtimes, "has_openvino", lambda: False)


def write_model(
    path: Path,
    *,
    shape: tuple[int | str, ...] = ("n", 3, SIDE, SIDE),
    element: int = TensorProto.FLOAT,
    end: str = "vector",
    operator: str = "Relu",
    seed: int = 0,
    opset: int = 17,
) -> Path:
    """Write a model of one convolution. end: "vector" (n, DIM), "plane" (n, DIM, 5, 5), "tokens" (n, 25, DIM),
    "two": vector and logits, "fixed": a vector by a Reshape to one picture, "mixed": less the mean of all pictures."""
    numbers = np.random.default_rng(seed)
    real = np.float16 if element == TensorProto.FLOAT16 else np.float32
    kernel = numpy_helper.from_array(numbers.normal(0, 0.2, (DIM, 3, 3, 3)).astype(real), "kernel")
    weights = [kernel]
    start = shape[3] == 3 and shape[1] != 3
    nodes = [helper.make_node("Transpose", ["picture"], ["planes"], perm=[0, 3, 1, 2])] if start else []
    values = "planes" if start else "picture"
    if element == TensorProto.UINT8:
        nodes.append(helper.make_node("Cast", [values], ["real"], to=TensorProto.FLOAT))
        values = "real"
    nodes.append(helper.make_node("Conv", [values, "kernel"], ["edges"], strides=[3, 3]))
    nodes.append(helper.make_node(operator, ["edges"], ["plane"], domain="" if operator == "Relu" else "strange"))
    kind = TensorProto.FLOAT16 if element == TensorProto.FLOAT16 else TensorProto.FLOAT
    if end in ("vector", "two", "fixed", "mixed"):
        nodes.append(helper.make_node("GlobalAveragePool", ["plane"], ["means"]))
        if end == "fixed":
            weights.append(numpy_helper.from_array(np.array([1, -1], np.int64), "one"))
            nodes.append(helper.make_node("Reshape", ["means", "one"], ["features"]))
        else:
            nodes.append(helper.make_node("Flatten", ["means"], ["own" if end == "mixed" else "features"]))
        if end == "mixed":
            weights.append(numpy_helper.from_array(np.array([0.9], np.float32), "share"))
            nodes.append(helper.make_node("ReduceMean", ["own"], ["mean"], axes=[0]))
            nodes.append(helper.make_node("Mul", ["mean", "share"], ["less"]))
            nodes.append(helper.make_node("Sub", ["own", "less"], ["features"]))
        outputs: dict[str, list[str | int | None]] = {"features": ["n", DIM]}
        if end == "two":
            nodes.append(helper.make_node("Softmax", ["features"], ["pixels"]))  # a name that the network has too
            outputs["pixels"] = ["n", DIM]
    else:
        outputs = {"plane": ["n", DIM, 5, 5]}
    if end == "tokens":
        weights.append(numpy_helper.from_array(np.array([0, DIM, 25], np.int64), "flat"))
        nodes.append(helper.make_node("Reshape", ["plane", "flat"], ["row"]))
        nodes.append(helper.make_node("Transpose", ["row"], ["tokens"], perm=[0, 2, 1]))
        outputs = {"tokens": ["n", 25, DIM]}
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("picture", element, list(shape))],
        [helper.make_tensor_value_info(name, kind, sides) for name, sides in outputs.items()],
        weights,
    )
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("strange", 1)]
    save(helper.make_model(graph, opset_imports=sets, ir_version=8), path)
    return path


def noisy(size: tuple[int, int] = (SIDE, SIDE), seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def opened(file: Path | str, **options: Any) -> Embedder:
    return open_embedder(f"onnx:{file}", EmbedderOptions(device="cpu", **options))


def vectors(embedder: Embedder, *images: Image.Image) -> NDArray[np.float32]:
    return embedder.embed([embedder.prepare(image) for image in images])


def own(file: Path, values: NDArray[np.float64], output: str, element: type = np.float32) -> NDArray[np.float32]:
    """What ONNX Runtime makes of (n, height, width, 3) values in the model's own layout NCHW, one by one."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    fed = [np.ascontiguousarray(one[None].transpose(0, 3, 1, 2).astype(element)) for one in values]
    return np.concatenate([session.run([output], {"picture": one})[0] for one in fed]).astype(np.float32)


PICTURES = [noisy(seed=seed) for seed in range(3)]
PIXELS = np.stack([np.asarray(picture, np.float64) for picture in PICTURES])
NORMALISED = (PIXELS / 255 - MEAN) / STD


def describe(model: Path, text: str) -> None:
    model.with_suffix(".toml").write_text(text)


# What is computed


def test_vectors_are_the_model_s_own_and_the_file_is_recorded(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx")
    embedder = opened(file)
    np.testing.assert_allclose(
        vectors(embedder, *PICTURES), unit_rows(own(file, NORMALISED, "features")), rtol=0, atol=1e-5
    )
    spec = embedder.spec
    assert (spec.name, spec.dim) == ("onnx:model.onnx", DIM)
    assert spec.weights_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('channels = "BGR"\nmean = [0.1, 0.2, 0.3]\nstd = [1, 2, 3]', (PIXELS / 255 - [0.1, 0.2, 0.3]) / [1, 2, 3]),
        ("divide = 1\nmean = [0, 0, 0]\nstd = [1, 1, 1]", PIXELS),
        ("", NORMALISED),
    ],
)
def test_the_description_says_what_the_model_is_given(tmp_path: Path, text: str, values: NDArray[np.float64]) -> None:
    file = write_model(tmp_path / "model.onnx")
    describe(file, text)
    values = values[..., ::-1] if "BGR" in text else values
    np.testing.assert_allclose(
        vectors(opened(file), *PICTURES), unit_rows(own(file, values, "features")), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("end", "text", "pooled"),
    [
        ("plane", 'pool = "mean"', lambda found: found.mean((2, 3))),
        ("tokens", 'pool = "mean"', lambda found: found.mean(1)),
        ("tokens", 'pool = "first"', lambda found: found[:, 0]),
    ],
)
def test_an_output_of_places_is_pooled_as_described(
    tmp_path: Path, end: str, text: str, pooled: Callable[[Any], Any]
) -> None:
    file = write_model(tmp_path / "model.onnx", end=end)
    describe(file, text)
    truth = unit_rows(pooled(own(file, NORMALISED, end)))
    np.testing.assert_allclose(vectors(opened(file), *PICTURES), truth, rtol=0, atol=1e-5)


def test_a_model_that_takes_pixels_last_is_given_them_so(tmp_path: Path) -> None:
    last = write_model(tmp_path / "last.onnx", shape=("n", SIDE, SIDE, 3))
    first = write_model(tmp_path / "first.onnx")
    np.testing.assert_allclose(vectors(opened(last), *PICTURES), vectors(opened(first), *PICTURES), atol=1e-6)


def test_a_model_that_takes_bytes_is_given_the_pixels_as_they_are(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx", element=TensorProto.UINT8)
    truth = unit_rows(own(file, PIXELS, "features", np.uint8))
    np.testing.assert_allclose(vectors(opened(file), *PICTURES), truth, rtol=0, atol=1e-5)


def test_a_half_precision_model_makes_its_own_vectors(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx", element=TensorProto.FLOAT16)
    truth = unit_rows(own(file, NORMALISED, "features", np.float16))
    np.testing.assert_allclose(vectors(opened(file), *PICTURES), truth, rtol=0, atol=1e-2)


def test_of_two_vectors_the_description_names_one(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx", end="two")
    with pytest.raises(BadInput, match=r'has the outputs features \(1, 6\), pixels \(1, 6\); say output = "NAME" in '):
        opened(file)
    describe(file, 'output = "pixels"')
    truth = unit_rows(own(file, NORMALISED, "pixels"))
    np.testing.assert_allclose(vectors(opened(file), *PICTURES), truth, rtol=0, atol=1e-5)


def test_a_picture_is_scaled_and_cut_as_described(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx")
    describe(file, 'scaled = 32\nmode = "squash"\ninterpolation = "bilinear"')
    picture = noisy((50, 70))
    middle = np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR).crop((8, 8, 24, 24)), np.float64)
    truth = unit_rows(own(file, ((middle / 255 - MEAN) / STD)[None], "features"))
    np.testing.assert_allclose(vectors(opened(file), picture), truth, rtol=0, atol=1e-5)


@pytest.mark.parametrize("end", ["vector", "fixed"])
@pytest.mark.parametrize("openvino", [False, pytest.param(True, marks=needs_openvino)])
def test_a_model_of_one_picture_at_a_time_is_run_with_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, openvino: bool
) -> None:
    file = write_model(tmp_path / "model.onnx", shape=(1, 3, SIDE, SIDE), end=end)
    if openvino:
        monkeypatch.setattr(runtimes, "has_openvino", lambda: True)
        monkeypatch.setattr(
            runtimes, "_rates", lambda forwards, _: {name: float(name == runtimes.OPENVINO) for name in forwards}
        )
    truth = unit_rows(own(file, NORMALISED, "features"))
    np.testing.assert_allclose(vectors(opened(file), *PICTURES), truth, rtol=0, atol=1e-5)


def test_a_model_of_any_size_is_given_the_one_described(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx", shape=("n", 3, "height", "width"))
    with pytest.raises(BadInput, match="takes pictures of any size; say which it was trained on in .*model.toml"):
        opened(file)
    describe(file, "size = 16")
    truth = unit_rows(own(file, NORMALISED, "features"))
    np.testing.assert_allclose(vectors(opened(file), *PICTURES), truth, rtol=0, atol=1e-5)


def test_weights_in_a_file_of_their_own_are_read_and_counted(tmp_path: Path) -> None:
    import onnx

    whole = write_model(tmp_path / "whole.onnx")
    parted = tmp_path / "parted.onnx"
    onnx.save(onnx.load(whole), parted, save_as_external_data=True, location="parted.data", size_threshold=0)
    embedder = opened(parted)
    np.testing.assert_allclose(vectors(embedder, *PICTURES), vectors(opened(whole), *PICTURES), atol=1e-6)
    assert embedder.spec.weights_sha256 != hashlib.sha256(parted.read_bytes()).hexdigest()
    (tmp_path / "parted.data").unlink()
    with pytest.raises(BadInput, match=r"parted\.(onnx|data)"):
        opened(parted)


@needs_openvino
def test_openvino_that_cannot_run_a_model_leaves_it_to_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("there is no such operator\nand more")

    monkeypatch.undo()
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runtimes, "_compile", refuse)
    embedder: Any = opened(write_model(tmp_path / "model.onnx"))
    embedder.load()
    assert embedder.network._run.__self__.name == runtimes.ONNX_RUNTIME


# What is refused


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"shape": ("n", 1, SIDE, SIDE)}, r"takes the shape \(any, 1, 16, 16\): no pictures of three channels"),
        ({"shape": ("n", 3, 5, 3)}, r"which may be either; say layout = "),
        ({"end": "plane"}, r'has the shape \(1, 6, 5, 5\), a vector for each place; say pool = "mean"'),
        ({"end": "tokens"}, r'say pool = "mean" or pool = "first" in .*model.toml, or name another output there'),
        ({"end": "mixed"}, "does not take several pictures at a time"),
        ({"operator": "Unheard"}, "ONNX Runtime cannot run .*Unheard"),
    ],
)
def test_a_model_that_is_not_of_pictures_is_refused_in_one_line(
    tmp_path: Path, model: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message) as refusal:
        opened(write_model(tmp_path / "model.onnx", **model))
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.glob("cache/networks/*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size = 32", r"says size = \[32, 32\]; .*model.onnx takes \(any, 3, 16, 16\)"),
        ("size = 0", "has size = 0; a side, or"),
        ("scaled = 8", r"says scaled = \[8, 8\], less than the size \[16, 16\]"),
        ("means = [0, 0, 0]", "has the key 'means', which says nothing of a model; is mean meant?"),
        ("nothing = 3", "has the key 'nothing', which says nothing of a model; there are size, "),
        ("std = [1, 1, 0]", r"has std = \[1, 1, 0\]; \[red, green, blue\], each above 0, is needed"),
        ('channels = "rgb"', "has channels = 'rgb'; one of RGB, BGR is needed"),
        ('layout = "NHWC"', r"says NHWC; .*model.onnx takes \(any, 3, 16, 16\)"),
        ('output = "last"', r"names the output 'last'; .*model.onnx has features \(1, 6\)"),
        ('input = "image"', "names the input 'image'; .* has picture"),
        ('pool = "mean"', "the output features of .* is one vector; take pool out"),
        ("size = ", "cannot be read as TOML"),
    ],
)
def test_a_description_that_cannot_be_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = write_model(tmp_path / "model.onnx")
    describe(file, text)
    with pytest.raises(BadInput, match=message) as refusal:
        opened(file)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"these are no weights\n", b"PK\x03\x04", bytes(range(256))])
def test_a_file_that_is_no_onnx_model_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(BadInput, match="model.onnx") as refusal:
        opened(tmp_path / "model.onnx")
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"no model file at {tmp_path}/model.onnx"):
        opened(tmp_path / "model.onnx")
    with pytest.raises(BadInput, match=r"no model file at model\.onnx"):
        opened("model.onnx")


def test_bytes_are_not_normalised(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx", element=TensorProto.UINT8)
    describe(file, "mean = [0, 0, 0]")
    with pytest.raises(BadInput, match="takes pixels as they are"):
        opened(file)


def test_weights_beside_a_model_s_file_are_refused(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx")
    with pytest.raises(BadInput, match=r"onnx:model\.onnx is its own weight file; leave --weights out"):
        opened(file, weights=file)


# In a store


def test_a_store_goes_on_without_the_file_and_its_description(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx")
    describe(file, 'channels = "BGR"')
    with Store.open(tmp_path / "store", embedder=f"onnx:{file}", create=True, device="cpu") as store:
        store.add(paint(tmp_path / "0.png", 0))
    file.unlink()
    file.with_suffix(".toml").unlink()
    with Store.open(tmp_path / "store", device="cpu") as store:
        assert store.add(paint(tmp_path / "1.png", 1)).embedded == 1
        assert store.info().runtime == runtimes.ONNX_RUNTIME
    (line,) = [line for line in overview.embedders() if line.name == "onnx:model.onnx"]
    assert (line.dim, line.available) == (DIM, "yes")
    assert line.speed is not None
    assert line.speed > 0
    with Store.open(tmp_path / "store", device="cpu", embedder="onnx:model.onnx") as store:
        assert store.similar(tmp_path / "1.png", k=1)[0].score == pytest.approx(1, abs=1e-3)
    for kept in (tmp_path / "cache/networks").iterdir():
        kept.unlink()
    with (
        Store.open(tmp_path / "store", device="cpu") as store,
        pytest.raises(WeightsUnavailable, match=r"onnx:model.onnx .* give its file again with --weights FILE"),
    ):
        store.add(paint(tmp_path / "2.png", 2))
    write_model(file)
    describe(file, 'channels = "BGR"')
    with Store.open(tmp_path / "store", device="cpu", weights=file) as store:
        assert store.add(tmp_path / "2.png").embedded == 1


def test_another_file_of_the_same_name_and_another_description_are_refused(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx")
    (tmp_path / "other").mkdir()
    other = write_model(tmp_path / "other/model.onnx", seed=1)
    with Store.open(tmp_path / "store", embedder=f"onnx:{file}", create=True, device="cpu") as store:
        store.add(paint(tmp_path / "0.png", 0))
    with pytest.raises(WrongEmbedder, match="other weights"):
        Store.open(tmp_path / "store", embedder=f"onnx:{other}", device="cpu")
    describe(file, 'channels = "BGR"')
    with pytest.raises(WrongEmbedder, match=r"prepared so: .* of RGB .*; not so: .* of BGR .*; describe the model as"):
        Store.open(tmp_path / "store", embedder=f"onnx:{file}", device="cpu")


def test_two_models_and_a_built_in_embedder_are_combined(tmp_path: Path) -> None:
    first, second = write_model(tmp_path / "first.onnx"), write_model(tmp_path / "second.onnx", seed=1)
    combined = open_embedder(f"onnx:{first}*0.5 + onnx:{second}*0.3 + hsv*0.2", EmbedderOptions(device="cpu"))
    assert combined.spec.name == "onnx:first.onnx*0.5+onnx:second.onnx*0.3+hsv*0.2"
    assert combined.spec.dim == 2 * DIM + 360
    again = open_embedder(
        combined.spec.name,
        EmbedderOptions(device="cpu", expected=combined.spec.weights, described=combined.spec.preprocessings),
    )
    assert again.spec == replace(combined.spec)


@pytest.mark.parametrize("name", ["a+b.onnx", "a*2.onnx", "weiß und grün.onnx"])
def test_a_file_of_any_name_has_a_plain_one_in_the_store(tmp_path: Path, name: str) -> None:
    spec = opened(write_model(tmp_path / name)).spec
    assert canonical_name(spec.name) == spec.name
    assert not set(spec.name) & set("+* ")


def test_the_command_line_adds_by_a_model_and_names_it(tmp_path: Path) -> None:
    file = write_model(tmp_path / "model.onnx")
    for seed in range(3):
        paint(tmp_path / f"pictures/{seed}.png", seed)
    store = ("--store", tmp_path / "store")
    done = run_program("add", tmp_path / "pictures", *store, "--embedder", f"onnx:{file}")
    assert done.returncode == 0, done.stderr
    assert "model.toml is not there, so pictures are prepared so: shorter side to 16x16 bicubic" in done.stderr
    info = json.loads(run_program("info", *store, "--json").stdout)
    assert (info["embedder"], info["images"]) == ("onnx:model.onnx", 3)
    bad = run_program("add", tmp_path, *store, "--embedder", f"onnx:{tmp_path}/none.onnx")
    assert (bad.returncode, bad.stdout) == (2, "")
