"""A folder of pictures that lives, a store of it, and the commands that are given to the store meanwhile."""

import hashlib
import io
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from scripts.fault_injection.children import Ended, call, say
from scripts.fault_injection.interposer import Block
from scripts.fault_injection.store_snapshot import StoreSnapshot, snapshot
from vecstore.embedders.hsv import Hsv
from vecstore.engines import index_lifecycle
from vecstore.ingest import pipeline
from vecstore.sources import decoding
from vecstore.sources.painted import KINDS, paint
from vecstore.storage.vector_file import quantize_unit_rows

N_PICTURES = 150
SMALL = (32, 24)
BESIDE = "{beside}"
# Stores as older versions of vecstore wrote them.
OLD_STORES = sorted((Path(__file__).parents[2] / "tests" / "fixtures").glob("format-*.zip"))
BROKEN = b"\x89PNG\r\n\x1a\n and then nothing"


@dataclass(frozen=True)
class Pool:
    """Pictures to make folders of. contents: the bytes of each. truth: the stored vector of each, by its sha256."""

    contents: list[bytes]
    truth: dict[bytes, bytes]

    @classmethod
    def paint(cls) -> "Pool":
        contents, prepared, embedder = [], [], Hsv()
        for seed in range(N_PICTURES):
            file = io.BytesIO()
            paint([*KINDS][seed % len(KINDS)], seed).resize(SMALL, Image.Resampling.BOX).save(file, "PNG")
            contents.append(file.getvalue())
            prepared.append(embedder.prepare(decoding.decode(file.getvalue())))
        vectors = [row.tobytes() for row in quantize_unit_rows(embedder.embed(prepared))]
        return cls(contents, dict(zip([hashlib.sha256(c).digest() for c in contents], vectors, strict=True)))


@dataclass(frozen=True)
class Step:
    """One command, as it is typed but for the store. gradual: what it does is committed bit by bit.

    answers_only: it changes nothing. BESIDE in an argument stands for the folder that the store is in.
    """

    name: str
    arguments: tuple[str, ...]
    gradual: bool = False
    answers_only: bool = False

    def __str__(self) -> str:
        return " ".join((self.name, *self.arguments))


def run_command(arguments: list[str]) -> None:
    """In a child: run the vecstore program. What is committed is told to the parent as it is."""
    from cli.app import main

    committed = index_lifecycle.BackgroundIndexing.committed

    def committed_aloud(work: index_lifecycle.BackgroundIndexing, n_rows: int) -> None:
        say(n_rows)
        committed(work, n_rows)

    index_lifecycle.BackgroundIndexing.committed = committed_aloud  # type: ignore[method-assign]
    sys.argv = ["vecstore", *arguments]
    main()


def load_everything() -> None:
    """Import what commands import, so that a forked child has it; make commits and growing indexes frequent."""
    import gc

    import pyarrow.parquet
    import scipy.optimize
    import send2trash
    import sklearn.metrics

    import cli.app
    import indexes.compressed
    import indexes.kmeans
    import vecstore.search.duplicates
    import vecstore.store

    pipeline.COMMIT_FILES = 8
    index_lifecycle.TAIL_BYTES = 8 * Hsv.spec.dim * 2
    _ = cli.app, indexes.compressed, indexes.kmeans, vecstore.search.duplicates, vecstore.store
    _ = pyarrow.parquet, scipy.optimize, send2trash, sklearn.metrics
    gc.freeze()


