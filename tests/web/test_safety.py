"""Safe by default: one test, at least, for each thing that a server must not do."""

import asyncio
import hmac
import io
import json
import os
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from starlette.types import Message, Receive

from tests.programs import run_program, start_program
from tests.serving import TOKEN, copy_of, make_store, paint_one, serving
from vecstore.errors import BadInput
from vecstore.store import Store
from vecstore.web import security
from vecstore.web.app import create_app
from vecstore.web.serve import listening_on
from vecstore.web.settings import Settings

BEARER = {"Authorization": f"Bearer {TOKEN}"}
OWN = "http://127.0.0.1:8765"
OPEN = {"/healthz", "/api/login"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("safety"))


@pytest.fixture(scope="module")
def local(store: Path) -> Iterator[TestClient]:
    """Asks a server on this machine's own address; nothing that a test of this module sends may change its store."""
    with serving(store) as client:
        yield client


@pytest.fixture(scope="module")
def public(store: Path) -> Iterator[TestClient]:
    """Asks a server on another address."""
    with serving(store, host="0.0.0.0", token=TOKEN, roots=(store.parent / "pictures",)) as client:
        yield client


def operations(client: TestClient) -> list[tuple[str, str]]:
    """Every method and path of the API, with 1 for each number in it."""
    described = client.get("/openapi.json").json()["paths"]
    return [
        (method.upper(), path.replace("{id}", "1").replace("{number}", "1"))
        for path, methods in described.items()
        for method in methods
    ]


def content_of(store: Path) -> list[object]:
    with Store.open(store) as opened:
        return [opened.images(100), [cluster.name for cluster in opened.clusters()], len(opened.clusterings())]


# Where it can be reached


