"""Pictures elsewhere, by fsspec: in its memory file system, and on a web server of this machine."""

import functools
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TinyEmbedder, paint
from vecstore.errors import BadInput, NotFound
from vecstore.store import Store

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def memory(pictures: Path) -> Iterator[Any]:
    """The ten pictures in fsspec's memory, with a text among them."""
    system = fsspec.filesystem("memory")
    for file in pictures.rglob("*.png"):
        system.pipe_file(f"/bucket/{file.relative_to(pictures)}", file.read_bytes())
    system.pipe_file("/bucket/readme.txt", b"no picture")
    yield system
    system.rm("/bucket", recursive=True)


def test_pictures_at_an_address_are_added_once(open_store: Callable[..., Store], memory: Any) -> None:
    store = open_store()
    added = store.import_from("memory://bucket").added
    assert added is not None
    assert (added.added, added.failed) == (10, 0)
    assert [*store.image(5).paths] == [memory.unstrip_protocol("/bucket/deep/5.png")]
    again = store.import_from("memory://bucket").added
    assert (again and again.known, TinyEmbedder.prepared_count) == (10, 10)
    assert store.undo().forgotten == 10


def test_only_what_changed_is_read_again(
    open_store: Callable[..., Store], memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    # Of one size, as two versions of a picture may be; what follows the end of a PNG is no part of it.
    memory.pipe_file("/bucket/0.png", paint(tmp_path / "old.png", 0).read_bytes().ljust(5_000))
    store.import_from("memory://bucket")
    memory.pipe_file("/bucket/0.png", paint(tmp_path / "new.png", 77).read_bytes().ljust(5_000))
    read: list[str] = []
    cat = type(memory).cat_file

    def noted(self: Any, path: str, **_: Any) -> bytes:
        read.append(path)
        return bytes(cat(self, path))

    monkeypatch.setattr(type(memory), "cat_file", noted)
    report = store.import_from("memory://bucket").added
    assert (report and report.updated, report and report.known, read) == (1, 9, ["/bucket/0.png"])


def test_a_picture_that_cannot_be_read_is_a_failure_of_its_own(
    open_store: Callable[..., Store], memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat = type(memory).cat_file

    def read(self: Any, path: str, **_: Any) -> bytes:
        if path.endswith("3.png"):
            raise ConnectionError("reset\nby peer")
        return bytes(cat(self, path))

    store = open_store()
    with monkeypatch.context() as patched:
        patched.setattr(type(memory), "cat_file", read)
        report = store.import_from("memory://bucket").added
    assert (report and report.added, report and report.failed) == (9, 1)
    assert [one.reason for one in store.failures()] == ["cannot be read from its server: reset by peer"]
    assert (store.retry_failures().forgotten, len(store.failures())) == (0, 1)
    report = store.import_from("memory://bucket").added
    assert (report and report.added, store.failures()) == (1, [])


def test_adding_an_address_as_a_file_says_what_adds_it(open_store: Callable[..., Store]) -> None:
    with pytest.raises(NotFound, match=r"^no file .* `vecstore import s3://bucket/a` adds the pictures at an address$"):
        open_store().add("s3://bucket/a")


def test_what_is_not_there_is_one_clear_line(open_store: Callable[..., Store], memory: Any) -> None:
    with pytest.raises(NotFound, match="there is nothing at memory://nowhere"):
        open_store().import_from("memory://nowhere")
    with pytest.raises(BadInput, match="nonsense://x cannot be opened"):
        open_store().import_from("nonsense://x")


def test_pictures_of_a_web_server_are_added(open_store: Callable[..., Store], pictures: Path) -> None:
    pytest.importorskip("aiohttp")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(pictures))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        store = open_store()
        report = store.import_from(address).added
        again = store.import_from(address).added
        server.shutdown()
    assert (report and report.added, again and again.known) == (10, 10)
    assert TinyEmbedder.prepared_count == 10
