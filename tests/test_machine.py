"""A folder and a store through any course of events, beside a model that is a few dicts.

The model says what a store holds by looking at the folder with nothing of vecstore's. Row numbers are part of it: new
contents are numbered in the order of the scan, and a row is one content for ever.
"""

import functools
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import TinyEmbedder
from vecstore.errors import Interrupted, NotFound, NothingAdded
from vecstore.ingest import pipeline
from vecstore.ingest.pipeline import Progress
from vecstore.results import AddReport
from vecstore.storage.vector_file import quantize_unit_rows
from vecstore.store import Store


def _picture(seed: int, kind: str = "PNG") -> bytes:
    colours = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours).resize((8, 6), Image.Resampling.NEAREST).save(file, kind)
    return file.getvalue()


# Few, so that copies are common. The last has the pixels of the first, so the same vector: another image all the same.
GOOD = (*(_picture(seed) for seed in range(5)), _picture(0, "BMP"))
# Empty, a PNG that ends early, another that does, and none of our business unless its name says it is a picture.
BROKEN = (b"", GOOD[0][:60], GOOD[1][:50], b"a shopping list")
# Without a suffix the beginning of a file decides; z.png is sometimes a file and sometimes a folder.
NAMES = ("a.png", "b.jpg", "c.png", "raw", "z.png")
FOLDERS = (".", "sub", "sub/deep", "z.png")

contents = st.sampled_from(GOOD)
broken = st.sampled_from(BROKEN)
places = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES)).map(lambda place: Path(*place))
some = st.lists(st.tuples(places, st.one_of(contents, contents, contents, broken)), min_size=1, max_size=8)
choices = st.integers(0, 20)  # which of the things there are, counted round and round


@dataclass(frozen=True)
class File:
    """A file that an add has to try, as it is now."""

    path: bytes
    content: bytes
    state: tuple[int, int]

    @property
    def is_good(self) -> bool:
        return self.content in GOOD

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.content).digest()


@dataclass
class Model:
    """What the store should hold. held: content and file state by path. failed: file state by path. rows: contents."""

    held: dict[bytes, tuple[bytes, tuple[int, int]]] = field(default_factory=dict)
    failed: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    rows: list[bytes] = field(default_factory=list)

    def copy(self) -> "Model":
        return Model(dict(self.held), dict(self.failed), list(self.rows))

    def is_new(self, file: File, retry: bool = False) -> bool:
        if file.path in self.held:
            return self.held[file.path][1] != file.state
        return retry or self.failed.get(file.path) != file.state

    def take(self, file: File, retry: bool = False) -> None:
        if not self.is_new(file, retry):
            return
        self.forget(file.path)
        if not file.is_good:
            self.failed[file.path] = file.state
            return
        self.held[file.path] = (file.sha256, file.state)
        if file.sha256 not in self.rows:
            self.rows.append(file.sha256)

    def forget(self, path: bytes) -> None:
        self.held.pop(path, None)
        self.failed.pop(path, None)

    def under(self, root: bytes) -> set[bytes]:
        return {path for path in (*self.held, *self.failed) if path == root or path.startswith(root + b"/")}

    def alive(self) -> set[bytes]:
        return {sha256 for sha256, _ in self.held.values()}


@functools.cache
def _stored_vector(content: bytes) -> NDArray[np.float16]:
    tiny = TinyEmbedder()
    return quantize_unit_rows(tiny.embed([tiny.prepare(Image.open(io.BytesIO(content)).convert("RGB"))]))[0]


VECTORS = {hashlib.sha256(content).digest(): content for content in GOOD}


