"""What every kind of index promises. The oracle is NumPy: float64 products of the float16 rows, ties by row."""

import gc
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from indexes import compressed, gpu, recall
from indexes.ann import ExactIndex, Index
from indexes.devices import Device
from indexes.gpu import CagraIndex, GpuIndex
from indexes.index_metadata import KINDS
from tests.indexes import index_files
from vecstore.embedders.embedder import unit_rows
from vecstore.engines import index_lifecycle
from vecstore.errors import BadInput
from vecstore.store import Store

Float16 = NDArray[np.float16]
Float32 = NDArray[np.float32]
Build = Callable[[Float16], Index]

N_ROWS, DIM, N_QUERIES = 700, 48, 100
MANY = 10_000


def unit_vectors(n: int, dim: int, seed: int) -> Float32:
    return unit_rows(np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32))


@pytest.fixture
def rows() -> Float16:
    return unit_vectors(N_ROWS, DIM, seed=0).astype(np.float16)


@pytest.fixture
def queries() -> Float32:
    return unit_vectors(N_QUERIES, DIM, seed=1)


class Cagra:
    """Stands for the graph of cuVS: its calls and its limits, and exact where all is within its view."""

    def __init__(self, _resources: object, dim: int, metric: int, config: object) -> None:
        self.rows, self.metric = np.empty((0, dim), np.float16), metric

    def train(self, rows: Float16, numeric_type: int) -> None:
        assert (rows.dtype, numeric_type, self.metric) == (np.float16, faiss.Float16, faiss.METRIC_INNER_PRODUCT)
        self.rows = rows

    def search(self, queries: Float32, k: int, params: Any, numeric_type: int) -> tuple[Float32, NDArray[np.int64]]:
        assert (numeric_type, params.itopk_size % 32) == (faiss.Float16, 0)
        assert k <= params.itopk_size
        # It comes by the rows within its view, here the first.
        scores = queries @ self.rows[: self.seen(params.itopk_size)].astype(np.float32).T
        order = np.argsort(-scores, axis=1)[:, :k]
        lacking = ((0, 0), (0, k - order.shape[1]))
        return (
            np.pad(np.take_along_axis(scores, order, 1), lacking, constant_values=-np.inf),
            np.pad(order, lacking, constant_values=-1),
        )

    def seen(self, breadth: int) -> int:
        return len(self.rows)


class HalfSighted(Cagra):
    def seen(self, breadth: int) -> int:
        return len(self.rows) if breadth >= 256 else len(self.rows) // 2


class Blind(Cagra):
    def seen(self, breadth: int) -> int:
        return 5


def install_cagra(monkeypatch: pytest.MonkeyPatch, graph: type[Cagra] = Cagra) -> None:
    monkeypatch.setattr(faiss, "GpuIndexCagra", graph, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexCagraConfig", SimpleNamespace, raising=False)
    monkeypatch.setattr(gpu, "resources", lambda number: object())
    monkeypatch.setattr(faiss, "SearchParametersCagra", SimpleNamespace, raising=False)


# Every kind of index meets the same contract; another kind is added here. A compressed one is made of two thirds of
# the rows, the others are newer than it, and it looks at all that it has: so it agrees with brute force in everything.
@pytest.fixture(params=["exact", "gpu", "cagra", *KINDS])
def build(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Build:
    if request.param == "exact":
        return ExactIndex
    if request.param == "gpu":  # all but the copying to a GPU; tests/indexes/test_gpu.py has that
        monkeypatch.setattr(gpu, "on_device", lambda index, device, options: index)
        return lambda rows: GpuIndex(rows, Device("cuda", 1))
    if request.param == "cagra":
        install_cagra(monkeypatch)
        monkeypatch.setattr(gpu, "SPARE", MANY)  # as many candidates as rows, like the compressed ones below
        return lambda rows: CagraIndex(rows, 0.99) if len(rows) else ExactIndex(rows)
    # Nothing is so small that it is rather compared one by one.
    monkeypatch.setattr(compressed, "EXACT_BYTES", -1)
    monkeypatch.setattr(compressed, "ROWS_A_CANDIDATE", 0)
    # Neither good lists nor what they are measured to reach matter to one that looks at all it has.
    monkeypatch.setattr(compressed, "TRAINING_ITERATIONS", 1)
    monkeypatch.setattr(recall, "MEASURED_QUERIES", 2)

    def of_two_thirds(rows: Float16) -> Index:
        n_rows = 2 * len(rows) // 3
        if not n_rows:
            return ExactIndex(rows)
        path = tmp_path / "index.faiss"
        index_files.build(path, rows[:n_rows], request.param, 0.9, Device("cpu"), lists=4)
        index = compressed.open_compressed(path, rows)
        index.header = replace(index.header, probes=index.header.lists, candidates=n_rows)
        return index

    return of_two_thirds


def brute_force(
    rows: Float16, queries: Float32, k: int, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], Float32]:
    """Return the k best rows and their cosines for each query. Summed row by row, so that equal rows score equal.

    A float16 row may be a little longer or shorter than 1, so it is divided by its length; a row of zeros scores 0.
    """
    may_be_found = np.arange(len(rows)) if allowed is None else np.flatnonzero(allowed)
    stored = rows[may_be_found].astype(np.float64)
    found = []
    for query in queries.astype(np.float64):
        lengths = np.linalg.norm(stored, axis=1) * np.linalg.norm(query)
        scores = (stored * query).sum(axis=1) / np.where(lengths > 0, lengths, 1)
        order = np.lexsort((may_be_found, -scores))[:k]
        found.append((may_be_found[order], scores[order].clip(-1, 1).astype(np.float32)))
    return np.stack([ids for ids, _ in found]), np.stack([scores for _, scores in found])


def assert_equals_brute_force(
    index: Index, rows: Float16, queries: Float32, k: int, allowed: NDArray[np.bool_] | None = None
) -> None:
    found = index.search(queries, k, allowed)
    ids, scores = brute_force(rows, queries, k, allowed)
    np.testing.assert_array_equal(found.rows, ids)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)


