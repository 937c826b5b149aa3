"""What is slow or missing on this machine, and what to do about it. Changes nothing.

Imports neither torch nor FAISS nor a runtime of networks; it looks at files, the driver and the packages' metadata.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from indexes.devices import choose_device, gpu_names, has_driver
from vecstore.embedders import overview
from vecstore.embedders.runtimes import cpu_name
from vecstore.maintenance import machine
from vecstore.sources.paths import bytes_on_disk, cache_dir, network_file_system

# Folders that can be watched where the system allows fewer than this are soon used up by other programs.
WATCHES = 65_536
# A store grows by 4 KiB and more a picture, and SQLite wants room for its journal.
FREE_BYTES = 1 << 30
DEFAULT_EMBEDDER = "resnet50"
# Where Linux lists what is plugged in; NVIDIA's number there.
PCI, NVIDIA = Path("/sys/bus/pci/devices"), "0x10de"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. found: what is here. advice: what to do, None where nothing needs to be done.

    ok: whether it is as good as it can be made here. Advice on what is optional comes with ok True.
    """

    check: str
    ok: bool
    found: str
    advice: str | None = None


def diagnose(store: Path, device: str = "auto") -> Iterator[Check]:
    """Yield what is slow or missing here.

    store: a store's folder, which need not be there yet. device: "cpu" asks for no GPU; else as `Store.open` takes it.
    Raises BadInput for a device that is not there.
    """
    yield _cpu()
    if choose_device(device).kind != "cpu" or device == "auto":
        yield _gpu()
    yield from _runtimes()
    yield _faiss()
    yield _weights()
    yield _extras()
    if sys.platform == "linux":
        yield _watches()
    yield _disk("store", store)
    yield _free("store", store)
    yield _free("cache", cache_dir())
    yield _cache()


def _cpu() -> Check:
    found = f"{cpu_name()}, {machine.cores()} cores, {', '.join(machine.fast_units()) or 'units not known'}"
    every = os.cpu_count() or 1
    if machine.cores() < every:
        return Check("cpu", False, found, f"this process may use {machine.cores()} of {every} cores; allow it more")
    return Check("cpu", True, found)


def _gpu() -> Check:
    names, cuda = gpu_names(), machine.torch_cuda()
    if not names:
        if not _has_nvidia_card():
            return Check("gpu", True, "none; networks and clustering run on the CPU")
        if has_driver():
            return Check("gpu", False, "an NVIDIA card that its driver does not report", "see what `nvidia-smi` says")
        return Check("gpu", False, "an NVIDIA card without a driver", "install NVIDIA's driver")
    if cuda is None:
        advice = "install a torch that is built for CUDA, or use --device cpu"
        return Check("gpu", False, f"{', '.join(names)}, which this torch cannot use", advice)
    return Check("gpu", True, f"{', '.join(names)}; torch for CUDA {cuda}")


def _has_nvidia_card() -> bool:
    """Say whether there is an NVIDIA card for computing or graphics, as far as the system tells (Linux)."""
    for device in PCI.glob("*"):
        try:
            vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text()
        except OSError:
            continue
        if vendor == NVIDIA and kind.startswith("0x03"):
            return True
    return False


def _runtimes() -> Iterator[Check]:
    version = machine.version_of("openvino")
    if version is None:
        how = "`pip install openvino` may make networks faster; what is faster is measured"
        yield Check("runtime", machine.version_of("onnxruntime") is not None, "ONNX Runtime alone", how)
        return
    lines = [line for line in overview.embedders() if line.speed is not None and line.name != "hsv"]
    chosen = ", ".join(f"{line.name} {line.speed} pictures/s of one core" for line in lines)
    found = f"ONNX Runtime {machine.version_of('onnxruntime')} and OpenVINO {version}"
    lacks = None if chosen else "the first add measures which is faster; `vecstore embedders --measure` does so now"
    yield Check("runtime", True, f"{found}; {chosen or 'no network was measured here yet'}", lacks)


