"""Pictures in S3 and in Google Cloud Storage, by s3fs and gcsfs, each with a server of this process."""

import http.client
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import TinyEmbedder, paint
from vecstore.errors import Interrupted, NotFound
from vecstore.store import Store

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass
class Bucket:
    """A bucket with the ten pictures. put: writes an object behind the client's back."""

    address: str
    put: Callable[[str, bytes], object]
    system: type[Any]


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0)
    s3fs = pytest.importorskip("s3fs")
    boto3 = pytest.importorskip("boto3")
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"", timeout=30).close()
    client.create_bucket(Bucket="photos")

    def put(key: str, data: bytes) -> None:
        client.put_object(Bucket="photos", Key=key, Body=data)

    yield Bucket("s3://photos", put, s3fs.S3FileSystem)
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def gs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    gcsfs = pytest.importorskip("gcsfs")
    port = free_port()
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="photos")
    server.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    gcsfs.GCSFileSystem.clear_instance_cache()

    def put(key: str, data: bytes) -> None:
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        query = urllib.parse.urlencode({"uploadType": "media", "name": key})
        asked.request("POST", f"/upload/storage/v1/b/photos/o?{query}", data, {"Content-Type": "image/png"})
        assert asked.getresponse().status == 200
        asked.close()

    yield Bucket("gs://photos", put, gcsfs.GCSFileSystem)
    gcsfs.GCSFileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, pictures: Path) -> Bucket:
    found: Bucket = request.getfixturevalue(request.param)
    for file in pictures.rglob("*.png"):
        found.put(f"year/{file.relative_to(pictures)}", file.read_bytes())
    found.put("year/readme.txt", b"no picture")
    found.put("other/x.png", (pictures / "0.png").read_bytes())
    return found


def test_pictures_of_a_bucket_are_read_once(open_store: Callable[..., Store], bucket: Bucket) -> None:
    store = open_store()
    report = store.import_from(f"{bucket.address}/year").added
    assert (report and report.added, report and report.failed) == (10, 0)
    assert {path.rpartition("/")[0] for path in store.paths} == {
        f"{bucket.address}/year",
        f"{bucket.address}/year/deep",
    }
    again = store.import_from(f"{bucket.address}/year").added
    assert (again and again.known, TinyEmbedder.prepared_count) == (10, 10)


def test_what_is_new_and_what_has_changed_is_seen_in_the_same_process(
    open_store: Callable[..., Store], bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    store.import_from(f"{bucket.address}/year")
    bucket.put("year/0.png", paint(tmp_path / "changed.png", 70).read_bytes())
    bucket.put("year/new.png", paint(tmp_path / "new.png", 71).read_bytes())
    read: list[str] = []
    (client,) = bucket.system._cache.values()  # fsspec's one client of this server, which the store uses too
    cat = client.cat_file

    def noted(path: str, **options: Any) -> Any:
        read.append(path)
        return cat(path, **options)

    monkeypatch.setattr(client, "cat_file", noted)
    report = store.import_from(f"{bucket.address}/year").added
    assert report is not None
    assert (report.added, report.updated, report.known) == (1, 1, 9)
    assert sorted(read) == ["photos/year/0.png", "photos/year/new.png"]


def test_an_interrupted_import_goes_on_where_it_was(
    open_store: Callable[..., Store], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    seen = threading.Event()

    def interrupt(progress: Any) -> None:
        if progress.done >= 4 and not seen.is_set():
            seen.set()
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        store.import_from(f"{bucket.address}/year", on_progress=interrupt)
    kept = len(store)
    assert kept >= 4
    report = store.import_from(f"{bucket.address}/year").added
    assert (report and report.known, len(store), store.check()) == (kept, 10, [])


def test_a_bucket_that_is_not_there_is_one_clear_line(open_store: Callable[..., Store], bucket: Bucket) -> None:
    with pytest.raises(NotFound, match="there is nothing at|cannot be listed|no pictures at") as refusal:
        open_store().import_from(f"{bucket.address}-of-nobody/year")
    assert "\n" not in str(refusal.value)