@pytest.mark.parametrize("k", [1, 10])
def test_agrees_with_brute_force(build: Build, rows: Float16, queries: Float32, k: int) -> None:
    assert_equals_brute_force(build(rows), rows, queries, k)


@pytest.mark.parametrize("dim", [1, 3, 360, 1280, 2048])
def test_agrees_with_brute_force_in_every_dimension(build: Build, dim: int) -> None:
    rows = unit_vectors(300, dim, seed=2).astype(np.float16)
    assert_equals_brute_force(build(rows), rows, unit_vectors(20, dim, seed=3), 10)


def test_equal_rows_come_in_the_order_of_rows_however_many(build: Build, rows: Float16, queries: Float32) -> None:
    copies = np.random.default_rng(4).permutation(N_ROWS)[:300]
    rows[copies] = queries[0].astype(np.float16)
    found = build(rows).search(queries[:1], 20)
    np.testing.assert_array_equal(found.rows, np.sort(copies)[None, :20])
    assert len(set(found.scores[0].tolist())) == 1


def test_ties_in_the_middle_of_the_answer_come_in_the_order_of_rows(
    build: Build, rows: Float16, queries: Float32
) -> None:
    # Five rows are nearer than the 200 equal ones; the cut at k is among these.
    order = np.random.default_rng(5).permutation(N_ROWS)
    near, equal = order[:5], order[5:205]
    rows[near] = unit_rows(queries[:1] + 0.1 * unit_vectors(5, DIM, seed=6)).astype(np.float16)
    rows[equal] = unit_rows(queries[:1] + 0.5 * unit_vectors(1, DIM, seed=7)).astype(np.float16)
    assert_equals_brute_force(build(rows), rows, queries[:1], 12)
    np.testing.assert_array_equal(build(rows).search(queries[:1], 12).rows[0, 5:], np.sort(equal)[:7])


def test_rows_closer_than_float32_can_tell_come_in_their_true_order(build: Build) -> None:
    # They differ only by float16's smallest numbers, so hundreds of scores lie within the rounding of float32 sums.
    rows = np.repeat(unit_vectors(1, 256, seed=8).astype(np.float16), 400, axis=0)
    rows[:, 128:] = np.random.default_rng(9).integers(0, 16, (400, 128)).astype(np.float16) * np.float16(2**-24)
    assert_equals_brute_force(build(rows), rows, unit_vectors(3, 256, seed=10), 10)


@pytest.mark.parametrize("n_allowed", [1, 3, 10, 11, 350, N_ROWS])
def test_finds_only_what_is_allowed(build: Build, rows: Float16, queries: Float32, n_allowed: int) -> None:
    allowed = np.zeros(N_ROWS, np.bool_)
    allowed[np.random.default_rng(n_allowed).permutation(N_ROWS)[:n_allowed]] = True
    assert_equals_brute_force(build(rows), rows, queries[:5], 10, allowed)