def _faiss() -> Check:
    of_gpu, of_cpu = machine.version_of("faiss-gpu"), machine.version_of("faiss-cpu")
    if of_gpu and of_cpu:
        advice = "both have the same files: `pip uninstall faiss-cpu faiss-gpu`, then install the one that you want"
        return Check("faiss", False, f"faiss-gpu {of_gpu} and faiss-cpu {of_cpu}", advice)
    if of_gpu is None and of_cpu is None:
        return Check("faiss", False, "no FAISS", "`pip install faiss-cpu`, or faiss-gpu")
    if of_gpu is None and gpu_names():
        return Check("faiss", False, f"faiss-cpu {of_cpu} beside a GPU", "clustering is on the CPU; install faiss-gpu")
    return Check("faiss", True, f"faiss-gpu {of_gpu}" if of_gpu else f"faiss-cpu {of_cpu}")


def _weights() -> Check:
    line = next(line for line in overview.embedders((DEFAULT_EMBEDDER,)))
    if line.available == overview.YES:
        return Check("weights", True, f"those of {DEFAULT_EMBEDDER} are here")
    advice = "the first add downloads them (98 MB); without a network use --embedder efficientnet-lite0"
    return Check("weights", True, f"those of {DEFAULT_EMBEDDER} are not here", advice)


def _extras() -> Check:
    present = machine.extras_present()
    missing = [f"{name} ({what})" for name, (_, what) in machine.EXTRAS.items() if name not in present]
    advice = f"`pip install 'vecstore[NAME]'` brings what you need of {', '.join(missing)}" if missing else None
    return Check("extras", True, ", ".join(present) or "none", advice)


def _watches(limit: Path = Path("/proc/sys/fs/inotify/max_user_watches")) -> Check:
    try:
        allowed = int(limit.read_text())
    except (OSError, ValueError):
        return Check("watching", True, "the system does not say how many folders can be watched")
    found = f"{allowed:,} folders can be watched"
    if allowed >= WATCHES:
        return Check("watching", True, found)
    return Check("watching", False, found, "for more with `sync --watch`: `sysctl fs.inotify.max_user_watches=524288`")


def _disk(name: str, folder: Path) -> Check:
    place = _existing(folder)
    kind = network_file_system(place)
    if kind is not None:
        advice = "keep the store on a disk of this machine: searching maps its file (docs/durability.md)"
        return Check(f"{name} disk", False, f"{folder} is on {kind}, a network file system", advice)
    hard = _is_hard_disk(place)
    if hard:
        advice = "on a solid-state disk adding and the first search are faster"
        return Check(f"{name} disk", True, f"{folder} is on a hard disk, or on a virtual one", advice)
    return Check(f"{name} disk", True, f"{folder} is on {'a local disk' if hard is None else 'a solid-state disk'}")


def _is_hard_disk(place: Path) -> bool | None:
    """Say whether a folder is on a hard disk; None where the system does not say."""
    number = os.stat(place).st_dev
    if not hasattr(os, "major"):
        return None
    device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    for queue in (device / "queue", device / ".." / "queue"):  # a partition's queue is its disk's
        try:
            return (queue / "rotational").read_text().strip() == "1"
        except OSError:
            continue
    return None


def _free(name: str, folder: Path) -> Check:
    free = shutil.disk_usage(_existing(folder)).free
    found = f"{free / 1e9:,.1f} GB free at {folder}"
    if free < FREE_BYTES:
        return Check(f"{name} space", False, found, "free some, or name another folder")
    return Check(f"{name} space", True, found)


def _cache() -> Check:
    folder = cache_dir()
    if not os.access(_existing(folder), os.W_OK):
        advice = "networks are prepared anew in each run; name a folder for them with $VECSTORE_CACHE"
        return Check("cache", False, f"{folder} cannot be written to", advice)
    return Check("cache", True, f"{bytes_on_disk(folder) / 1e6:,.1f} MB in {folder}; it can be deleted at any time")


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.is_dir())