class Scenario:
    """A folder of pictures and a store of it. All chance comes from `random`."""

    def __init__(self, folder: Path, pool: Pool, random: Random) -> None:
        self.folder = folder
        self.pictures = folder / "pictures"  # a link, so that many folders can have been the same path
        self.arena = folder / "arena"
        self.pool = pool
        self.random = random
        self.truth = dict(pool.truth)
        self._clock = 1_000_000_000
        self._numbers: Iterator[int] = iter(range(1 << 30))
        shutil.rmtree(folder, ignore_errors=True)
        self.arena.mkdir(parents=True)
        (folder / "first").mkdir()
        self.pictures.symlink_to(folder / "first")

    @property
    def store(self) -> Path:
        return self.arena / "store"

    def begin_with_an_old_store(self) -> None:
        """Put a store of an older format in the place of this one."""
        shutil.rmtree(self.store, ignore_errors=True)
        with zipfile.ZipFile(self.random.choice(OLD_STORES)) as packed:
            packed.extractall(self.arena, [name for name in packed.namelist() if name.startswith("store/")])

    # What is done

    def run(
        self,
        step: Step,
        block: Block | None = None,
        kill_after: float | None = None,
        store: Path | None = None,
        program: Callable[[list[str]], None] = run_command,
    ) -> Ended:
        """Give the command to the store, in a child."""
        store = store or self.store
        arguments = [step.name, *(a.replace(BESIDE, str(store.parent)) for a in step.arguments), "--store", str(store)]
        return call(program, arguments, block=block, kill_after=kill_after)

    def snapshot(self, store: Path | None = None) -> StoreSnapshot | None | str:
        """Return what a store holds and answers, or in words why it cannot be asked.

        A copy is asked, since opening a store may mend or upgrade it: that is left to the next command.
        """
        copy = self.folder / "asked"
        shutil.rmtree(copy, ignore_errors=True)
        if (store or self.store).exists():
            shutil.copytree(store or self.store, copy)
        ended = call(snapshot, copy, self.truth)
        if ended.status:
            return f"the store cannot be read (status {ended.status}): {ended.error or ended.err}"
        return ended.value  # type: ignore[no-any-return]

    def keep(self) -> Path:
        """Put a copy of the pictures and of the arena aside; return its folder, for `restore`."""
        kept = self.folder / f"kept-{next(self._numbers)}"
        shutil.copytree(self.pictures, kept / "pictures")
        shutil.copytree(self.arena, kept / "arena")
        return kept

    def restore(self, kept: Path) -> None:
        """Let the pictures and the arena be what they were when they were kept."""
        self.pictures.unlink()
        self.pictures.symlink_to(kept / "pictures")
        shutil.rmtree(self.arena)
        shutil.copytree(kept / "arena", self.arena)

    @contextmanager
    def twin(self) -> Iterator[Path]:
        """A copy of the arena, at the end of which nothing is left; yields the copy of the store."""
        copy = self.arena.with_name("twin")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.arena, copy)
        try:
            yield copy / "store"
        finally:
            shutil.rmtree(copy)

    # What happens to the pictures, and is to be done next

    def next_step(self, now: StoreSnapshot | None) -> Step:
        """Choose a command that makes sense, and change the folder for it if it is one that looks there."""
        if now is None or not now.paths:
            return self.step("add")
        names = [name for name, makes_sense in STEPS.items() if makes_sense(now)]
        return self.step(self.random.choice(names), now)

    def step(self, name: str, now: StoreSnapshot | None = None) -> Step:
        """Return the command of that name, having changed what it looks at."""
        return getattr(self, f"_{name.replace('-', '_')}")(now)  # type: ignore[no-any-return]

    def _add(self, now: StoreSnapshot | None) -> Step:
        self._more_pictures(self.random.randint(1, 40))
        return Step("add", (str(self.pictures), *(("--embedder", "hsv") if now is None else ())), gradual=True)

    def _sync(self, now: StoreSnapshot | None) -> Step:
        self._more_pictures(self.random.randint(0, 12))
        files = self.files()
        for file in self.random.sample(files, min(len(files) // 2, self.random.randint(0, 8))):
            if self.random.random() < 0.5:
                file.unlink()
            else:
                self.write(file, self.random.choice([*self.pool.contents, BROKEN]))
        self._more_pictures(1)
        return Step("sync", (str(self.pictures),), gradual=True)

    def _remove(self, now: StoreSnapshot) -> Step:
        rows = self.random.sample(sorted({*now.paths.values()}), min(len({*now.paths.values()}), 3))
        path = os.fsdecode(self.random.choice(sorted(now.paths)))
        return Step("remove", (*(f"@{row}" for row in rows[1:]), path))

    def _relocate(self, now: StoreSnapshot) -> Step:
        files = [Path(os.fsdecode(path)) for path, row in now.paths.items() if _holds(path, now.rows[row])]
        places = {*files, *(file.parent for file in files)} - {self.pictures}
        old = self.random.choice(sorted(places))
        new = old.with_name(f"moved-{next(self._numbers)}{old.suffix}")
        old.rename(new)
        return Step("relocate", (str(old), str(new)))

    def _cluster(self, now: StoreSnapshot) -> Step:
        k = self.random.randint(1, min(6, len({*now.paths.values()})))
        seed = self.random.randint(0, 99)
        return Step("cluster", ("-k", str(k), "--seed", str(seed), "--restarts", "2", "--iterations", "5"))

    def _use(self, now: StoreSnapshot) -> Step:
        return Step("cluster", ("--use", str(self.random.choice(now.clusterings)[0])))

    def _name(self, now: StoreSnapshot) -> Step:
        cluster = self.random.choice(sorted({*now.clusters.values()}))
        return Step("name", (str(cluster), f"name {next(self._numbers)}"))

    def _index(self, now: StoreSnapshot) -> Step:
        kind = self.random.choice(("rabitq", "pq", "exact"))
        return Step("index", ("--kind", kind, "--rebuild"))

    def _import(self, now: StoreSnapshot) -> Step:
        folder = self.pictures.parent
        n = self.random.randint(1, 20)
        paths = [f"/nowhere/{next(self._numbers)}.jpg" for _ in range(n)]
        vectors = np.random.default_rng(self.random.getrandbits(32)).random((n, Hsv.spec.dim), np.float32)
        vectors /= np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True).astype(np.float32)
        np.save(folder / "import.npy", vectors)
        (folder / "import.txt").write_text("\n".join(paths))
        units = vectors.astype(np.float64)
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        for path, row in zip(paths, quantize_unit_rows(units.astype(np.float32)), strict=True):
            self.truth[hashlib.sha256(b"vecstore path\0" + os.fsencode(path)).digest()] = row.tobytes()
        arguments = (str(folder / "import.npy"), str(folder / "import.txt"), "--embedder", "hsv")
        return Step("import", arguments, gradual=True)

    def _undo(self, now: StoreSnapshot) -> Step:
        return Step("undo", ())

    def _redo(self, now: StoreSnapshot) -> Step:
        return Step("undo", ("--redo",))

    def _repair(self, now: StoreSnapshot) -> Step:
        return Step("check", ("--repair",))

    def _compact(self, now: StoreSnapshot) -> Step:
        return Step("compact", self.random.choice(((), (), ("--keep-clusterings", "1"))))

    def _backup(self, now: StoreSnapshot) -> Step:
        return Step("backup", (f"{BESIDE}/backup-{next(self._numbers)}",), answers_only=True)

    def _export(self, now: StoreSnapshot) -> Step:
        suffix = self.random.choice(("parquet", "npy"))
        return Step("export", (f"{BESIDE}/export-{next(self._numbers)}.{suffix}",), answers_only=True)

    def _upgrade(self, now: StoreSnapshot) -> Step:
        self.begin_with_an_old_store()
        return Step("info", (), answers_only=True)

    def _similar(self, now: StoreSnapshot) -> Step:
        return Step("similar", (f"@{min(now.paths.values())}",), answers_only=True)

    def _info(self, now: StoreSnapshot) -> Step:
        return Step("info", (), answers_only=True)

    def _clusters(self, now: StoreSnapshot) -> Step:
        return Step("clusters", (), answers_only=True)

    def _duplicates(self, now: StoreSnapshot) -> Step:
        return Step("duplicates", (), answers_only=True)

    def _failures(self, now: StoreSnapshot) -> Step:
        return Step("failures", (), answers_only=True)

    def _check(self, now: StoreSnapshot) -> Step:
        return Step("check", (), answers_only=True)

    def _more_pictures(self, n: int) -> None:
        for _ in range(n):
            content = BROKEN if self.random.random() < 0.05 else self.random.choice(self.pool.contents)
            folder = self.random.choice(("", "deep", "deep/deeper"))
            self.write(self.pictures / folder / f"{next(self._numbers):05}.png", content)

    def write(self, file: Path, content: bytes) -> None:
        """Write a file with a time that no file had before, so that no change hides behind the clock's resolution."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        self._clock += 1
        os.utime(file, (self._clock, self._clock))

    def files(self) -> list[Path]:
        return sorted(file for file in self.pictures.rglob("*") if file.is_file())


def _always(now: StoreSnapshot) -> bool:
    return True


def _holds(path: bytes, sha256: bytes) -> bool:
    """Say whether a file is there, and still has the content that the store knows it by."""
    return os.path.isfile(path) and hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest() == sha256


def _has_files(now: StoreSnapshot) -> bool:
    return any(_holds(path, now.rows[row]) for path, row in now.paths.items())


def _has_clusters(now: StoreSnapshot) -> bool:
    return bool(now.clusters)


# Every command that changes a store, and in what state of it it makes sense.
STEPS: dict[str, Callable[[StoreSnapshot], bool]] = {
    "add": _always,
    "sync": _always,
    "relocate": _has_files,
    "remove": _always,
    "cluster": _always,
    "use": _has_clusters,
    "name": _has_clusters,
    "index": lambda now: len(now.rows) > 1,
    "import": _always,
    "undo": lambda now: now.undoable > 0,
    "redo": lambda now: now.redoable > 0,
    "repair": _always,
    "compact": _always,
    "backup": _always,
    "export": _always,
}
ASKING = ("similar", "info", "clusters", "duplicates", "failures", "check")
