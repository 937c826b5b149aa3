"""How fast ready-made vectors come into a store from a .npy, with and without its index, and into a LanceDB table.

Each import is a process of its own, whose anonymous memory is looked at meanwhile: mapped files apart.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from scripts.benchmarks.common import describe_machine, resnet_like

PEER = Path(__file__).parent / "lance_peer.py"
SAMPLE_SECONDS = 0.02
OURS = """
import sys
from vecstore import Store
with Store.open(sys.argv[1], create=True) as store:
    if sys.argv[4] == "exact":
        from vecstore.engines import index_lifecycle
        index_lifecycle.is_due = lambda *_: False
    report = store.import_vectors(sys.argv[2], sys.argv[3])
    print(report.added)
"""


def main(
    vectors: Annotated[int, typer.Option(help="Vectors of the file.")] = 400_000,
    dim: Annotated[int, typer.Option(help="Numbers of a vector.")] = 2048,
    lance: Annotated[Path | None, typer.Option(help="A Python that has lancedb, pyarrow and numpy.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to work, with 16 KiB a vector to spare.")] = None,
) -> None:
    """Print vectors/s, processor seconds and peak anonymous memory of each, and the ratios to LanceDB."""
    describe_machine("numpy")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        file, paths = Path(scratch) / "vectors.npy", Path(scratch) / "paths.txt"
        _write(file, paths, vectors, dim)
        commands = {
            f"vecstore, {name}": [sys.executable, "-c", OURS, f"{scratch}/{kind}", str(file), str(paths), kind]
            for name, kind in (("no index", "exact"), ("with its index", "auto"))
        }
        if lance is not None:
            commands["LanceDB"] = [str(lance), str(PEER), f"{scratch}/lance", str(file), str(paths)]
        rates = {name: _rate(name, command, vectors) for name, command in commands.items()}
    for name in commands if lance is not None else ():
        if name != "LanceDB":
            print(f"{name} / LanceDB: {rates[name] / rates['LanceDB']:.2f}")


def _write(file: Path, paths: Path, n: int, dim: int) -> None:
    mapped = np.lib.format.open_memmap(file, "w+", np.float32, (n, dim))
    first = 0
    for block in resnet_like(n, dim, seed=1):
        mapped[first : first + len(block)] = block
        first += len(block)
    mapped.flush()
    paths.write_text("".join(f"/pictures/{i // 1000:04}/{i:08}.jpg\n" for i in range(n)))


def _rate(name: str, command: list[str], n: int) -> float:
    """Run an import; print and return the vectors/s, its start and imports included."""
    started, peak, status = time.perf_counter(), 0, ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        times = (0, 0)
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
                fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
                times = (int(fields[11]), int(fields[12]))
            except OSError:  # it has just ended
                break
            if "RssAnon:" in status:
                peak = max(peak, int(status.partition("RssAnon:")[2].split()[0]))
            time.sleep(SAMPLE_SECONDS)
        seconds = time.perf_counter() - started
        added = process.stdout.read() if process.stdout else ""
    if process.returncode or int(added) != n:
        raise RuntimeError(
            f"{name} took {added.strip() or 'nothing'} of {n} vectors, and ended with {process.returncode}"
        )
    ticks = 100  # a second, of every Linux
    print(
        f"{name:25} {n / seconds:8.0f} vectors/s, {seconds:6.1f} s, {sum(times) / ticks:6.1f} s of CPU time, "
        f"peak {peak / 1024:5.0f} MiB, mapped files apart",
        flush=True,
    )
    return n / seconds
