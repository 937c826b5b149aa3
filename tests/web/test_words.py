"""Searching by words over HTTP and in the page: the same answers as `Store.find`, and what cannot be asked for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import TinyEmbedder
from tests.serving import ended, make_store, serving
from vecstore.embedders.heads import Head
from vecstore.storage.derived_arrays import save_arrays
from vecstore.storage.layout import HEAD
from vecstore.store import Store
from vecstore.words.stored_head import _arrays

OpenStore = Callable[..., Store]
pytestmark = pytest.mark.usefixtures("one_thread")


def random_head() -> Head:
    rng = np.random.default_rng(0)
    return Head(rng.normal(size=(1000, 12)).astype(np.float32), rng.normal(size=1000).astype(np.float32), 3.0)


@pytest.fixture
def store(open_store: OpenStore, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The ten pictures, of an embedder with a head of random numbers."""
    monkeypatch.setattr(TinyEmbedder, "head", lambda self: random_head(), raising=False)
    made = open_store()
    made.add(pictures)
    return made


def test_words_find_what_the_library_finds(store: Store) -> None:
    expected = [(hit.id, hit.score, list(hit.words)) for hit in store.find("animal", k=5)]
    with serving(store.path) as client:
        found = client.get("/api/find", params={"q": "animal", "k": 5}).json()
    assert expected
    assert [(hit["id"], hit["score"], hit["words"]) for hit in found] == expected


def test_the_conditions_hold_for_words_too(store: Store) -> None:
    least = store.find("animal", k=10)[1].score
    with serving(store.path) as client:
        found = client.get("/api/find", params={"q": "animal", "min_score": least}).json()
    assert [hit["score"] >= least for hit in found] == [True, True]


def test_an_unknown_word_is_answered_by_what_is_known(store: Store) -> None:
    with serving(store.path) as client:
        answer = client.get("/api/find", params={"q": "dogg"})
    assert answer.status_code == 400
    assert "did you mean" in answer.json()["detail"]


@pytest.mark.parametrize("q", ["", "x" * 201])
def test_text_of_another_length_is_refused(q: str, store: Store) -> None:
    with serving(store.path) as client:
        assert client.get("/api/find", params={"q": q}).status_code == 422


def test_names_of_ones_own_are_suggested(tmp_path: Path) -> None:
    """In a store that keeps a head, so that the job's own process needs no embedder that knows words."""
    with Store.open(make_store(tmp_path)) as store:
        spec = store.session.spec
        rng = np.random.default_rng(0)
        head = Head(rng.normal(size=(1000, spec.dim)).astype(np.float32), np.zeros(1000, np.float32), 30.0)
        save_arrays(store.path / HEAD, **_arrays(head, spec.to_json()))
        words = ["dog", "cat", "vehicle", "bird"]
        expected = {one.cluster: one.suggested for one in store.suggest_names(words)}
        assert {*filter(None, expected.values())} <= {*words}
        assert any(expected.values())
        store.suggest_names()
        with serving(store.path) as client:
            asked = {"kind": "names", "words": words}
            assert ended(client, client.post("/api/jobs", json=asked).json()["id"])["state"] == "done"
            found = {one["cluster"]: one["suggested"] for one in client.get("/api/clusters").json()}
            refused = [client.post("/api/jobs", json={**asked, "words": bad}).status_code for bad in ([], [""], "dog")]
    assert (found, refused) == (expected, [422, 422, 422])


def test_words_are_examples_beside_images(store: Store) -> None:
    asked = {"words": ["dog"], "minus": [2], "minus_words": ["car"], "minus_weight": 0.5, "k": 5}
    with serving(store.path) as client:
        found = client.post("/api/similar", json={"images": [1], **asked}).json()
        alone = client.post("/api/similar", json={"words": ["dog"]}).json()
        empty = client.post("/api/similar", json={})
        unread = client.get("/api/find", params={"q": "dog", "prompts": "a {}"})
    assert [hit["id"] for hit in found] == [hit.id for hit in store.similar(1, **asked)]  # type: ignore[arg-type]
    assert [hit["id"] for hit in alone] == [hit.id for hit in store.similar(words=["dog"])]
    assert (empty.status_code, "image or word" in empty.json()["detail"]) == (400, True)
    assert (unread.status_code, "leave --prompt out" in unread.json()["detail"]) == (400, True)