def test_finds_nothing_where_nothing_is_allowed(build: Build, rows: Float16, queries: Float32) -> None:
    found = build(rows).search(queries, 10, np.zeros(N_ROWS, np.bool_))
    assert (found.rows.shape, found.rows.dtype) == ((N_QUERIES, 0), np.int64)
    assert (found.scores.shape, found.scores.dtype) == ((N_QUERIES, 0), np.float32)


def test_finds_nothing_in_an_empty_store(build: Build, queries: Float32) -> None:
    found = build(np.empty((0, DIM), np.float16)).search(queries, 10)
    assert (found.rows.shape, found.scores.shape) == ((N_QUERIES, 0), (N_QUERIES, 0))


@pytest.mark.parametrize("k", [N_ROWS - 1, N_ROWS, N_ROWS + 1, 10 * N_ROWS])
def test_returns_all_rows_where_k_is_more(build: Build, rows: Float16, queries: Float32, k: int) -> None:
    assert build(rows).search(queries[:3], k).rows.shape == (3, min(k, N_ROWS))
    assert_equals_brute_force(build(rows), rows, queries[:3], k)


def test_answer_has_the_documented_types(build: Build, rows: Float16, queries: Float32) -> None:
    found = build(rows).search(queries, 7)
    assert (found.rows.shape, found.rows.dtype) == ((N_QUERIES, 7), np.int64)
    assert (found.scores.shape, found.scores.dtype) == ((N_QUERIES, 7), np.float32)


def test_no_queries_make_no_answers(build: Build, rows: Float16) -> None:
    found = build(rows).search(np.empty((0, DIM), np.float32), 7)
    assert (found.rows.shape, found.scores.shape) == ((0, 7), (0, 7))


def test_scores_are_cosines_that_never_leave_their_range(build: Build, rows: Float16) -> None:
    # float16 rows are up to 1e-3 longer or shorter than 1, and the query can point exactly their way or away from it.
    queries = np.concatenate([unit_rows(rows.astype(np.float32)), -unit_rows(rows.astype(np.float32))])[::20]
    scores = build(rows).search(queries, N_ROWS).scores
    assert (scores.min(), scores.max()) == (-1.0, pytest.approx(1.0, abs=1e-3))
    assert np.abs(scores).max() <= 1


def test_searching_changes_neither_rows_nor_queries(build: Build, rows: Float16, queries: Float32) -> None:
    before = rows.copy(), queries.copy()
    build(rows).search(queries, 10)
    np.testing.assert_array_equal(rows, before[0])
    np.testing.assert_array_equal(queries, before[1])


def test_read_only_map_is_searched(build: Build, rows: Float16, queries: Float32, tmp_path: Path) -> None:
    (tmp_path / "vectors.f16").write_bytes(rows.tobytes())
    mapped = np.memmap(tmp_path / "vectors.f16", "<f2", mode="r", shape=rows.shape)
    assert_equals_brute_force(build(mapped), rows, queries, 10)


def test_queries_in_any_memory_order_are_searched(build: Build, rows: Float16, queries: Float32) -> None:
    assert_equals_brute_force(build(rows), rows, np.asfortranarray(queries)[::3], 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(DIM, np.float32), 3), f"queries have the shape ({DIM},); the stored vectors need (n, {DIM})"),
        ((np.zeros((2, 9), np.float32), 3), f"queries have the shape (2, 9); the stored vectors need (n, {DIM})"),
        ((np.zeros((2, DIM), np.float64), 3), "queries are float64; float32 is needed"),
        ((np.zeros((2, DIM), np.float16), 3), "queries are float16; float32 is needed"),
        ((np.zeros((2, DIM), np.float32), 0), "k is 0; it must be at least 1"),
        ((np.zeros((2, DIM), np.float32), -1), "k is -1; it must be at least 1"),
    ],
)
def test_impossible_question_is_refused(build: Build, rows: Float16, arguments: tuple[Any, int], message: str) -> None:
    with pytest.raises(BadInput) as refusal:
        build(rows).search(*arguments)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    "allowed", [np.ones(N_ROWS - 1, np.bool_), np.ones(N_ROWS + 1, np.bool_), np.ones((N_ROWS, 1), np.bool_)]
)
def test_mask_of_another_shape_is_refused(
    build: Build, rows: Float16, queries: Float32, allowed: NDArray[np.bool_]
) -> None:
    with pytest.raises(BadInput, match="allowed"):
        build(rows).search(queries, 3, allowed)


