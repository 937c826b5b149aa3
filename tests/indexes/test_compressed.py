"""Compressed search: recall is what it says, files are believed only while they are whole, filters, threads."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from indexes import compressed, index_metadata
from indexes.ann import ExactIndex
from indexes.compressed import CompressedIndex, open_compressed, verify
from indexes.devices import Device
from indexes.index_metadata import KINDS, IndexHeader, InvalidIndex, checked_header, index_bytes, read_header
from indexes.recall import nearest_others
from indexes.rows import sample_of
from indexes.stopping import Stopped
from tests.indexes.index_files import build, extend
from tests.programs import environment
from vecstore.embedders.embedder import unit_rows
from vecstore.errors import StoreDamaged
from vecstore.storage.durable_files import draft_of

Float16 = NDArray[np.float16]
Float32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

CPU = Device("cpu")
N_ROWS, DIM, N_GROUPS = 4_000, 32, 40

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _nothing_is_so_small_that_it_is_rather_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "EXACT_BYTES", -1)


def groups_of(n: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, N_GROUPS, n)


def clustered(n: int, seed: int) -> Float32:
    """Points around common centres, as pictures of a few things are."""
    centres = np.random.default_rng(99).standard_normal((N_GROUPS, DIM))
    return unit_rows(
        (centres[groups_of(n, seed)] + 0.7 * np.random.default_rng(seed + 1).standard_normal((n, DIM))).astype(
            np.float32
        )
    )


def histograms(n: int, seed: int) -> Float32:
    """Mixtures of a few spectra, mostly zeros and none negative, as colour histograms are."""
    spectra = np.random.default_rng(98).gamma(0.3, 1, (12, DIM))
    rng = np.random.default_rng(seed)
    mixed = rng.dirichlet(np.full(12, 0.2), n) @ spectra * rng.gamma(2, 0.5, (n, DIM))
    mixed[mixed < np.quantile(mixed, 0.6)] = 0
    mixed[:, 0] += 1e-3
    return unit_rows(np.sqrt(mixed).astype(np.float32))


@pytest.fixture(scope="module")
def rows() -> Float16:
    return clustered(N_ROWS, seed=0).astype(np.float16)


@pytest.fixture(scope="module")
def queries() -> Float32:
    return clustered(100, seed=10)


@pytest.fixture(scope="module")
def made(rows: Float16, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of an index file of the rows, of each kind; made once."""
    path = tmp_path_factory.mktemp("made") / "index.faiss"
    files = {}
    for kind in KINDS:
        build(path, rows, kind, 0.95, CPU)
        files[kind] = path.read_bytes()
    return files


@pytest.fixture
def path(made: dict[str, bytes], tmp_path: Path) -> Path:
    """A rabitq index of the rows."""
    (tmp_path / "index.faiss").write_bytes(made["rabitq"])
    return tmp_path / "index.faiss"


def recall(index: CompressedIndex, queries: Float32, k: int = 10, allowed: Mask | None = None) -> float:
    found, truth = index.search(queries, k, allowed).rows, ExactIndex(index.vectors).search(queries, k, allowed).rows
    assert found.shape == truth.shape
    return float(np.mean([len(np.intersect1d(f, t)) / len(t) for f, t in zip(found, truth, strict=True)]))


def reason(rows: Float16, path: Path) -> str:
    with pytest.raises(InvalidIndex) as refused:
        open_compressed(path, rows)
    return str(refused.value)


# Rows that are hidden


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_is_made_for_and_measured_by_the_searchable_rows(kind: str, rows: Float16, tmp_path: Path) -> None:
    hidden = np.array(rows)
    searchable = np.arange(N_ROWS) % 50 == 7
    hidden[~searchable] = 0
    stamp = build(tmp_path / "index.faiss", hidden, kind, 0.9, CPU, searchable=searchable)
    assert (stamp.trained, stamp.rows) == (np.count_nonzero(searchable), N_ROWS)
    assert 0.9 <= stamp.recall <= 1


