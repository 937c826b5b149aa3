"""The device is decided once, aloud, and never changed in silence. No GPU is needed: what the driver says is faked."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from typer.testing import CliRunner

import indexes
from cli.app import app
from indexes import devices, faiss_on_gpus, kmeans
from indexes.devices import Device, choose_device, count_gpus, faiss_gpus, for_work
from indexes.kmeans import KMeansOptions
from tests.programs import environment, run_code
from vecstore.engines.ray_cluster import connected
from vecstore.errors import BadInput, VecstoreError
from vecstore.store import Store


@pytest.fixture(autouse=True)
def _undecided() -> Iterator[None]:
    """Forget what was decided before, and afterwards what was decided here."""
    for decided in (choose_device, count_gpus):
        decided.cache_clear()
    yield
    for decided in (choose_device, count_gpus):
        decided.cache_clear()


class Driver:
    """Stands for libcuda: says how many devices there are, or that it does not work."""

    def __init__(self, n_gpus: int, init: int = 0, count: int = 0) -> None:
        self.n_gpus, self.init, self.count = n_gpus, init, count

    def cuInit(self, _flags: int) -> int:
        return self.init

    def cuDeviceGetCount(self, into: Any) -> int:
        into._obj.value = self.n_gpus
        return self.count


def install(monkeypatch: pytest.MonkeyPatch, driver: Driver | None) -> None:
    def load(_name: str) -> Driver:
        if driver is None:
            raise OSError("libcuda.so.1: cannot open shared object file")
        return driver

    monkeypatch.setattr(devices.ctypes, "CDLL", load)


@pytest.mark.parametrize("driver", [None, Driver(0), Driver(2, init=100), Driver(2, count=3)])
def test_auto_is_the_cpu_where_the_driver_reports_no_gpu(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> None:
    install(monkeypatch, driver)
    assert choose_device("auto") == Device("cpu", 0)


@pytest.mark.parametrize("requested", ["auto", "cuda"])
def test_all_gpus_that_the_driver_reports_are_chosen(monkeypatch: pytest.MonkeyPatch, requested: str) -> None:
    install(monkeypatch, Driver(3))
    assert choose_device(requested) == Device("cuda", 3)


def test_cpu_is_the_cpu_also_beside_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver(3))
    assert choose_device("cpu") == Device("cpu", 0)


def test_one_gpu_is_chosen_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver(3))
    device = choose_device("cuda:1")
    assert (device, device.gpus, str(device)) == (Device("cuda", 1, 1), [1], "cuda:1")


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver(2))
    with pytest.raises(BadInput) as refusal:
        choose_device("cuda:2")
    assert str(refusal.value) == ("--device cuda:2: the NVIDIA driver reports cuda:0, cuda:1 alone; choose one of them")


def test_one_gpu_s_number_is_refused_on_a_ray_cluster() -> None:
    with pytest.raises(BadInput, match="--device cuda:1 is one GPU of this machine, and with --ray"):
        connected("local", "cuda:1").__enter__()


# Small problems, memory, and what goes wrong


@pytest.mark.parametrize(("requested", "kind"), [("auto", "cpu"), ("cuda", "cuda"), ("cuda:0", "cuda")])
def test_small_work_goes_to_a_gpu_only_where_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, requested: str, kind: str
) -> None:
    install(monkeypatch, Driver(1))
    assert for_work(choose_device(requested), devices.SMALL_WORK - 1).kind == kind
    assert for_work(choose_device(requested), devices.SMALL_WORK).kind == "cuda"


def test_a_small_store_beside_a_gpu_is_clustered_on_the_cpu_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path
) -> None:
    install(monkeypatch, Driver(1))
    with Store.open(tmp_path / "store", embedder="tiny", create=True) as store:
        store.add(pictures)
        assert store.cluster(2).device == "cpu"


class Resources:
    def setTempMemory(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let FAISS see two GPUs that work, and list what is copied to which, with how much scratch memory."""
    made: list[Any] = []

    def copy(memory: list[Resources], index: Any, options: Any, gpus: list[int]) -> Any:
        made.append((gpus, [one.n_bytes for one in memory]))
        return index

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2, raising=False)
    monkeypatch.setattr(faiss, "StandardGpuResources", Resources, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu_multiple_py", copy, raising=False)
    monkeypatch.setattr(faiss_on_gpus, "require_working", lambda number: None)
    return made


@pytest.mark.parametrize(("device", "gpus"), [(Device("cuda", 2), [0, 1]), (Device("cuda", 1, 1), [1])])
def test_faiss_works_on_the_device_s_gpus_with_bounded_memory(
    copies: list[Any], device: Device, gpus: list[int]
) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    trained = kmeans.train(rows, 3, KMeansOptions(restarts=2), device)
    assert trained.objective == kmeans.train(rows, 3, KMeansOptions(restarts=2), Device("cpu")).objective
    assert copies
    assert all(copy == (gpus, [256 << 20] * len(gpus)) for copy in copies)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            "Error: Failed to cudaMalloc 1610612736 bytes on device 0 (error 2 out of memory)\nOutstanding",
            "the GPU has no memory left for FAISS; end what else uses it, choose another with --device cuda:N, or "
            "choose --device cpu",
        ),
        (
            "details: CUDA error 209 no kernel image is available for execution on the device",
            "this FAISS has no code for this GPU; install a build that has (docs/gpu.md), or choose --device cpu",
        ),
    ],
)
def test_what_goes_wrong_in_faiss_on_a_gpu_is_told_in_one_line(
    copies: list[Any], monkeypatch: pytest.MonkeyPatch, error: str, said: str
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(error)

    monkeypatch.setattr(faiss, "index_cpu_to_gpu_multiple_py", fail, raising=False)
    with pytest.raises(VecstoreError) as refusal:
        kmeans.assign(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32), Device("cuda", 1))
    assert str(refusal.value) == said


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (
            "import os, sys; print('CUDA error 209 no kernel image is available for', file=sys.stderr); os.abort()",
            "this FAISS has no code for this GPU; install a build that has (docs/gpu.md), or choose --device cpu",
        ),
        ("raise SystemExit('all is lost')", "FAISS cannot work on cuda:0 (all is lost); choose another --device"),
        ("import time; time.sleep(60)", "FAISS does not answer on cuda:0; choose another --device"),
    ],
)
def test_a_gpu_that_ends_faiss_s_process_ends_another_s(monkeypatch: pytest.MonkeyPatch, trial: str, said: str) -> None:
    monkeypatch.setattr(faiss_on_gpus, "TRIAL", trial)
    monkeypatch.setattr(faiss_on_gpus, "TRIAL_SECONDS", 1 if "sleep" in trial else 60)
    with pytest.raises(VecstoreError) as refusal:
        faiss_on_gpus.resources(0)
    assert str(refusal.value) == said


