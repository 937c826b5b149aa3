"""Everything that comes from outside, with any bytes: an answer or an error of ours, soon and in little memory.

Each target runs in a process of its own, under libFuzzer by way of atheris, which looks for inputs that reach new code;
where atheris is not installed, under Hypothesis, which damages the same examples without looking. What is found is kept
in build/torture, to be made a test.
"""

import contextlib
import importlib.util
import io
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.fault_injection.runs import Run
from scripts.fault_injection.scenario import Pool

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "torture"
SLICE_SECONDS = 20.0
# One input may take so long, and the process so much memory; the decoder's own limit is 1 GiB.
INPUT_SECONDS, MEMORY_MIB = 20, 3_072
MAX_BYTES = 1 << 16
INSTRUMENTED = ["vecstore", "indexes", "PIL", "pathspec", "zipfile", "tarfile"]


@dataclass(frozen=True)
class Target:
    """Something that takes bytes. run: raises only on what should not be. seeds: examples of good input."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def torture(run: Run, pool: Pool) -> None:
    """Give each target its share of the time, or a slice if there is no end to it."""
    engine = "atheris" if importlib.util.find_spec("atheris") else "hypothesis"
    share = max(run.seconds / len(TARGETS), 1) if run.seconds else SLICE_SECONDS
    while run.goes_on():
        for name in TARGETS:
            run.counts[f"seconds of {name} by {engine}"] += round(share)
            run.counts["inputs"] += _fuzz(run, name, share, engine)


def _fuzz(run: Run, name: str, seconds: float, engine: str) -> int:
    """Fuzz one target in a process of its own; return how many inputs it was given."""
    corpus = run.scratch / f"corpus-{name}"
    if not corpus.exists():
        corpus.mkdir()
        for number, seed in enumerate(TARGETS[name].seeds()):
            (corpus / str(number)).write_bytes(seed)
    artifacts = Path(tempfile.mkdtemp(dir=run.scratch))
    seed = run.random.randrange(1, 1 << 31)
    arguments = [sys.executable, "-m", "scripts.fault_injection.fuzz", engine, name, str(seconds), str(seed)]
    arguments += [str(corpus), str(artifacts)]
    try:
        done = subprocess.run(
            arguments, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=3 * seconds + 120
        )
        status, said = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        status, said = -1, f"it hung: {late.stderr!r}"
    if status:
        KEPT.mkdir(parents=True, exist_ok=True)
        kept = [str(shutil.copy(file, KEPT / f"{name}-{file.name}")) for file in sorted(artifacts.iterdir())]
        run.found(f"{name}: exit {status}, input kept in {kept}: {_telling(said)}")
    counts = [line for line in said.splitlines() if "stat::number_of_executed_units" in line or line.startswith("ran ")]
    return int(counts[-1].split()[1]) if counts else 0


def _telling(said: str) -> str:
    """Return the part of a fuzzer's output that says what happened."""
    at = max(said.find("Uncaught Python exception"), said.find("ERROR: libFuzzer"), said.find("Traceback"))
    return said[max(at, 0) :][:1500]


# The targets. Each catches what is raised on purpose.


def _decode(data: bytes) -> None:
    from vecstore.sources.decoding import Unreadable, decode

    with contextlib.suppress(Unreadable):
        image = decode(data, at_least=(128, 128))
        require(image.mode == "RGB" and min(image.size) > 0, image)


def _archive(data: bytes) -> None:
    from vecstore.sources import archives
    from vecstore.sources.decoding import Unreadable
    from vecstore.sources.file_stamp import FileStamp

    # The first byte chooses the kind: by its suffix alone an archive is told from other files.
    suffix = (".zip", ".tar", ".tgz", ".txz")[data[0] % 4] if data else ".zip"
    with _file(data[1:], suffix) as path, contextlib.suppress(Unreadable):
        archives.count_pictures(bytes(path))
        for member in archives.members(FileStamp(bytes(path), len(data), 0)):
            require(b"/../" not in member.path and member.path.startswith(bytes(path) + b"!/"), member)
            if member.looks_like_picture():
                with contextlib.suppress(Unreadable):
                    member.read()


def _paths(data: bytes) -> None:
    from vecstore.errors import BadInput, NotFound
    from vecstore.sources import paths, scan
    from vecstore.sources.text_files import read_list

    lines = read_list(data)
    for line in lines:
        if b"\0" not in line:
            spelled = paths.absolute(line)
            require(spelled.startswith(b"/") or paths.is_address(spelled), spelled)
            require("\n" not in paths.shown(spelled) and paths.shown(spelled).isprintable(), spelled)
            paths.on_disk(spelled)
    with contextlib.suppress(BadInput, NotFound):
        patterns = scan.Patterns(tuple(map(os.fsdecode, lines[:2])), tuple(map(os.fsdecode, lines[2:4])))
        patterns.take_file(b"some/photo.jpg")
        patterns.enter_folder(data[:20].replace(b"\0", b"") or b"x")


