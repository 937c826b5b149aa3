"""Words as examples beside pictures, and templates for them: `similar --word`, `--prompt`. The oracle is NumPy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import TinyEmbedder
from tests.words.conftest import drawn, random_head
from vecstore.errors import BadInput
from vecstore.store import Store
from vecstore.words.vocabulary import vocabulary
from vecstore.words.word_vectors import RIDGE, class_directions

OpenStore = Callable[..., Store]
pytestmark = pytest.mark.usefixtures("one_thread")


def unit(row: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(row / np.linalg.norm(row), np.float64)


def rows_of(store: Store) -> NDArray[np.float64]:
    return np.fromfile(store.path / "vectors.f16", "<f2").reshape(-1, 12).astype(np.float64)


def nearest(store: Store, query: NDArray[Any]) -> list[int]:
    return [int(row) for row in np.argsort(-(rows_of(store) @ query), kind="stable")]


def ids(store: Store, *refs: Any, **options: Any) -> list[int]:
    return [hit.id for hit in store.similar(*refs, k=10, **options)]


@pytest.fixture
def of_head(tiny_knows_words: None, open_store: OpenStore, pictures: Path) -> Store:
    store = open_store()
    store.add(pictures)
    return store


@pytest.fixture
def of_text(tiny_reads_any_text: None, open_store: OpenStore, pictures: Path) -> Store:
    store = open_store()
    store.add(pictures)
    return store


def direction(*words: str) -> NDArray[np.float64]:
    """The mean, over the words, of what ridge regression finds, by its usual formula over the features."""
    weights = random_head().weights.astype(np.float64)
    centred = weights - weights.mean(axis=0)
    found = []
    for word in words:
        target = np.zeros(1000)
        classes = sorted(vocabulary().classes_of[word])
        target[classes] = 1 / len(classes)
        ridge = RIDGE * (centred**2).sum() / 1000
        found.append(unit(np.linalg.solve(centred.T @ centred + ridge * np.eye(12), centred.T @ target)))
    return unit(np.mean(found, axis=0))


def test_the_direction_of_a_word_is_that_of_a_ridge_regression() -> None:
    classes = sorted(vocabulary().classes_of["dog"])
    np.testing.assert_allclose(class_directions(random_head(), [classes])[0], direction("dog"), atol=1e-4)


@pytest.mark.parametrize("word", ["dog", "animal"])
def test_a_word_alone_is_looked_for_by_its_direction(word: str, of_head: Store) -> None:
    assert ids(of_head, words=[word]) == nearest(of_head, direction(word))


def test_names_in_one_word_are_averaged(of_head: Store) -> None:
    assert ids(of_head, words=["dog sports car"]) == nearest(of_head, direction("dog", "sports car"))


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_words_count_as_much_as_pictures_and_what_is_subtracted_less(weight: float, of_head: Store) -> None:
    rows = rows_of(of_head)
    plus = (rows[3] + direction("dog") + direction("bird")) / 3
    minus = (rows[5] + direction("car")) / 2
    found = ids(of_head, 3, words=["dog", "bird"], minus=[5], minus_words=["car"], minus_weight=weight)
    assert found == nearest(of_head, unit(plus - weight * minus))


def test_texts_are_examples_too_where_the_embedder_reads_text(of_text: Store) -> None:
    query = (rows_of(of_text)[2] + drawn(["at night"])[0]) / 2 - 0.25 * drawn(["snow"])[0]
    assert ids(of_text, "@2", words=["at night"], minus_words=["snow"]) == nearest(of_text, query)


def test_the_conditions_hold_for_words(of_head: Store) -> None:
    found = ids(of_head, words=["dog"], path="deep/")
    assert found == [row for row in ids(of_head, words=["dog"]) if row >= 5]


def test_prompts_are_averaged_for_find_and_similar(of_text: Store) -> None:
    prompts = ["a photo of a {}", "{} at night, a {}"]
    query = unit(drawn(["a photo of a dog", "dog at night, a dog"]).mean(axis=0))
    assert [hit.id for hit in of_text.find("dog", prompts=prompts)] == nearest(of_text, query)
    assert ids(of_text, words=["dog"], prompts=prompts) == nearest(of_text, query)
    assert nearest(of_text, query) != nearest(of_text, drawn(["dog"])[0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"words": ["zebrra"]}, "tiny does not know 'zebrra'; did you mean zebra"),
        ({"words": [" "]}, "no word was given"),
        ({"words": ["entity"]}, "'entity' is all that tiny knows"),
        ({"words": ["dog"], "prompts": ["a {}"]}, "knows words by name and reads no sentences; leave --prompt out"),
        ({"words": ["dog"], "prompts": ["a photo"]}, "the prompt 'a photo' has no {} for the word"),
        ({"prompts": ["a {}"]}, "name at least one image or word"),
        ({"minus_words": ["dog"]}, "name at least one image or word"),
        ({"words": ["dog"], "minus_weight": 1.5}, "minus_weight is 1.5; weights are from 0 to 1"),
    ],
)
def test_examples_that_cannot_be_looked_for_are_refused(given: dict[str, Any], message: str, of_head: Store) -> None:
    with pytest.raises(BadInput, match=message):
        of_head.similar(**given)


@pytest.mark.parametrize(
    ("text", "prompts", "message"),
    [
        ("", (), "no word was given"),
        ("dog", ["no place"], "the prompt 'no place' has no {}"),
        ("\udcff", (), "is not UTF-8, so no tokenizer reads it"),
    ],
)
def test_texts_that_no_tower_reads_are_refused(text: str, prompts: list[str], message: str, of_text: Store) -> None:
    with pytest.raises(BadInput, match=message):
        of_text.find(text, prompts=prompts)


def test_a_prompt_without_a_word_is_refused(of_text: Store) -> None:
    with pytest.raises(BadInput, match="a prompt is a template for words, and none is given"):
        of_text.similar(0, prompts=["a {}"])


@pytest.mark.parametrize("made", [np.ones((1, 5)), np.full((1, 12), np.nan)])
def test_a_tower_whose_vectors_are_of_another_space_is_refused(
    made: NDArray[Any], of_text: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TinyEmbedder, "embed_text", lambda self, texts: made)
    with pytest.raises(BadInput, match=r"of 1 texts, not finite numbers of the shape \(1, 12\)"):
        of_text.find("dog")


def test_the_command_says_what_the_library_says(of_head: Store) -> None:
    arguments = ["@3", "--word", "dog", "--word", "bird", "--minus-word", "car", "--minus", "@5", "--minus-weight", "1"]
    done = CliRunner().invoke(app, ["similar", *arguments, "-q", "-s", str(of_head.path)])
    expected = of_head.similar(3, words=["dog", "bird"], minus=[5], minus_words=["car"], minus_weight=1)
    lines = [f"{hit.rank}\t{hit.score:.4f}\t@{hit.id}\t-\t{hit.path}" for hit in expected]
    assert (done.exit_code, done.stdout.splitlines()) == (0, lines)


@pytest.mark.parametrize("option", ["--word", "--minus-word", "--prompt"])
def test_every_image_and_words_exclude_each_other(option: str, of_head: Store) -> None:
    assert CliRunner().invoke(app, ["similar", "--all", option, "dog", "-s", str(of_head.path)]).exit_code == 2


def test_a_prompt_reaches_find_by_the_command(of_text: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["find", "dog", "--prompt", "a {}", "-q", "-s", str(of_text.path)])
    assert [line.split("\t")[2] for line in done.stdout.splitlines()] == [
        f"@{row}" for row in nearest(of_text, drawn(["a dog"])[0])
    ]