def test_neighbours_that_are_hidden_do_not_count_as_missed(rows: Float16, path: Path) -> None:
    sample = np.arange(0, 200, 40)
    queries = rows[sample].astype(np.float32)
    near = nearest_others(rows, sample, queries, None)
    searchable = np.ones(N_ROWS, np.bool_)
    searchable[sorted(near[0])] = False
    left = nearest_others(rows, sample, queries, None, searchable)
    assert (len(left[0]) >= 10, near[0] & left[0]) == (True, set())


def test_of_fewer_than_ten_others_all_are_the_nearest(rows: Float16) -> None:
    searchable = np.isin(np.arange(N_ROWS), (3, 900, 901))
    sample = np.flatnonzero(searchable)
    near = nearest_others(rows, sample, rows[sample].astype(np.float32), None, searchable)
    assert near == [{900, 901}, {3, 901}, {3, 900}]


@pytest.mark.parametrize(
    "make",
    [lambda *rows, **mask: build(*rows, "rabitq", 0.9, CPU, **mask), lambda *rows, **mask: extend(*rows, 0.8, **mask)],
    ids=["trained", "measured"],
)
def test_rows_that_ought_to_hold_a_vector_and_do_not_are_told(
    make: Callable[..., IndexHeader], rows: Float16, tmp_path: Path
) -> None:
    emptied, searchable = np.array(rows), np.arange(N_ROWS) >= 900
    build(tmp_path / "index.faiss", emptied[:800], "rabitq", 0.9, CPU)
    emptied[900:] = 0
    with pytest.raises(StoreDamaged, match="hold no vector; `vecstore check` says which"):
        make(tmp_path / "index.faiss", emptied, searchable=searchable)


# Recall


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("made_up", [clustered, histograms])
def test_measured_recall_holds_for_other_queries(
    kind: str, made_up: Callable[[int, int], Float32], tmp_path: Path
) -> None:
    rows = made_up(N_ROWS, 0).astype(np.float16)
    header = build(tmp_path / "index.faiss", rows, kind, 0.9, CPU)
    index = open_compressed(tmp_path / "index.faiss", rows)
    assert (index.kind, index.recall, header.measured) == (kind, header.recall, N_ROWS)
    assert header.recall >= 0.9
    # Of 2,000 neighbours; the measured figure is of as many, so both may be some standard errors off.
    assert recall(index, made_up(200, 5)) == pytest.approx(header.recall, abs=0.03)


def test_of_many_neighbours_as_large_a_part_is_found_as_of_few(tmp_path: Path) -> None:
    """They lie in more lists than ten do, by which the index is measured."""
    rng = np.random.default_rng(0)
    rows = unit_rows(rng.standard_normal((30_000, 16)).astype(np.float32)).astype(np.float16)
    build(tmp_path / "index.faiss", rows, "rabitq", 0.95, CPU)
    index = open_compressed(tmp_path / "index.faiss", rows)
    queries = unit_rows(rng.standard_normal((50, 16)).astype(np.float32))
    for allowed in (None, rng.random(len(rows)) < 0.7):
        assert recall(index, queries, 40, allowed) >= 0.99  # with the lists for ten neighbours, 0.95 and 0.98


def test_no_more_is_looked_at_than_the_target_takes(rows: Float16, queries: Float32, tmp_path: Path) -> None:
    efforts = []
    for target in (0.5, 0.9, 0.99):
        header = build(tmp_path / "index.faiss", rows, "rabitq", target, CPU)
        assert header.recall > target
        efforts.append((header.probes, header.candidates))
    assert efforts == sorted(efforts)
    assert efforts[0] < efforts[-1]