@pytest.mark.parametrize("driver", [None, Driver(0)])
def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch, driver: Driver | None) -> None:
    install(monkeypatch, driver)
    with pytest.raises(BadInput) as refusal:
        choose_device("cuda")
    assert str(refusal.value) == ("--device cuda: the NVIDIA driver reports no CUDA device; use --device cpu or auto")


@pytest.mark.parametrize(
    "requested", ["gpu", "CUDA", "", "cuda:", "cuda:x", "cuda:-1", "cuda:01", "cuda:1 ", "cuda:1,2"]
)
def test_unknown_device_is_refused_with_the_choices(requested: str) -> None:
    with pytest.raises(BadInput) as refusal:
        choose_device(requested)
    assert str(refusal.value) == f"no device is called {requested!r}; choose one of auto, cpu, cuda, cuda:N"


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "Error: --device cuda: the NVIDIA driver reports no CUDA device; use --device cpu or auto\n"),
        ("gpu", "Error: no device is called 'gpu'; choose one of auto, cpu, cuda, cuda:N\n"),
    ],
)
def test_impossible_device_is_exit_code_2_and_makes_no_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path, device: str, message: str
) -> None:
    install(monkeypatch, None)
    store = tmp_path / "store"
    ended = CliRunner().invoke(
        app, ["add", str(pictures), "--store", str(store), "--embedder", "hsv", "--device", device]
    )
    assert (ended.exit_code, ended.stdout, ended.stderr, store.exists()) == (2, "", message, False)


