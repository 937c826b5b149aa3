"""Checksums, `check` and `check --repair`: every damage is told in words, and mended or kept from answering."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import TinyEmbedder, paint
from vecstore.embedders import registry
from vecstore.errors import StoreDamaged, WeightsUnavailable
from vecstore.results import Finding
from vecstore.store import Store

OpenStore = Callable[..., Store]

pytestmark = pytest.mark.usefixtures("one_thread")
ROW_BYTES = TinyEmbedder.spec.dim * 2


@pytest.fixture
def store(open_store: OpenStore, pictures: Path) -> Store:
    """The ten pictures, row = number, in three clusters."""
    made = open_store()
    made.add(pictures)
    made.cluster(3, restarts=2)
    return made


def damage(store: Store, row: int) -> None:
    """Change one byte of a row's vector."""
    with open(store.path / "vectors.f16", "r+b") as file:
        file.seek(row * ROW_BYTES + 5)
        byte = file.read(1)[0]
        file.seek(row * ROW_BYTES + 5)
        file.write(bytes([byte ^ 1]))


def change(store: Store, *statements: str) -> None:
    """Change the catalog behind the program's back."""
    with closing(sqlite3.connect(store.path / "catalog.sqlite")) as db, db:
        for statement in statements:
            db.execute(statement)


def told(findings: list[Finding]) -> list[tuple[str, str, bool, bool]]:
    return [(found.kind, found.where, found.repairable, found.repaired) for found in findings]


def test_a_store_that_is_whole_has_no_findings(store: Store) -> None:
    store.remove(3)
    assert store.check(files=True) == []


def test_a_damaged_vector_is_found_and_told(store: Store) -> None:
    damage(store, 4)
    assert store.check() == [
        Finding("vector", "@4", "its vector is damaged: its checksum is not the recorded one", True)
    ]


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.similar(4),
        lambda store: store.similar(0, k=10),
        lambda store: list(store.neighbours(k=9)),
        lambda store: list(store.duplicates(min_score=-1, series=True)),
        lambda store: store.cluster(2),
    ],
)
def test_no_answer_names_an_image_whose_vector_is_damaged(ask: Callable[[Store], object], store: Store) -> None:
    damage(store, 4)
    with pytest.raises(StoreDamaged, match=r"the vector of @4 is damaged; `vecstore check --repair` embeds it again"):
        ask(store)


def test_answers_that_do_not_name_it_are_given(store: Store) -> None:
    expected = store.similar(0, k=1)
    damage(store, 4)
    assert store.similar(0, k=1) == expected


def test_a_content_that_was_exchanged_in_the_catalog_is_damage(store: Store) -> None:
    change(store, f"update images set sha256 = x'{'ab' * 32}' where row = 2")
    with pytest.raises(StoreDamaged, match="@2"):
        store.similar(2)


def test_a_damaged_vector_is_embedded_again_from_its_file(store: Store) -> None:
    before = (store.path / "vectors.f16").read_bytes()
    damage(store, 4)
    assert told(store.check(repair=True)) == [("vector", "@4", True, True)]
    assert ((store.path / "vectors.f16").read_bytes(), store.check()) == (before, [])


def test_missing_vectors_are_embedded_again(store: Store) -> None:
    before = (store.path / "vectors.f16").read_bytes()
    os.truncate(store.path / "vectors.f16", 7 * ROW_BYTES + 3)
    assert told(store.check(repair=True)) == [("vector", f"@{row}", True, True) for row in (7, 8, 9)]
    assert ((store.path / "vectors.f16").read_bytes(), store.check()) == (before, [])


def test_an_image_whose_vector_cannot_be_made_anew_is_not_found(store: Store, pictures: Path) -> None:
    damage(store, 4)
    paint(pictures / "4.png", 99)
    found = store.check(repair=True)
    assert told(found) == [("quarantined", "@4", False, False)]
    assert f"bring {pictures}/4.png back as it was and repair, or `vecstore remove @4`" in found[0].what
    assert 4 not in [hit.id for hit in store.similar(0, k=10)]


def test_an_image_in_quarantine_comes_back_with_its_file(store: Store, pictures: Path) -> None:
    expected = store.similar(0, k=10)
    damage(store, 4)
    content = (pictures / "4.png").read_bytes()
    (pictures / "4.png").unlink()
    store.check(repair=True)
    (pictures / "4.png").write_bytes(content)
    assert (told(store.check(repair=True)), store.similar(0, k=10)) == ([("quarantined", "@4", True, True)], expected)