def _words(data: bytes) -> None:
    """Everything else that is typed: embedders' names, moments, patterns of paths."""
    from vecstore.embedders.registry import canonical_name
    from vecstore.errors import BadInput
    from vecstore.search import filters

    text = data.decode("utf-8", "surrogateescape")
    for take in (canonical_name, filters.moment, filters.path_test):
        with contextlib.suppress(BadInput):
            take(text)


def _labels(data: bytes) -> None:
    from vecstore.clustering.evaluation import read_labels
    from vecstore.errors import BadInput

    with _file(data, ".csv") as path, contextlib.suppress(BadInput):
        read_labels(path)


def _npy(data: bytes) -> None:
    _import(data, ".npy")


def _parquet(data: bytes) -> None:
    _import(data, ".parquet")


def _import(data: bytes, suffix: str) -> None:
    from vecstore.errors import BadInput
    from vecstore.ingest import vector_import

    with _file(data, suffix) as path, _file(b"/a\n/b\n/c\n", ".txt") as names, contextlib.suppress(BadInput):
        for paths in (None, names):
            rows, _ = vector_import.load(path, paths)
            for block in vector_import.stored_blocks(rows, path):
                require(block.shape[1] == rows.shape[1], block.shape)


def _catalog(data: bytes) -> None:
    from scripts.fault_injection.store_snapshot import questions
    from vecstore.errors import VecstoreError
    from vecstore.store import Store

    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        (Path(folder) / "catalog.sqlite").write_bytes(data)
        (Path(folder) / "vectors.f16").write_bytes(bytes(24 * 12))
        with contextlib.suppress(VecstoreError), Store.open(folder) as store:
            for ask in questions(store).values():
                with contextlib.suppress(VecstoreError):
                    ask()


def _checkpoint(data: bytes) -> None:
    from vecstore.clustering.checkpoint import CHECKPOINT, Checkpoint

    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        (Path(folder) / CHECKPOINT).write_bytes(data)
        Checkpoint(Path(folder), {}).load()


def _header(data: bytes) -> None:
    from indexes.index_metadata import InvalidIndex, load_header

    with contextlib.suppress(InvalidIndex):
        load_header(io.BytesIO(data))


# Examples of what they take.


def _pictures() -> list[bytes]:
    from PIL import Image

    from vecstore.sources.painted import paint

    picture = paint("reef", 1).resize((24, 16))
    found = []
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "ICO", "PPM", "TGA"):
        for image in (picture, picture.convert("L"), picture.convert("P")):
            with io.BytesIO() as file, contextlib.suppress(OSError, ValueError):
                image.save(file, kind)
                found.append(file.getvalue())
    with io.BytesIO() as file:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(file, "JPEG", progressive=True, exif=exif)
        found.append(file.getvalue())
    return found


def _archives() -> list[bytes]:
    from scripts.fault_injection.scenario import BROKEN

    found = []
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/b.png", BROKEN)
            archive.writestr("../c.jpg", b"\xff\xd8\xff")
        found.append(b"\0" + file.getvalue())
    for number, mode in enumerate(("w", "w:gz", "w:xz"), start=1):
        with io.BytesIO() as file:
            with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
                info = tarfile.TarInfo("a" * 120 + ".png")
                info.size = len(BROKEN)
                archive.addfile(info, io.BytesIO(BROKEN))
            found.append(bytes([number]) + file.getvalue())
    return found


def _tables() -> list[bytes]:
    import pyarrow
    import pyarrow.parquet

    with io.BytesIO() as file:
        table = pyarrow.table({"vector": [[0.5, 1.0], [2.0, 1.0], [1.0, 0.0]], "path": ["/a", "/b", "/c"]})
        pyarrow.parquet.write_table(table, file)
        return [file.getvalue()]


def _arrays() -> list[bytes]:
    import numpy as np

    found = []
    for dtype in (np.float16, np.float32, np.float64, np.int8):
        with io.BytesIO() as file:
            np.save(file, np.ones((3, 4), dtype))
            found.append(file.getvalue())
    return found


def _checkpoints() -> list[bytes]:
    import numpy as np

    with io.BytesIO() as file:
        ones = np.ones((2, 3), np.float32)
        np.savez(file, stamp="{}", counts=[1, 2, 3], figures=[1.0, 0.5, 1.0], centroids=ones, best=ones)
        return [file.getvalue()]


