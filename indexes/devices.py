"""Chooses the device to run on: once for each request, and logged; says in one line what goes wrong on a GPU.

It asks the NVIDIA driver directly, so that neither torch nor FAISS has to be imported.
"""

import ctypes
import functools
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from vecstore.errors import BadInput, VecstoreError

log = logging.getLogger(__name__)

CHOICES = ("auto", "cpu", "cuda", "cuda:N")
ONE_GPU = re.compile(r"cuda:(0|[1-9][0-9]{0,3})", re.ASCII)
# Multiplications below which a GPU that nobody asked for is left alone: a fifth of a second of two cores
# (`kmeans.STEP_WORK`), in which a GPU is hardly opened. A guess: not measured on one (docs/gpu.md).
SMALL_WORK = 1e10


@dataclass(frozen=True)
class Device:
    """Where to work.

    kind: "cpu" or "cuda". n_gpus: how many CUDA devices to use, 0 for "cpu". number: of the only one to use; None: all.
    auto: nobody asked for it, so small problems may stay on the CPU (`for_work`).
    """

    kind: str
    n_gpus: int = 0
    number: int | None = None
    auto: bool = field(default=False, compare=False, repr=False)

    def __str__(self) -> str:
        if self.kind == "cpu":
            return "cpu"
        return f"cuda x{self.n_gpus}" if self.number is None else f"cuda:{self.number}"

    @property
    def gpus(self) -> list[int]:
        """The CUDA devices' numbers, none for the CPU."""
        return list(range(self.n_gpus)) if self.number is None else [self.number]


@functools.cache
def choose_device(requested: str = "auto") -> Device:
    """Return the device for `requested`: "auto" (CUDA if the driver reports a device), "cpu", "cuda", or "cuda:N" for
    one GPU of several.

    Raises BadInput for any other name, and for a CUDA device that is not there: the device never changes silently.

    >>> choose_device("cpu")
    Device(kind='cpu', n_gpus=0, number=None)
    """
    one = ONE_GPU.fullmatch(requested)
    if requested not in CHOICES[:3] and one is None:
        raise BadInput(f"no device is called {requested!r}; choose one of {', '.join(CHOICES)}")
    n_gpus = 0 if requested == "cpu" else count_gpus()
    if requested.startswith("cuda") and not n_gpus:
        raise BadInput(f"--device {requested}: the NVIDIA driver reports no CUDA device; use --device cpu or auto")
    if one is not None and int(one[1]) >= n_gpus:
        there = ", ".join(f"cuda:{number}" for number in range(n_gpus))
        raise BadInput(f"--device {requested}: the NVIDIA driver reports {there} alone; choose one of them")
    if one is not None:
        device = Device("cuda", 1, int(one[1]))
    else:
        device = Device("cuda", n_gpus, auto=requested == "auto") if n_gpus else Device("cpu")
    log.info("device %s (asked for: %s)", device, requested)
    return device


@functools.cache
def count_gpus() -> int:
    """Return the number of CUDA devices that the NVIDIA driver reports; 0 without a driver.

    CUDA driver API, cuInit and cuDeviceGetCount: https://docs.nvidia.com/cuda/cuda-driver-api/
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def gpu_names() -> list[str]:
    """Return the names of the CUDA devices that the NVIDIA driver reports; none without a driver.

    CUDA driver API, cuDeviceGet and cuDeviceGetName: https://docs.nvidia.com/cuda/cuda-driver-api/
    """
    if not count_gpus():
        return []
    driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    names = []
    for number in range(count_gpus()):
        device, name = ctypes.c_int(0), ctypes.create_string_buffer(128)
        failed = driver.cuDeviceGet(ctypes.byref(device), number) or driver.cuDeviceGetName(name, 128, device)
        names.append(f"cuda:{number}" if failed else name.value.decode(errors="replace"))
    return names


def has_driver() -> bool:
    """Say whether an NVIDIA driver can be loaded."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def for_work(device: Device, multiplications: float) -> Device:
    """Return the device for a piece of work: the CPU for a small one, unless a GPU was asked for by name."""
    return Device("cpu") if device.auto and multiplications < SMALL_WORK else device


def faiss_gpus(device: Device) -> list[int]:
    """Return the numbers of the GPUs that FAISS will use for a device, none for the CPU.

    Raises BadInput if the device is a GPU that this build of FAISS cannot use.
    """
    if device.kind == "cpu":
        return []
    import faiss

    usable: int = getattr(faiss, "get_num_gpus", lambda: 0)()
    if not usable:
        raise BadInput("this FAISS is built without GPU support; install faiss-gpu, or use --device cpu")
    if device.number is None:
        return list(range(usable))
    if device.number >= usable:
        raise BadInput(f"FAISS sees {usable} GPUs, not {device}; choose another --device")
    return [device.number]


@contextmanager
def gpu_errors(who: str, build: str) -> Iterator[None]:
    """Say in one line, with the next step, what goes wrong on a GPU for want of memory or of code for it.

    who: "torch" or "FAISS". build: where there are builds of it for other GPUs.
    """
    try:
        yield
    except (RuntimeError, AssertionError, MemoryError) as error:
        text = str(error)
        if "out of memory" in text or isinstance(error, MemoryError):
            raise VecstoreError(
                f"the GPU has no memory left for {who}; end what else uses it, choose another with --device cuda:N, or "
                "choose --device cpu"
            ) from error
        if "no kernel image" in text or "not compiled with CUDA" in text:
            raise VecstoreError(
                f"this {who} has no code for this GPU; install a build that has ({build}), or choose --device cpu"
            ) from error
        raise
