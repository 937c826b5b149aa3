"""The map: what is alike lies together, nothing that was placed moves, what is kept is believed or rebuilt."""

import os
from collections.abc import Callable
from pathlib import Path

import filelock
import numpy as np
import pytest

from vecstore.results import StoreMap
from vecstore.storage.layout import MAP
from vecstore.store import Store
from vecstore.views import map_layout, map_placing

KINDS, DIM = 3, 16


@pytest.fixture
def grow(tmp_path: Path) -> Callable[[int], Store]:
    """Open a store, and add so many images of three kinds to it: vectors around three directions."""
    random = np.random.default_rng(0)
    directions = random.standard_normal((KINDS, DIM))
    count = 0

    def grown(more: int) -> Store:
        nonlocal count
        names = [f"/nowhere/{count + i}.jpg" for i in range(more)]
        vectors = directions[np.arange(count, count + more) % KINDS] + random.normal(0, 0.3, (more, DIM))
        count += more
        np.save(tmp_path / "vectors.npy", vectors.astype(np.float32))
        (tmp_path / "paths.txt").write_text("\n".join(names))
        store = Store.open(tmp_path / "store", create=True)
        store.import_vectors(tmp_path / "vectors.npy", tmp_path / "paths.txt")
        return store

    return grown


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_placing, "EXAGGERATED_STEPS", 60)
    monkeypatch.setattr(map_placing, "STEPS", 60)
    monkeypatch.setattr(map_placing, "PLACING_STEPS", 40)


def places(found: StoreMap) -> dict[int, tuple[float, float]]:
    return {point.id: (point.x, point.y) for point in found.points}


def test_images_that_are_alike_lie_together(grow: Callable[[int], Store]) -> None:
    grow(60).close()
    with grow(15) as store:
        found = store.map()
    assert (len(found.points), found.images, found.sampled) == (75, 75, False)
    at = np.array([[point.x, point.y] for point in found.points])
    kind = np.arange(75) % KINDS
    away = np.linalg.norm(at[:, None] - at, axis=2)
    np.fill_diagonal(away, np.inf)
    assert np.mean(kind[away.argmin(axis=1)] == kind) >= 0.97


def test_no_old_point_moves_when_images_are_added(grow: Callable[[int], Store]) -> None:
    with grow(60) as store:
        before = places(store.map())
    with grow(20) as store:
        after = places(store.map())
    assert len(after) == 80
    assert {row: after[row] for row in before} == before


def test_a_new_image_is_placed_among_those_that_it_is_like(grow: Callable[[int], Store]) -> None:
    with grow(60) as store:
        store.map()
    with grow(12) as store:
        at = np.array([place for _, place in sorted(places(store.map()).items())])
    kind = np.arange(72) % KINDS
    centres = np.array([np.median(at[:60][kind[:60] == one], axis=0) for one in range(KINDS)])
    nearest = np.linalg.norm(at[60:, None] - centres, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, kind[60:])


def test_in_how_many_steps_images_came_does_not_matter(grow: Callable[[int], Store], tmp_path: Path) -> None:
    with grow(60) as store:
        store.map()
        first = (store.path / MAP).read_bytes()
    with grow(5) as store:
        store.map()
    with grow(5) as store:
        in_steps = places(store.map())
        (store.path / MAP).write_bytes(first)
        np.testing.assert_allclose([*places(store.map()).values()], [*in_steps.values()], atol=1e-3)


def test_a_seed_gives_one_map_and_another_seed_another(grow: Callable[[int], Store]) -> None:
    with grow(60) as store:
        first = places(store.map(seed=1))
        assert places(store.map(seed=1, rebuild=True)) == first
        assert places(store.map()) == first  # it goes on, whatever its seed
        assert places(store.map(seed=2)) != first


