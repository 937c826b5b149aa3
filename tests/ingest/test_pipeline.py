"""Ingest: nothing is done twice, nothing is lost, one bad file stops nothing."""

import itertools
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import TinyEmbedder, paint
from vecstore.errors import Interrupted, NothingAdded, VecstoreError
from vecstore.ingest import pipeline
from vecstore.ingest.pipeline import Progress, ordered
from vecstore.results import AddReport, Failure
from vecstore.sources import decode_memory, decoding
from vecstore.storage.catalog.catalog import Catalog
from vecstore.storage.catalog.images import Images
from vecstore.storage.catalog.paths import Paths
from vecstore.storage.vector_file import VectorFile, quantize_unit_rows
from vecstore.store import Store

OpenStore = Callable[..., Store]


def counted(report: AddReport) -> dict[str, int]:
    """The counts of a report that are not 0."""
    return {name: value for name, value in vars(report).items() if value and name != "seconds"}


def contents(store: Store) -> dict[str, list[float]]:
    """Every known path and the vector that the store has for it."""
    vectors = store.session.vectors()
    found = {}
    for path in store.session.catalog.paths.under(b"/"):
        known = store.session.catalog.paths.known(path)
        if known is not None:
            found[os.fsdecode(path)] = vectors[known.row].tolist()
    return found


def expected_contents(folder: Path) -> dict[str, list[float]]:
    """What a store of these pictures holds, worked out from the files."""
    embedder = TinyEmbedder()
    expected = {}
    for path in sorted(folder.rglob("*.png")):
        with Image.open(path) as image:
            vector = quantize_unit_rows(embedder.embed([embedder.prepare(image.convert("RGB"))]))[0]
        expected[str(path)] = vector.tolist()
    return expected


# Nothing is done twice