def test_row_numbers_in_place_of_a_mask_are_refused(build: Build, rows: Float16, queries: Float32) -> None:
    allowed: Any = np.arange(N_ROWS)
    with pytest.raises(BadInput, match="allowed"):
        build(rows).search(queries, 3, allowed)


def test_index_keeps_what_it_searches_alive(build: Build, rows: Float16, queries: Float32) -> None:
    # FAISS may be given the rows' memory without a copy; nobody else holds these arrays.
    n_indexes = 20 if build is ExactIndex else 4  # each of the others copies the rows, and takes a while to make
    indexes = [build(np.asfortranarray(rows + np.float16(0))) for _ in range(n_indexes)]
    del indexes[::2]
    gc.collect()
    for index in indexes:
        assert_equals_brute_force(index, rows, queries[:2], 10)


BUILD_AFTER_MEMORY_WAS_USED_AGAIN = """
import faiss
import numpy as np
from indexes.ann import ExactIndex
rows = np.eye(8, dtype=np.float16)
ExactIndex(rows)
litter = [faiss.UInt8Vector() for _ in range(4000)]
for number, vector in enumerate(litter):  # over whatever the first index let go of
    faiss.copy_array_to_vector(np.full(number % 800 + 16, 0x41, np.uint8), vector)
print(ExactIndex(rows).search(np.eye(8, dtype=np.float32), 1).rows.ravel().tolist())
"""


def test_second_index_uses_no_memory_that_the_first_let_go_of() -> None:
    # In a process of its own: what fails here is a segmentation fault.
    command = [sys.executable, "-W", "ignore", "-c", BUILD_AFTER_MEMORY_WAS_USED_AGAIN]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert (ended.returncode, ended.stdout) == (0, "[0, 1, 2, 3, 4, 5, 6, 7]\n")


def test_row_that_is_no_direction_is_found_last_not_instead_of_another(
    build: Build, rows: Float16, queries: Float32
) -> None:
    rows[7] = 0
    assert_equals_brute_force(build(rows), rows, queries[:3], N_ROWS)


# On GPUs, when every image is asked for. There is none: what FAISS and torch say is faked.

