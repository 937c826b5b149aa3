"""Stores that several tests of the page begin with."""

from pathlib import Path

import pytest

from tests.serving import paint_one
from vecstore.store import Store


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A store of eight pictures in four clusters: of so few a map is drawn at once."""
    for number in range(8):
        paint_one(("reef", "city", "sunset", "forest")[number % 4], number, tmp_path / "pictures" / f"{number}.png")
    with Store.open(tmp_path / "few", embedder="hsv", create=True) as store:
        store.add(tmp_path / "pictures")
        store.cluster(4, restarts=3)
    return tmp_path / "few"