def test_device_is_decided_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, pictures: Path
) -> None:
    install(monkeypatch, None)
    caplog.set_level(logging.INFO, "indexes.devices")
    with Store.open(tmp_path / "store", embedder="tiny", create=True) as store:
        store.add(pictures)
        store.cluster(2, restarts=1)
    with Store.open(tmp_path / "store") as store:
        store.similar(0)
    logged = [record.getMessage() for record in caplog.records if record.name == "indexes.devices"]
    assert logged == ["device cpu (asked for: auto)"]


def test_log_says_how_many_gpus_were_chosen(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    install(monkeypatch, Driver(2))
    caplog.set_level(logging.INFO, "indexes.devices")
    choose_device("cuda")
    assert caplog.messages == ["device cuda x2 (asked for: cuda)"]


def test_driver_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: asked.append(name) or Driver(1))
    for requested in ("auto", "cuda", "auto", "cuda"):
        choose_device(requested)
    assert len(asked) == 1


def test_faiss_uses_no_gpu_for_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 4, raising=False)
    assert faiss_gpus(Device("cpu")) == []


def test_faiss_uses_the_gpus_that_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2, raising=False)
    assert faiss_gpus(Device("cuda", 2)) == [0, 1]
    assert faiss_gpus(Device("cuda", 1, 1)) == [1]
    with pytest.raises(BadInput, match="FAISS sees 2 GPUs, not cuda:2; choose another --device"):
        faiss_gpus(Device("cuda", 1, 2))


WITHOUT_GPU_SUPPORT = "this FAISS is built without GPU support; install faiss-gpu, or use --device cpu"


def test_faiss_built_without_gpu_support_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(faiss, "get_num_gpus", raising=False)
    with pytest.raises(BadInput) as refusal:
        faiss_gpus(Device("cuda", 1))
    assert str(refusal.value) == WITHOUT_GPU_SUPPORT


def test_faiss_that_sees_no_gpu_where_the_driver_does_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0, raising=False)
    with pytest.raises(BadInput) as refusal:
        faiss_gpus(Device("cuda", 1))
    assert str(refusal.value) == WITHOUT_GPU_SUPPORT


def test_clustering_on_gpus_that_faiss_cannot_use_is_refused_not_moved_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Path
) -> None:
    install(monkeypatch, Driver(1))
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0, raising=False)
    with Store.open(tmp_path / "store", embedder="tiny", device="cuda", create=True) as store:
        store.add(pictures)
        with pytest.raises(BadInput, match="built without GPU support"):
            store.cluster(2)


@pytest.mark.parametrize(
    ("device", "words"), [(Device("cpu"), "cpu"), (Device("cuda", 2), "cuda x2"), (Device("cuda", 1, 3), "cuda:3")]
)
def test_device_in_words(device: Device, words: str) -> None:
    assert str(device) == words


# The CPU's own kernels


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx avx2 fma avx512f avx512cd avx512bw avx512dq avx512vl", "SkylakeX"),
        ("fpu avx avx2 fma avx512f", "Haswell"),
        ("fpu sse3", None),
    ],
)
def test_openblas_is_told_the_kernels_that_the_cpu_has(
    flags: str, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n\n")
    indexes._choose_kernels(tmp_path / "cpuinfo")
    assert os.environ.get("OPENBLAS_CORETYPE") == expected


def test_the_kernels_that_a_user_names_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    indexes._choose_kernels()
    assert os.environ["OPENBLAS_CORETYPE"] == "Nehalem"


@pytest.mark.parametrize(("named", "expected"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_wait_without_spinning_unless_a_user_says_so(named: dict[str, str], expected: str) -> None:
    code = "import os, indexes; print(os.environ['OMP_WAIT_POLICY'])"
    kept = {name: value for name, value in environment().items() if name != "OMP_WAIT_POLICY"}
    assert run_code(code, env={**kept, **named}) == f"{expected}\n"
