"""The runtimes of networks on a CPU: chosen by measuring, once, and never telling anybody of it."""

import json
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from indexes.devices import Device
from tests.conftest import paint
from tests.programs import run_code, run_program
from vecstore.embedders import runtimes
from vecstore.embedders.embedder import Embedder, EmbedderOptions
from vecstore.embedders.registry import open_embedder
from vecstore.embedders.runtimes import BF16, FLOAT32, ONNX_RUNTIME, OPENVINO, OPENVINO_BF16
from vecstore.errors import BadInput, WrongEmbedder
from vecstore.store import Store

needs_openvino = pytest.mark.skipif(not runtimes.has_openvino(), reason="OpenVINO has no wheel for this machine")
needs_bf16 = pytest.mark.skipif(not runtimes.multiplies_bf16(), reason="this CPU does not multiply bf16")
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), np.uint8)
CPU, GPU = Device("cpu"), Device("cuda", 1)
DIM = 8


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A small network, two convolutions deep, in a folder of its own where nothing has been measured."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    numbers = np.random.default_rng(0)
    first, second = numbers.normal(0, 0.1, (16, 3, 8, 8)), numbers.normal(0, 0.1, (DIM, 16, 3, 3))
    weights = [("first", first / 255), ("second", second)]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["values"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["planes", "first"], ["edges"], strides=[8, 8]),
            helper.make_node("Relu", ["edges"], ["positive"]),
            helper.make_node("Conv", ["positive", "second"], ["shapes"]),
            helper.make_node("GlobalAveragePool", ["shapes"], ["means"]),
            helper.make_node("Flatten", ["means"], ["features"]),
        ],
        "small",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 224, 224, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", DIM])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model)
    save(model, tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


def opened(network: Path, precision: str = FLOAT32, float32_layers: int = 0) -> runtimes.Runtime:
    return runtimes.open_fastest(network, precision, float32_layers)


def with_rates(monkeypatch: pytest.MonkeyPatch, **rates: float) -> list[list[str]]:
    """Let measuring find these rates, 1 for all others; return what was measured, filled as it happens."""
    measured: list[list[str]] = []

    def found(forwards: dict[str, Any], pixels: object) -> dict[str, float]:
        measured.append(list(forwards))
        return {name: rates.get(name.replace(" ", "_"), 1.0) for name in forwards}

    monkeypatch.setattr(runtimes, "_rates", found)
    return measured


def choice_file(network: Path) -> Path:
    (found,) = network.parent.glob("*.json")
    return found


def a_weight_of(network: Path) -> bytes:
    """The first of the network's weights, of which OpenVINO cannot tell what it was."""
    from onnx import load, numpy_helper

    return numpy_helper.to_array(load(network).graph.initializer[0]).tobytes()[:8]


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.min(np.sum(one * other, 1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)))


# The choice


