"""What the tests of words share: a head of random numbers, and a text tower whose vectors are drawn from the text."""

import functools
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import SHARED, TinyEmbedder
from vecstore.embedders.heads import Head
from vecstore.store import Store

# Of the features of what is classified by a head of random numbers: so long that some names are probable.
LENGTH = 6.0


@functools.cache
def random_head() -> Head:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(1000, 12)).astype(np.float32)
    return Head(weights, rng.normal(size=1000).astype(np.float32), LENGTH)


@pytest.fixture
def tiny_knows_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the tiny embedder a head of random numbers."""
    monkeypatch.setattr(TinyEmbedder, "head", lambda self: random_head(), raising=False)


def drawn(texts: Sequence[str]) -> NDArray[np.float32]:
    """A vector of length 1 for each text, the same for the same text."""
    rows = np.stack([np.random.default_rng(zlib.crc32(text.encode())).normal(size=12) for text in texts])
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture
def tiny_reads_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the tiny embedder a text tower of the documented protocol, whose vectors are `drawn`."""
    monkeypatch.setattr(TinyEmbedder, "embed_text", lambda self, texts: drawn(texts), raising=False)


@pytest.fixture(scope="module")
def cats_and_dogs(efficientnet: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store of the sixty real cats and dogs, with their tags."""
    if not (SHARED / "catsdogs60").is_dir():
        pytest.skip(f"the real pictures catsdogs60 are not at {SHARED}")
    folder = tmp_path_factory.mktemp("real") / "store"
    with Store.open(folder, embedder="efficientnet-lite0", create=True, device="cpu") as store:
        store.add(SHARED / "catsdogs60", tags=True)
        yield store
