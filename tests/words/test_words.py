"""Words: what they stand for, what is recorded of images, and which images they find. The oracle is NumPy."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import TinyEmbedder, paint
from tests.words.conftest import LENGTH, random_head
from vecstore.embedders.heads import Head, head_from
from vecstore.errors import BadInput, NotFound
from vecstore.storage.derived_arrays import load_arrays, save_arrays
from vecstore.store import Store
from vecstore.views.contact_sheets import called
from vecstore.words import suggestions
from vecstore.words.stored_head import _arrays
from vecstore.words.vocabulary import vocabulary

OpenStore = Callable[..., Store]
pytestmark = pytest.mark.usefixtures("one_thread")


def probabilities(store: Store) -> NDArray[np.float64]:
    rows = np.fromfile(store.path / "vectors.f16", "<f2").reshape(-1, 12).astype(np.float64)
    head = random_head()
    powers = np.exp(LENGTH * rows @ head.weights.T + head.bias)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def expected(store: Store, *words: str, removed: tuple[int, ...] = ()) -> list[tuple[int, float]]:
    """(id, score) of the images that words find, the best first."""
    shares = probabilities(store)
    five = np.argsort(-shares, axis=1)[:, :5]
    classes = [sorted(vocabulary().classes_of[word]) for word in words]
    scores = np.min([shares[:, chosen].sum(axis=1) for chosen in classes], axis=0)
    hit = np.all([np.isin(five, chosen).any(axis=1) for chosen in classes], axis=0)
    rows = [row for row in np.argsort(-scores, kind="stable").tolist() if hit[row] and row not in removed]
    return [(row, round(float(scores[row]), 4)) for row in rows]


def answer(store: Store, text: str, **conditions: object) -> list[tuple[int, float]]:
    return [(hit.id, round(hit.score, 4)) for hit in store.find(text, k=100, **conditions)]  # type: ignore[arg-type]


def agree(found: list[tuple[int, float]], truth: list[tuple[int, float]]) -> bool:
    """Say whether the same images were found in the same order, with the same scores to three digits."""
    return [row for row, _ in found] == [row for row, _ in truth] and np.allclose(
        [score for _, score in found], [score for _, score in truth], atol=1e-3
    )


def recorded(store: Store) -> list[int]:
    return [image.id for image in store.tags() if image.id is not None]


@pytest.mark.parametrize("text", ["dog", "Dogs", " DOG ", "a dog", "the_dog"])
def test_a_word_is_known_in_any_case_and_in_the_plural(text: str) -> None:
    assert vocabulary().require(text, "lite0") == [vocabulary().classes_of["dog"]]


def test_irregular_plurals_are_known() -> None:
    assert vocabulary().look_up("wolves") == vocabulary().classes_of["wolf"]


def test_a_kind_stands_for_all_classes_below_it() -> None:
    names = vocabulary().names
    below = {names[number][0] for number in vocabulary().classes_of["bird"]}
    assert {"ostrich", "magpie", "flamingo"} <= below
    assert len(below) == 59


def test_a_dingo_is_a_dog_but_a_sea_lion_is_not_a_lion() -> None:
    names = vocabulary().names
    assert "dingo" in {names[number][0] for number in vocabulary().classes_of["dog"]}
    assert {names[number][0] for number in vocabulary().classes_of["lion"]} == {"lion"}


def test_the_longest_known_name_is_one_term() -> None:
    classes_of = vocabulary().classes_of
    assert vocabulary().require("tiger cat dog", "lite0") == [classes_of["tiger cat"], classes_of["dog"]]
    assert "tiger" in classes_of


def test_every_class_has_a_name_that_finds_it() -> None:
    known = vocabulary()
    assert [number for number in range(1000) if number not in known.require(known.names[number][0], "x")[0]] == []


@pytest.mark.parametrize(
    "text",
    ["Dog!", "dog?", "'dog'", '"dogs"', "a dog's", "dogs\u2019", "\uff24\uff2f\uff27", "dog\u200b", "dog\n", "(dog)"],
)
def test_punctuation_and_width_are_no_matter(text: str) -> None:
    assert vocabulary().require(text, "lite0") == [vocabulary().classes_of["dog"]]


def test_words_are_parted_by_what_is_no_letter() -> None:
    classes_of = vocabulary().classes_of
    for text in ("Cats & dogs", "cat/dog", "cat+dog", "cat, dog."):
        assert vocabulary().require(text, "lite0") == [classes_of["cat"], classes_of["dog"]]
    for text in ("lady's slipper", "Lady\u2019s Slipper", "lady slipper"):
        assert vocabulary().require(text, "lite0") == [classes_of["lady slipper"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zebrra", "tiny does not know 'zebrra'; did you mean zebra"),
        ("dgo", "tiny does not know 'dgo'; did you mean dog"),
        ("kat", "tiny does not know 'kat'; did you mean cat"),
        ("sprots car", "tiny does not know 'sprots'; did you mean sports car"),
        ("red bicycle", "tiny does not know 'red'; did you mean red fox or red hot or red wolf or 'bicycle' alone"),
        ("labrador", "tiny does not know 'labrador'; did you mean labrador retriever"),
        ("two dogs", "tiny does not know 'two'; did you mean toy dog or 'dogs' alone"),
        ("dog -cat", "to look away from 'cat', `vecstore similar --word WORD --minus-word cat`"),
        ("\N{DOG FACE}", "tiny does not know '\N{DOG FACE}'; it knows"),
        ("कुत्ता", "tiny does not know 'कुत्ता'; it knows"),
        ("...", "no word was given"),
        ("xyzzyqq", "tiny does not know 'xyzzyqq'; it knows ImageNet's 1,000 things"),
        ("dog xyzzyqq", "tiny does not know 'xyzzyqq'; did you mean 'dog' alone"),
        ("", "no word was given"),
        (" \n,", "no word was given"),
        ("dog " * 100, "the text has 400 characters"),
    ],
)
def test_a_text_that_cannot_be_looked_up_is_refused(
    text: str, message: str, open_store: OpenStore, pictures: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures)
    with pytest.raises(BadInput, match=message):
        store.find(text)


@pytest.mark.parametrize("tags", [False, True])
@pytest.mark.parametrize("words", [("animal",), ("instrumentality",), ("animal", "artifact"), ("dog",)])
def test_finding_agrees_with_numpy_whether_tags_are_recorded_or_not(
    words: tuple[str, ...], tags: bool, open_store: OpenStore, pictures: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures, tags=tags)
    assert agree(answer(store, " ".join(words)), expected(store, *words))


def test_several_texts_are_found_each_by_itself(open_store: OpenStore, pictures: Path, tiny_knows_words: None) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    found = store.find_each(["animal", "instrumentality"], k=4, path="deep/")
    assert found == [store.find(text, k=4, path="deep/") for text in ("animal", "instrumentality")]
    assert found[0].to_dicts()[0]["id"] >= 5
    with pytest.raises(BadInput, match="no word was given"):
        store.find_each(["animal", ""])


def test_conditions_hold_for_words(open_store: OpenStore, pictures: Path, tiny_knows_words: None) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    found = answer(store, "animal", path="deep/")
    assert found == [hit for hit in answer(store, "animal") if hit[0] >= 5]
    assert answer(store, "animal", min_score=found[0][1] + 0.001, path="deep/") == []


def test_tags_are_the_five_most_probable_classes(open_store: OpenStore, pictures: Path, tiny_knows_words: None) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    shares = probabilities(store)[3]
    best = np.argsort(-shares)[:5]
    (found,) = store.tag(3)
    assert [tag.word for tag in found.tags] == [vocabulary().names[number][0] for number in best]
    assert [tag.probability for tag in found.tags] == pytest.approx(shares[best].tolist(), abs=2e-4)


def test_a_new_picture_is_tagged_without_being_added(
    open_store: OpenStore, pictures: Path, tmp_path: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures / "0.png", tags=True)
    (found,) = store.tag(pictures / "1.png")
    assert (found.id, len(found.tags), store.info().images) == (None, 5, 1)


def test_once_asked_for_every_add_records_tags(open_store: OpenStore, pictures: Path, tiny_knows_words: None) -> None:
    store = open_store()
    store.add(pictures / "0.png")
    with pytest.raises(NotFound, match="`vecstore tag --all` records them"):
        store.tags()
    store.add(pictures / "1.png", tags=True)
    store.add(pictures)
    assert (recorded(store), store.check()) == ([*range(10)], [])


def test_tagging_all_passes_over_what_is_recorded(
    open_store: OpenStore, pictures: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures)
    assert (store.tag_all(), store.tag_all(), recorded(store)) == (10, 0, [*range(10)])


def test_removed_and_compacted_images_have_no_tags(
    open_store: OpenStore, pictures: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    store.remove(2, 7)
    assert recorded(store) == [0, 1, 3, 4, 5, 6, 8, 9]
    store.compact()
    assert [store.session.catalog.tags.of(row) for row in (2, 7)] == [None, None]
    assert agree(answer(store, "animal"), expected(store, "animal", removed=(2, 7)))
    assert store.check() == []


def test_undo_brings_images_back_with_their_tags(open_store: OpenStore, pictures: Path, tiny_knows_words: None) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    before = answer(store, "animal")
    store.remove(0, 1, 2)
    store.undo()
    assert (answer(store, "animal"), store.check()) == (before, [])


def test_damaged_tags_are_refused_found_and_mended(
    open_store: OpenStore, pictures: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    before = answer(store, "animal")
    with closing(sqlite3.connect(store.path / "catalog.sqlite", isolation_level=None)) as db:
        db.execute("update tags set classes = zeroblob(200)")
    with pytest.raises(Exception, match="`vecstore check --repair` makes them"):
        store.find("animal")
    assert [(found.kind, found.repaired) for found in store.check(repair=True)] == [("tags", True)]
    assert (answer(store, "animal"), store.check()) == (before, [])


def test_tags_of_a_damaged_vector_are_made_again(open_store: OpenStore, pictures: Path, tiny_knows_words: None) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    before = answer(store, "animal")
    file = store.path / "vectors.f16"
    data = bytearray(file.read_bytes())
    data[3 * 24 : 4 * 24] = data[:24]
    file.write_bytes(data)
    store.check(repair=True)
    assert (answer(store, "animal"), recorded(store), store.check()) == (before, [*range(10)], [])


@pytest.mark.parametrize("damage", [b"", b"no arrays", None])
def test_a_head_that_is_damaged_or_gone_is_made_again(
    damage: bytes | None, open_store: OpenStore, pictures: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    head = store.path / "head.npz"
    before, whole = answer(store, "animal"), head.read_bytes()
    head.unlink()
    if damage is not None:
        head.write_bytes(damage)
        assert [found.kind for found in store.check()] == ["head"]
    assert (answer(store, "animal"), head.read_bytes()) == (before, whole)


def test_the_head_of_another_embedder_is_not_used(
    open_store: OpenStore, pictures: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures)
    before = answer(store, "animal")
    other = Head(-random_head().weights, random_head().bias, LENGTH)
    save_arrays(store.path / "head.npz", **_arrays(other, store.session.spec.to_json().replace("tiny", "other")))
    assert answer(store, "animal") == before


def test_a_kept_head_with_other_numbers_than_were_kept_is_made_again(
    open_store: OpenStore, pictures: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures)
    before = answer(store, "animal")
    kept = load_arrays(store.path / "head.npz")
    assert kept is not None
    save_arrays(store.path / "head.npz", **{**kept, "weights": -kept["weights"]})
    assert [found.kind for found in store.check()] == ["head"]
    assert answer(store, "animal") == before


def test_words_need_no_embedder_once_the_head_is_kept(
    open_store: OpenStore, pictures: Path, tiny_knows_words: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    before = answer(store, "animal")
    monkeypatch.delattr(TinyEmbedder, "head")
    with Store.open(store.path) as again:
        assert answer(again, "animal") == before


@pytest.mark.parametrize("carry", [Store.backup, Store.migrate])
def test_a_copy_has_the_tags_and_the_head(
    carry: Callable[[Store, Path], object],
    open_store: OpenStore,
    pictures: Path,
    tmp_path: Path,
    tiny_knows_words: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    before = answer(store, "animal")
    carry(store, tmp_path / "copy")
    monkeypatch.delattr(TinyEmbedder, "head")
    with Store.open(tmp_path / "copy") as copy:
        assert (answer(copy, "animal"), recorded(copy)) == (before, [*range(10)])


def test_tags_of_more_than_one_block_are_found(open_store: OpenStore, tmp_path: Path, tiny_knows_words: None) -> None:
    rng = np.random.default_rng(1)
    np.save(tmp_path / "many.npy", rng.normal(size=(9000, 12)).astype(np.float32))
    (tmp_path / "many.txt").write_text("".join(f"/none/{number}.png\n" for number in range(9000)))
    store = open_store()
    store.import_vectors(tmp_path / "many.npy", tmp_path / "many.txt")
    unrecorded = answer(store, "dog")
    store.tag_all()
    assert len(store.session.catalog.tags.block_numbers()) == 3
    assert answer(store, "dog") == unrecorded
    assert answer(store, "dog", path="/none/8*.png") != []


def test_an_embedder_without_a_head_says_that_it_knows_no_words(open_store: OpenStore, pictures: Path) -> None:
    store = open_store()
    store.add(pictures)
    for ask in (lambda: store.find("dog"), lambda: store.tag(0), store.tag_all):
        with pytest.raises(BadInput, match="tiny knows no words; `vecstore embed DEST --embedder efficientnet-lite0`"):
            ask()


def test_asking_for_tags_of_an_embedder_without_a_head_makes_no_store(open_store: OpenStore, pictures: Path) -> None:
    store = open_store()
    with pytest.raises(BadInput, match="tiny knows no words"):
        store.add(pictures, tags=True)
    assert not store.path.exists()


@pytest.mark.parametrize(
    ("shape", "message"),
    [((17, 12), r"has the shape \(17, 12\), not \(1000, 12\)"), (None, "has no last layer")],
)
def test_weights_with_another_classifier_are_refused(shape: tuple[int, int] | None, message: str) -> None:
    import torch

    state = {} if shape is None else {"fc.weight": torch.zeros(shape), "fc.bias": torch.zeros(shape[0])}
    with pytest.raises(BadInput, match=message):
        head_from(state, "fc", 12, None, "weights.pth")


def test_weights_that_are_not_finite_are_refused() -> None:
    import torch

    state = {"fc.weight": torch.zeros(1000, 12), "fc.bias": torch.full((1000,), float("nan"))}
    with pytest.raises(BadInput, match="holds numbers that are not finite"):
        head_from(state, "fc", 12, None, "weights.pth")


def test_an_unmeasured_length_is_measured_on_the_stores_pictures(
    open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = random_head()
    monkeypatch.setattr(TinyEmbedder, "head", lambda self: Head(head.weights, head.bias, None), raising=False)
    monkeypatch.setattr(
        TinyEmbedder, "feature_lengths", lambda self, prepared: np.full(len(prepared), LENGTH), raising=False
    )
    store = open_store()
    store.add(pictures, tags=True)
    assert agree(answer(store, "animal"), expected(store, "animal"))
    assert recorded(store) == [*range(10)]


def run(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, done.stderr


def test_commands_find_and_tag(tmp_path: Path, tiny_knows_words: None) -> None:
    paint(tmp_path / "one.png", 3)
    store = tmp_path / "store"
    assert run("add", tmp_path / "one.png", "-e", "tiny", "--tags", "-s", store)[0] == 0
    code, out, _ = run("tag", "@0", "-s", store)
    assert (code, out.count(","), out.split("\t")[:2]) == (0, 4, ["@0", str(tmp_path / "one.png")])
    word = out.split("\t")[2].rsplit(" ", 9)[0].split(",")[0].rpartition(" ")[0]
    code, out, _ = run("find", word, "--json", "-s", store)
    assert (code, out.count('"rank": 1'), f'"{word}"' in out) == (0, 1, True)
    assert run("tag", "--all", "-s", store) == (0, "recorded the words of 0 images\n", "")


def test_an_unknown_word_is_wrong_use(tmp_path: Path, tiny_knows_words: None) -> None:
    paint(tmp_path / "one.png", 3)
    run("add", tmp_path / "one.png", "-e", "tiny", "-s", tmp_path / "store")
    code, out, err = run("find", "zebrra", "-s", tmp_path / "store")
    assert (code, out, err.count("\n"), err[:39]) == (2, "", 1, "Error: tiny does not know 'zebrra'; did")


@pytest.mark.parametrize(("word", "label"), [("dog", "dogs"), ("cat", "cats")])
def test_words_find_real_pictures(word: str, label: str, cats_and_dogs: Store) -> None:
    assert {Path(hit.path).parent.name for hit in cats_and_dogs.find(word, k=30)} == {label}


def test_a_word_is_an_example_for_real_pictures(cats_and_dogs: Store) -> None:
    hits = cats_and_dogs.similar(words=["cat"], k=20)
    assert sum(Path(hit.path).parent.name == "cats" for hit in hits) >= 19


def test_an_export_carries_the_tags(
    open_store: OpenStore, pictures: Path, tmp_path: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    store.remove(4)
    before = [image.tags for image in store.tags()]
    store.export(tmp_path / "all.parquet")
    with Store.open(tmp_path / "other", create=True) as other:
        other.import_vectors(tmp_path / "all.parquet")
        assert ([image.tags for image in other.tags()], other.check()) == (before, [])


def test_an_export_with_damaged_tags_is_refused(
    open_store: OpenStore, pictures: Path, tmp_path: Path, tiny_knows_words: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    monkeypatch.setattr(type(store.session.catalog.tags), "of", lambda self, row: b"short")
    store.export(tmp_path / "all.parquet")
    with (
        Store.open(tmp_path / "other", create=True) as other,
        pytest.raises(BadInput, match="is a damaged export .tags of 5 bytes"),
    ):
        other.import_vectors(tmp_path / "all.parquet")
    assert not (tmp_path / "other").exists()


def test_a_suggested_name_lasts_until_a_person_names_the_cluster(
    open_store: OpenStore, pictures: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures, tags=True)
    store.cluster(2)
    suggested = {cluster.cluster: cluster.suggested for cluster in store.suggest_names()}
    assert any(suggested.values())
    cluster = next(cluster for cluster, name in suggested.items() if name)
    assert store.name_cluster(cluster, "mine").suggested is None
    assert store.name_cluster(cluster, "").suggested == suggested[cluster]


def test_the_nodes_of_a_tree_are_named_by_all_images_below_them(cats_and_dogs: Store) -> None:
    cats_and_dogs.cluster(tree=(2, 6), restarts=10)
    cats_and_dogs.suggest_names()
    assert {node.suggested for node in cats_and_dogs.tree(1)} == {"cat", "dog"}


def test_words_separate_a_cluster_from_its_neighbour(cats_and_dogs: Store) -> None:
    cats_and_dogs.cluster(2)
    called = {cluster.suggested: cluster.cluster for cluster in cats_and_dogs.suggest_names()}
    (rival,) = cats_and_dogs.explain(called["cat"], samples=0).neighbours
    assert (rival.cluster, rival.words[0], rival.their_words[0]) == (called["dog"], "cat", "dog")


def test_clusters_of_cats_and_dogs_are_called_so(cats_and_dogs: Store) -> None:
    cats_and_dogs.cluster(2)
    assert {cluster.suggested for cluster in cats_and_dogs.suggest_names()} == {"cat", "dog"}


def test_names_are_suggested_where_no_tags_are_recorded(
    open_store: OpenStore, pictures: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures)
    store.cluster(2)
    unrecorded = [cluster.suggested for cluster in store.suggest_names()]
    store.tag_all()
    assert [cluster.suggested for cluster in store.suggest_names()] == unrecorded


def test_a_single_cluster_has_nothing_to_be_told_from(
    open_store: OpenStore, pictures: Path, tiny_knows_words: None
) -> None:
    store = open_store()
    store.add(pictures)
    store.cluster(1)
    assert [cluster.suggested for cluster in store.suggest_names()] == [None]


def test_a_name_of_few_of_the_images_is_no_name_for_all() -> None:
    sums = np.array([[15.0, 70.0], [0.0, 30.0]])  # of a hundred images in each cluster
    found = suggestions._suggested([0, 1], sums, np.array([100.0, 100.0]), ["bullterrier", "dog"], np.eye(2))
    assert found == {0: "dog"}


def test_suggesting_names_without_words_is_refused(open_store: OpenStore, pictures: Path) -> None:
    store = open_store()
    store.add(pictures)
    store.cluster(2)
    with pytest.raises(BadInput, match="tiny knows no words"):
        store.suggest_names()


def test_an_embedder_without_words_is_refused_before_it_is_clustered(open_store: OpenStore, pictures: Path) -> None:
    store = open_store()
    store.add(pictures)
    with pytest.raises(BadInput, match="tiny knows no words"):
        store.cluster(2, name_by_words=True)
    assert store.clusterings() == []


def test_clustering_suggests_names_and_says_them(open_store: OpenStore, pictures: Path, tiny_knows_words: None) -> None:
    store = open_store()
    store.add(pictures)
    code, out, _ = run("cluster", "-k", "2", "--name-by-words", "-s", store.path)
    suggested = [f"{found.suggested} ({found.cluster})" for found in store.clusters() if found.suggested]
    assert suggested
    assert (code, out.splitlines()[-1]) == (0, "suggested: " + ", ".join(suggested))


@pytest.mark.usefixtures("tiny_reads_text")
def test_an_embedder_of_any_text_has_no_words_of_its_own(open_store: OpenStore, pictures: Path) -> None:
    store = open_store()
    store.add(pictures)
    for ask in (lambda: store.tag(0), store.tag_all, store.suggest_names):
        with pytest.raises(
            BadInput, match="tiny reads any text and has no list of words; .* `vecstore tag --words FILE`"
        ):
            ask()


def test_one_of_name_and_suggest_is_asked_for(tmp_path: Path) -> None:
    assert run("name", "0", "--suggest", "-s", tmp_path)[0] == run("name", "-s", tmp_path)[0] == 2


@pytest.fixture
def tiny_reads_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the tiny embedder a text tower that knows one colour: "red" is at the pure red of every quadrant."""

    def embed_text(self: TinyEmbedder, texts: list[str]) -> NDArray[np.float32]:
        wanted = np.array([1, 0, 0] * 4 if texts == ["something red"] else [0, 0, 1] * 4, np.float32)
        return (wanted / np.linalg.norm(wanted))[None]

    monkeypatch.setattr(TinyEmbedder, "embed_text", embed_text, raising=False)


