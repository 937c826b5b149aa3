"""Embedding and clustering on a Ray cluster of two nodes: the same as on one machine, also when workers die."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import paint
from tests.programs import run_program
from vecstore.errors import VecstoreError
from vecstore.store import Store

ray = pytest.importorskip("ray", reason="Ray is not installed; `pip install vecstore[ray]` brings it")
pytestmark = [
    pytest.mark.ray,
    # Ray leaves sockets and files to the interpreter's end.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """A cluster of two nodes with a core each, both on this machine."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    memory = 256 << 20
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": memory})
    cluster.add_node(num_cpus=1, object_store_memory=memory)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A hundred pictures, a copy of one, a broken one, and an archive of a few."""
    import zipfile

    folder = tmp_path / "photos"
    for seed in range(100):
        paint(folder / f"{seed:03}.png", seed)
    (folder / "copy.png").write_bytes((folder / "007.png").read_bytes())
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        for seed in range(100, 105):
            archive.write(paint(tmp_path / f"{seed}.png", seed), f"{seed}.png")
    return folder


def contents(store: Store) -> tuple[bytes, list[tuple[int, bytes]], list[str]]:
    """All that an add leaves: the vectors' bytes, the paths of each row, and the failures."""
    paths = sorted(store.session.catalog.paths.all())
    return (store.path / "vectors.f16").read_bytes(), paths, [failure.path for failure in store.failures()]


def added(tmp_path: Path, name: str, folder: Path, embedder: str, address: str | None) -> Store:
    store = Store.open(tmp_path / name, embedder=embedder, create=True)
    store.add(folder, ray=address)
    return store


def test_a_cluster_adds_what_one_machine_adds(two_nodes: Any, tmp_path: Path, photos: Path) -> None:
    with (
        added(tmp_path, "plain", photos, "hsv", None) as plain,
        added(tmp_path, "ray", photos, "hsv", two_nodes.address) as on_ray,
    ):
        assert contents(on_ray) == contents(plain)


def test_what_is_known_is_not_embedded_again(two_nodes: Any, tmp_path: Path, photos: Path) -> None:
    with added(tmp_path, "ray", photos, "hsv", two_nodes.address) as store:
        (photos / "010.png").rename(photos / "renamed.png")
        paint(photos / "new.png", 999)
        report = store.sync(photos, ray=two_nodes.address)
        assert (report.embedded, report.added, report.forgotten) == (1, 1, 1)


def kill_a_worker_when(has_begun: Callable[[], bool], killed: list[int]) -> threading.Thread:
    """Kill -9 one of the actors as soon as some of the work is done."""
    import psutil

    def watch() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not killed:
            workers = [p for p in psutil.process_iter(["cmdline"]) if "MapWorker" in " ".join(p.info["cmdline"] or [])]
            if workers and has_begun():
                os.kill(workers[0].pid, signal.SIGKILL)
                killed.append(workers[0].pid)
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_killed_workers_batches_are_done_again(
    two_nodes: Any, tmp_path: Path, shared_pictures: Callable[[str], Path]
) -> None:
    folder = shared_pictures("trashnet2521")
    killed: list[int] = []
    vectors = tmp_path / "ray" / "vectors.f16"
    killer = kill_a_worker_when(lambda: vectors.exists() and vectors.stat().st_size > 0, killed)
    with (
        added(tmp_path, "ray", folder, "efficientnet-lite0", two_nodes.address) as on_ray,
        added(tmp_path, "plain", folder, "efficientnet-lite0", None) as plain,
    ):
        killer.join()
        assert killed
        assert on_ray.info().images == 2521
        assert contents(on_ray) == contents(plain)


@pytest.fixture
def ready_made(tmp_path: Path) -> Iterator[Store]:
    """A store of 40,000 vectors in 50 loose clusters, one removed."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((50, 32))
    rows = centres[rng.integers(50, size=40_000)] + 0.7 * rng.standard_normal((40_000, 32))
    np.save(tmp_path / "vectors.npy", rows.astype(np.float32))
    (tmp_path / "paths.txt").write_text("".join(f"/nowhere/{i}\n" for i in range(len(rows))))
    with Store.open(tmp_path / "store", create=True) as store:
        store.import_vectors(tmp_path / "vectors.npy", tmp_path / "paths.txt")
        store.remove(17)
        yield store


@pytest.mark.parametrize("full_iterations", [0, 10])
def test_a_cluster_clusters_as_one_machine_does(two_nodes: Any, ready_made: Store, full_iterations: int) -> None:
    here = ready_made.cluster(20, full_iterations=full_iterations)
    there = ready_made.cluster(20, full_iterations=full_iterations, ray=two_nodes.address)
    assert there.objective == pytest.approx(here.objective, rel=1e-4)
    np.testing.assert_array_equal(there.rows_, here.rows_)
    assert np.mean(there.labels_ == here.labels_) > 0.999


def test_workers_can_read_the_rows_from_segments(two_nodes: Any, ready_made: Store, tmp_path: Path) -> None:
    here = ready_made.cluster(20)
    there = ready_made.cluster(20, ray=two_nodes.address, segments=str(tmp_path / "rows"))
    assert there.objective == pytest.approx(here.objective, rel=1e-6)
    assert sum(file.stat().st_size for file in (tmp_path / "rows").glob("*.f16")) == 40_000 * 32 * 2


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path, photos: Path) -> None:
    done = run_program("add", photos, "-e", "hsv", "--ray", "127.0.0.1:1", "-s", tmp_path / "store")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: no Ray cluster answers at 127.0.0.1:1")
    assert len(done.stderr.splitlines()) == 1


def test_an_unreachable_cluster_leaves_the_store_as_it_was(tmp_path: Path, photos: Path) -> None:
    with added(tmp_path, "plain", photos / "000.png", "hsv", None) as store:
        with pytest.raises(VecstoreError, match="no Ray cluster answers"):
            store.add(photos, ray="127.0.0.1:1")
        assert store.info().images == 1