def test_a_removed_image_in_quarantine_does_not_come_back_with_its_damaged_vector(store: Store, pictures: Path) -> None:
    damage(store, 4)
    content = (pictures / "4.png").read_bytes()
    (pictures / "4.png").unlink()
    store.check(repair=True)
    store.remove(4)
    (pictures / "4.png").write_bytes(content)
    assert (store.add(pictures).embedded, store.check()) == (1, [])
    assert store.similar(pictures / "4.png", k=1)[0].id == 10


def test_without_the_embedder_the_damage_is_quarantined_and_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise WeightsUnavailable("the weights are not here")

    damage(store, 4)
    monkeypatch.setitem(registry.BUILT_IN, "tiny", "tests.maintenance.test_check:refuse")
    monkeypatch.setattr("tests.maintenance.test_check.refuse", refuse, raising=False)
    store.session._embedder = None
    found = store.check(repair=True)
    assert (told(found), "not now: the weights are not here" in found[0].what) == (
        [("quarantined", "@4", True, False)],
        True,
    )


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("insert into removed values (3)", "catalog"),
        ("update cluster_sizes set images = images + 1 where cluster = 1", "catalog"),
        ("delete from cluster_sizes", "catalog"),
        ("delete from memberships where row = 3", "membership"),
        ("update memberships set cluster = (cluster + 1) % 3 where row = 3", "membership"),
        ("update memberships set distance = distance + 0.5 where row = 3", "membership"),
        ("update memberships set cluster = 77 where row = 3", "membership"),
        ("update clusterings set centroids = zeroblob(length(centroids))", "clustering"),
    ],
)
def test_what_can_be_worked_out_again_is_mended(statement: str, kind: str, store: Store) -> None:
    change(store, statement)
    assert [found.kind for found in store.check()] == [kind]
    assert ([found.repaired for found in store.check(repair=True)], store.check()) == ([True], [])


@pytest.mark.parametrize(
    "statement",
    [
        "delete from images where row = 3",
        "update images set width = 'wide' where row = 3",
        "update paths set path = 'text' where row = 3",
        "update clusterings set k = 4",
        "delete from store",
    ],
)
def test_what_nobody_can_know_is_told_and_left_alone(statement: str, store: Store) -> None:
    change(store, statement)
    before = (store.path / "vectors.f16").read_bytes()
    found = store.check(repair=True)
    assert found != []
    assert [(f.kind, f.repairable, f.repaired) for f in found] == [("catalog", False, False)] * len(found)
    assert (store.path / "vectors.f16").read_bytes() == before


def test_after_damaged_centroids_an_earlier_clustering_answers(store: Store) -> None:
    store.cluster(2, restarts=2)
    change(store, "update clusterings set centroids = zeroblob(length(centroids)) where id = 2")
    with pytest.raises(StoreDamaged, match="centroids of clustering 2 are damaged"):
        store.clusters()
    store.check(repair=True)
    assert store.session.catalog.clusterings.current() == 1


def test_a_damaged_index_is_made_anew(store: Store) -> None:
    store.index(kind="rabitq")
    file = store.path / "index.faiss"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert [found.kind for found in store.check()] == ["index"]
    assert (told(store.check(repair=True)), store.check()) == ([("index", "index.faiss", True, True)], [])


def test_a_damaged_checkpoint_is_taken_away(store: Store) -> None:
    (store.path / "clustering.npz").write_bytes(b"no checkpoint")
    assert told(store.check(repair=True)) == [("checkpoint", "clustering.npz", True, True)]
    assert not (store.path / "clustering.npz").exists()


def test_files_that_are_not_what_was_added_are_told(store: Store, pictures: Path) -> None:
    (pictures / "1.png").unlink()
    paint(pictures / "2.png", 99)
    state, size = (pictures / "3.png").stat(), (pictures / "3.png").stat().st_size
    (pictures / "3.png").write_bytes(b"x" * size)
    os.utime(pictures / "3.png", ns=(state.st_atime_ns, state.st_mtime_ns))
    found = store.check(files=True)
    assert [(f.kind, Path(f.where).name, f.what.split(";")[0]) for f in found] == [
        ("file", "1.png", "it cannot be looked at (No such file or directory)"),
        ("file", "2.png", "it has changed since"),
        ("file", "3.png", "it has another content, but the same size and time: damaged, or changed unnoticed"),
    ]
