"""FAISS on GPUs: an index's copy on them, with a bound on what it takes beside a network on the same card."""

import functools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss

from indexes.devices import Device, faiss_gpus, gpu_errors
from vecstore.errors import VecstoreError

# Memory for intermediate results on each GPU, for each index. FAISS takes up to 1.5 GiB unless told otherwise
# (StandardGpuResources.cpp, faiss 1.15), and works through more queries in parts. What is larger in one piece is
# allocated for the moment.
SCRATCH_BYTES = 256 << 20


# A search of eight rows on one GPU.
TRIAL = """
import sys, faiss, numpy as np
memory = faiss.StandardGpuResources()
memory.setTempMemory(1 << 20)
rows = np.eye(8, dtype=np.float32)
index = faiss.index_cpu_to_gpu_multiple_py([memory], faiss.IndexFlatL2(8), None, [int(sys.argv[1])])
index.add(rows)
assert (index.search(rows, 1)[1][:, 0] == np.arange(8)).all()
"""
TRIAL_SECONDS = 120


@contextmanager
def faiss_errors() -> Iterator[None]:
    """Say in one line what goes wrong in FAISS on a GPU."""
    with gpu_errors("FAISS", "docs/gpu.md"):
        yield


@functools.cache
def require_working(number: int) -> None:
    """Raise VecstoreError where FAISS cannot work on a GPU.

    It is tried in another process, once: where a kernel cannot be started, FAISS does not raise, but ends the process
    (CUDA_VERIFY: https://github.com/facebookresearch/faiss/blob/main/faiss/gpu/utils/DeviceUtils.h).
    """
    program = [sys.executable, "-c", TRIAL, str(number)]
    try:
        done = subprocess.run(program, capture_output=True, text=True, timeout=TRIAL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise VecstoreError(f"FAISS does not answer on cuda:{number}; choose another --device") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        try:
            with faiss_errors():
                raise RuntimeError(done.stderr)
        except RuntimeError as error:
            raise VecstoreError(f"FAISS cannot work on cuda:{number} ({lines[-1]}); choose another --device") from error


def resources(number: int) -> Any:
    """Return what an index needs on one GPU, its scratch memory bounded. Raises what `require_working` does."""
    require_working(number)
    made = faiss.StandardGpuResources()
    made.setTempMemory(SCRATCH_BYTES)
    return made


def on_device(index: Any, device: Device, options: Any = None) -> Any:
    """Return an index as it is for the CPU, else its copy on the device's GPUs. Raises what `faiss_gpus` does."""
    gpus = faiss_gpus(device)
    if not gpus:
        return index
    with faiss_errors():
        return faiss.index_cpu_to_gpu_multiple_py([resources(number) for number in gpus], index, options, gpus)