class FolderAndStore(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.scratch = Path(tempfile.mkdtemp())
        self.folder = self.scratch / "pictures"
        self.folder.mkdir()
        self.model = Model()
        self.seconds = 1_700_000_000

    @initialize(content=contents, more=some, commit_files=st.sampled_from((2, 512)))
    def begin(self, content: bytes, more: list[tuple[Path, bytes]], commit_files: int) -> None:
        pipeline.COMMIT_FILES = commit_files  # set back by the test
        self.store = Store.open(self.scratch / "store", embedder="tiny", create=True)
        self.write([*more, (Path("a.png"), content)])
        self.add(0)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.scratch)

    # The folder

    @rule(pictures=some)
    def write(self, pictures: list[tuple[Path, bytes]]) -> None:
        for place, content in pictures:
            path = self._made_way(place)
            path.write_bytes(content)
            self._mark(path)

    @rule(which=choices, content=st.one_of(contents, broken))
    def overwrite(self, which: int, content: bytes) -> None:
        if path := self._chosen_file(which):
            path.write_bytes(content)
            self._mark(path)

    @rule(which=choices)
    def touch(self, which: int) -> None:
        if path := self._chosen_file(which):
            self._mark(path)

    @rule(which=choices, place=places, keep_time=st.booleans())
    def copy(self, which: int, place: Path, keep_time: bool) -> None:
        if path := self._chosen_file(which):
            content, state = path.read_bytes(), path.stat()
            target = self._made_way(place)
            target.write_bytes(content)
            if keep_time:
                os.utime(target, ns=(state.st_mtime_ns, state.st_mtime_ns))
            else:
                self._mark(target)

    @rule(which=choices, place=places)
    def rename(self, which: int, place: Path) -> None:
        path = self._chosen_file(which)
        if path and path not in (self.folder / place).parents and not (self.folder / place).is_dir():
            path.rename(self._made_way(place))

    @rule(which=choices)
    def delete(self, which: int) -> None:
        if path := self._chosen_file(which):
            path.unlink()

    @rule(which=choices)
    def delete_folder(self, which: int) -> None:
        if folder := self._chosen(sorted(path for path in self.folder.rglob("*") if path.is_dir()), which):
            shutil.rmtree(folder)

    # The store

    @rule(which=choices)
    def add(self, which: int) -> None:
        root = self._chosen_root(which)
        self._grow(root, forget=False)

    @rule(which=choices)
    def sync(self, which: int) -> None:
        root = self._chosen_root(which)
        self._grow(root, forget=True)

    def _grow(self, root: Path, forget: bool) -> None:
        before, files = self.model.copy(), list(self._pictures(root))
        grow = self.store.sync if forget else self.store.add
        if not files:
            with pytest.raises(NotFound):
                grow(root)
            return
        for file in files:
            self.model.take(file)
        n_forgotten = 0
        if forget:
            gone = self.model.under(bytes(root)) - {file.path for file in files}
            n_forgotten = len(gone & self.model.held.keys())
            for path in gone:
                self.model.forget(path)
            self._require_equal_to(files, root)
        if not any(file.is_good for file in files):
            with pytest.raises(NothingAdded):
                grow(root)
            return
        self._check_report(grow(root), before, files, n_forgotten)

    def _require_equal_to(self, files: list[File], root: Path) -> None:
        """The model after a sync is what the folder is, whatever was before."""
        held = {file.path: (file.sha256, file.state) for file in files if file.is_good}
        below = self.model.under(bytes(root))
        assert held == {path: value for path, value in self.model.held.items() if path in below}
        assert {file.path for file in files if not file.is_good} == self.model.failed.keys() & below

    def _check_report(self, report: AddReport, before: Model, files: list[File], n_forgotten: int) -> None:
        updated = [f for f in files if f.is_good and f.path in before.held and before.held[f.path][0] != f.sha256]
        assert report.seen == len(files)
        assert report.failed == sum(not file.is_good for file in files)
        assert report.embedded == len(self.model.rows) - len(before.rows)
        assert report.updated == len(updated)
        assert report.forgotten == n_forgotten
        if (
            len(files) < pipeline.COMMIT_FILES
        ):  # with more commits than one, a picture may leave in one and be back later
            assert report.added == self._n_added(before, files)

    def _n_added(self, before: Model, files: list[File]) -> int:
        """Count the files that bring a content to life, in a place that held no other."""
        alive, n_added = before.alive(), 0
        for file in files:
            if file.is_good and before.is_new(file):
                n_added += file.sha256 not in alive and before.held.get(file.path, (file.sha256,))[0] == file.sha256
                alive.add(file.sha256)
        return n_added

    @rule(pictures=some, calls=st.integers(1, 4), forget=st.booleans())
    def interrupt(self, pictures: list[tuple[Path, bytes]], calls: int, forget: bool) -> None:
        """Ctrl-C leaves what the first so many pictures of the scan make, and forgets none that are gone."""
        self.write(pictures)
        files = list(self._pictures(self.folder))
        new = [file for file in files if self.model.is_new(file)]
        left, done = calls, 0

        def press(progress: Progress) -> None:
            nonlocal left, done
            left, done = left - 1, progress.done
            if left == 0:
                raise KeyboardInterrupt

        grow = self.store.sync if forget else self.store.add
        try:
            grow(self.folder, on_progress=press)
        except Interrupted:
            assert left <= 0
        except (NotFound, NothingAdded):
            assert not any(file.is_good for file in files)
        if left > 0:  # it had ended before
            if forget and files:
                for path in self.model.under(bytes(self.folder)) - {file.path for file in files}:
                    self.model.forget(path)
            for file in files:
                self.model.take(file)
            return
        # Unchanged files are counted as soon as the scan meets them; of the others, as many are safe as were announced.
        for n in range(max(done - (len(files) - len(new)), 0), len(new) + 1):
            possible = self.model.copy()
            for file in new[:n]:
                possible.take(file)
            if self._stored() == possible:
                self.model = possible
                return
        raise AssertionError("what is stored is not what the first pictures of the scan make")

    @rule()
    def retry_failures(self) -> None:
        before = set(self.model.failed)
        there = {file.path: file for file in self._files(self.folder)}
        report = self.store.retry_failures()
        for path in sorted(before):
            if path in there:
                self.model.take(there[path], retry=True)
            else:
                self.model.forget(path)
        assert report.seen == len(before & there.keys())

    @rule(which=choices)
    def remove_image(self, which: int) -> None:
        sha256 = self._chosen([content for content in self.model.rows if content in self.model.alive()], which)
        if sha256 is None:
            return
        paths = [path for path, (held, _) in self.model.held.items() if held == sha256]
        report = self.store.remove(self.model.rows.index(sha256))
        assert (report.removed, report.forgotten) == (1, len(paths))
        for path in paths:
            self.model.forget(path)

    @rule(place=st.one_of(places, st.sampled_from(FOLDERS).map(Path)))
    def remove_path(self, place: Path) -> None:
        root = bytes(self.folder / place)
        paths, n_alive = self.model.under(root), len(self.model.alive())
        if not paths:
            with pytest.raises(NotFound):
                self.store.remove(root)
            return
        report = self.store.remove(root)
        n_held = len(paths & self.model.held.keys())
        for path in paths:
            self.model.forget(path)
        assert (report.removed, report.forgotten) == (n_alive - len(self.model.alive()), n_held)

    @rule(torn=st.binary(max_size=30))
    def reopen(self, torn: bytes) -> None:
        """Close and open again, with what an append that was cut short leaves behind."""
        self.store.close()
        with open(self.scratch / "store" / "vectors.f16", "ab") as file:
            file.write(torn)
        self.store = Store.open(self.scratch / "store")

    @rule(which=choices)
    def find_itself(self, which: int) -> None:
        sha256 = self._chosen([content for content in self.model.rows if content in self.model.alive()], which)
        if sha256 is None:
            return
        row = self.model.rows.index(sha256)
        (hit,) = self.store.similar(row, k=1)
        paths = [path for path, (held, _) in self.model.held.items() if held == sha256]
        assert (hit.id, hit.path, round(hit.score, 3)) == (row, os.fsdecode(min(paths)), 1.0)

    @rule()
    def cluster(self) -> None:
        if self.model.alive():
            self.store.cluster(1, restarts=1, iterations=1)

    @rule()
    def preview(self) -> None:
        """It names the very paths that a sync would forget, and those whose file is not as it was."""
        files = list(self._pictures(self.folder))
        if not files:
            return
        expected = {file.path for file in files if self.model.is_new(file)}
        gone = self.model.under(bytes(self.folder)) - {file.path for file in files}
        found = {os.fsencode(change.path): change.action for change in self.store.preview(self.folder)}
        assert {path for path, action in found.items() if action == "forget"} == gone
        # A file that was touched, and no more, is not worth a line.
        same = {f.path for f in files if f.path in self.model.held and self.model.held[f.path][0] == f.sha256}
        assert found.keys() - gone == expected - same

    # What is always so

    @invariant()
    def the_store_is_what_the_model_says(self) -> None:
        assert self._stored() == self.model

    @invariant()
    def the_counts_are_those_of_the_model(self) -> None:
        info = self.store.info()
        assert info.images == len(self.model.alive())
        assert (info.paths, info.failures) == (len(self.model.held), len(self.model.failed))

    @invariant()
    def every_row_has_the_vector_of_its_content(self) -> None:
        expected = [_stored_vector(VECTORS[sha256]) for sha256 in self.model.rows]
        stored = np.fromfile(self.scratch / "store" / "vectors.f16", "<f2")[: 12 * len(expected)].reshape(-1, 12)
        np.testing.assert_array_equal(stored, np.reshape(expected, (-1, 12)))

    @invariant()
    def every_living_image_has_a_cluster_once_there_are_clusters(self) -> None:
        if self.store.info().clusters is not None:
            assert all(
                self.store.session.catalog.memberships.cluster_of(row)
                for row in self.store.session.catalog.images.alive_rows()
            )

    # What the above are made of

    def _stored(self) -> Model:
        db = self.store.session.catalog.db
        rows = db.execute("select row, sha256 from images order by row").fetchall()
        assert [row for row, _ in rows] == list(range(len(rows)))
        query = "select path, sha256, size, mtime_ns from paths join images on images.row = paths.row"
        held = {path: (sha256, (size, time)) for path, sha256, size, time in db.execute(query)}
        failed = {path: (size, time) for path, size, time in db.execute("select path, size, mtime_ns from failures")}
        return Model(held, failed, [sha256 for _, sha256 in rows])

    def _files(self, folder: Path) -> Iterator[File]:
        for entry in sorted(folder.iterdir(), key=bytes):
            if entry.is_dir():
                yield from self._files(entry)
            else:
                state = entry.stat()
                yield File(bytes(entry), entry.read_bytes(), (state.st_size, state.st_mtime_ns))

    def _pictures(self, folder: Path) -> Iterator[File]:
        for file in self._files(folder):
            if os.path.basename(file.path) != b"raw" or file.content.startswith(b"\x89PNG"):
                yield file

    def _made_way(self, place: Path) -> Path:
        """Return the path of the place, with its folders made, and whatever is in the way gone."""
        path = self.folder / place
        for parent in reversed(path.relative_to(self.folder).parents):
            if (self.folder / parent).is_file():
                (self.folder / parent).unlink()
            (self.folder / parent).mkdir(exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        return path

    def _mark(self, path: Path) -> None:
        """Give the file a time that no file had before, so that no change hides behind the clock's resolution."""
        self.seconds += 1
        os.utime(path, (self.seconds, self.seconds))

    def _chosen_file(self, which: int) -> Path | None:
        return self._chosen(sorted(path for path in self.folder.rglob("*") if path.is_file()), which)

    def _chosen_root(self, which: int) -> Path:
        """Half of the time the whole folder, else one of those in it."""
        folders = sorted(path for path in self.folder.rglob("*") if path.is_dir())
        return self._chosen([*[self.folder] * max(len(folders), 1), *folders], which) or self.folder

    @staticmethod
    def _chosen(things: list, which: int):
        return things[which % len(things)] if things else None


def test_the_store_holds_what_its_folder_does_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "COMMIT_FILES", pipeline.COMMIT_FILES)
    monkeypatch.setattr(pipeline, "COMMIT_SECONDS", float("inf"))
    bounded = settings(
        max_examples=100,
        stateful_step_count=25,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(FolderAndStore, settings=bounded)
