"""Below a path of a proxy, and several stores in one server: everything is where it says, with the same guard."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.programs import run_program
from tests.serving import TOKEN, copy_of, make_store, paint_one
from vecstore.errors import BadInput
from vecstore.store import Store
from vecstore.web.app import create_site
from vecstore.web.settings import Settings


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store of 18 pictures, and one of a single one, whose folders have the same name."""
    folder = tmp_path_factory.mktemp("site")
    paint_one("reef", 50, folder / "one.png")
    with Store.open(folder / "other" / "store", embedder="hsv", create=True) as store:
        store.add(folder / "one.png")
    return make_store(folder), folder / "other" / "store"


@contextmanager
def asking(*stores: Path, **settings: Any) -> Iterator[TestClient]:
    site = create_site([Settings(store, **settings) for store in stores])
    with TestClient(site, base_url="http://127.0.0.1:8765", follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("asked", ["/photos", ""])
def test_below_a_path_that_the_proxy_passes_on_or_takes_away(asked: str, stores: tuple[Path, Path]) -> None:
    with asking(stores[0], root_path="/photos") as client:
        assert client.get(f"{asked}/api/state").json()["images"] == 18
        for path in ("/", "/static/app.js", "/docs", "/healthz", "/static/swagger/swagger-ui.css"):
            assert (path, client.get(asked + path).status_code) == (path, 200)
        started = client.post(f"{asked}/api/jobs", json={"kind": "map"})
        assert started.headers["location"] == "/photos/api/jobs/1"
        client.delete(f"{asked}/api/jobs/1")
        assert client.get("/photos").headers["location"] == "/photos/"


def test_the_page_asks_for_nothing_from_the_top_of_the_site() -> None:
    import vecstore.web

    static = Path(vecstore.web.__file__).parent / "static"
    for file in (*static.rglob("*.js"), *static.glob("*.html"), *static.glob("*.webmanifest")):
        text = file.read_text()
        assert [part for part in ('"/api', '"/static', "`/api", "'/api") if part in text] == [], file


def test_every_store_is_at_its_own_address_and_the_first_at_the_top(stores: tuple[Path, Path]) -> None:
    with asking(*stores) as client:
        assert client.get("/api/stores").json() == [
            {"name": "store", "url": "/s/store/", "current": True},
            {"name": "store-2", "url": "/s/store-2/", "current": False},
        ]
        images = {top: client.get(f"{top}/api/state").json()["images"] for top in ("", "/s/store", "/s/store-2")}
        assert images == {"": 18, "/s/store": 18, "/s/store-2": 1}
        assert client.get("/s/store-2/api/stores").json()[1]["current"]
        assert client.get("/s/store-2").headers["location"] == "/s/store-2/"
        assert [client.get(path).status_code for path in ("/s/store-2/", "/s/nothing/api/state")] == [200, 404]


def test_the_guard_stands_before_every_store(stores: tuple[Path, Path]) -> None:
    with asking(*stores, host="0.0.0.0", token=TOKEN, root_path="/photos") as client:
        for top in ("/photos", "/photos/s/store", "/photos/s/store-2"):
            assert [client.get(top + path).status_code for path in ("/", "/api/state")] == [200, 401]
            answer = client.get(f"{top}/api/state", headers={"Origin": "http://evil.example"})
            assert (answer.status_code, "frame-ancestors" in answer.headers["content-security-policy"]) == (403, True)
        cookie = client.post("/photos/s/store-2/api/login", json={"token": TOKEN}).headers["set-cookie"]
        assert "Path=/photos;" in cookie
        assert client.get("/photos/api/state").json()["images"] == 18  # one login is for all of them


def test_what_is_written_to_one_store_is_not_in_the_other(stores: tuple[Path, Path], tmp_path: Path) -> None:
    copy = copy_of(stores[0], tmp_path)
    with asking(stores[1], copy) as client:
        assert client.post("/s/store-2/api/remove", json={"images": [0]}).json()["removed"] == 1
        assert client.get("/api/state").json()["images"] == 1
        assert client.get("/s/store-2/api/state").json()["images"] == 17


@pytest.mark.parametrize(
    ("root", "said"),
    [("photos", "is no path for a server"), ("/a b", "is no path"), ("/api/x", "cannot be told from the server's own")],
)
def test_a_path_that_cannot_be_is_refused(root: str, said: str, stores: tuple[Path, Path]) -> None:
    with pytest.raises(BadInput, match=said):
        Settings(stores[0], root_path=root)


def test_stores_are_named_in_one_way(stores: tuple[Path, Path]) -> None:
    done = run_program("serve", stores[0], "--store", stores[1])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: stores are named twice, by --store")