def test_target_that_cannot_be_reached_is_told_with_what_is(
    rows: Float16, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("indexes.recall.CANDIDATES", (10,))
    header = build(tmp_path / "index.faiss", rows, "pq", 0.99, CPU)
    assert 0 < header.recall < 0.9
    assert [record.message for record in caplog.records] == [
        f"the index reaches a recall of {header.recall:.4f}, not 0.99: its codes are too short"
    ]


def test_target_reached_but_for_the_doubt_is_no_warning(
    rows: Float16, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("indexes.recall.CANDIDATES", (20,))
    reached = build(tmp_path / "index.faiss", rows, "rabitq", 1, CPU).recall
    caplog.clear()
    build(tmp_path / "index.faiss", rows, "rabitq", reached, CPU)
    assert caplog.records == []


def test_copies_of_one_picture_are_as_good_as_each_other(
    rows: Float16, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copied = rows.copy()
    copied[::4] = rows[0]
    header = build(tmp_path / "index.faiss", copied, "rabitq", 0.9, CPU)
    # Ten of a thousand copies are found by looking at a few of them, not at those that were met first.
    assert (header.recall > 0.9, header.candidates <= 100, caplog.records) == (True, True, [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_rows", [2, 3, 20])
def test_a_few_rows_and_equal_ones_can_be_indexed(kind: str, n_rows: int, tmp_path: Path) -> None:
    rows = np.repeat(clustered(1, 3), n_rows, axis=0).astype(np.float16)
    build(tmp_path / "index.faiss", rows, kind, 0.9, CPU)
    found = open_compressed(tmp_path / "index.faiss", rows).search(rows[:1].astype(np.float32), 30)
    assert found.rows.tolist() == [list(range(n_rows))]


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_takes_no_more_than_was_reckoned(made: dict[str, bytes], kind: str) -> None:
    # Beside it there are the signs of the rotation, the lists' sizes and the header.
    assert index_bytes(kind, N_ROWS, DIM) == pytest.approx(len(made[kind]), abs=4096)


@pytest.mark.parametrize(
    ("n_rows", "lists"),
    [(1, 16), (4_000, 128), (200_000, 1024), (499_999, 1024), (500_000, 4096), (1_000_000, 8192), (10**9, 8192)],
)
def test_large_indexes_have_more_lists_for_their_size(n_rows: int, lists: int) -> None:
    assert index_metadata.number_of_lists(n_rows) == lists


def test_no_more_rows_are_trained_on_than_memory_was_reckoned_for(
    rows: Float16, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def noted(of: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
        drawn.append(wanted)
        return sample_of(of, wanted)

    monkeypatch.setattr(compressed, "sample_of", noted)
    monkeypatch.setattr(compressed, "MOST_TO_TRAIN", 1_000)
    build(tmp_path / "index.faiss", rows, "rabitq", 0.9, CPU)
    assert drawn[0] == 1_000


# Filters


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_as_asked_for_are_found_where_they_are(
    made: dict[str, bytes],
    kind: str,
    rows: Float16,
    queries: Float32,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "index.faiss").write_bytes(made[kind])
    index = open_compressed(tmp_path / "index.faiss", rows)
    order = np.random.default_rng(3).permutation(N_ROWS)
    for n_allowed in (1, 2, 9, 10, 11, 40, 100, 300, 1000, 2500, 3999, 4000):
        allowed = np.zeros(N_ROWS, np.bool_)
        allowed[order[:n_allowed]] = True
        for k in (1, 10, 25):
            found = index.search(queries[:20], k, allowed).rows
            assert found.shape == (20, min(k, n_allowed))
            assert allowed[found].all()
            assert all(len(set(one)) == len(one) for one in found.tolist())
    assert caplog.records == []  # it did not give up


def test_recall_under_a_filter_is_what_was_measured(path: Path, rows: Float16, queries: Float32) -> None:
    index = open_compressed(path, rows)
    for part in (0.9, 0.5, 0.2, 0.1, 0.05):
        allowed = np.random.default_rng(4).random(N_ROWS) < part
        assert recall(index, queries, allowed=allowed) >= 0.95


def test_rows_that_all_lie_elsewhere_are_found(path: Path, rows: Float16, caplog: pytest.LogCaptureFixture) -> None:
    groups = groups_of(N_ROWS, seed=0)
    index = open_compressed(path, rows)
    for group in range(0, N_GROUPS, 8):
        query = rows[groups == group][:5].astype(np.float32)
        allowed = (groups > group) & (groups <= group + 4) if group < 32 else groups < 4
        found = index.search(query, 10, allowed).rows
        assert (found.shape, allowed[found].all()) == ((5, 10), True)
        assert recall(index, query, allowed=allowed) >= 0.9
    assert caplog.records == []  # it did not give up


def test_the_nearest_others_are_found_where_all_of_a_query_s_own_group_is_left_out(
    path: Path, rows: Float16, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "EXACT_BYTES", N_ROWS // 2 * rows[:1].nbytes)
    groups, index = groups_of(N_ROWS, seed=0), open_compressed(path, rows)
    reached = [
        recall(index, rows[groups == group][:5].astype(np.float32), allowed=groups != group)
        for group in range(N_GROUPS)
    ]
    assert np.mean(reached) >= 0.98


def test_few_rows_are_compared_one_by_one(
    path: Path, rows: Float16, queries: Float32, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = np.arange(N_ROWS) < 2000
    monkeypatch.setattr(compressed, "EXACT_BYTES", 2000 * DIM * 2)
    monkeypatch.setattr(CompressedIndex, "_candidates", None)  # calling it would fail
    assert recall(open_compressed(path, rows), queries, allowed=allowed) == 1


def test_rows_newer_than_the_index_are_found_under_a_filter_that_leaves_only_them(
    path: Path, rows: Float16, queries: Float32
) -> None:
    more = np.concatenate([rows, clustered(50, seed=6).astype(np.float16)])
    assert recall(open_compressed(path, more), queries, allowed=np.arange(len(more)) >= N_ROWS) == 1


@pytest.mark.parametrize("part", [1.0, 0.3])
def test_many_queries_at_once_are_answered_as_one_by_one(
    path: Path, rows: Float16, queries: Float32, part: float
) -> None:
    allowed = np.random.default_rng(5).random(N_ROWS) < part
    index = open_compressed(path, rows)
    together = index.search(queries, 10, allowed)
    alone = [index.search(query[None], 10, allowed) for query in queries]
    np.testing.assert_array_equal(together.rows, np.concatenate([found.rows for found in alone]))
    np.testing.assert_array_equal(together.scores, np.concatenate([found.scores for found in alone]))


def test_threads_may_search_one_index_at_once(path: Path, rows: Float16, queries: Float32) -> None:
    index = open_compressed(path, rows)
    expected = [index.search(query[None], 10).rows.tolist() for query in queries]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert [found.rows.tolist() for found in pool.map(lambda q: index.search(q[None], 10), queries)] == expected


def test_faiss_takes_no_other_thread_for_a_single_query(
    path: Path, rows: Float16, queries: Float32, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine it would wait for the others a hundred times as long as it searches.
    threads: dict[str, int] = {}
    for kind in (faiss.IndexRefine, faiss.IndexPreTransform, faiss.IndexScalarQuantizer):

        def watched(index: Any, *args: Any, search: Any = kind.search, **kwargs: Any) -> Any:
            threads[type(index).__name__] = faiss.omp_get_max_threads()
            return search(index, *args, **kwargs)

        monkeypatch.setattr(kind, "search", watched)
    faiss.omp_set_num_threads(3)
    index = open_compressed(path, rows)
    index.search(queries[:1], 10)
    index.search(queries[:1], 10, np.arange(len(rows)) % 8 == 0)  # so few that it asks the lists alone
    assert threads == {"IndexRefine": 1, "IndexPreTransform": 1, "IndexScalarQuantizer": 1}
    assert faiss.omp_get_max_threads() == 3


# Growing


@pytest.mark.parametrize("kind", KINDS)
def test_an_extended_index_finds_what_one_made_at_once_does(
    kind: str, rows: Float16, queries: Float32, tmp_path: Path
) -> None:
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    build(whole, rows, kind, 0.95, CPU)
    build(grown, rows[:2500], kind, 0.95, CPU)
    for n_rows in (2501, 3700, N_ROWS):
        header = extend(grown, rows[:n_rows], 0.95)
        assert (header.rows, header.trained, header) == (n_rows, 2500, read_header(grown))
        verify(grown, rows[:n_rows])
    everything = [replace_effort(open_compressed(path, rows)) for path in (whole, grown)]
    np.testing.assert_array_equal(*(index.search(queries, 10).rows for index in everything))
    assert recall(open_compressed(grown, rows), queries) >= 0.93


def replace_effort(index: CompressedIndex) -> CompressedIndex:
    """Let it look through all its lists, so that what it finds depends on what is in them alone."""
    index.header = replace(index.header, probes=index.header.lists, candidates=800)
    return index


def test_recall_is_measured_again_for_another_target_or_after_a_quarter_as_much_again(
    rows: Float16, tmp_path: Path
) -> None:
    path = tmp_path / "index.faiss"
    build(path, rows[:2000], "rabitq", 0.9, CPU)
    measured = [extend(path, rows[:n], target).measured for n, target in ((2499, 0.9), (2500, 0.9), (2501, 0.95))]
    assert measured == [2000, 2500, 2501]


def test_more_candidates_are_compared_as_rows_come_until_it_is_measured_again(rows: Float16, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    before = build(path, rows[:2000], "rabitq", 0.9, CPU)
    grown = extend(path, rows[:2400], 0.9)
    again = extend(path, rows[:2500], 0.9)
    assert (before.candidates_now, again.candidates_now) == (before.candidates, again.candidates)
    assert grown.candidates_now == -(-before.candidates * 2400 // 2000)
    index, wanted = open_compressed(path, rows[:2500]), []
    index.header = replace(grown, rows=2500, digest=again.digest)
    index._nearest = lambda _queries, n, *_: wanted.append(n) or [np.arange(n)]  # type: ignore[method-assign]
    index.search(np.asarray(rows[:1], np.float32), 10)
    assert wanted == [-(-before.candidates * 2500 // 2000)]


# The file


def test_an_opened_index_is_mapped_and_not_read(path: Path, rows: Float16) -> None:
    index = open_compressed(path, rows)
    lists = faiss.downcast_InvertedLists(faiss.extract_index_ivf(index._index).invlists)
    assert isinstance(lists, faiss.OnDiskInvertedLists)
    assert index.bytes == path.stat().st_size
    assert str(path) in Path("/proc/self/maps").read_text()


def test_an_index_is_readable_by_faiss(path: Path, rows: Float16) -> None:
    assert faiss.read_index(str(path)).ntotal == N_ROWS


def test_a_folder_that_is_no_text_and_may_not_be_written_to_can_be_searched(
    made: dict[str, bytes], rows: Float16, queries: Float32, tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9 \xff")
    folder.mkdir()
    path = folder / "index.faiss"
    build(path, rows[:300], "rabitq", 0.5, CPU)
    extend(path, rows[:400], 0.5)
    path.chmod(0o400)
    folder.chmod(0o500)
    try:
        assert open_compressed(path, rows).search(queries, 10).rows.shape == (100, 10)
        verify(path, rows)
    finally:
        folder.chmod(0o700)


def with_header(path: Path, header: IndexHeader) -> None:
    """Put another header, undamaged, behind the index."""
    with open(path, "r+b") as file:
        file.seek(index_metadata.header_start(file))
        file.truncate()
        index_metadata.append_header(file, header)


def test_an_index_of_other_vectors_is_refused(path: Path, rows: Float16) -> None:
    changed = rows.copy()
    changed[-1, 0] += 1
    header = read_header(path)
    assert header is not None
    reasons = [reason(other, path) for other in (changed, rows[::-1], rows[:-1], rows[:, :16])]
    with_header(path, replace(header, format=2))
    assert [*reasons, reason(rows, path)] == [
        "it is of other vectors than the store has",
        "it is of other vectors than the store has",
        f"it is of {N_ROWS} vectors of 32 numbers; the store has {N_ROWS - 1} of 32",
        f"it is of {N_ROWS} vectors of 32 numbers; the store has {N_ROWS} of 16",
        "it is of format 2; this vecstore knows 1",
    ]


def test_an_index_of_other_vectors_is_not_extended(path: Path, rows: Float16) -> None:
    before = path.read_bytes()
    for other in (rows[::-1], rows[:-1], rows[:, :16]):
        with pytest.raises(InvalidIndex):
            extend(path, other, 0.95)
    assert path.read_bytes() == before


def test_a_stamp_with_other_fields_is_of_another_format(path: Path, rows: Float16) -> None:
    with open(path, "r+b") as file:
        file.seek(index_metadata.header_start(file))
        file.truncate()
        text = b'{"kind": "new", "shards": 3}'
        file.write(text + index_metadata.FOOTER.pack(len(text), index_metadata.zlib.crc32(text), index_metadata.MAGIC))
    assert (reason(rows, path), read_header(path)) == ("it is of another format", None)


# Run in a process of its own: a fault of memory must fail a test and not end them all.
DAMAGE = """
import sys
from pathlib import Path
import numpy as np
from indexes import compressed
from indexes.ann import ExactIndex
from indexes.compressed import InvalidIndex, open_compressed, verify

path, whole = Path(sys.argv[1]), Path(sys.argv[1]).read_bytes()
rows = np.load(sys.argv[2])
compressed.EXACT_BYTES = -1
compressed.log.disabled = True
rng = np.random.default_rng(int(sys.argv[3]))
queries = rows[:: len(rows) // 4].astype(np.float32)
some = rng.random(len(rows)) < 0.5
n_opened = n_right = 0

def damaged(number):
    data = bytearray(whole)
    if number % 8 == 7:
        return data[: rng.integers(len(data))]
    end = len(data) if number % 2 else 2000 + len(data) // 3
    at = int(rng.integers(end))
    length = 1 if number % 4 else int(rng.integers(1, 20_000))
    piece = data[at : at + length]
    data[at : at + length] = bytes(len(piece)) if number % 3 else bytes(b ^ int(rng.integers(1, 256)) for b in piece)
    return data

def is_right(index, allowed):
    found = index.search(queries, 10, allowed)
    exact = np.array([[np.vecdot(rows[r].astype(float), q.astype(float)) / np.linalg.norm(rows[r].astype(float))
                       / np.linalg.norm(q.astype(float)) for r in rs] for rs, q in zip(found.rows, queries)])
    return (found.rows.shape == (len(queries), 10) and (found.rows >= 0).all() and (found.rows < len(rows)).all()
            and (allowed is None or allowed[found.rows].all()) and (np.diff(np.sort(found.rows), axis=1) > 0).all()
            and np.allclose(found.scores, exact, atol=1e-6) and (np.diff(found.scores, axis=1) <= 0).all())

for number in range(int(sys.argv[4])):
    data = damaged(number)
    if bytes(data) == whole:
        continue
    path.with_name("damaged").write_bytes(data)  # another file: the last one is still mapped
    path.with_name("damaged").replace(path)
    try:
        verify(path, rows)
        print("not noticed:", number)
    except InvalidIndex:
        pass
    try:
        index = open_compressed(path, rows)
    except InvalidIndex:
        continue
    n_opened += 1
    n_right += all(is_right(index, allowed) for allowed in (None, some))
print(n_opened > 0, n_opened - n_right)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_damage_anywhere_is_noticed_or_does_no_harm(
    made: dict[str, bytes], kind: str, rows: Float16, tmp_path: Path
) -> None:
    (tmp_path / "index.faiss").write_bytes(made[kind])
    np.save(tmp_path / "rows.npy", rows)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        DAMAGE,
        tmp_path / "index.faiss",
        tmp_path / "rows.npy",
        "1",
        "400",
    ]
    env = environment(OMP_NUM_THREADS="1")
    ended = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True 0\n", "")


def test_lists_that_name_no_row_or_one_twice_are_given_up_after_one_warning(
    path: Path, rows: Float16, queries: Float32, caplog: pytest.LogCaptureFixture
) -> None:
    header = read_header(path)
    assert header is not None
    data = bytearray(path.read_bytes())
    data[header.head : header.head + 40 * N_ROWS // 2] = bytes(40 * N_ROWS // 2)
    path.write_bytes(data)
    index = open_compressed(path, rows)
    assert recall(index, queries) == 1
    assert recall(index, queries, allowed=np.arange(N_ROWS) % 2 == 0) == 1
    assert [record.message for record in caplog.records] == [
        "the index is not used: its lists do not name every row once; every vector is compared instead; "
        "`vecstore index` mends it"
    ]


@pytest.mark.parametrize("number", [1 << 40, -5])
@pytest.mark.parametrize("some", [None, 2, 8])
def test_ids_of_no_row_are_not_followed(
    number: int, some: int | None, path: Path, rows: Float16, queries: Float32, caplog: pytest.LogCaptureFixture
) -> None:
    """They are not verified when a file is opened, and to compare one would be to read what is not there."""
    with open(path, "rb") as file:
        header, index = checked_header(file, rows), compressed._read(file, 0)
    lists = faiss.extract_index_ivf(index).invlists
    for one in range(header.lists):
        for entry in range(lists.list_size(one)):
            lists.update_entry(one, entry, number, lists.get_codes(one))
    with open(path, "w+b") as file:
        compressed._write(file, index, header)
    allowed = None if some is None else np.arange(N_ROWS) % some == 0
    assert recall(open_compressed(path, rows), queries, allowed=allowed) == 1
    assert [record.message.split(":")[0] for record in caplog.records] == ["the index is not used"]


class StopsAfter(threading.Event):
    """Is set from the nth time on that it is asked."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.left = n

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("checks", [0, 5, 11, 13])
def test_work_that_is_called_off_leaves_the_file_as_it_was(checks: int, path: Path, rows: Float16) -> None:
    before = path.read_bytes()
    more = np.concatenate([rows, rows[:100]])
    with pytest.raises(Stopped):
        build(path, more, "pq", 0.9, CPU, StopsAfter(checks))
    with pytest.raises(Stopped):
        extend(path, more, 0.9, StopsAfter(min(checks, 3)))
    assert (path.read_bytes() == before, [file.name for file in path.parent.iterdir()]) == (True, ["index.faiss"])


def test_work_that_fails_while_writing_takes_its_litter_away(
    path: Path, rows: Float16, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        build(path, rows, "pq", 0.5, CPU)
    assert (path.read_bytes() == before, [file.name for file in path.parent.iterdir()]) == (True, ["index.faiss"])


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
import numpy as np
from indexes.devices import Device
from tests.indexes.index_files import build

os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
build(Path(sys.argv[1]), np.load(sys.argv[2])[:3000], "pq", 0.5, Device("cpu"))
"""


def test_what_a_kill_while_writing_leaves_is_not_believed_and_overwritten(
    path: Path, rows: Float16, tmp_path: Path
) -> None:
    before = path.read_bytes()
    np.save(tmp_path / "rows.npy", rows)
    command = [sys.executable, "-W", "ignore", "-c", KILLED_WHILE_WRITING, str(path), str(tmp_path / "rows.npy")]
    ended = subprocess.run(command, env=environment(OMP_NUM_THREADS="1"), timeout=60)
    litter = draft_of(path)
    assert (ended.returncode, path.read_bytes() == before, litter.exists()) == (-signal.SIGKILL, True, True)
    litter.write_bytes(litter.read_bytes() + bytes(1_000_000))
    header = build(path, rows, "rabitq", 0.5, CPU)
    verify(path, rows)
    assert (litter.exists(), open_compressed(path, rows).header) == (False, header)


def test_a_file_that_is_replaced_is_still_searched_as_it_was(path: Path, rows: Float16, queries: Float32) -> None:
    index = open_compressed(path, rows)
    before = index.search(queries, 10).rows
    build(path, rows[:500], "pq", 0.5, CPU)
    path.unlink()
    np.testing.assert_array_equal(index.search(queries, 10).rows, before)


def test_nothing_is_logged_where_all_is_well(
    path: Path, rows: Float16, queries: Float32, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    extend(path, rows, 0.95)
    open_compressed(path, rows).search(queries, 10)
    assert caplog.records == []