def test_a_first_add_embeds_each_picture_once(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        report = store.add(pictures)
    assert (counted(report), TinyEmbedder.embedded_count) == ({"added": 10, "embedded": 10}, 10)


def test_what_is_stored_is_what_the_embedder_makes_of_the_pictures(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        assert contents(store) == expected_contents(pictures)


def test_a_second_add_prepares_and_embeds_nothing(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        TinyEmbedder.prepared_count = TinyEmbedder.embedded_count = 0
        report = store.add(pictures)
    found = (counted(report), TinyEmbedder.prepared_count, TinyEmbedder.embedded_count)
    assert found == ({"known": 10}, 0, 0)


def test_a_second_add_reads_no_file(open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: bytes) -> None:
        pytest.fail(f"{path!r} was read")

    with open_store() as store:
        store.add(pictures)
        monkeypatch.setattr(decoding, "read", read)
        assert counted(store.add(pictures)) == {"known": 10}


def test_a_second_add_writes_no_vector(open_store: OpenStore, pictures: Path, tmp_path: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        before = (tmp_path / "store/vectors.f16").read_bytes()
        store.add(pictures)
    assert (tmp_path / "store/vectors.f16").read_bytes() == before


def test_a_copy_is_known_and_not_embedded(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        shutil.copy(pictures / "3.png", pictures / "copy.png")
        report = store.add(pictures)
        info = store.info()
    assert (counted(report), info.images, info.paths) == ({"known": 11}, 10, 11)


def test_a_renamed_picture_is_known_and_not_embedded(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        (pictures / "3.png").rename(pictures / "renamed.png")
        assert counted(store.add(pictures)) == {"known": 10}


@pytest.mark.parametrize("name", ["0a.png", "z.png"])
def test_a_name_that_moves_on_to_another_picture_costs_one_embedding(
    name: str, open_store: OpenStore, pictures: Path
) -> None:
    # 3.png becomes a copy under another name, and a new picture takes its place: sorted before it or after it.
    with open_store() as store:
        store.add(pictures)
        (pictures / "3.png").rename(pictures / name)
        paint(pictures / "3.png", 33)
        report = store.add(pictures)
    assert counted(report) == {"known": 10, "updated": 1, "embedded": 1}


@pytest.mark.parametrize("n_between", [0, 3, 40])
def test_two_equal_files_in_one_first_run_are_embedded_once(
    n_between: int, open_store: OpenStore, tmp_path: Path
) -> None:
    paint(tmp_path / "pictures/0.png", 0)
    for seed in range(1, n_between + 1):
        paint(tmp_path / f"pictures/between/{seed}.png", seed)
    shutil.copy(tmp_path / "pictures/0.png", tmp_path / "pictures/z.png")
    with open_store() as store:
        report = store.add(tmp_path / "pictures")
    assert (report.added, report.known, TinyEmbedder.embedded_count) == (n_between + 1, 1, n_between + 1)


def test_equal_files_on_both_sides_of_a_commit_are_embedded_once(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 2)
    for number in range(30):
        paint(tmp_path / f"pictures/{number:02}.png", seed=number % 3)
    with open_store() as store:
        report = store.add(tmp_path / "pictures")
    assert counted(report) == {"added": 3, "known": 27, "embedded": 3}


# Change


def test_a_changed_picture_is_updated_and_its_old_content_forgotten(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        paint(pictures / "3.png", 33)
        report = store.add(pictures)
        assert (counted(report), contents(store)) == (
            {"known": 9, "updated": 1, "embedded": 1},
            expected_contents(pictures),
        )
        assert store.info().images == 10


def test_the_old_content_of_a_changed_picture_lives_on_where_a_copy_has_it(
    open_store: OpenStore, pictures: Path
) -> None:
    shutil.copy(pictures / "3.png", pictures / "copy.png")
    with open_store() as store:
        store.add(pictures)
        paint(pictures / "3.png", 33)
        store.add(pictures)
        assert (store.info().images, contents(store)) == (11, expected_contents(pictures))


def test_two_pictures_that_change_places_are_updated_without_embedding(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        (pictures / "3.png").rename(pictures / "aside")
        (pictures / "4.png").rename(pictures / "3.png")
        (pictures / "aside").rename(pictures / "4.png")
        for name, seconds in (("3.png", 1), ("4.png", 2)):
            os.utime(pictures / name, (seconds, seconds))
        report = store.add(pictures)
        assert (counted(report), contents(store)) == ({"known": 8, "updated": 2}, expected_contents(pictures))


def test_a_picture_that_was_only_touched_is_known(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        os.utime(pictures / "3.png", (1, 1))
        assert counted(store.add(pictures)) == {"known": 10}


def test_a_touched_picture_is_read_once_and_not_again(
    open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store() as store:
        store.add(pictures)
        os.utime(pictures / "3.png", (1, 1))
        store.add(pictures)
        monkeypatch.setattr(decoding, "read", lambda path: pytest.fail(f"{path!r} was read"))
        assert counted(store.add(pictures)) == {"known": 10}


def test_a_change_that_keeps_the_size_is_seen_by_its_time(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        content = (pictures / "4.png").read_bytes()
        assert len(content) == (pictures / "3.png").stat().st_size
        (pictures / "3.png").write_bytes(content)
        os.utime(pictures / "3.png", ns=(1, 1))
        assert counted(store.add(pictures)) == {"known": 9, "updated": 1}


def test_removed_content_that_is_added_again_is_revived_without_embedding(
    open_store: OpenStore, pictures: Path
) -> None:
    with open_store() as store:
        store.add(pictures)
        row = store.similar(pictures / "3.png", k=1)[0].id
        store.remove(pictures / "3.png")
        TinyEmbedder.embedded_count = 0
        store.add(pictures)
        assert (store.similar(pictures / "3.png", k=1)[0].id, TinyEmbedder.embedded_count) == (row, 0)


# Bad files


def break_file(path: Path, content: bytes = b"broken") -> Path:
    path.write_bytes(content)
    return path


NO_PICTURE = "not a picture in a known format, or its beginning is damaged"


def test_a_broken_file_is_on_record_and_the_rest_goes_on(open_store: OpenStore, pictures: Path) -> None:
    broken = break_file(pictures / "3.png")
    with open_store() as store:
        report = store.add(pictures)
        assert (counted(report), store.failures()) == (
            {"added": 9, "embedded": 9, "failed": 1},
            [Failure(str(broken), NO_PICTURE)],
        )


def test_every_file_is_counted_exactly_once(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        paint(pictures / "0.png", 50)
        os.utime(pictures / "1.png", (1, 1))
        break_file(pictures / "2.png")
        break_file(pictures / "new broken.png")
        break_file(pictures / "new broken, copied.png")
        paint(pictures / "new.png", 51)
        shutil.copy(pictures / "new.png", pictures / "new, copied.png")
        shutil.copy(pictures / "4.png", pictures / "4, copied.png")
        report = store.add(pictures)
    n_files = len(list(pictures.rglob("*.png")))
    assert (counted(report), report.seen) == (
        {"added": 1, "known": 10, "updated": 1, "failed": 3, "embedded": 2},
        n_files,
    )


def test_an_unchanged_broken_file_is_not_read_again(
    open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_file(pictures / "3.png")
    with open_store() as store:
        store.add(pictures)
        monkeypatch.setattr(decoding, "read", lambda path: pytest.fail(f"{path!r} was read"))
        assert counted(store.add(pictures)) == {"known": 9, "failed": 1}


def test_a_broken_file_that_was_mended_is_added(open_store: OpenStore, pictures: Path) -> None:
    break_file(pictures / "3.png")
    with open_store() as store:
        store.add(pictures)
        paint(pictures / "3.png", 3)
        report = store.add(pictures)
        assert (counted(report), store.failures()) == ({"added": 1, "known": 9, "embedded": 1}, [])


def test_an_unchanged_broken_file_is_tried_again_on_request(
    open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store() as store:
        with monkeypatch.context() as patch:
            patch.setattr(decode_memory, "MAX_PIXELS", 1)  # what fails now is no fault of the files
            with pytest.raises(NothingAdded):
                store.add(pictures)
        report = store.retry_failures()
        assert (counted(report), store.failures()) == ({"added": 10, "embedded": 10}, [])


def test_a_retry_drops_the_failures_whose_files_are_gone(open_store: OpenStore, pictures: Path) -> None:
    broken = [break_file(pictures / "3.png"), break_file(pictures / "4.png")]
    with open_store() as store:
        store.add(pictures)
        broken[0].unlink()
        report = store.retry_failures()
        assert (counted(report), store.failures()) == (
            {"failed": 1, "forgotten": 1},
            [Failure(str(broken[1]), NO_PICTURE)],
        )


def test_a_known_picture_that_breaks_is_no_longer_found(open_store: OpenStore, pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        broken = break_file(pictures / "3.png")
        report = store.add(pictures)
        assert (counted(report), store.info().images, store.failures()) == (
            {"known": 9, "failed": 1},
            9,
            [Failure(str(broken), NO_PICTURE)],
        )


def test_a_picture_that_cannot_be_read_for_now_is_kept(
    open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: bytes) -> decoding.Content:
        raise decoding.Unreadable("cannot be read: Input/output error")

    with open_store() as store:
        store.add(pictures)
        before = contents(store)
        os.utime(pictures / "3.png", (1, 1))
        monkeypatch.setattr(decoding, "read", read)
        report = store.add(pictures)
        assert (counted(report), contents(store), store.failures()) == (
            {"known": 9, "failed": 1},
            before,
            [Failure(str(pictures / "3.png"), "cannot be read: Input/output error")],
        )


def test_a_picture_that_can_be_read_again_is_off_the_failures(
    open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: bytes) -> decoding.Content:
        raise decoding.Unreadable("cannot be read: Input/output error")

    stamp = (pictures / "3.png").stat()
    with open_store() as store:
        store.add(pictures)
        os.utime(pictures / "3.png", (1, 1))
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "read", read)
            store.add(pictures)
        os.utime(pictures / "3.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        store.add(pictures)
        assert store.failures() == []


@pytest.mark.parametrize("n_between", [0, 40])
def test_every_copy_of_a_broken_file_is_on_record_with_its_reason(
    n_between: int, open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 4)
    for seed in range(n_between + 1):
        paint(tmp_path / f"pictures/b/{seed}.png", seed)
    broken = [break_file(tmp_path / "pictures" / name) for name in ("a.png", "c.png", "d.png")]
    with open_store() as store:
        store.add(tmp_path / "pictures")
        assert store.failures() == [Failure(str(path), NO_PICTURE) for path in broken]


# Order


def test_a_batch_begins_while_the_one_before_is_embedded(
    open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, calls, embed = threading.Barrier(2, timeout=10), itertools.count(), TinyEmbedder.embed

    def embed_when_two_are_here(embedder: TinyEmbedder, prepared: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        if next(calls) < 2:
            both.wait()
        return embed(embedder, prepared)

    monkeypatch.setattr(TinyEmbedder, "embed", embed_when_two_are_here)
    with open_store() as store:
        assert store.add(pictures).embedded == 10


def test_rows_are_in_the_order_of_the_scan_whatever_the_threads_do(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(40):
        paint(tmp_path / f"pictures/{seed:02}.png", seed)
    dice = random.Random(0)
    prepare, read = TinyEmbedder.prepare, decoding.read

    def prepare_late(embedder: TinyEmbedder, image: Image.Image) -> NDArray[np.float32]:
        time.sleep(dice.random() * 0.01)
        return prepare(embedder, image)

    def read_late(path: bytes) -> decoding.Content:
        time.sleep(dice.random() * 0.01)
        return read(path)

    monkeypatch.setattr(TinyEmbedder, "prepare", prepare_late)
    monkeypatch.setattr(decoding, "read", read_late)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    with open_store() as store:
        store.add(tmp_path / "pictures")
        found = [store.session.catalog.paths.first_of(row) for row in range(40)]
        assert (found, contents(store)) == (
            [os.fsencode(tmp_path / f"pictures/{seed:02}.png") for seed in range(40)],
            expected_contents(tmp_path / "pictures"),
        )


@pytest.mark.parametrize("window", [1, 2, 7])
def test_an_ordered_map_keeps_order_and_its_window(window: int) -> None:
    dice = random.Random(0)
    drawn = taken = widest = 0

    def items() -> Iterator[int]:
        nonlocal drawn, widest
        for item in range(50):
            drawn += 1
            widest = max(widest, drawn - taken)
            yield item

    def square_late(item: int) -> int:
        time.sleep(dice.random() * 0.002)
        return item * item

    found = []
    with ThreadPoolExecutor(4) as pool:
        for result in ordered(pool, square_late, items(), lambda: window):
            taken += 1
            found.append(result)
    assert (found, widest) == ([item * item for item in range(50)], window)


def test_an_ordered_map_works_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=5)  # is passed only by three at once
    with ThreadPoolExecutor(3) as pool:
        found = list(ordered(pool, lambda item: (meeting.wait(), item)[1], range(6), lambda: 3))
    assert found == list(range(6))


def test_an_ordered_map_gives_what_came_before_an_error() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = ordered(pool, lambda item: 6 // item, [3, 2, 0, 1], lambda: 2)
        assert [next(results), next(results)] == [2, 3]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_an_ordered_map_that_is_left_starts_nothing_more() -> None:
    started = []

    def note(item: int) -> int:
        started.append(item)
        time.sleep(0.01)
        return item

    with ThreadPoolExecutor(1) as pool:
        results = ordered(pool, note, range(100), lambda: 10)
        next(results)
        results.close()  # type: ignore[attr-defined]
    assert len(started) <= 3


# Interruption


def interrupt_at(n_calls: int) -> Callable[..., Any]:
    """A function that raises KeyboardInterrupt when it is called for the n-th time."""
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == n_calls:
            raise KeyboardInterrupt

    return count


def interruption(act: Callable[[], object]) -> BaseException:
    """What an interrupted action raises. A bare KeyboardInterrupt is a failure too, but not one to end the test run."""
    with pytest.raises((Interrupted, KeyboardInterrupt)) as raised:
        act()
    return raised.value


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty different pictures, and commits after every eight files."""
    monkeypatch.setattr(pipeline, "COMMIT_FILES", 8)
    for seed in range(40):
        paint(tmp_path / f"many/{seed:02}.png", seed)
    return tmp_path / "many"


@pytest.mark.parametrize("n_calls", [1, 2, 3, 7, 10, 11])
def test_an_interrupted_add_is_completed_by_the_next_each_picture_once(
    n_calls: int, open_store: OpenStore, many: Path
) -> None:
    with open_store() as store:
        error = interruption(lambda: store.add(many, on_progress=interrupt_at(n_calls)))
        store.add(many)
        found = (type(error), contents(store), store.info().images, store.session.catalog.images.row_count())
    assert found == (Interrupted, expected_contents(many), 40, 40)


def test_what_is_embedded_when_an_add_is_interrupted_is_kept_and_said(open_store: OpenStore, many: Path) -> None:
    with open_store() as store:
        error = interruption(lambda: store.add(many, on_progress=interrupt_at(3)))  # batches of four
        assert (store.info().images, type(error), str(error)) == (
            12,
            Interrupted,
            "interrupted; 12 files are done and safe in the store; run the same command again to go on from there",
        )


def test_an_interrupted_add_embeds_nothing_again_that_was_kept(open_store: OpenStore, many: Path) -> None:
    with open_store() as store:
        interruption(lambda: store.add(many, on_progress=interrupt_at(5)))
        kept = store.info().images
        assert counted(store.add(many)) == {"known": kept, "added": 40 - kept, "embedded": 40 - kept}


def test_an_interruption_inside_the_embedder_keeps_what_came_before(
    open_store: OpenStore, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = TinyEmbedder.embed
    with Image.open(many / "20.png") as image:
        struck = TinyEmbedder().prepare(image)

    def embed_until(embedder: TinyEmbedder, prepared: Sequence[Any]) -> NDArray[np.float32]:
        if np.array_equal(prepared[0], struck):  # batches of four; two are embedded at once, and either may begin first
            raise KeyboardInterrupt
        return embed(embedder, prepared)

    monkeypatch.setattr(TinyEmbedder, "embed", embed_until)
    with open_store() as store:
        error = interruption(lambda: store.add(many))
        assert (type(error), store.info().images) == (Interrupted, 20)


def test_an_interruption_between_a_transaction_and_its_block_loses_nothing_that_is_said_to_be_safe(
    open_store: OpenStore, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, strike = Catalog.writing, interrupt_at(3)

    @contextmanager
    def interrupted_writing(catalog: Catalog) -> Iterator[object]:
        try:
            strike()
        except KeyboardInterrupt:  # the signal arrives when the transaction has begun and nobody is there to end it
            catalog.db.execute("begin immediate")
            raise
        with writing(catalog) as db:
            yield db

    with open_store() as store:
        monkeypatch.setattr(Catalog, "writing", interrupted_writing)
        error = interruption(lambda: store.add(many))
    with open_store() as reopened:
        kept = reopened.info().images
    assert (kept > 0, str(error)) == (
        True,
        f"interrupted; {kept} files are done and safe in the store; run the same command again to go on from there",
    )


def test_an_interrupted_add_lets_go_of_the_lock(open_store: OpenStore, many: Path) -> None:
    with open_store() as store:
        interruption(lambda: store.add(many, on_progress=interrupt_at(2)))
    with open_store() as other:
        assert other.add(many).seen == 40


def test_an_embedder_that_fails_leaves_what_was_committed(
    open_store: OpenStore, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, calls = TinyEmbedder.embed, iter(range(100))

    def embed_until(embedder: TinyEmbedder, prepared: Sequence[Any]) -> NDArray[np.float32]:
        if next(calls) == 6:
            raise RuntimeError("out of memory")
        return embed(embedder, prepared)

    with open_store() as store:
        with monkeypatch.context() as patch:
            patch.setattr(TinyEmbedder, "embed", embed_until)
            with pytest.raises(VecstoreError, match="tiny failed in its embed: RuntimeError.*out of memory"):
                store.add(many)
        store.add(many)
        assert (contents(store), store.session.catalog.images.row_count()) == (expected_contents(many), 40)


@pytest.mark.parametrize("afterwards", [False, True])
@pytest.mark.parametrize("n_calls", [1, 3])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (VectorFile, "append"),
        (VectorFile, "truncate_uncommitted"),
        (Images, "insert"),
        (Paths, "upsert_all"),
        (Paths, "rows_at"),
        (Images, "rows_of"),
    ],
)
def test_a_commit_that_is_interrupted_and_repeated_loses_and_doubles_nothing(
    owner: type,
    name: str,
    n_calls: int,
    afterwards: bool,
    open_store: OpenStore,
    many: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original, interrupt = getattr(owner, name), interrupt_at(n_calls)
    commit = pipeline.Ingest.commit
    in_commit = False

    def commit_noted(run: pipeline.Ingest) -> None:
        nonlocal in_commit
        in_commit = True
        commit(run)
        in_commit = False

    def interrupted_once(*values: Any) -> Any:
        if not in_commit:
            return original(*values)
        if not afterwards:
            interrupt()
        result = original(*values)
        if afterwards:
            interrupt()
        return result

    with open_store() as store:
        with monkeypatch.context() as patch:
            patch.setattr(pipeline.Ingest, "commit", commit_noted)
            patch.setattr(owner, name, interrupted_once)
            error = interruption(lambda: store.add(many))
        kept = store.info().images
        assert (type(error), kept % 4, kept > 0) == (Interrupted, 0, True)
        assert counted(store.add(many)) == {"known": kept, "added": 40 - kept, "embedded": 40 - kept}
        assert (contents(store), store.session.catalog.images.row_count()) == (expected_contents(many), 40)


def test_an_interruption_just_after_a_commit_doubles_nothing(
    open_store: OpenStore, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, interrupt = Catalog.writing, interrupt_at(2)

    @contextmanager
    def writing_and_then(catalog: Catalog) -> Iterator[object]:
        with writing(catalog) as db:
            yield db
        interrupt()

    with open_store() as store:
        store.add(many / "00.png")
        with monkeypatch.context() as patch:
            patch.setattr(Catalog, "writing", writing_and_then)
            error = interruption(lambda: store.add(many))
        store.add(many)
        found = (type(error), contents(store), store.session.catalog.images.row_count())
    assert found == (Interrupted, expected_contents(many), 40)


# Clusters and progress


def test_new_images_get_their_nearest_cluster_in_the_same_commit(
    open_store: OpenStore, many: Path, tmp_path: Path
) -> None:
    with open_store() as store:
        store.add(*(many / f"{seed:02}.png" for seed in range(10)))
        store.cluster(3, restarts=2)
        seen = []

        def look(_: Progress) -> None:
            with Store.open(tmp_path / "store") as reader:
                rows = reader.session.catalog.images.alive_rows()
                seen.append(
                    (len(rows), sum(reader.session.catalog.memberships.cluster_of(row) is not None for row in rows))
                )

        store.add(many, on_progress=look)
    assert (seen[-1], all(images == clustered for images, clustered in seen)) == ((40, 40), True)


def test_the_cluster_of_a_new_image_is_that_of_the_nearest_centroid(open_store: OpenStore, many: Path) -> None:
    with open_store() as store:
        store.add(*(many / f"{seed:02}.png" for seed in range(10)))
        store.cluster(3, restarts=2)
        store.add(many)
        blob, ids = store.session.catalog.clusterings.centroids(1)
        centroids = np.frombuffer(blob, "<f4").reshape(3, 12)
        distances = np.linalg.norm(store.session.vectors()[:].astype(np.float32)[:, None] - centroids, axis=2)
        found = [store.session.catalog.memberships.cluster_of(row) for row in range(40)]
    assert [cluster for cluster, _ in filter(None, found)] == [ids[i] for i in distances.argmin(axis=1)]
    np.testing.assert_allclose([d for _, d in filter(None, found)], distances.min(axis=1), atol=1e-3)


def test_a_revived_image_has_a_cluster_of_the_clustering_that_is_current_now(
    open_store: OpenStore, pictures: Path
) -> None:
    with open_store() as store:
        store.add(pictures)
        store.cluster(3, restarts=2)
        store.remove(pictures / "3.png")
        store.cluster(2, restarts=2)
        store.add(pictures)
        assert sum(cluster.size for cluster in store.clusters()) == 10


def test_progress_counts_up_to_all_files(open_store: OpenStore, many: Path) -> None:
    break_file(many / "03.png")
    seen: list[Progress] = []
    with open_store() as store:
        store.add(many, on_progress=seen.append)
    done = [progress.done for progress in seen]
    assert (done == sorted(done), seen[-1]) == (True, Progress(done=40, total=40, failed=1))