GIB = 1 << 30


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give the machine GPUs with so much free memory."""

    def install(*free: int) -> None:
        cuda = SimpleNamespace(device_count=lambda: len(free), mem_get_info=lambda number: (free[number], 80 * GIB))
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
        monkeypatch.setattr(faiss, "get_num_gpus", lambda: len(free), raising=False)
        monkeypatch.setattr(gpu, "on_device", lambda index, device, options: index)
        monkeypatch.setattr(gpu, "CAGRA_ROWS", N_ROWS)

    return install


def opened(rows: Float16, target: float = 0.99, path: Path | None = Path("no index")) -> Index:
    return index_lifecycle.open_for_many(path, rows, Device("cuda", 1), target)


def test_gpus_compare_every_row_where_there_is_no_cuvs(gpus: Callable[..., None], rows: Float16) -> None:
    gpus(GIB)
    assert (opened(rows).kind, opened(rows).recall) == ("gpu-flat", 1.0)


def test_a_graph_is_made_of_many_rows_and_looked_at_until_the_recall_is_reached(
    gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch, rows: Float16, queries: Float32
) -> None:
    gpus(GIB)
    install_cagra(monkeypatch, HalfSighted)
    index = opened(rows)
    assert (index.kind, index.recall) == ("gpu-cagra", 1.0)
    assert_equals_brute_force(index, rows, queries, 10)
    assert opened(rows[1:]).kind == "gpu-flat"  # not so many
    assert opened(rows, target=1).kind == "gpu-flat"
    assert opened(rows, path=None).kind == "gpu-flat"  # --exact


def test_a_graph_is_measured_by_the_rows_that_may_be_found(monkeypatch: pytest.MonkeyPatch, rows: Float16) -> None:
    install_cagra(monkeypatch)
    searchable = np.arange(N_ROWS) % 20 == 3
    rows[~searchable] = 0
    assert CagraIndex(rows, 0.99, searchable).recall == 1.0


def test_no_graph_is_made_for_rows_of_which_none_may_be_found(
    gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch, rows: Float16
) -> None:
    gpus(GIB)
    install_cagra(monkeypatch)
    none = np.zeros(N_ROWS, np.bool_)
    index = index_lifecycle.open_for_many(Path("no index"), rows, Device("cuda", 1), 0.99, none)
    assert (index.kind, index.recall) == ("gpu-flat", 1.0)


def test_a_graph_that_misses_its_recall_is_not_used(
    gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch, rows: Float16, caplog: pytest.LogCaptureFixture
) -> None:
    gpus(GIB)
    install_cagra(monkeypatch, Blind)
    assert opened(rows).kind == "gpu-flat"
    assert [r.getMessage().split(" reaches")[0] for r in caplog.records] == ["the graph on the GPU"]


def test_a_graph_that_finds_too_few_leaves_a_query_to_exact_search(
    monkeypatch: pytest.MonkeyPatch, rows: Float16, queries: Float32
) -> None:
    install_cagra(monkeypatch, Blind)
    assert_equals_brute_force(CagraIndex(rows, 0.99), rows, queries, 10)


def test_a_graph_needs_the_room_of_one_gpu_twice(
    gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch, rows: Float16
) -> None:
    install_cagra(monkeypatch)
    gpus(int(rows.nbytes * 2 / gpu.MEMORY_PART) + 1)
    assert opened(rows).kind == "gpu-cagra"
    gpus(*[int(rows.nbytes / gpu.MEMORY_PART) + 1] * 2)
    assert opened(rows).kind == "gpu-flat"


def test_vectors_for_which_gpus_have_no_room_are_searched_on_the_cpu(gpus: Callable[..., None], rows: Float16) -> None:
    gpus(rows.nbytes // 2, rows.nbytes // 2)
    assert opened(rows).kind == "exact"


def test_nothing_to_search_needs_no_gpu(gpus: Callable[..., None], rows: Float16) -> None:
    gpus(GIB)
    assert opened(rows[:0]).kind == "exact"


def test_exact_index_says_what_it_is(rows: Float16) -> None:
    index = ExactIndex(rows)
    assert (index.kind, index.recall) == ("exact", 1.0)


# Through a store


def test_stored_image_finds_itself_first_among_near_twins(open_store: Callable[..., Store], tmp_path: Path) -> None:
    # One grey level apart: nearer to each other than the lengths of their float16 rows are to 1.
    (tmp_path / "twins").mkdir()
    for number in range(30):
        pixels = np.random.default_rng(number).integers(200, 202, (2, 2, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "twins" / f"{number}.png")
    with open_store() as store:
        store.add(tmp_path / "twins")
        hits = [store.similar(row, k=1)[0] for row in range(store.info().images)]
    assert [hit.id for hit in hits] == list(range(len(hits)))
    np.testing.assert_allclose([hit.score for hit in hits], 1, atol=1e-6)


@pytest.mark.parametrize(
    ("embedder", "every"), [("hsv", 1), ("efficientnet-lite0", 8)]
)  # 80 images/s: an eighth is enough
def test_store_of_real_pictures_answers_as_brute_force_over_its_file_does(
    request: pytest.FixtureRequest, shared_pictures: Callable[[str], Path], tmp_path: Path, embedder: str, every: int
) -> None:
    pictures = sorted(shared_pictures("trashnet2521").rglob("*.jpg"))[::every]
    if embedder == "efficientnet-lite0":
        request.getfixturevalue("efficientnet")
    with Store.open(tmp_path / "store", embedder=embedder, device="cpu", create=True) as store:
        report = store.add(*pictures)
        # The rows as anyone can read them.
        stored = np.fromfile(tmp_path / "store" / "vectors.f16", "<f2").reshape(-1, store.info().dim)
        assert (report.failed, len(stored)) == (0, report.added)
        asked = range(0, len(stored), max(len(stored) // 100, 1))
        wrong = [row for row in asked if not answers_right(store, stored, row)]
    assert len(asked) >= 100
    assert wrong == []


def answers_right(store: Store, stored: Float16, row: int) -> bool:
    vector = stored[row].astype(np.float32)
    query = (vector / np.float32(np.linalg.norm(vector)))[None]
    ids, scores = brute_force(stored, query, 10)
    hits = store.similar(row, k=10)
    return [hit.id for hit in hits] == ids[0].tolist() and np.allclose(
        [hit.score for hit in hits], scores[0], atol=1e-6
    )
