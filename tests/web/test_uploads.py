"""Pictures that are sent to be kept: whole or not at all, under safe names of their own, and by whoever may write."""

import asyncio
import errno
import io
import os
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from tests.serving import TOKEN, ended, paint_one, serving
from vecstore.errors import BadInput, NotFound
from vecstore.store import Store
from vecstore.web import uploads
from vecstore.web.settings import Settings

BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of one picture, and an empty folder for uploads."""
    (tmp_path / "sent").mkdir()
    paint_one("reef", 0, tmp_path / "pictures/0.png")
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(tmp_path / "pictures")
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with serving(folder / "store", uploads=folder / "sent", roots=(folder,)) as client:
        yield client


def picture(kind: str, seed: int, folder: Path) -> bytes:
    return paint_one(kind, seed, folder / "elsewhere" / f"{kind}-{seed}.jpg").read_bytes()


def send(client: TestClient, name: str, data: bytes, **headers: str) -> Any:
    return client.post("/api/uploads", params={"name": name}, content=data, headers={**BYTES, **headers})


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "sent").iterdir())}


def test_what_is_sent_is_kept_and_a_job_adds_it(client: TestClient, folder: Path) -> None:
    assert client.get("/api/state").json()["uploads"] is True
    data = picture("city", 3, folder)
    sent = send(client, "city.jpg", data)
    assert (sent.status_code, sent.json()) == (
        201,
        {"path": f"{folder}/sent/city.jpg", "bytes": len(data), "is_new": True},
    )
    assert kept(folder) == {"city.jpg": data}
    job = client.post("/api/jobs", json={"kind": "add", "paths": [sent.json()["path"]]}).json()
    assert ended(client, job["id"])["result"]["added"] == 1
    assert client.get("/api/images").json()[0]["paths"] == [f"{folder}/sent/city.jpg"]


def test_nothing_is_overwritten_and_the_same_is_kept_once(client: TestClient, folder: Path) -> None:
    one, other = picture("city", 1, folder), picture("city", 2, folder)
    names = [Path(send(client, "a.jpg", data).json()["path"]).name for data in (one, other, one, other)]
    assert names == ["a.jpg", "a (2).jpg", "a.jpg", "a (2).jpg"]
    assert kept(folder) == {"a.jpg": one, "a (2).jpg": other}


def test_a_link_of_the_same_name_is_not_followed(client: TestClient, folder: Path) -> None:
    precious, data = folder / "precious.jpg", picture("city", 1, folder)
    precious.write_bytes(data)
    (folder / "sent/a.jpg").symlink_to(precious)
    for _ in range(2):  # even to the same picture: a link is nothing that was kept
        assert Path(send(client, "a.jpg", data).json()["path"]).name == "a (2).jpg"
    assert precious.read_bytes() == data


@pytest.mark.parametrize("is_there", [False, True])
def test_a_disk_without_hard_links_keeps_them_too_and_overwrites_nothing(
    is_there: bool, client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    one, other = picture("city", 1, folder), picture("city", 2, folder)
    if is_there:
        (folder / "sent/a.jpg").write_bytes(other)
    monkeypatch.setattr(os, "link", no_links)
    assert send(client, "a.jpg", one).status_code == 201
    assert kept(folder) == ({"a.jpg": other, "a (2).jpg": one} if is_there else {"a.jpg": one})


def test_a_folder_that_is_gone_is_told_in_a_line(client: TestClient, folder: Path) -> None:
    (folder / "sent").rmdir()
    refused = send(client, "a.jpg", picture("city", 1, folder))
    assert (refused.status_code, "\n" in refused.text) == (500, False)
    assert f"{folder}/sent cannot be written: No such file or directory" in refused.json()["detail"]


def zipped(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.jpg", data)
    return made.getvalue()


@pytest.mark.parametrize("kind", ["text", "empty", "svg", "zip", "cut off", "damaged"])
def test_what_is_no_picture_is_refused_and_nothing_is_left_of_it(kind: str, client: TestClient, folder: Path) -> None:
    whole = picture("city", 1, folder)
    data = {
        "text": b"not a picture",
        "empty": b"",
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "zip": zipped(whole),
        "cut off": whole[: len(whole) // 3],
        "damaged": b"\xff\xd8\xff\xe0" + os.urandom(2_000),
    }[kind]
    refused = send(client, "a.jpg", data)
    assert (refused.status_code, refused.json()["detail"].startswith("a.jpg is not kept: ")) == (400, True)
    assert "\n" not in refused.json()["detail"]
    assert kept(folder) == {}


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("../../../etc/passwd.jpg", "passwd.jpg"),
        ("C:\\photos\\a.jpg", "a.jpg"),
        ("/absolute/b.jpg", "b.jpg"),
        ("..", "picture.png"),
        (".hidden.jpg", "hidden.jpg"),
        ("._companion.png", "_companion.png"),
        ("a\x00b\n\u202egpj.png", "a_b__gpj.png"),
        ("nul.jpg", "_nul.jpg"),
        ("con .jpg", "_con.jpg"),
        ("LPT².png", "_LPT².png"),
        ("a\u2028b.png", "a_b.png"),
        ("page.html", "page.html.png"),
        ("no suffix", "no suffix.png"),
        ("ü" * 300 + ".jpg", "ü" * 98 + ".jpg"),
        ("\ud83d.jpg".encode("utf-16", "surrogatepass").decode("utf-16", "replace"), "\ufffd.jpg"),
    ],
)
def test_names_are_made_safe(name: str, called: str, client: TestClient, folder: Path) -> None:
    made = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(made, "PNG")
    sent = send(client, name, made.getvalue())
    assert (sent.status_code, sent.json()["path"]) == (201, f"{folder}/sent/{called}")
    assert [*kept(folder)] == [called]


def test_a_picture_that_is_too_large_is_refused(folder: Path) -> None:
    data = picture("city", 1, folder)
    with serving(folder / "store", uploads=folder / "sent", max_upload_bytes=len(data)) as client:
        assert send(client, "a.jpg", data + b"x").status_code == 413
        # What says that it will be is not even begun.
        assert send(client, "a.jpg", data, **{"Content-Length": str(len(data) + 1)}).status_code == 413

        def piece_by_piece() -> Iterator[bytes]:
            yield data
            yield data

        streamed = client.post("/api/uploads?name=a.jpg", content=piece_by_piece(), headers=BYTES)
        assert streamed.status_code == 413
        assert kept(folder) == {}
        assert send(client, "a.jpg", data).status_code == 201


def test_a_body_that_ends_too_early_leaves_nothing(folder: Path) -> None:
    data = picture("city", 1, folder)

    async def broken() -> AsyncIterator[bytes]:
        yield data[:100]
        assert [path.name.startswith("._upload-") for path in (folder / "sent").iterdir()] == [True]
        raise ClientDisconnect

    with pytest.raises(ClientDisconnect):
        asyncio.run(uploads.receive(folder / "sent", "a.jpg", broken(), len(data)))
    assert kept(folder) == {}


def test_a_disk_without_room_takes_nothing(client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LEAST_FREE_BYTES", 1 << 60)
    refused = send(client, "a.jpg", picture("city", 1, folder))
    assert (refused.status_code, kept(folder)) == (400, {})
    assert "too little room" in refused.json()["detail"]


def test_what_a_kill_left_is_no_picture_and_goes_later(client: TestClient, folder: Path) -> None:
    left = folder / "sent/._upload-0123"
    left.write_bytes(picture("city", 1, folder))
    with Store.open(folder / "store") as store:
        with pytest.raises(NotFound):
            store.add(folder / "sent")
    send(client, "b.jpg", picture("city", 2, folder))
    assert left.exists()
    os.utime(left, (time.time() - 2 * 24 * 3600,) * 2)
    send(client, "c.jpg", picture("city", 3, folder))
    assert [*kept(folder)] == ["b.jpg", "c.jpg"]


def test_only_who_may_write_may_send(folder: Path) -> None:
    data = picture("city", 1, folder)
    with serving(folder / "store", uploads=folder / "sent") as client:
        other = {"Origin": "http://evil.example"}
        assert send(client, "a.jpg", data, **other).status_code == 403
        assert send(client, "a.jpg", data, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert send(client, "a.jpg", data, Host="evil.example").status_code == 421
        for form in ("multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencoded"):
            assert send(client, "a.jpg", data, **{"Content-Type": form}).status_code == 415
    with serving(folder / "store", uploads=folder / "sent", token=TOKEN) as client:
        assert send(client, "a.jpg", data).status_code == 401
    for settings in ({"read_only": True}, {}):
        with serving(folder / "store", **settings) as client:
            assert send(client, "a.jpg", data).status_code == 403
            assert client.get("/api/state").json()["uploads"] is False
    assert kept(folder) == {}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"read_only": True}, "takes no files"),
        ({"roots": ("pictures",)}, "is in no folder that pictures may be added from"),
        ({"roots": ()}, "is in no folder that pictures may be added from"),
        ({"uploads": "nowhere"}, "is no folder that pictures can be sent to"),
        ({"uploads": "pictures/link", "roots": ("pictures",)}, "is in no folder that pictures may be added from"),
    ],
)
def test_a_folder_that_cannot_be_is_refused_before_the_server_starts(
    settings: dict[str, Any], said: str, folder: Path
) -> None:
    (folder / "pictures/link").symlink_to(folder / "sent")
    made = {"uploads": "sent", **settings}
    made["uploads"] = folder / str(made["uploads"])
    if "roots" in made:
        made["roots"] = tuple(folder / root for root in made["roots"])
    with pytest.raises(BadInput, match=said):
        Settings(folder / "store", **made)
