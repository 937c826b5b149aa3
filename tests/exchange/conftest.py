"""What tests of labels begin with: a store, and its selections."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vecstore.store import Store


@pytest.fixture
def store(open_store: Callable[..., Store], pictures: Path) -> Store:
    """The ten pictures; a picture's row is its number."""
    opened = open_store()
    opened.add(pictures)
    return opened


def sets(store: Store) -> dict[str, list[int]]:
    return {one.name: [image.id for image in store.selected(one.name)] for one in store.selections()}