def test_it_binds_to_this_machine_alone_unless_told_otherwise(store: Path) -> None:
    settings = Settings.safe(host=Settings(store).host, token=None, roots=None, store=store)
    with listening_on(settings, 0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
    assert (settings.token, settings.roots) == (None, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_another_address_has_a_token_and_adds_from_nowhere(host: str, store: Path) -> None:
    with pytest.raises(BadInput, match="a server there needs a token"):
        Settings(store, host=host)
    made = [Settings.safe(host=host, token=None, roots=None, store=store) for _ in range(2)]
    assert made[0].token != made[1].token
    assert [len(settings.token or "") for settings in made] == [43, 43]  # 256 bits
    assert made[0].roots == ()


def test_a_token_that_can_be_guessed_is_refused(store: Path) -> None:
    done = run_program("serve", "--store", store, "--token", "secret")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: the token has 6 characters; it needs at least 16")


# The token


def test_everything_needs_the_token_but_the_page_and_the_login(public: TestClient) -> None:
    assert len(operations(public)) > 20
    for method, path in operations(public):
        if path not in OPEN:
            answer = public.request(method, path)
            assert (method, path, answer.status_code) == (method, path, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert [public.get(path).status_code for path in ("/", "/static/app.js", "/docs", "/healthz")] == [200] * 4


@pytest.mark.parametrize("header", [TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer", f"Bearer {TOKEN[:-1]}é"])
def test_a_wrong_token_is_refused(header: str, public: TestClient) -> None:
    assert public.get("/api/state", headers={"Authorization": header.encode()}).status_code == 401


def test_the_token_is_taken_in_the_header(public: TestClient) -> None:
    assert public.get("/api/state", headers=BEARER).json()["images"] == 18


def test_a_login_leaves_a_cookie_that_no_script_reads_and_no_other_site_sends(store: Path) -> None:
    with serving(store, host="0.0.0.0", token=TOKEN) as client:
        assert client.post("/api/login", json={"token": TOKEN + "x"}).status_code == 401
        assert client.get("/api/state").status_code == 401
        cookie = client.post("/api/login", json={"token": TOKEN}).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie
        assert client.get("/api/state").status_code == 200
        assert client.post("/api/logout").status_code == 204
        assert client.get("/api/state").status_code == 401


def test_tokens_are_compared_in_constant_time(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[Any] = []
    real = hmac.compare_digest

    def watched(one: Any, other: Any) -> bool:
        compared.append(one)
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    with serving(store, host="0.0.0.0", token=TOKEN) as client:
        client.get("/api/state", headers={"Authorization": "Bearer in-the-header"})
        client.post("/api/login", json={"token": "in-the-login"})
        cookie = client.post("/api/login", json={"token": TOKEN}).headers["set-cookie"].partition("=")[0]
        client.cookies.clear()
        client.get("/api/state", headers={"Cookie": f"{cookie}=in-the-cookie"})
    assert {b"in-the-header", b"in-the-login", "in-the-cookie"} <= {*compared}


# Other sites' pages


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_another_sites_page_can_neither_read_nor_write(headers: dict[str, str], local: TestClient, store: Path) -> None:
    before = content_of(store)
    for method, path in operations(local):
        answer = local.request(method, path, headers=headers)
        assert (method, path, answer.status_code) == (method, path, 403)
    assert content_of(store) == before
    assert local.get("/api/jobs").json() == []


def test_forms_are_not_taken_for_json(local: TestClient) -> None:
    work = '{"kind": "cluster", "k": 2}'
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "TEXT/PLAIN;a=b",
    ):
        assert local.post("/api/jobs", content=work, headers={"Content-Type": kind}).status_code == 415
    assert local.post("/api/jobs", content=work).status_code == 422  # no kind at all
    assert local.get("/api/jobs").json() == []


def test_its_own_page_and_a_link_from_elsewhere_are_let_in(local: TestClient) -> None:
    own = {"Origin": OWN, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    assert local.post("/api/similar", json={"images": [1]}, headers=own).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert local.get("/", headers=link).status_code == 200
    assert local.get("/api/images/1/original", headers=link).status_code == 403


def test_no_other_origin_is_told_that_it_may_read(local: TestClient) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answers = [local.options("/api/jobs", headers=asked), local.get("/api/state", headers={"Origin": OWN})]
    assert [answer.status_code for answer in answers] == [403, 200]
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "evil@127.0.0.1", "a b", "", "[::1"],
)
def test_a_name_that_is_not_the_servers_is_refused(host: str, local: TestClient) -> None:
    assert local.get("/api/state", headers={"Host": host}).status_code == 421


def test_two_hosts_or_none_are_refused(local: TestClient) -> None:
    two = local.get("/api/state", headers=[("Host", "127.0.0.1"), ("Host", "evil.example")])  # type: ignore[arg-type]
    assert two.status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:9000", "LOCALHOST", "[::1]:8765", "192.168.1.5"])
def test_addresses_and_localhost_are_the_servers_own(host: str, local: TestClient) -> None:
    assert local.get("/api/state", headers={"Host": host}).status_code == 200


def test_a_name_behind_a_proxy_is_allowed_by_name(store: Path) -> None:
    with serving(store, hosts=("photos.example.org",)) as client:
        assert client.get("/api/state", headers={"Host": "photos.example.org"}).status_code == 200
        assert client.get("/api/state", headers={"Host": "example.org"}).status_code == 421


# What answers let a browser do


def test_a_strict_policy_is_on_every_answer(local: TestClient) -> None:
    for path in ("/", "/docs", "/static/app.js", "/api/state", "/api/images/1/thumbnail", "/api/nothing", "/nothing"):
        headers = local.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "base-uri 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_nothing_in_the_page_is_against_its_policy() -> None:
    static = Path(security.__file__).parent / "static"
    for page in static.glob("*.html"):
        text = page.read_text()
        assert not [bad for bad in (" style=", "<style", " onclick", "javascript:", "//cdn", "https://") if bad in text]
        assert text.count("<script") == text.count('<script type="module" src=') + text.count("<script src=")
    for script in static.glob("*.js"):
        text = script.read_text()
        assert not [
            bad for bad in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(") if bad in text
        ]


def test_a_picture_is_never_a_document_that_can_do_anything(store: Path, tmp_path: Path) -> None:
    """A GIF that is also HTML, under a name that says HTML."""
    picture = tmp_path / "pictures" / "page.html"
    picture.parent.mkdir()
    written = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(written, "GIF", comment=b"<script>alert(1)</script>")
    picture.write_bytes(written.getvalue())
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as opened:
        opened.add(picture)
    with serving(tmp_path / "store") as client:
        answer = client.get("/api/images/0/original")
    assert b"<script>" in answer.content
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''page.gif"
    assert answer.headers["content-security-policy"].endswith("sandbox")


# Which files


def test_only_what_the_store_knows_is_served_and_only_while_it_is_that(store: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "blue").save(secret)
    picture = tmp_path / "pictures" / "a.png"
    picture.parent.mkdir()
    Image.new("RGB", (8, 8), "red").save(picture)
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as opened:
        opened.add(picture)
    with serving(tmp_path / "store") as client:
        assert client.get("/api/images/0/original").status_code == 200
        for other in (secret, Path("/etc/passwd")):
            picture.unlink()
            picture.symlink_to(other)
            answer = client.get("/api/images/0/original")
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
        assert client.get("/api/images/0/thumbnail").status_code == 404  # none was made while the picture was there
        assert client.get("/api/images/1/original").status_code == 404


@pytest.mark.parametrize(
    "path", ["/static/../guard.py", "/static/%2e%2e/guard.py", "/static/..%2fguard.py", "/static//etc/passwd"]
)
def test_no_path_leads_out_of_the_static_files(path: str, local: TestClient) -> None:
    assert local.get(path).status_code == 404


def test_pictures_are_added_from_the_named_folders_alone(public: TestClient, store: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    inside = store.parent / "pictures"
    for path in ("/", "/etc", str(tmp_path / "link"), f"{inside}/../..", f"{inside}-not", "~"):
        answer = public.post("/api/jobs", json={"kind": "add", "paths": [str(inside), path]}, headers=BEARER)
        assert (path, answer.status_code) == (path, 403)
    assert public.get("/api/jobs", headers=BEARER).json() == []


# How much


def test_an_upload_of_too_many_bytes_is_refused_before_it_is_sent(store: Path) -> None:
    with serving(store, max_upload_bytes=1000) as client:
        answer = client.post("/api/similar/upload", content=b"x" * 1001)
        assert answer.status_code == 413
        assert answer.json()["detail"] == "the picture is larger than the limit of 1,000 bytes"


def asked_piece_by_piece(
    store: Path, receive: Receive, path: str = "/api/similar/upload", kind: str = "image/png", **settings: Any
) -> int:
    """Return the status of a request whose body comes as `receive` gives it."""
    app = create_app(Settings(store, **settings))
    path, _, query = path.partition("?")
    headers = [(b"host", b"localhost"), (b"content-type", kind.encode())]
    scope = {
        **{"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "query_string": query.encode()},
        **{"path": path, "raw_path": path.encode(), "headers": headers},
    }
    statuses: list[int] = []

    async def send(message: Message) -> None:
        if "status" in message:
            statuses.append(message["status"])

    asyncio.run(app(scope, receive, send))
    return statuses[0]


def test_an_upload_that_does_not_say_how_long_it_is_is_cut_off(store: Path) -> None:
    pieces = 0

    async def endless() -> Message:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    assert asked_piece_by_piece(store, endless, max_upload_bytes=1000) == 413
    assert pieces == 11


TAKES_BODY = {
    "/api/similar/upload": "image/png",
    "/api/uploads?name=a": "image/png",
    "/api/similar": "application/json",
    "/api/map/selections/some": "application/octet-stream",
}


@pytest.mark.parametrize("seconds", [3600.0, 0.01])
@pytest.mark.parametrize("path", TAKES_BODY)
def test_a_body_that_comes_too_slowly_is_given_up(
    path: str, seconds: float, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drip() -> Message:
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": b" ", "more_body": True}

    monkeypatch.setattr(security, "BODY_SECONDS", 0.2)
    began = time.monotonic()
    assert asked_piece_by_piece(store, drip, path, TAKES_BODY[path], uploads=tmp_path) == 408
    assert time.monotonic() - began < 30
    assert [*tmp_path.iterdir()] == []


def test_a_slow_body_at_the_least_rate_is_taken(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = paint_one("reef", 0, tmp_path / "a.bmp").read_bytes()
    parts = [data[at : at + len(data) // 10] for at in range(0, len(data), len(data) // 10)]
    assert len(parts) >= 10

    async def slowly() -> Message:
        await asyncio.sleep(0.1)
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    monkeypatch.setattr(security, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(security, "LEAST_BYTES_PER_SECOND", len(data) // 10)
    assert asked_piece_by_piece(store, slowly) == 200


QUICKLY = "from vecstore.web import connections; connections.HEADER_SECONDS = 2"
WITHOUT_HTTPTOOLS = "import sys; sys.modules['httptools'] = None"  # as it is installed by default


@pytest.fixture(scope="module", params=["", WITHOUT_HTTPTOOLS], ids=["any", "h11"])
def address(request: pytest.FixtureRequest, store: Path) -> Iterator[tuple[str, int]]:
    """Where a server answers that waits two seconds for headers."""
    process = start_program("serve", "--store", store, "--port", "0", "--json", prelude=f"{request.param}\n{QUICKLY}")
    try:
        told = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        yield "127.0.0.1", int(told["url"].rstrip("/").rpartition(":")[2])
    finally:
        process.kill()
        process.communicate()


ASKED = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def read_ok(client: socket.socket) -> bool:
    """Say whether what is asked for comes, in however many parts."""
    answer = b""
    while not answer.endswith(b"\r\n\r\nok\n") and (part := client.recv(1 << 16)):
        answer += part
    return answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nok\n")


@pytest.mark.parametrize("before", [b"", ASKED + b"\r\n"], ids=["first", "kept"])
def test_headers_that_come_too_slowly_are_given_up(before: bytes, address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=30) as client:
        client.sendall(before)
        assert not before or read_ok(client)
        began = time.monotonic()
        client.sendall(ASKED)
        with suppress(ConnectionError):  # the server has closed it
            for number in range(300):
                time.sleep(0.1)
                client.sendall(b"X-%d: drip\r\n" % number)
                client.settimeout(0.01)
                with suppress(TimeoutError):
                    if answer := client.recv(1 << 16):
                        break
        assert (answer.split(b"\r\n")[0], time.monotonic() - began < 25) == (b"HTTP/1.1 408 Request Timeout", True)
        client.settimeout(30)
        with suppress(ConnectionError):
            assert client.recv(1 << 16) == b""


def test_a_connection_that_asks_nothing_is_closed_without_an_answer(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=30) as client:
        assert client.recv(1 << 16) == b""


def test_headers_in_pieces_and_answers_that_take_longer_are_no_matter(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=30) as client:
        for _ in range(6):  # longer in all than headers may take
            for piece in (ASKED, b"X-More: 1\r\n", b"\r\n"):
                client.sendall(piece)
                time.sleep(0.15)
            assert read_ok(client)
        client.sendall(b"POST /api/similar HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n")
        client.sendall(b'Content-Length: 14\r\n\r\n{"images":')
        time.sleep(2.5)  # a body has more time
        client.sendall(b"[0]}")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_json_is_bounded_too(local: TestClient) -> None:
    answer = local.post(
        "/api/similar", content=b'{"images": [' + b"1," * (1 << 20), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


def test_an_upload_of_too_many_pixels_is_refused_by_its_header(local: TestClient) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    started = time.monotonic()
    answer = local.post("/api/similar/upload", content=bomb)
    assert answer.status_code == 400
    assert answer.json()["detail"] == "the picture: 100000 x 100000 pixels are more than the limit of 100,000,000"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8\xff\xe0cut"]
)
def test_what_is_no_picture_is_told(data: bytes, local: TestClient) -> None:
    answer = local.post("/api/similar/upload", content=data)
    assert (answer.status_code, answer.json()["detail"][:13]) == (400, "the picture: ")


def test_a_removal_needs_no_form_but_is_no_get(store: Path, tmp_path: Path) -> None:
    """Nothing that a link or an image's address can do changes the store."""
    with serving(copy_of(store, tmp_path)) as client:
        for method, path in operations(client):
            if method == "GET":
                client.get(path)
    assert content_of(tmp_path / "store") == content_of(store)
    assert os.path.exists(tmp_path / "store")
