"""The HTTP API of selections and of clusters by hand: the library's answers, and its refusals as one line."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.serving import ended, make_store, serving
from vecstore.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path)


@pytest.fixture
def client(store: Path) -> Iterator[TestClient]:
    with serving(store) as client:
        yield client


def test_selections_are_made_read_put_together_and_deleted(client: TestClient, store: Path) -> None:
    made = client.post("/api/selections/a%2Fb", json={"images": [1, 2, 5]})
    assert made.json() == {"name": "a/b", "added": 3, "removed": 0, "images": 3}
    client.post("/api/selections/c", json={"images": [2, 7]})
    client.post("/api/selections/c", json={"union": ["a/b"], "minus": []})
    client.post("/api/selections/c", json={"images": [7], "remove": True})
    with Store.open(store) as library:
        assert client.get("/api/selections").json() == [asdict(found) for found in library.selections()]
        assert client.get("/api/selections/c?k=2&start=1").json() == [
            asdict(image) for image in library.selected("c", 2, start=1)
        ]
    assert {hit["id"] for hit in client.get("/api/images/1/similar?in_selection=a/b").json()} == {1, 2, 5}
    assert len(client.get("/api/outliers?not_in_selection=a/b").json()) == 15
    assert client.delete("/api/selections/a/b").json()["removed"] == 3
    assert [found["name"] for found in client.get("/api/selections").json()] == ["c"]


def test_clusters_are_changed_by_hand(client: TestClient, store: Path) -> None:
    moved = client.post("/api/clusters/2/images", json={"images": [0, 1]}).json()
    assert (moved["cluster"], moved["pinned"]) == (2, 2)
    assert client.post("/api/pins", json={"images": [5]}).json()[0]["id"] == 5
    assert [pin["id"] for pin in client.get("/api/pins").json()] == [0, 1, 5]
    assert [pin["id"] for pin in client.post("/api/pins", json={"images": [5, 6], "remove": True}).json()] == [5]
    new = client.post("/api/clusters", json={"images": [7]}).json()
    assert (new["cluster"], client.get("/api/images/7/cluster").json()["cluster"]) == (6, 6)
    assert client.patch("/api/clusters/6", json={"name": "Lonely"}).status_code == 200
    assert client.post("/api/clusters/merge", json={"clusters": [2, "lonely"]}).json()["k"] == 6
    job = client.post("/api/jobs", json={"kind": "cluster", "k": 2, "within": 2})
    assert (job.status_code, ended(client, job.json()["id"])["state"]) == (202, "done")
    with Store.open(store) as library:
        assert (library.clusterings()[-1].k, library.check()) == (7, [])
        assert [pin.id for pin in library.pins()] == [0, 1, 7]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("GET", "/api/selections/none", None, 404, "no selection 'none'; there are none yet"),
        ("POST", "/api/selections/@1", {"images": [1]}, 400, "'@1' is an image and no name for a selection"),
        ("POST", "/api/selections/a", {}, 400, "name the images to put into 'a'"),
        ("POST", "/api/selections/a", {"images": [99]}, 404, "no image @99"),
        ("GET", "/api/images/1/similar?in_selection=b", None, 404, "no selection 'b'"),
        ("GET", "/api/images/1/similar?cluster=beach", None, 404, "no cluster 'beach' in the current clustering"),
        ("POST", "/api/clusters/merge", {"clusters": [1, 1]}, 400, "cluster 1 is named twice"),
        ("POST", "/api/clusters/99/images", {"images": [1]}, 404, "no cluster 99"),
    ],
)
def test_what_cannot_be_is_one_line(
    method: str, path: str, body: object, status: int, detail: str, client: TestClient
) -> None:
    found = client.request(method, path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert (found.status_code, found.json()["detail"][: len(detail)]) == (status, detail)