def test_removed_images_are_not_on_it_and_come_back_where_they_were(
    grow: Callable[[int], Store], tmp_path: Path
) -> None:
    with grow(30) as store:
        before = places(store.map())
        store.remove(3, 7)
        assert places(store.map()) == {row: place for row, place in before.items() if row not in (3, 7)}
        store.import_vectors(tmp_path / "vectors.npy", tmp_path / "paths.txt")
        assert places(store.map()) == before


def test_an_image_that_is_removed_while_a_map_is_made_is_left_out(grow: Callable[[int], Store]) -> None:
    with grow(12) as store:
        rows = np.array(store.session.catalog.images.alive_rows())
        layout = map_layout.fit_map(store.session.vectors(), rows, len(rows), 0)
        store.remove(3)
        assert 3 not in places(map_layout.described(store.session.catalog, layout, rows))


@pytest.mark.parametrize("damage", ["cut", "bit"])
def test_a_map_that_is_damaged_is_made_anew(grow: Callable[[int], Store], damage: str) -> None:
    with grow(30) as store:
        whole = places(store.map())
        kept = store.path / MAP
        content = bytearray(kept.read_bytes())
        if damage == "cut":
            del content[200:]
        else:
            content[content.index(b"positions.npy") + 150] ^= 0x10
        kept.write_bytes(content)
        layout = map_layout.StoredMap(
            kept, {"created": store.session.catalog.created(), "embedder": store.session.catalog.embedder()}
        )
        assert layout.load(store.session.vectors()) is None
        assert places(store.map()) == whole


def test_an_image_of_another_vector_is_placed_anew_and_the_others_stay(grow: Callable[[int], Store]) -> None:
    with grow(30) as store:
        before = places(store.map())
        with open(store.path / "vectors.f16", "r+b") as file:
            file.write(np.asarray(store.session.vectors()[1]).tobytes())
        after = places(store.map())
        assert {row for row in before if after[row] != before[row]} == {0}


def test_a_map_of_other_vectors_is_made_anew(grow: Callable[[int], Store]) -> None:
    with grow(30) as store:
        store.map()
        turned = np.asarray(store.session.vectors())[:, ::-1].tobytes()
        (store.path / "vectors.f16").write_bytes(turned)
        kept = map_layout.StoredMap(
            store.path / MAP, {"created": store.session.catalog.created(), "embedder": store.session.catalog.embedder()}
        )
        assert kept.load(store.session.vectors()) is None
        assert len(store.map().points) == 30


def test_compacting_moves_nothing(grow: Callable[[int], Store]) -> None:
    with grow(30) as store:
        before = places(store.map())
        store.remove(3, 7)
        store.compact()
    with grow(3) as store:
        after = places(store.map())
        assert {row: after[row] for row in before if row in after} == {
            row: place for row, place in before.items() if row not in (3, 7)
        }
        assert len(after) == 31


def test_nothing_is_kept_while_another_writes(grow: Callable[[int], Store]) -> None:
    with grow(12) as store:
        with filelock.FileLock(store.path / "lock"):
            found = store.map()
        assert len(found.points) == 12
        assert not (store.path / MAP).exists()
        assert store.map() == found
        assert (store.path / MAP).exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_store_that_cannot_be_written_to_has_a_map(grow: Callable[[int], Store]) -> None:
    with grow(12) as store:
        store.path.chmod(0o500)
        try:
            assert len(store.map().points) == 12
        finally:
            store.path.chmod(0o700)


def test_a_store_that_has_outgrown_its_map_gets_a_new_one(grow: Callable[[int], Store]) -> None:
    with grow(12) as store:
        before = places(store.map())
    with grow(40) as store:
        after = places(store.map())
    assert {row: after[row] for row in before} != before


