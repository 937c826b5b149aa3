"""The map as arrays over HTTP: what comes is what the library has, and what a browser has is not sent again."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.serving import copy_of, make_store, serving
from vecstore.store import Store
from vecstore.views import map_arrays, map_placing


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = make_store(tmp_path_factory.mktemp("mapped"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_placing, "STEPS", 10)
        with Store.open(store) as opened:
            opened.map()
    return store


@pytest.fixture
def folder(mapped: Path, tmp_path: Path) -> Path:
    return copy_of(mapped, tmp_path / "copy")


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with serving(folder) as client:
        yield client


def unpacked(body: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    end = 4 + int.from_bytes(body[:4], "little")
    header = json.loads(body[4:end])
    arrays = {}
    for kind in header.pop("arrays"):
        dtype = np.dtype(kind["type"]).newbyteorder("<")
        arrays[kind["name"]] = np.frombuffer(body, dtype, kind["length"], end)
        end += dtype.itemsize * kind["length"]
    assert end == len(body)
    return header, arrays


def test_positions_and_values_are_the_library_s_and_of_the_same_images(client: TestClient, folder: Path) -> None:
    header, at = unpacked(client.get("/api/map/positions").content)
    coloured, values = unpacked(client.get("/api/map/values/cluster").content)
    with Store.open(folder) as store:
        known, expected = store.map_positions(), store.map_values("cluster")
        offered = list(store.map_colours())
    np.testing.assert_array_equal(at["ids"], known.ids)
    np.testing.assert_array_equal(at["positions"], known.positions.ravel())
    np.testing.assert_array_equal(values["values"], expected.values)
    assert (header["images"], header["colours"], header["of"]) == (known.images, offered, coloured["of"])
    assert [category["cluster"] for category in coloured["categories"]] == [
        c.cluster for c in expected.categories or ()
    ]


def test_values_are_of_the_positions_that_they_name_whatever_changes_in_between(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version_of_map, asked = map_arrays.version_of_map, list[int]()
    n_before = len(client.get("/api/map").json()["points"])

    def after_a_removal(session: Any) -> tuple[int, ...]:
        asked.append(1)
        if len(asked) == 2:
            with Store.open(folder) as other:
                other.remove(1)
            os.utime(folder / "map.npz")  # as if it had been written anew
        return version_of_map(session)

    monkeypatch.setattr(map_arrays, "version_of_map", after_a_removal)
    before = unpacked(client.get("/api/map/values/folder").content)
    after = unpacked(client.get("/api/map/values/folder").content)
    header, at = unpacked(client.get("/api/map/positions").content)
    assert [len(arrays["values"]) for _, arrays in (before, after)] == [n_before, n_before - 1]
    assert (len(at["ids"]), header["of"], before[0]["of"] == after[0]["of"]) == (n_before - 1, after[0]["of"], False)


def test_what_a_browser_has_is_not_sent_again_until_it_changes(client: TestClient) -> None:
    for path in ("/api/map/positions", "/api/map/values/cluster"):
        first = client.get(path)
        assert first.headers["cache-control"] == "private, no-cache"
        tag = {"If-None-Match": first.headers["etag"]}
        again = client.get(path, headers=tag)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        client.delete("/api/images/1")
        after = client.get(path, headers=tag)
        assert after.status_code == 200
        client.post("/api/undo", json={})
        assert client.get(path, headers=tag).status_code == 304  # it is as it was


def test_a_store_that_cannot_keep_its_map_shows_what_the_job_made(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = client.get("/api/map").json()
    (folder / "map.npz").unlink()
    assert client.get("/api/map/positions").status_code == 404
    assert client.get("/api/map/values/cluster").status_code == 404
    monkeypatch.setattr(client.app.state.server.jobs, "_map", drawn)  # type: ignore[attr-defined]
    header, at = unpacked(client.get("/api/map/positions").content)
    _, values = unpacked(client.get("/api/map/values/cluster").content)
    assert (at["ids"].tolist(), header["images"]) == ([point["id"] for point in drawn["points"]], drawn["images"])
    assert len({*values["values"].tolist()}) == len({point["cluster"] for point in drawn["points"]})


def test_many_ids_go_into_a_selection_in_one_operation(client: TestClient) -> None:
    ids = np.arange(12, dtype="<u4")
    sent = {"content": ids.tobytes(), "headers": {"Content-Type": "application/octet-stream"}}
    assert client.post("/api/map/selections/b/c", **sent).json() == {
        "name": "b/c",
        "added": 12,
        "removed": 0,
        "images": 12,
    }
    assert [one["id"] for one in client.get("/api/selections/b/c").json()] == list(range(12))
    client.post("/api/undo", json={})
    assert client.get("/api/selections").json() == []


@pytest.mark.parametrize(("sent", "status"), [(b"", 400), (b"abc", 400), (b"\xff\xff\xff\xff", 404)])
def test_ids_that_are_none_are_told_in_a_line(sent: bytes, status: int, client: TestClient) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    answer = client.post("/api/map/selections/a", content=sent, headers=headers)
    assert (answer.status_code, "\n" in answer.json()["detail"]) == (status, False)
    assert client.get("/api/map/values/mood").status_code == 422
