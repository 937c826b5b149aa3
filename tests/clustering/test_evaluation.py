"""How clusters and neighbours are judged by labels. The oracle is worked out by hand."""

from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import paint
from vecstore.clustering.evaluation import compare, folder_label, queries, read_labels
from vecstore.errors import BadInput, NotFound
from vecstore.results import ClassScore, Misplaced
from vecstore.store import Store


def judged(truth: str, clusters: str):  # type: ignore[no-untyped-def]
    """Compare labels and clusters that are given as a letter, or a digit, an image."""
    images = [(row, b"/%d.jpg" % row) for row in range(len(truth))]
    return compare(images, dict(enumerate(truth)), {row: int(c) for row, c in enumerate(clusters)}, None, 10)


def test_clusters_that_are_the_labels_are_right_whatever_their_ids() -> None:
    found = judged("aaabbbcc", "77733311")
    assert (found.images, found.k, found.accuracy, found.ari, found.nmi, found.wrong) == (8, 3, 1, 1, 1, ())


def test_what_is_wrong_is_listed_with_the_label_of_the_cluster_that_it_is_in() -> None:
    found = judged("aaaabbb", "0001111")
    assert found.accuracy == pytest.approx(6 / 7)
    assert found.wrong == (Misplaced(3, "/3.jpg", "a", 1, "b"),)
    assert found.classes == (ClassScore("a", 4, 0, 0.75, 1.0), ClassScore("b", 3, 1, 1.0, 0.75))


def test_a_cluster_too_many_stands_for_no_label() -> None:
    found = judged("aaabb", "00122")
    assert (found.accuracy, found.wrong) == (0.8, (Misplaced(2, "/2.jpg", "a", 1, None),))


def test_a_label_too_many_has_no_cluster() -> None:
    found = judged("aaabbc", "000111")
    assert (found.accuracy, found.classes[2]) == (pytest.approx(5 / 6), ClassScore("c", 1, None, 0.0, 0.0))


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_is_that_of_the_best_of_all_matchings(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, clusters = random.integers(0, 4, 30), random.integers(0, 4, 30)
    best = max((np.array(order)[clusters] == truth).mean() for order in permutations(range(4)))
    found = judged("".join("abcd"[label] for label in truth), "".join(map(str, clusters)))
    assert found.accuracy == pytest.approx(best)


@pytest.mark.parametrize(
    ("path", "label"),
    [(b"/a/cats/1.jpg", "cats"), (b"/a/b.zip!/dogs/1.jpg", "dogs"), (b"/a/b.zip!/1.jpg", "b.zip"), (b"/1.jpg", "")],
)
def test_the_label_of_a_path_is_its_folder(path: bytes, label: str) -> None:
    assert folder_label(path) == label


@pytest.mark.parametrize("heading", ["", "path,label\n", "\ufeffPath, Label \n"])
def test_a_table_is_read_with_or_without_a_heading(heading: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(f'{heading}a.jpg,cat\n\n"in/b,c.jpg",dog,more\n/x/../d.jpg,cat\n')
    assert read_labels(tmp_path / "labels.csv") == {
        bytes(tmp_path / "a.jpg"): "cat",
        bytes(tmp_path / "in/b,c.jpg"): "dog",
        b"/d.jpg": "cat",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [("a.jpg\n", "line 1: 'a.jpg' has no label; a line is path,label"), ("", "has no lines of path,label")],
)
def test_a_table_that_is_none_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(BadInput, match=message):
        read_labels(tmp_path / "labels.csv")
    with pytest.raises(BadInput, match="cannot be read as a table of path,label"):
        read_labels(tmp_path / "missing.csv")


def test_neighbours_of_a_large_store_are_judged_on_a_sample_that_is_the_same_every_time() -> None:
    sample = queries(list(range(0, 60_000, 2)))
    assert (len(sample), sample, sample == queries(list(range(0, 60_000, 2)))) == (10_000, sorted({*sample}), True)


@pytest.fixture
def store(open_store: Callable[..., Store], tmp_path: Path) -> Iterator[Store]:
    """Pictures in two folders, in four clusters."""
    for seed in range(12):
        paint(tmp_path / "in" / ("even" if seed % 2 == 0 else "odd") / f"{seed}.png", seed)
    with open_store() as opened:
        opened.add(tmp_path / "in")
        opened.cluster(4, restarts=5)
        yield opened


def test_a_store_is_judged_by_its_folders(store: Store) -> None:
    found = store.evaluate(neighbours=3)
    clusters = {member.id: member.cluster for member in store.which(*range(12))}
    labels = [Path(member.path).parent.name for member in store.which(*(f"@{row}" for row in range(12)))]
    images = [(row, (store.session.catalog.paths.first_of(row) or b"")) for row in range(12)]
    vectors = np.asarray(store.session.vectors(), np.float64)
    nearest = np.argsort(-(vectors @ vectors.T) + 9 * np.eye(12), axis=1)[:, :3]
    precision = float((np.array(labels)[nearest] == np.array(labels)[:, None]).mean())
    assert found == compare(images, dict(enumerate(labels)), clusters, pytest.approx(precision), 3)  # type: ignore[arg-type]


def test_a_table_labels_only_what_is_in_it(store: Store, tmp_path: Path) -> None:
    paths = [member.path for member in store.members(store.clusters()[0].cluster)]
    (tmp_path / "labels.csv").write_text("".join(f"{path},one\n" for path in paths))
    found = store.evaluate(labels=tmp_path / "labels.csv")
    assert (found.images, found.k, found.accuracy, found.precision) == (len(paths), 1, 1.0, None)


def test_a_table_of_other_paths_is_told(store: Store, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("elsewhere.jpg,one\n")
    with pytest.raises(NotFound, match=r"has a label in .*labels\.csv; name a table of its paths$"):
        store.evaluate(labels=tmp_path / "labels.csv")