@needs_openvino
def test_the_fastest_runtime_runs_the_network(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_rates(monkeypatch, OpenVINO_float32=2.0)
    assert opened(network).name == OPENVINO


@needs_openvino
def test_a_slower_openvino_leaves_the_network_to_onnx_runtime(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_rates(monkeypatch, OpenVINO_float32=0.5)
    assert opened(network).name == ONNX_RUNTIME


def test_without_openvino_the_network_runs_in_onnx_runtime(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "has_openvino", lambda: False)
    assert opened(network).name == ONNX_RUNTIME


@needs_openvino
def test_float32_vectors_are_never_made_in_bf16(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = with_rates(monkeypatch)
    opened(network)
    assert measured == [[ONNX_RUNTIME, OPENVINO]]


@needs_openvino
def test_bf16_is_left_to_float32_on_a_cpu_that_does_not_multiply_it(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "multiplies_bf16", lambda: False)
    measured = with_rates(monkeypatch)
    opened(network, BF16)
    assert measured == [[ONNX_RUNTIME, OPENVINO]]


def test_a_machine_measures_a_network_once(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = with_rates(monkeypatch)
    names = {opened(network).name for _ in range(3)}
    assert len(measured) == len(names) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"runtime": "abacus", "rates": {}, "crc32": null}', b"\xff"])
def test_a_choice_that_cannot_be_read_is_measured_again(
    network: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    measured = with_rates(monkeypatch)
    opened(network)
    choice_file(network).write_bytes(content)
    opened(network)
    assert len(measured) == 2


def test_another_machine_measures_for_itself(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = with_rates(monkeypatch)
    opened(network)
    monkeypatch.setattr(runtimes, "_machine", lambda: {"cpu": "another"})
    opened(network)
    assert len(measured) == 2


@needs_openvino
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_compiled_network_that_is_damaged_is_made_again(
    network: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    with_rates(monkeypatch, OpenVINO_float32=2.0)
    truth = opened(network).run(PIXELS)
    (compiled,) = network.parent.glob("*.openvino")
    content = bytearray(compiled.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "changed":
        content[content.index(a_weight_of(network)) + 3] ^= 0x02
    compiled.unlink() if damage == "gone" else compiled.write_bytes(content)
    np.testing.assert_array_equal(opened(network).run(PIXELS), truth)
    assert zlib.crc32(compiled.read_bytes()) == json.loads(choice_file(network).read_bytes())["crc32"]


@needs_openvino
def test_a_candidate_with_other_features_is_left_out(
    network: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_rates(monkeypatch, OpenVINO_float32=2.0)
    compiling = runtimes._openvino
    monkeypatch.setattr(runtimes, "_openvino", lambda compiled: lambda pixels: compiling(compiled)(pixels)[::-1])
    assert opened(network).name == ONNX_RUNTIME
    assert "OpenVINO float32 is left out: its features differ from ONNX Runtime's" in caplog.text


def test_a_cache_that_takes_no_more_files_costs_a_warning_and_nothing_else(
    network: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert opened(network).run(PIXELS).shape == (3, DIM)
    assert "cannot be kept: No space left on device" in caplog.text


@needs_openvino
def test_many_threads_that_come_first_get_one_core_and_their_own_pictures(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_rates(monkeypatch, OpenVINO_float32=2.0)
    runtimes._only_core.cache_clear()
    with ThreadPoolExecutor(8) as threads:
        cores = list(threads.map(lambda _: runtimes._core(), range(8)))
        run = opened(network).run
        found = list(threads.map(lambda place: run(np.roll(PIXELS, place, axis=0)), range(16)))
    assert len({id(core) for core in cores}) == 1
    for place, features in enumerate(found):
        np.testing.assert_allclose(features, np.roll(found[0], place, axis=0), rtol=1e-5)


# What is computed


@pytest.mark.parametrize("name", [ONNX_RUNTIME, pytest.param(OPENVINO, marks=needs_openvino)])
def test_runtimes_in_float32_have_the_same_features(network: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with_rates(monkeypatch, **{name.replace(" ", "_"): 2.0})
    truth = runtimes.run_session(runtimes.open_session(network), PIXELS)
    np.testing.assert_allclose(opened(network).run(PIXELS), truth, rtol=0, atol=1e-5 * float(np.abs(truth).max()))


@needs_bf16
def test_bf16_keeps_the_first_layers_in_float32_and_the_others_not(network: Path) -> None:
    compiled = runtimes._compile(network, OPENVINO_BF16, float32_layers=1)
    precisions = [
        node.get_rt_info()["runtimePrecision"].astype(str)
        for node in compiled.get_runtime_model().get_ordered_ops()
        if node.get_rt_info()["layerType"].astype(str) == "Convolution"
    ]
    assert precisions == ["f32", "bf16"]


@needs_bf16
def test_efficientnet_s_bf16_vector_points_where_the_float32_one_does(
    efficientnet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path))  # elsewhere another runtime may have been the faster
    with_rates(monkeypatch, OpenVINO_bf16=2.0)
    fast: Any = open_embedder("efficientnet-lite0", EmbedderOptions(precision=BF16, device="cpu"))
    assert 0.99 < cosine(fast.embed(list(PIXELS)), efficientnet.embed(list(PIXELS))) < 1 - 1e-6


# No telemetry

IN_SECRET = """
import socket, sys
def forbidden(*arguments, **options):
    raise SystemExit("a connection was tried")
for name in ("create_connection", "getaddrinfo"):
    setattr(socket, name, forbidden)
socket.socket.connect = forbidden
import numpy as np
from pathlib import Path
from vecstore.embedders import runtimes
opened = runtimes.open_fastest(Path({network!r}), {precision!r}, 1)
opened.run(np.zeros((5, 224, 224, 3), np.uint8))
print([name for name in sys.modules if "telemetry" in name and "opentelemetry" not in name], "openvino" in sys.modules)
"""


@needs_openvino
@pytest.mark.parametrize("precision", [FLOAT32, BF16])
def test_openvino_is_used_without_its_telemetry_and_without_a_connection(network: Path, precision: str) -> None:
    assert run_code(IN_SECRET.format(network=str(network), precision=precision)) == "[] True\n"


@needs_openvino
def test_who_wants_openvino_s_converter_can_import_it_afterwards() -> None:
    code = (
        "import sys; from vecstore.embedders import runtimes; runtimes.multiplies_bf16();"
        "print('openvino.tools.ovc' in sys.modules)"
    )
    assert run_code(code) == "False\n"


# Precision at creation


@pytest.mark.parametrize("has_bf16", [True, False])
@pytest.mark.parametrize("device", [CPU, GPU])
def test_auto_is_bf16_on_a_cpu_that_multiplies_it_alone(
    monkeypatch: pytest.MonkeyPatch, has_bf16: bool, device: Device
) -> None:
    monkeypatch.setattr(runtimes, "multiplies_bf16", lambda: has_bf16)
    assert runtimes.resolve(None, "auto", device, True) == (BF16 if has_bf16 and device is CPU else FLOAT32)


def test_auto_is_float32_for_resnet50_whose_neighbours_were_not_seen_to_stay(
    monkeypatch: pytest.MonkeyPatch, resnet50_weights: Path
) -> None:
    monkeypatch.setattr(runtimes, "multiplies_bf16", lambda: True)
    opened = open_embedder("resnet50", EmbedderOptions(weights=resnet50_weights, device="cpu", precision="auto"))
    assert opened.spec.precision == FLOAT32


def test_a_recorded_precision_goes_before_the_one_asked_for() -> None:
    assert runtimes.resolve(FLOAT32, BF16, CPU, True) == FLOAT32


def test_a_recorded_precision_of_a_newer_vecstore_is_refused() -> None:
    with pytest.raises(BadInput, match="the store's vectors are in fp4, which this vecstore cannot make"):
        runtimes.resolve("fp4", "auto", CPU, True)


@pytest.mark.parametrize("name", ["hsv", "efficientnet-lite0"])
def test_an_unknown_precision_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadInput) as refusal:
        open_embedder(name, EmbedderOptions(precision="float16"))
    assert str(refusal.value) == "no precision is called 'float16'; choose auto, float32 or bf16"


@pytest.mark.parametrize("name", ["hsv", "tiny", "hsv+tiny"])
def test_bf16_is_refused_where_there_is_no_network(name: str) -> None:
    with pytest.raises(BadInput) as refusal:
        open_embedder(name, EmbedderOptions(precision=BF16))
    assert str(refusal.value) == f"{name} has no network that runs in bf16; leave --precision out"


def test_a_combination_records_its_network_s_precision() -> None:
    opened = open_embedder("efficientnet-lite0+hsv", EmbedderOptions(precision=BF16))
    assert opened.spec.precisions == {"efficientnet-lite0": BF16}


def test_a_float32_spec_is_written_as_it_was_before_there_was_another() -> None:
    written = json.loads(open_embedder("efficientnet-lite0+hsv").spec.to_json())
    assert "precision" not in written
    assert ["precision" in part for _, part in written["parts"]] == [False, False]


@pytest.fixture
def bf16_store(tmp_path: Path, efficientnet: Embedder) -> Path:
    folder = tmp_path / "store"
    with Store.open(folder, embedder="efficientnet-lite0", precision=BF16, device="cpu", create=True) as store:
        store.add(paint(tmp_path / "first.png", seed=1))
    return folder


def test_a_store_goes_on_in_the_precision_it_was_made_in(bf16_store: Path, tmp_path: Path) -> None:
    with Store.open(bf16_store, device="cpu") as store:
        store.add(paint(tmp_path / "second.png", seed=2))
        assert store.session.embedder.spec.precision == store.info().precision == BF16


def test_a_store_tells_what_runs_its_network(bf16_store: Path) -> None:
    with Store.open(bf16_store, device="cpu") as store:
        assert store.info().runtime in {ONNX_RUNTIME, OPENVINO, OPENVINO_BF16}


def test_a_store_takes_pictures_on_a_machine_without_bf16(
    bf16_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "multiplies_bf16", lambda: False)
    monkeypatch.setattr(runtimes, "_machine", lambda: {"cpu": "an older one"})
    with Store.open(bf16_store, device="cpu") as store:
        assert store.add(paint(tmp_path / "second.png", seed=2)).added == 1
        assert store.info().runtime in {ONNX_RUNTIME, OPENVINO}


def test_another_precision_than_the_recorded_one_is_refused(bf16_store: Path) -> None:
    with pytest.raises(WrongEmbedder) as refusal:
        Store.open(bf16_store, precision=FLOAT32)
    assert str(refusal.value) == (
        f"the store {bf16_store} was made with efficientnet-lite0 in bf16, not float32; leave --precision out, "
        "or use another store for the other precision"
    )


def test_bf16_is_refused_of_a_store_without_a_network(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(paint(tmp_path / "first.png", seed=1))
    with pytest.raises(WrongEmbedder, match="was made with hsv, which has no network; leave --precision out"):
        Store.open(tmp_path / "store", precision=BF16)


def test_verbose_says_which_runtime_was_chosen(bf16_store: Path, tmp_path: Path) -> None:
    done = run_program("-v", "add", paint(tmp_path / "second.png", seed=2), "--store", bf16_store)
    assert re.search(r"^efficientnet-lite0-v1-\w+ runs in (OpenVINO|ONNX Runtime) .* on one core\)$", done.stderr, re.M)


def test_an_unknown_precision_is_wrong_use_on_the_command_line(tmp_path: Path) -> None:
    done = run_program("add", tmp_path, "--store", tmp_path / "store", "--precision", "int4")
    assert (done.returncode, done.stderr) == (
        2,
        "Error: no precision is called 'int4'; choose auto, float32 or bf16\n",
    )


@pytest.mark.parametrize("precision", ["auto", BF16, None])
def test_the_recorded_precision_may_be_named_or_left_out(bf16_store: Path, precision: str | None) -> None:
    with Store.open(bf16_store, precision=precision) as store:
        assert store.info().images == 1
