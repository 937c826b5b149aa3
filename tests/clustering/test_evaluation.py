"""How clusters and neighbours are judged by labels. The oracle is worked out by hand."""

import os
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import paint
from vecstore.clustering.evaluation import compare, folder_label, label_images, queries, read_labels
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


@pytest.mark.parametrize("empty", ["b.jpg,\n", "b.jpg,  \n", 'b.jpg,""\n', "b.jpg,\t,more\n"])
def test_an_image_whose_label_is_empty_is_left_out(empty: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(f"a.jpg,cat\n{empty}c.jpg,dog\n")
    assert read_labels(tmp_path / "labels.csv") == {
        bytes(tmp_path / "a.jpg"): "cat",
        bytes(tmp_path / "c.jpg"): "dog",
    }


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_table_is_read_as_spreadsheets_save_it(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("path,label\r\né.jpg,Küche\r\n".encode(encoding))
    assert read_labels(tmp_path / "labels.csv") == {bytes(tmp_path / "é.jpg"): "Küche"}


@pytest.mark.parametrize("line", ["a.jpg,Küche", "Küche.jpg,a"])
def test_a_table_in_another_encoding_is_refused_by_its_line(line: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(f"b.jpg,cat\n{line}\n".encode("latin-1"))
    with pytest.raises(BadInput, match="line 2: .*is not UTF-8; save it as UTF-8"):
        read_labels(tmp_path / "labels.csv")


def test_a_file_whose_name_is_no_text_can_be_labelled(tmp_path: Path) -> None:
    name = b"k\xfcche.jpg"
    (tmp_path / os.fsdecode(name)).touch()
    (tmp_path / "labels.csv").write_bytes(name + b",cat\n")
    assert read_labels(tmp_path / "labels.csv") == {bytes(tmp_path) + b"/" + name: "cat"}


def test_an_address_is_labelled_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("https://a.example/x.jpg,cat\n")
    assert read_labels(tmp_path / "labels.csv") == {b"https://a.example/x.jpg": "cat"}


def test_a_path_with_two_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("a.jpg,cat\nb.jpg,cat\na.jpg,cat\n./a.jpg,dog\n")
    with pytest.raises(BadInput) as refused:
        read_labels(tmp_path / "labels.csv")
    assert str(refused.value) == (
        f"{tmp_path}/labels.csv: {tmp_path}/a.jpg is 'cat' in line 1 and 'dog' in line 4; a picture has one label"
    )


def test_a_picture_with_two_labels_by_two_paths_is_refused() -> None:
    images = [(3, b"/a.jpg"), (3, b"/b.jpg"), (4, b"/c.jpg")]
    with pytest.raises(BadInput) as refused:
        label_images(images, {b"/a.jpg": "cat", b"/b.jpg": "dog"})
    assert str(refused.value) == (
        "@3 has two labels: /a.jpg is 'cat', and /b.jpg, the same picture, 'dog'; "
        "give both the same one, or leave one out"
    )


def test_by_its_folders_a_picture_has_the_label_of_the_first() -> None:
    assert label_images([(3, b"/cat/a.jpg"), (3, b"/dog/a.jpg")], None) == {3: (b"/cat/a.jpg", "cat")}


def test_a_label_is_that_of_the_path_in_whatever_normalisation() -> None:
    images = [(0, "/e\u0301.jpg".encode()), (1, b"/b.jpg")]
    assert label_images(images, {"/é.jpg".encode(): "cat"}) == {0: ("/e\u0301.jpg".encode(), "cat")}


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
