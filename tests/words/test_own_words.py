"""Words of one's own: their probabilities for images, and how well they agree with folders. The oracle is NumPy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import TinyEmbedder, paint
from tests.words.conftest import LENGTH, drawn, random_head
from vecstore.embedders.embedder import unit_rows
from vecstore.errors import BadInput, NotFound, StoreDamaged
from vecstore.results import Confusion, WordScore
from vecstore.store import Store
from vecstore.words import own_words
from vecstore.words.own_words import read_words
from vecstore.words.vocabulary import vocabulary

OpenStore = Callable[..., Store]
pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = ["a beach", "snow", "at night", "two people", "a red car", "moss"]


def rows_of(store: Store) -> NDArray[np.float64]:
    return np.fromfile(store.path / "vectors.f16", "<f2").reshape(-1, 12).astype(np.float64)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def table(store: Store, words: list[str], **options: Any) -> NDArray[np.float64]:
    """The probabilities of the best words of every image as (images, words), 0 of the others."""
    found = np.zeros((store.info().images, len(words)))
    for place, image in enumerate(store.tags(words=words, **options)):
        assert image.id == place
        for tag in image.tags:
            found[place, words.index(tag.word)] = tag.probability
    return found


def best_five(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(shares >= np.sort(shares, axis=1)[:, [-5]], shares, 0)


@pytest.fixture
def of_text(tiny_reads_any_text: None, open_store: OpenStore, pictures: Path) -> Store:
    store = open_store()
    store.add(pictures)
    return store


@pytest.fixture
def of_head(tiny_knows_words: None, open_store: OpenStore, pictures: Path) -> Store:
    store = open_store()
    store.add(pictures)
    return store


def test_a_plugin_without_a_temperature_chooses_by_clips(of_text: Store) -> None:
    expected = best_five(softmax(100 * rows_of(of_text) @ drawn(WORDS).T))
    np.testing.assert_allclose(
        table(of_text, WORDS), expected, atol=0.02
    )  # vectors of texts are rounded as stored ones


def test_a_model_s_own_temperature_is_used(of_text: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyEmbedder, "choose", lambda self, cosines: softmax(3 * cosines), raising=False)
    expected = best_five(softmax(3 * rows_of(of_text) @ drawn(WORDS).T))
    np.testing.assert_allclose(table(of_text, WORDS), expected, atol=1e-3)


def test_a_probability_of_a_match_is_of_each_word_by_itself(of_text: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyEmbedder, "match", lambda self, cosines: 1 / (1 + np.exp(-5 * cosines)), raising=False)
    expected = best_five(1 / (1 + np.exp(-5 * rows_of(of_text) @ drawn(WORDS).T)))
    np.testing.assert_allclose(table(of_text, WORDS), expected, atol=1e-3)


def test_prompts_are_averaged(of_text: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyEmbedder, "choose", lambda self, cosines: softmax(3 * cosines), raising=False)
    prompts = ["a photo of {}", "{}, painted"]
    texts = np.stack([drawn([prompt.format(word) for prompt in prompts]).mean(axis=0) for word in WORDS])
    expected = best_five(softmax(3 * rows_of(of_text) @ unit_rows(texts).T))
    np.testing.assert_allclose(table(of_text, WORDS, prompts=prompts), expected, atol=1e-3)


def test_a_head_says_of_each_name_how_probable_it_is(of_head: Store) -> None:
    words = ["dog", "animal", "sports car", "bird artifact"]
    head = random_head()
    shares = softmax(LENGTH * rows_of(of_head) @ head.weights.T + head.bias)
    known = vocabulary().classes_of
    sums = {
        word: shares[:, sorted(known[word])].sum(axis=1) for word in ("dog", "animal", "sports car", "bird", "artifact")
    }
    expected = np.stack(
        [sums["dog"], sums["animal"], sums["sports car"], np.minimum(sums["bird"], sums["artifact"])], axis=1
    )
    np.testing.assert_allclose(table(of_head, words), expected, atol=1e-3)


def test_a_new_picture_gets_words_and_is_not_added(of_text: Store, tmp_path: Path) -> None:
    (new, stored) = of_text.tag(paint(tmp_path / "new.png", 77), 3, words=WORDS)
    assert (new.id, new.path, len(new.tags), of_text.info().images) == (None, str(tmp_path / "new.png"), 5, 10)
    assert [stored] == [image for image in of_text.tags(words=WORDS) if image.id == 3]


def test_images_that_are_removed_meanwhile_are_left_out(of_text: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_words, "LOGIT_ROWS", 3)
    of_text.remove(8)
    found = of_text.tags(words=WORDS)
    assert next(found).id == 0
    of_text.remove(4)
    assert [image.id for image in found] == [1, 2, 3, 5, 6, 7, 9]


def test_words_of_a_damaged_vector_are_refused(of_text: Store) -> None:
    file = of_text.path / "vectors.f16"
    data = bytearray(file.read_bytes())
    data[3 * 24 : 4 * 24] = data[:24]
    file.write_bytes(data)
    with pytest.raises(StoreDamaged, match="the vector of @3 is damaged"):
        list(of_text.tags(words=WORDS))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read as a list of words: No such file"),
        (b"\n  \n", "has no words; write one word or phrase a line"),
        (b"beach\nM\xe4rz\n", "line 2: .* is not UTF-8"),
    ],
)
def test_a_file_without_words_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read_words(tmp_path / "words.txt")


def test_a_file_has_a_word_or_phrase_a_line(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes("\ufeffbeach\r\n\r\n a red  car \r\nbeach\r\nMärz".encode())
    assert read_words(tmp_path / "words.txt") == ["beach", "a red  car", "März"]


@pytest.mark.parametrize(
    ("words", "prompts", "message"),
    [
        ([], [], "no word was given"),
        (["dog", ""], [], "no word was given"),
        (["dog", "zebrra"], [], "tiny does not know 'zebrra'; did you mean zebra"),
        (["dog"], ["a {}"], "reads no sentences; leave --prompt out"),
        (["dog"] * 10_001, [], "10001 words are given, the most are 10000"),
        (None, ["a {}"], "a prompt is a template for words, and none is given"),
    ],
)
def test_words_that_cannot_be_used_are_refused(
    words: list[str] | None, prompts: list[str], message: str, of_head: Store
) -> None:
    for ask in (
        lambda: of_head.tag(0, words=words, prompts=prompts),
        lambda: of_head.tags(words=words, prompts=prompts),
    ):
        with pytest.raises(BadInput, match=message):
            ask()


# Judged by folders


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch, open_store: OpenStore, tmp_path: Path) -> Store:
    """Pictures in folders called by colours, two of them in the wrong one, and a text tower that knows the colours."""
    axes = {"red": 0, "green": 1, "blue": 2}

    def embed_text(self: TinyEmbedder, texts: list[str]) -> NDArray[np.float32]:
        return unit_rows(
            np.array(
                [[axes.get(text.casefold().rstrip("s")) == number % 3 for number in range(12)] for text in texts],
                np.float32,
            )
        )

    monkeypatch.setattr(TinyEmbedder, "embed_text", embed_text, raising=False)
    pictures = {"Reds": [0, 0, 0, 2], "green": [1, 1], "blue": [2, 2, 1], "other": [0]}
    for folder, found in pictures.items():
        (tmp_path / "p" / folder).mkdir(parents=True)
        for number, axis in enumerate(found):
            pixel = [len(folder) + 10 * number] * 3
            pixel[axis] = 250
            Image.new("RGB", (8, 8), tuple(pixel)).save(tmp_path / "p" / folder / f"{number}.png")
    store = open_store()
    store.add(tmp_path / "p")
    return store


def test_words_are_judged_by_the_folders_names(colours: Store) -> None:
    found = colours.evaluate_words(["red", "green", "blue"])
    assert (found.images, found.left_out, found.accuracy, found.prompts) == (9, 1, pytest.approx(7 / 9), ())
    assert found.labels == (
        WordScore("Reds", "red", 4, 0.75, 1.0),
        WordScore("blue", "blue", 3, pytest.approx(2 / 3), pytest.approx(2 / 3)),
        WordScore("green", "green", 2, 1.0, pytest.approx(2 / 3)),
    )
    assert found.confusions == (Confusion("Reds", "blue", 1), Confusion("blue", "green", 1))


def test_words_are_judged_by_a_table(colours: Store, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("p/other/0.png,red\np/green/0.png,blue\n")
    found = colours.evaluate_words(["red", "green", "blue"], labels=tmp_path / "labels.csv")
    assert (found.images, found.left_out, found.accuracy) == (2, 0, 0.5)


def test_a_word_in_the_plural_is_the_label_in_the_singular(colours: Store) -> None:
    assert [(score.label, score.word) for score in colours.evaluate_words(["Blues", "red", "green"]).labels] == [
        ("Reds", "red"),
        ("blue", "Blues"),
        ("green", "green"),
    ]


def test_words_that_are_no_label_are_refused(colours: Store) -> None:
    with pytest.raises(NotFound, match="is one of the words; the labels are Reds, blue, green, other"):
        colours.evaluate_words(["yellow", "black"])


def test_the_commands_say_what_the_library_says(colours: Store, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("red\ngreen\nblue\n")
    given = ["--words", str(tmp_path / "words.txt"), "-s", str(colours.path)]
    judged = CliRunner().invoke(app, ["evaluate", *given])
    assert judged.stdout.splitlines() == [
        "Reds\tred\t4\t0.7500\t1.0000",
        "blue\tblue\t3\t0.6667\t0.6667",
        "green\tgreen\t2\t1.0000\t0.6667",
    ]
    assert judged.stderr.splitlines() == [
        "9 images: accuracy 0.7778; 1 more have a label that is none of the words",
        "with another word: 2 images; --wrong lists which",
    ]
    wrong = CliRunner().invoke(app, ["evaluate", "--wrong", *given]).stdout
    assert wrong == "1\tReds\tblue\n1\tblue\tgreen\n"
    assert json.loads(CliRunner().invoke(app, ["evaluate", "--json", *given]).stdout)["accuracy"] == 7 / 9
    one = CliRunner().invoke(app, ["tag", "@0", *given]).stdout
    assert one.split("\t")[2].startswith("red 1.00, ")
    assert CliRunner().invoke(app, ["tag", *given]).stdout.count("\n") == 10


def test_clusters_are_called_by_words_of_one_s_own(colours: Store, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("red\ngreen\nblue\n")
    colours.cluster(3)
    named = CliRunner().invoke(
        app, ["name", "--suggest", "--words", str(tmp_path / "words.txt"), "-s", str(colours.path), "--json"]
    )
    found = [json.loads(line) for line in named.stdout.splitlines()]
    assert {(cluster["suggested"], cluster["size"]) for cluster in found} == {("red", 4), ("green", 3), ("blue", 3)}
    assert {cluster.suggested for cluster in colours.clusters()} == {"red", "green", "blue"}
    assert {cluster.suggested for cluster in colours.suggest_names(["red"])} == {None}  # a word alone tells none apart
    alone = CliRunner().invoke(app, ["name", "0", "a", "--words", "w.txt", "-s", str(colours.path)])
    assert (alone.exit_code, alone.stderr.count("\n")) == (2, 1)


def test_clustering_suggests_names_of_words_of_one_s_own(colours: Store, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("red\ngreen\nblue\n")
    asked = ["cluster", "-k", "3", "-s", str(colours.path), "--words", str(tmp_path / "words.txt")]
    named = CliRunner().invoke(app, [*asked, "--name-by-words"])
    suggested = [f"{found.suggested} ({found.cluster})" for found in colours.clusters()]
    assert {line.partition(" ")[0] for line in suggested} == {"red", "green", "blue"}
    assert named.stdout.splitlines()[-1] == "suggested: " + ", ".join(suggested)
    (tmp_path / "words.txt").write_text("red\n")
    none = CliRunner().invoke(app, [*asked, "--name-by-words"])
    assert none.stdout.splitlines()[-1] == "no name is suggested: no word tells a cluster from the others"
    alone = CliRunner().invoke(app, asked)
    assert (alone.exit_code, alone.stderr.count("\n")) == (2, 1)
    with pytest.raises(BadInput, match="ask for name_by_words too"):
        colours.cluster(2, words=["red"])
    with pytest.raises(BadInput, match="no word was given"):
        colours.cluster(2, name_by_words=True, words=[])
    assert len(colours.clusterings()) == 2  # refused before the work


@pytest.mark.parametrize(
    "arguments",
    [("tag", "--all", "--words", "w.txt"), ("evaluate", "--prompt", "a {}"), ("tag", "@0", "--prompt", "{}")],
)
def test_options_that_contradict_each_other_are_wrong_use(arguments: tuple[str, ...], of_text: Store) -> None:
    assert CliRunner().invoke(app, [*arguments, "-s", str(of_text.path)]).exit_code == 2
