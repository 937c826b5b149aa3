"""Stores that several tests of the page begin with, and what a busy machine asks of tests in a browser."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.serving import paint_one
from vecstore.store import Store


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Where VECSTORE_TEST_RERUNS is set, run a test in the browser so many times more when it fails.

    Chromium, the server and another test share two cores on CI, where a wait can end early that ends in time elsewhere.
    What had to be run again is named in the summary, and nothing but tests in the browser is.
    """
    reruns = int(os.environ.get("VECSTORE_TEST_RERUNS", "0"))
    for item in items:
        if reruns and "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=reruns))


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A store of eight pictures in four clusters: of so few a map is drawn at once."""
    for number in range(8):
        paint_one(("reef", "city", "sunset", "forest")[number % 4], number, tmp_path / "pictures" / f"{number}.png")
    with Store.open(tmp_path / "few", embedder="hsv", create=True) as store:
        store.add(tmp_path / "pictures")
        store.cluster(4, restarts=3)
    return tmp_path / "few"
