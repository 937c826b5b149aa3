"""What this machine is and what is installed on it, as a report of a fault needs it. Loads neither network nor index.

Versions come from the packages' metadata, so neither torch nor FAISS nor a runtime of networks is loaded.
"""

import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from indexes.devices import gpu_names
from vecstore.embedders.runtimes import cpu_lines, cpu_name
from vecstore.storage.catalog.connection import sqlite_version
from vecstore.version import __version__

PACKAGES = (
    *("numpy", "faiss-gpu", "faiss-cpu", "torch", "torchvision", "onnxruntime", "openvino", "pillow", "pillow-heif"),
    *("scikit-learn", "fastapi", "typer"),
)
# What each extra brings that can be looked for.
EXTRAS = {
    "clip": ("open_clip", "embedders that read any words"),
    "hnswlib": ("hnswlib", "files of hnswlib"),
    "jxl": ("pillow_jxl", "JPEG XL"),
    "lance": ("lance", "tables of Lance and LanceDB"),
    "leiden": ("igraph", "`cluster --method leiden`"),
    "mcp": ("mcp", "`vecstore mcp` for assistants"),
    "milvus": ("pymilvus", "stores that Milvus searches"),
    "pandas": ("pandas", "results as data frames"),
    "parquet": ("pyarrow", "export and import of Parquet"),
    "places": ("reverse_geocode", "names of places"),
    "raw": ("rawpy", "camera raw pictures"),
    "ray": ("ray", "work on several machines"),
    "remote": ("s3fs", "pictures in object stores and on web servers"),  # fsspec itself comes with torch
    "timm": ("timm", "the picture models of timm"),
    "usearch": ("usearch", "files of usearch"),
}
# The flags of Linux for what multiplies fast, best first.
FAST = (("amx_bf16", "AMX bf16"), ("avx512_bf16", "AVX-512 bf16"), ("avx512f", "AVX-512"), ("avx2", "AVX2"))


def facts() -> Iterator[tuple[str, str]]:
    """Yield name and value of what a report of a fault needs, vecstore first."""
    yield "vecstore", __version__
    yield "python", f"{platform.python_version()} ({platform.python_implementation()}, {sys.prefix})"
    yield "system", platform.platform()
    yield "cpu", f"{cpu_name()}, {cores()} cores{', '.join(['', *fast_units()])}"
    yield "gpu", ", ".join(gpu_names()) or "none"
    yield "sqlite", sqlite_version()
    for package in PACKAGES:
        if (version := version_of(package)) is not None:
            yield package, version
    yield "extras", ", ".join(extras_present()) or "none"


def version_of(package: str) -> str | None:
    """Return the version of an installed package, None for one that is not."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def extras_present() -> list[str]:
    return [extra for extra, (module, _) in EXTRAS.items() if importlib.util.find_spec(module) is not None]


def cores() -> int:
    """Return how many cores this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fast_units() -> list[str]:
    """Return what of this CPU multiplies fast, best first; on Linux alone, nothing elsewhere."""
    flags = set(cpu_lines().get("flags", "").split())
    return [name for flag, name in FAST if flag in flags]


def torch_cuda() -> str | None:
    """Return the version of CUDA that torch was built for, None for a CPU build or without torch. Imports no torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return None
    try:
        text = (Path(spec.submodule_search_locations[0]) / "version.py").read_text()
    except OSError:
        return None
    found = re.search(r"^cuda\b[^=]*= *['\"]([\d.]+)['\"]", text, re.MULTILINE)
    return found[1] if found else None
