"""Chooses the device to run on: once for each request, and logged.

It asks the NVIDIA driver directly, so that neither torch nor FAISS has to be imported.
"""

import ctypes
import functools
import logging
import sys
from dataclasses import dataclass

from vecstore.errors import BadInput

log = logging.getLogger(__name__)

CHOICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Device:
    """kind: "cpu" or "cuda". n_gpus: number of CUDA devices, 0 for "cpu"."""

    kind: str
    n_gpus: int = 0

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda x{self.n_gpus}"


@functools.cache
def choose_device(requested: str = "auto") -> Device:
    """Return the device for `requested`: "auto" (CUDA if the driver reports a device), "cpu" or "cuda".

    Raises BadInput for any other name, and for "cuda" without a CUDA device: the device never changes silently.

    >>> choose_device("cpu")
    Device(kind='cpu', n_gpus=0)
    """
    if requested not in CHOICES:
        raise BadInput(f"no device is called {requested!r}; choose one of {', '.join(CHOICES)}")
    n_gpus = 0 if requested == "cpu" else count_gpus()
    if requested == "cuda" and not n_gpus:
        raise BadInput("--device cuda: the NVIDIA driver reports no CUDA device; use --device cpu or auto")
    device = Device("cuda", n_gpus) if n_gpus else Device("cpu")
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


def faiss_gpus(device: Device) -> int:
    """Return how many GPUs FAISS will use for a device: 0 for the CPU.

    Raises BadInput if the device is a GPU that this build of FAISS cannot use.
    """
    if device.kind == "cpu":
        return 0
    import faiss

    usable: int = getattr(faiss, "get_num_gpus", lambda: 0)()
    if not usable:
        raise BadInput("this FAISS is built without GPU support; install faiss-gpu, or use --device cpu")
    return usable
