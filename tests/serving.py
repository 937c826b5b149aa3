"""A server of a small store of painted pictures, asked in this process."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from vecstore.sources.painted import KINDS, paint, paint_folder
from vecstore.store import Store
from vecstore.web.app import create_app
from vecstore.web.settings import Settings

PER_KIND = 3
TOKEN = "a-token-of-more-than-16-characters"


def make_store(folder: Path) -> Path:
    """Make a store of 18 painted pictures in 6 clusters, beside its pictures; return its folder."""
    paint_folder(folder / "pictures", 0, PER_KIND)
    with Store.open(folder / "store", embedder="hsv", create=True) as store:
        store.add(folder / "pictures")
        store.cluster(len(KINDS), restarts=20)
    return folder / "store"


def copy_of(store: Path, folder: Path) -> Path:
    """Return a store of the same pictures that a test may write to."""
    return Path(shutil.copytree(store, folder / "store"))


def paint_one(kind: str, seed: int, path: Path, side: int | None = None) -> Path:
    """Write one painted picture, of side x side pixels if a side is named; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = paint(kind, seed)
    (picture if side is None else picture.resize((side, side))).save(path)
    return path


@contextmanager
def serving(store: str | Path, **settings: Any) -> Iterator[TestClient]:
    """Yield what asks a server of the store, as a program on the same machine does."""
    app = create_app(Settings(store=store, **settings))
    with TestClient(app, base_url="http://127.0.0.1:8765") as client:
        yield client


def ended(client: TestClient, job: int, within: float = 30.0) -> dict[str, Any]:
    """Return a job when it is over."""
    limit = time.monotonic() + within
    while time.monotonic() < limit:
        found: dict[str, Any] = client.get(f"/api/jobs/{job}").json()
        if found["state"] in ("done", "failed", "cancelled"):
            return found
        time.sleep(0.05)
    raise TimeoutError(f"job {job} is not over after {within} s: {found}")
