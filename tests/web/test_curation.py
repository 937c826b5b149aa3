"""Deciding and acting over HTTP: a dry run by default, nothing outside the named folders, nothing with --read-only."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.conftest import paint
from tests.serving import paint_one, serving
from vecstore.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of four pictures, two of which have a copy in b, beside a folder that is not the server's."""
    for seed in range(4):
        paint(tmp_path / "pictures/a" / f"{seed}.png", seed)
    (tmp_path / "pictures/b").mkdir()
    for seed in range(2):
        shutil.copyfile(tmp_path / f"pictures/a/{seed}.png", tmp_path / f"pictures/b/{seed}.png")
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(tmp_path / "pictures")
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with serving(folder / "store", roots=(folder / "pictures",)) as client:
        yield client


def rule(folder: Path) -> list[str]:
    return [f"folder:{folder}/pictures/b"]


def test_groups_come_with_sizes_and_why(client: TestClient, folder: Path) -> None:
    first, second = client.get("/api/duplicates", params={"exact": True, "keep_by": rule(folder)}).json()
    size = (folder / "pictures/a/0.png").stat().st_size
    assert (first["bytes"], first["is_decided"], [file["path"] for file in first["files"]]) == (
        size,
        False,
        [f"{folder}/pictures/b/0.png", f"{folder}/pictures/a/0.png"],
    )
    assert first["files"][0] == {
        **{"kind": "keep", "id": 0, "path": f"{folder}/pictures/b/0.png", "score": 1.0, "bytes": size},
        **{"why": f"folder {folder}/pictures/b", "width": 32, "height": 24, "relation": "", "confidence": 1.0},
    }
    assert client.get("/api/duplicates", params={"exact": True, "start": 1}).json()[0]["files"][0]["id"] == 1
    assert second["group"] == 2


@pytest.mark.parametrize("sort", ["score", "taken", "size", "path"])
def test_groups_come_in_the_order_of_the_command_line(sort: str, client: TestClient, folder: Path) -> None:
    paint_one("city", 1, folder / "pictures/a/small.png", side=48)
    paint_one("city", 1, folder / "pictures/0/large.png", side=96)
    with Store.open(folder / "store") as store:
        store.add(folder / "pictures")
        asked = [file.group for file in store.duplicates(sort=sort)]
    found = client.get("/api/duplicates", params={"sort": sort}).json()
    assert [group["group"] for group in found] == list(dict.fromkeys(asked))
    assert [one["group"] for one in client.get(f"/api/duplicates?sort={sort}&start=1&k=1").json()] == [
        found[1]["group"]
    ]
    assert client.get("/api/duplicates?sort=colour").status_code == 422


def test_a_decision_is_recorded_listed_and_undone(client: TestClient, folder: Path) -> None:
    made = client.post("/api/decisions", json={"verdict": "both", "images": [0]}).json()
    assert [(one["verdict"], one["one"], one["other"]) for one in made] == [("both", 0, 0)]
    assert client.get("/api/decisions").json() == made
    assert [group["files"][0]["id"] for group in client.get("/api/duplicates?exact=true").json()] == [1]
    assert client.post("/api/undo", json={}).json()["kind"] == "decide"
    assert client.get("/api/decisions").json() == []


def test_an_act_is_a_dry_run_unless_that_is_said(client: TestClient, folder: Path) -> None:
    asked = {"act": "delete", "keep_by": rule(folder), "exact": True, "images": [0]}
    planned = client.post("/api/acts", json=asked).json()
    assert ([act["state"] for act in planned["acts"]], (folder / "pictures/a/0.png").exists()) == (["planned"], True)
    done = client.post("/api/acts", json={**asked, "dry_run": False}).json()
    assert (done["done"], done["freed"], (folder / "pictures/a/0.png").exists()) == (1, True, False)
    assert (folder / "pictures/a/1.png").exists()


def test_what_is_undone_is_back(client: TestClient, folder: Path) -> None:
    asked = {"act": f"move:{folder}/pictures/moved", "keep_by": rule(folder), "dry_run": False}
    assert client.post("/api/acts", json=asked).json()["done"] == 2
    assert client.get("/api/operations").json()[0]["kind"] == "move"
    assert client.post("/api/undo", json={}).json()["files"] == 2
    assert (folder / "pictures/a/0.png").exists()


@pytest.mark.parametrize("dry_run", [True, False])
def test_nothing_outside_the_named_folders_is_touched(dry_run: bool, client: TestClient, folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    shutil.copyfile(folder / "pictures/a/3.png", folder / "elsewhere/3.png")
    with Store.open(folder / "store") as store:
        store.add(folder / "elsewhere")
    asked = {"act": "delete", "keep_by": rule(folder), "dry_run": dry_run}
    moved = {"act": f"move:{folder}/elsewhere", "keep_by": rule(folder), "dry_run": dry_run}
    into_elsewhere = client.post("/api/acts", json=moved)
    of_elsewhere = client.post("/api/acts", json={**asked, "keep_by": [f"folder:{folder}/pictures"]})
    assert (into_elsewhere.status_code, of_elsewhere.status_code) == (403, 403)
    assert len(list(folder.glob("pictures/*/*.png"))) == 6
    assert (folder / "elsewhere/3.png").exists()


def test_an_act_elsewhere_is_not_undone_from_here(client: TestClient, folder: Path) -> None:
    paint(folder / "elsewhere/9.png", 9)
    with Store.open(folder / "store") as store:
        store.add(folder / "elsewhere")
        store.collect(folder / "elsewhere/9.png", target=folder / "elsewhere/deep", act="move")
    assert client.post("/api/undo", json={}).status_code == 403
    assert (folder / "elsewhere/deep/9.png").exists()


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"act": "burn"}, 400),
        ({"act": "trash", "keep_by": ["best"]}, 400),
        ({"act": "delete", "near": True, "keep_by": ["pixels"]}, 400),
        ({"act": "trash", "min_score": 2}, 422),
        ({"act": "trash", "sure": True}, 422),
    ],
)
def test_what_cannot_be_is_told_in_a_line(asked: dict[str, object], status: int, client: TestClient) -> None:
    answer = client.post("/api/acts", json=asked)
    assert (answer.status_code, "\n" in answer.json()["detail"]) == (status, False)


def test_a_server_for_reading_alone_changes_nothing_and_still_answers(folder: Path) -> None:
    with serving(folder / "store", read_only=True) as client:
        writing = [
            client.post("/api/acts", json={"act": "delete", "keep_by": ["oldest"], "dry_run": False}),
            client.post("/api/decisions", json={"verdict": "both", "images": [0]}),
            client.post("/api/undo", json={}),
            client.post("/api/jobs", json={"kind": "map"}),
            client.patch("/api/clusters/0", json={"name": "a"}),
            client.delete("/api/images/0"),
        ]
        reading = [
            client.post("/api/similar", json={"images": [0]}),
            client.get("/api/duplicates"),
            client.post("/api/login", json={"token": "x" * 20}),
        ]
        state = client.get("/api/state").json()
    assert {(one.status_code, one.json()["detail"]) for one in writing} == {
        (403, "nothing can be changed here; this server was started with --read-only")
    }
    assert ([one.status_code for one in reading], state["read_only"]) == ([200, 200, 204], True)