def test_of_a_large_store_a_sample_is_shown_and_stays(
    grow: Callable[[int], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_layout, "REFERENCE", 20)
    monkeypatch.setattr(map_layout, "MOST_POINTS", 30)
    with grow(60) as store:
        found = store.map()
    assert (len(found.points), found.images, found.sampled) == (30, 60, True)
    with grow(3) as store:
        after = places(store.map())
    assert len(after) == 30
    assert {row // 20 for row in after} >= {0, 1, 2}  # not of one part of the store alone
    stayed = {row: place for row, place in places(found).items() if row in after}
    assert len(stayed) >= 27
    assert {row: after[row] for row in stayed} == stayed


@pytest.mark.parametrize("n", [1, 2, 3, 9, 10, 11])
def test_a_few_images_have_a_map_too(grow: Callable[[int], Store], n: int) -> None:
    with grow(n) as store:
        found = store.map()
    assert len(found.points) == n
    assert np.isfinite([(point.x, point.y) for point in found.points]).all()


def test_equal_images_have_a_map_too(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", np.ones((40, 8), np.float32))
    (tmp_path / "paths.txt").write_text("\n".join(f"/nowhere/{i}.jpg" for i in range(40)))
    with Store.open(tmp_path / "store", create=True) as store:
        store.import_vectors(tmp_path / "vectors.npy", tmp_path / "paths.txt")
        assert np.isfinite([(point.x, point.y) for point in store.map().points]).all()


def test_points_say_which_cluster_and_path(grow: Callable[[int], Store]) -> None:
    with grow(30) as store:
        assert {point.cluster for point in store.map().points} == {None}
        store.cluster(3, restarts=1)
        found = store.map()
    assert {point.cluster for point in found.points} == {0, 1, 2}
    assert found.points[4].path == "/nowhere/4.jpg"


def test_of_a_large_store_everything_is_placed_when_asked_and_kept_on_the_way(
    grow: Callable[[int], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_layout, "REFERENCE", 20)
    monkeypatch.setattr(map_layout, "MOST_POINTS", 30)
    monkeypatch.setattr(map_layout, "KEPT_ROWS", 16)
    with grow(90) as store:
        sample = places(store.map())
        told: list[tuple[int, int]] = []

        def called_off(done: int, total: int) -> None:
            told.append((done, total))
            if len(told) == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.map(everything=True, on_placed=called_off)
        assert (told, len(store.map_positions().ids)) == ([(30, 90), (46, 90), (62, 90)], 62)
        assert places(store.map(everything=True)) == sample
        found = store.map_positions()
        assert (sorted(found.ids.tolist()), {*sample} <= {*found.ids.tolist()}) == (list(range(90)), True)


def test_an_image_is_placed_where_opentsne_places_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from openTSNE import PartialTSNEEmbedding, TSNEEmbedding, affinity
    from scipy.sparse import csr_matrix

    from indexes.brute_force import nearest

    monkeypatch.undo()  # all steps
    random = np.random.default_rng(0)
    kinds = random.normal(size=(6, DIM))

    def some(n: int) -> np.ndarray:
        rows = kinds[np.arange(n) % 6] + random.normal(0, 0.5, (n, DIM))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    reference, points = some(600), some(120)
    positions = map_placing.arranged(reference, 0)
    neighbours, scores = nearest(points, reference, 25)
    likeness = affinity.joint_probabilities_nn(
        neighbours[:, :15],
        map_placing._distances(scores[:, :15]),
        [5],
        symmetrize=False,
        normalization="point-wise",
        n_reference_samples=600,
    )
    among = TSNEEmbedding(positions, affinity.PrecomputedAffinities(csr_matrix((600, 600)), normalize=False))
    start = np.median(positions[neighbours], axis=1)
    theirs = PartialTSNEEmbedding(start, among, likeness, negative_gradient_method="bh", n_jobs=1)
    theirs.optimize(250, learning_rate=0.1, exaggeration=1.5, max_grad_norm=0.25, momentum=0.8, inplace=True)
    apart = np.linalg.norm(map_placing.Placing(reference, positions).placed(points) - np.asarray(theirs), axis=1)
    span = float(np.ptp(positions, axis=0).max())
    assert (np.median(apart) < 0.001 * span, np.mean(apart < 0.01 * span) >= 0.95) == (True, True)