def red_and_blue(folder: Path) -> Path:
    folder.mkdir()
    for number in range(4):
        for name, colour in (("red", (200, number, number)), ("blue", (number, number, 200))):
            Image.new("RGB", (32, 32), colour).save(folder / f"{name}{number}.png")
    return folder


def found_names(store: Store, text: str, **conditions: object) -> set[str]:
    return {Path(hit.path).name for hit in store.find(text, k=4, **conditions)}  # type: ignore[arg-type]


@pytest.mark.usefixtures("tiny_reads_text")
def test_an_embedder_that_reads_text_finds_pictures_by_any_words(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
    store.add(red_and_blue(tmp_path / "colours"))
    assert found_names(store, "something red") == {f"red{number}.png" for number in range(4)}
    assert found_names(store, "something else") == {f"blue{number}.png" for number in range(4)}


@pytest.mark.usefixtures("tiny_reads_text")
def test_open_words_take_the_filters_and_the_least_score(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
    store.add(red_and_blue(tmp_path / "colours"))
    assert found_names(store, "something red", path="blue*") == {f"blue{number}.png" for number in range(4)}
    assert found_names(store, "something red", path="blue*", min_score=0.5) == set()


@pytest.mark.usefixtures("tiny_reads_text")
def test_a_model_with_a_probability_of_a_match_has_it_as_the_score(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TinyEmbedder, "match", lambda self, cosines: cosines + 5, raising=False)
    store = open_store()
    store.add(red_and_blue(tmp_path / "colours"))
    assert store.find("something red")[0].score > 5


@pytest.mark.usefixtures("tiny_reads_text")
@pytest.mark.parametrize("text", ["", "  "])
def test_no_words_at_all_are_refused(text: str, open_store: OpenStore, pictures: Path) -> None:
    store = open_store()
    store.add(pictures)
    with pytest.raises(BadInput, match="no word was given"):
        store.find(text)


def test_suggested_names_are_listed_and_marked_on_sheets(
    tiny_knows_words: None, open_store: OpenStore, pictures: Path
) -> None:
    store = open_store()
    store.add(pictures)
    store.cluster(2)
    suggested = {cluster.suggested for cluster in store.suggest_names()}
    listed = run("clusters", "-s", store.path)[1]
    assert suggested <= {None, *listed.replace("\n", "\t").split("\t")}
    assert {called(cluster) for cluster in store.clusters()} == {
        f"Cluster {cluster.cluster}" + (f", {cluster.suggested}?" if cluster.suggested else "")
        for cluster in store.clusters()
    }
    assert any(suggested)