def _catalogs() -> list[bytes]:
    from scripts.fault_injection.scenario import BROKEN
    from vecstore.embedders.hsv import Hsv
    from vecstore.sources.painted import paint
    from vecstore.storage.layout import CATALOG
    from vecstore.store import Store

    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        for seed in range(3):
            paint("city", seed).save(Path(folder) / f"{seed}.png")
        (Path(folder) / "broken.png").write_bytes(BROKEN)
        with Store.open(Path(folder) / "store", embedder=Hsv.spec.name, create=True) as store:
            store.add(folder)
            store.cluster(2)
        return [(Path(folder) / "store" / CATALOG).read_bytes()]


def _headers() -> list[bytes]:
    from indexes.index_metadata import IndexHeader, append_header

    with io.BytesIO() as file:
        append_header(file, IndexHeader("rabitq", 12, 3, 3, 16))
        return [file.getvalue()]


TARGETS = {
    "decode": Target(_decode, _pictures),
    "archive": Target(_archive, _archives),
    "paths": Target(_paths, lambda: [b"/a/b.jpg\n~/c.zip!/d.png\n*.jpg\n!keep/**\n", b"/a\0b/c\0"]),
    "words": Target(_words, lambda: [b"resnet50*0.8+hsv*0.2", b"2026-01-31T12:00", b"7 days", b"/a/**/*.[jp]*g"]),
    "labels": Target(_labels, lambda: [b'path,label\n/a.jpg,cat\n"/b ""c"".jpg",dog\n']),
    "npy": Target(_npy, _arrays),
    "parquet": Target(_parquet, _tables),
    "catalog": Target(_catalog, _catalogs),
    "checkpoint": Target(_checkpoint, _checkpoints),
    "header": Target(_header, _headers),
}


def require(holds: bool, thing: object) -> None:
    if not holds:
        raise AssertionError(f"not as it should be: {thing!r}")


@contextlib.contextmanager
def _file(data: bytes, suffix: str):  # type: ignore[no-untyped-def]
    with tempfile.NamedTemporaryFile(suffix=suffix, dir=_memory()) as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def _memory() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


# The process that one target runs in


def _with_atheris(name: str, seconds: float, seed: int, corpus: str, artifacts: str) -> None:
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        _load()
    options = (
        f"max_total_time={max(round(seconds), 1)}",
        f"seed={seed}",
        f"max_len={MAX_BYTES}",
        "print_final_stats=1",
    )
    limits = (f"timeout={INPUT_SECONDS}", f"rss_limit_mb={MEMORY_MIB}", f"artifact_prefix={artifacts}/", "verbosity=0")
    atheris.Setup([name, *(f"-{option}" for option in (*options, *limits)), corpus], TARGETS[name].run)
    atheris.Fuzz()


def _with_hypothesis(name: str, seconds: float, seed: int, corpus: str, artifacts: str) -> None:
    import time
    from random import Random

    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    from scripts.fault_injection.damage import damaged

    _load()
    examples = [path.read_bytes() for path in sorted(Path(corpus).iterdir())]
    ends, ran = time.monotonic() + seconds, 0

    @seeded(seed)
    @settings(
        max_examples=100,
        deadline=INPUT_SECONDS * 1000,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(st.sampled_from(examples), st.lists(st.integers(0, 1 << 31), max_size=4))
    def runs(example: bytes, damages: list[int]) -> None:
        nonlocal ran
        ran += 1
        for chance in damages:
            example, _ = damaged(example, Random(chance)) if example else (example, "")
        (Path(artifacts) / "input").write_bytes(example)
        TARGETS[name].run(example)

    while time.monotonic() < ends:
        runs()
        seed += 1
    print(f"ran {ran} inputs")


def _load() -> None:
    """Import what targets use, before memory is limited and time counted."""
    import vecstore.clustering.checkpoint
    import vecstore.clustering.evaluation
    import vecstore.ingest.vector_import
    import vecstore.search.filters
    import vecstore.sources.archives
    import vecstore.store

    _ = vecstore.sources.archives, vecstore.clustering.checkpoint, vecstore.clustering.evaluation
    _ = vecstore.ingest.vector_import, vecstore.search.filters
    _ = vecstore.store


def main() -> None:
    engine, name, seconds, seed, corpus, artifacts = sys.argv[1:]
    here = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    if name != "parquet":  # Arrow reserves addresses that it does not use
        resource.setrlimit(resource.RLIMIT_AS, (here + (4 << 30), here + (4 << 30)))
    fuzzed = _with_atheris if engine == "atheris" else _with_hypothesis
    fuzzed(name, float(seconds), int(seed), corpus, artifacts)


if __name__ == "__main__":
    main()
