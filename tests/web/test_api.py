"""The HTTP API: the library's answers, what others write is seen at once, and jobs that block no query."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.programs import run_program, start_program
from tests.serving import PER_KIND, copy_of, ended, make_store, serving
from vecstore.errors import StoreBusy
from vecstore.search.filters import Filter
from vecstore.sources.painted import paint
from vecstore.store import Store
from vecstore.web.jobs import Job, Jobs
from vecstore.web.settings import Settings


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def client(store: Path) -> Iterator[TestClient]:
    """Asks a server of a store that no test of this module changes."""
    with serving(store) as client:
        yield client


@pytest.fixture
def library(store: Path) -> Iterator[Store]:
    with Store.open(store) as opened:
        yield opened


@pytest.fixture
def writable(store: Path, tmp_path: Path) -> Path:
    return copy_of(store, tmp_path)


def plain(result: object) -> object:
    return json.loads(json.dumps([asdict(one) for one in result] if isinstance(result, list) else asdict(result)))  # type: ignore[call-overload]


# The same answers as the library's


def test_answers_are_the_librarys(client: TestClient, library: Store) -> None:
    asked = {
        "/api/images/3": library.image(3),
        "/api/browse?start=3&k=4": library.browse(3, 4),
        "/api/browse?order=odd&cluster=1&path=reef/": library.browse(order="odd", cluster=1, path="reef/"),
        "/api/facets?cluster=1": library.facets(cluster=1),
        "/api/operations": library.operations(),
        "/api/images?k=5&before=9": library.images(5, before=9),
        "/api/images/3/similar?k=4": library.similar(3, k=4),
        "/api/images/3/similar?k=4&cluster=2&exact=true": library.similar(3, k=4, cluster=2, exact=True),
        "/api/images/3/similar?path=reef/&min_score=0.1": library.similar(3, path="reef/", min_score=0.1),
        "/api/images/3/similar?path=reef/&path=3": library.similar(3, path=["reef/", "3"]),
        "/api/images/3/similar?where=width%3E9&sort=path": library.similar(3, where="width > 9", sort="path"),
        "/api/facts?where=format%3DJPEG&k=2": list(library.all_facts(Filter(where="format = JPEG"), k=2)),
        "/api/facts/by/folder?path=reef/": library.count_by("folder", Filter(path=("reef/",))),
        "/api/oddities?kind=tiny&kind=blank": list(library.oddities("tiny", "blank")),
        "/api/images/3/cluster": library.which(3)[0],
        "/api/clusters": library.clusters(),
        "/api/clusters/1/members": library.members(1),
        "/api/clusters/1/members?farthest=true&k=1": library.members(1, 1, farthest=True),
        "/api/outliers?k=3": library.outliers(3),
        "/api/clusterings": library.clusterings(),
        "/api/failures": library.failures(),
    }
    for path, expected in asked.items():
        answer = client.get(path)
        assert (path, answer.status_code, answer.json()) == (path, 200, plain(expected))


def test_info_is_the_librarys_but_for_a_time_that_is_measured(client: TestClient, library: Store) -> None:
    found, expected = client.get("/api/info").json(), asdict(library.info())
    assert found.pop("query_ms") > 0
    del expected["query_ms"]
    assert found == expected


def test_several_images_with_minus_are_searched_by(client: TestClient, library: Store) -> None:
    answer = client.post("/api/similar", json={"images": [1, 7], "minus": [13], "k": 5})
    assert answer.json() == plain(library.similar(1, 7, minus=[13], k=5))


def test_an_uploaded_picture_that_is_stored_finds_itself_first(client: TestClient, library: Store) -> None:
    path = library.image(4).paths[0]
    answer = client.post("/api/similar/upload?k=3", content=Path(path).read_bytes())
    assert answer.json() == plain(library.similar(4, k=3))


def test_an_uploaded_picture_is_searched_by_with_others_and_not_added(
    client: TestClient, library: Store, tmp_path: Path
) -> None:
    paint("reef", 99).save(tmp_path / "new.png")
    data = (tmp_path / "new.png").read_bytes()
    answer = client.post("/api/similar/upload?k=3&images=1&images=2&minus=9", content=data)
    assert answer.json() == plain(library.similar(tmp_path / "new.png", 1, 2, minus=[9], k=3))
    cluster = client.post("/api/which/upload", content=data).json()
    expected = library.which(tmp_path / "new.png")[0]
    assert cluster == {"path": "", "id": None, "cluster": expected.cluster, "distance": expected.distance}
    assert library.info().images == 6 * PER_KIND


def test_several_uploaded_pictures_are_searched_by_together(client: TestClient, library: Store) -> None:
    paths = [Path(library.image(id).paths[0]) for id in (4, 9)]
    data = [path.read_bytes() for path in paths]
    sizes = "&".join(f"sizes={len(one)}" for one in data)
    answer = client.post(f"/api/similar/upload?k=3&{sizes}", content=b"".join(data))
    assert answer.json() == plain(library.similar(*paths, k=3))
    wrong = client.post(f"/api/similar/upload?k=3&{sizes}", content=data[0])
    assert (wrong.status_code, wrong.json()["detail"][:20]) == (400, "the sizes add up to ")


def test_an_embedder_without_words_gives_an_image_none(client: TestClient) -> None:
    assert client.get("/api/images/3/words").json() == []
    assert client.get("/api/images/99/words").status_code == 404


def test_new_files_are_counted_before_anything_is_added(client: TestClient, store: Path, tmp_path: Path) -> None:
    paint("reef", 9).save(tmp_path / "new.png")
    asked = {"paths": [str(tmp_path), str(store.parent / "pictures")]}
    found = {"seen": 19, "new": 1, "is_complete": True}
    assert client.post("/api/preview", json=asked).json() == found
    with serving(tmp_path / "none yet", embedder="hsv") as other:
        assert other.post("/api/preview", json=asked).json() == {**found, "new": 19}
        assert other.post("/api/preview", json={"paths": ["/nowhere"]}).status_code == 404
    assert not (tmp_path / "none yet").exists()


def test_members_are_read_on_from_where_an_answer_ended(client: TestClient) -> None:
    everything = client.get("/api/clusters/0/members").json()
    pages = [client.get(f"/api/clusters/0/members?k=2&start={start}").json() for start in (0, 2, 4)]
    assert [one for page in pages for one in page] == everything


def test_names_that_are_no_utf8_are_answered_as_the_command_line_does(tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "caf\udce9 \u2028.png"
    picture.parent.mkdir()
    paint("city", 1).save(picture)
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(picture.parent)
    with serving(tmp_path / "store") as client:
        assert client.get("/api/images/0").json()["paths"] == [str(picture)]


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/api/images/99", 404, "no image @99 in the store"),
        ("/api/clusters/99/members", 404, "no cluster 99 in the current clustering; there are 0, 1, 2, 3, 4, 5"),
        ("/api/images/3/similar?path=%20", 400, "' ' is not a path pattern"),
        ("/api/images/3/similar?added_after=soon", 400, "'soon' is not a date or time"),
        ("/api/images/3/similar?k=0", 422, "k: Input should be greater than or equal to 1"),
        ("/api/images/3/similar?kk=3", 422, "kk: Extra inputs are not permitted"),
        ("/api/images/-1", 422, "id: Input should be greater than or equal to 0"),
        ("/api/jobs/7", 404, "no job 7; GET /api/jobs lists them"),
        ("/api/map", 404, "there is no map yet"),
        ("/api/nothing", 404, "Not Found"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_right_status(
    path: str, status: int, detail: str, client: TestClient
) -> None:
    answer = client.get(path)
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])
    assert answer.json()["detail"].startswith(detail)


# Pictures


def test_a_thumbnail_is_kept_by_the_browser_and_not_sent_again(client: TestClient, library: Store) -> None:
    first = client.get("/api/images/3/thumbnail?v=1")
    assert (first.content, first.headers["content-type"]) == (library.thumbnail(3), "image/webp")
    assert first.headers["cache-control"] == "private, max-age=31536000, immutable"
    again = client.get("/api/images/3/thumbnail", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "private, no-cache"


def test_a_large_thumbnail_is_a_webp_of_its_own(client: TestClient, tmp_path: Path) -> None:
    from io import BytesIO

    large = client.get("/api/images/3/thumbnail?v=1&size=large")
    assert large.headers["content-type"] == "image/webp"
    with Image.open(BytesIO(large.content)) as picture:
        assert (picture.format, picture.size) == ("WEBP", (320, 240))  # it is no larger itself
    assert client.get("/api/images/3/thumbnail?size=large").content == large.content  # from the cache
    assert client.get("/api/images/3/thumbnail?size=huge").status_code == 422


def test_an_original_is_the_files_bytes_under_the_type_of_its_content(client: TestClient, library: Store) -> None:
    answer = client.get("/api/images/3/original")
    assert answer.content == Path(library.image(3).paths[0]).read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''flower-00.jpg"


@pytest.mark.parametrize("suffix", ["tiff", "heic", "jp2", "tga"])
def test_what_no_browser_shows_comes_as_a_jpeg(suffix: str, tmp_path: Path) -> None:
    import io

    import pillow_heif

    pillow_heif.register_heif_opener()
    (tmp_path / "pictures").mkdir()
    picture = paint("forest", 3)
    picture.save(tmp_path / f"pictures/a picture.{suffix}")
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(tmp_path / "pictures")
        found = store.original(0)
    assert (found.media_type, found.name) == ("image/jpeg", "a picture.jpg")
    with Image.open(io.BytesIO(found.data)) as shown:
        assert (shown.format, shown.size) == ("JPEG", picture.size)


# What others do is seen at once


def test_what_the_command_line_adds_is_in_the_next_answer(writable: Path, tmp_path: Path) -> None:
    with serving(writable) as client:
        assert client.get("/api/state").json()["images"] == 18
        client.get("/api/images/3/similar")  # with what it opens and keeps
        paint("reef", 50).save(tmp_path / "later.png")
        assert run_program("add", tmp_path / "later.png", "--store", writable).returncode == 0
        assert client.get("/api/state").json()["images"] == 19
        assert client.get("/api/images/18/similar?k=1").json()[0]["path"] == str(tmp_path / "later.png")
        assert 18 in [hit["id"] for hit in client.get("/api/images/3/similar?k=19").json()]


def test_a_store_that_comes_later_or_in_anothers_place_is_opened(store: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "store") as client:
        missing = client.get("/api/clusters")
        assert (missing.status_code, client.get("/api/state").json()["images"]) == (404, 0)
        assert client.get("/metrics").status_code == 200
        copy_of(store, tmp_path)
        assert len(client.get("/api/clusters").json()) == 6
        (tmp_path / "store").rename(tmp_path / "before")
        paint("city", 7).save(tmp_path / "only.png")
        with Store.open(tmp_path / "store", embedder="hsv", create=True) as other:
            other.add(tmp_path / "only.png")
        for _ in range(20):  # whichever thread answers
            assert client.get("/api/state").json()["images"] == 1


def test_writing_while_another_process_does_is_answered_with_when_to_come_back(
    writable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecstore.web.store_pool.WAIT_SECONDS", 0.1)
    with serving(writable) as client, Store.open(writable) as other, other.session.lock():
        answer = client.patch("/api/clusters/1", json={"name": "reefs"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["detail"].startswith("another process is writing to the store")
        assert client.get("/api/clusters").status_code == 200


# Writing


def test_a_cluster_is_named_and_an_image_removed(writable: Path) -> None:
    with serving(writable) as client:
        assert client.patch("/api/clusters/1", json={"name": " my reefs "}).json()["name"] == "my reefs"
        assert client.delete("/api/images/3").json() == {"removed": 1, "forgotten": 1}
        assert client.get("/api/images/3").status_code == 404
        assert client.get("/api/images/3/thumbnail").status_code == 404
    with Store.open(writable) as store:
        assert {cluster.name for cluster in store.clusters()} == {None, "my reefs"}


def test_several_images_are_removed_and_that_is_undone_and_redone(writable: Path) -> None:
    with serving(writable) as client:
        before = client.get("/api/state").json()
        assert client.post("/api/remove", json={"images": [1, 99]}).status_code == 404
        assert client.get("/api/state").json() == before
        assert client.post("/api/remove", json={"images": [1, 2]}).json() == {"removed": 2, "forgotten": 2}
        removed = client.get("/api/state").json()
        assert removed["images"] == 16
        assert client.post("/api/undo", json={}).json()["restored"] == 2
        undone = client.get("/api/state").json()
        assert undone["images"] == 18
        assert client.post("/api/undo", json={"redo": True}).json()["forgotten"] == 2
        assert len({state["changes"] for state in (before, removed, undone)}) == 3


def test_an_earlier_clustering_is_gone_back_to(writable: Path) -> None:
    with Store.open(writable) as store:
        store.cluster(3, restarts=5)
    with serving(writable) as client:
        assert client.post("/api/clusterings/1/use").json()["current"] is True
        assert client.get("/api/state").json()["clustering"] == 1
        assert client.post("/api/clusterings/9/use").status_code == 404


# Jobs


def test_adding_makes_the_store_and_says_how_it_went(store: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with serving(tmp_path / "new", embedder="hsv") as client:
        paths = [str(store.parent / "pictures"), str(tmp_path / "broken.jpg")]
        answer = client.post("/api/jobs", json={"kind": "add", "paths": paths})
        assert (answer.status_code, answer.headers["location"]) == (202, "/api/jobs/1")
        job = ended(client, 1)
        assert (job["state"], job["done"], job["error"]) == ("done", 19, None)
        assert {name: job["result"][name] for name in ("added", "known", "failed")} == {
            "added": 18,
            "known": 0,
            "failed": 1,
        }
        assert client.get("/api/state").json()["images"] == 18
        assert "vecstore_images_added_total 18.0" in client.get("/metrics").text
        gone = client.post("/api/jobs", json={"kind": "add", "paths": [str(tmp_path / "nowhere")]}).json()
        assert ended(client, gone["id"])["error"].startswith(f"no file or folder at {tmp_path / 'nowhere'}")


def test_a_clustering_under_way_blocks_no_query_and_can_be_called_off(writable: Path) -> None:
    with serving(writable) as client:
        first, second = (
            client.post("/api/jobs", json={"kind": "cluster", "k": 4, "restarts": restarts}).json()["id"]
            for restarts in (10_000_000, 1)
        )
        while "run" not in client.get(f"/api/jobs/{first}").json()["note"]:
            time.sleep(0.02)
        started = time.monotonic()
        assert len(client.get("/api/images/3/similar").json()) == 10
        assert len(client.get("/api/clusters").json()) == 6
        assert time.monotonic() - started < 2
        assert client.get(f"/api/jobs/{second}").json()["state"] == "waiting"  # one after the other
        assert client.patch("/api/clusters/1", json={"name": "x"}).status_code == 503  # at once: it knows who writes
        assert client.delete(f"/api/jobs/{second}").json()["state"] == "cancelled"
        client.delete(f"/api/jobs/{first}")
        assert ended(client, first)["state"] == "cancelled"
        assert client.get("/api/state").json() == {**client.get("/api/state").json(), "clustering": 1, "jobs": 0}
        assert (
            ended(client, client.post("/api/jobs", json={"kind": "cluster", "k": 4, "restarts": 1}).json()["id"])[
                "result"
            ]["k"]
            == 4
        )


def test_a_process_that_dies_is_a_failed_job(writable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecstore.web.jobs.sys.executable", "/bin/false")
    with serving(writable) as client:
        job = client.post("/api/jobs", json={"kind": "cluster", "k": 4}).json()
        assert ended(client, job["id"])["error"] == "its process ended with 1; the server's log says why"


# A job is called off at each moment


QUICK = {"kind": "cluster", "k": 2, "restarts": 1}


def wait_for(jobs: Jobs, number: int) -> Job:
    limit = time.monotonic() + 60
    while not jobs.get(number).is_over and time.monotonic() < limit:
        time.sleep(0.02)
    return jobs.get(number)


@pytest.fixture
def jobs(writable: Path) -> Iterator[Jobs]:
    made = Jobs(Settings(writable))
    yield made
    made.close()


def test_a_job_called_off_before_its_process_is_there_is_not_done(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen

    def start_late(*arguments: Any, **options: Any) -> Any:
        jobs.cancel(1)
        return start(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", start_late)
    jobs.start(QUICK)
    assert wait_for(jobs, 1).state == "cancelled"


def test_a_job_called_off_before_it_has_its_order_is_not_failed(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    order = Jobs._order

    def order_late(jobs: Jobs, number: int) -> dict[str, Any]:
        jobs.cancel(number)
        return order(jobs, number)

    monkeypatch.setattr(Jobs, "_order", order_late)
    jobs.start(QUICK)
    assert wait_for(jobs, 1).state == "cancelled"


def test_a_server_that_closes_before_the_process_is_there_calls_the_job_off(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, cancel, called_off = subprocess.Popen, jobs.cancel, threading.Event()
    closing = threading.Thread(target=jobs.close)

    def start_late(*arguments: Any, **options: Any) -> Any:
        closing.start()
        called_off.wait(30)
        return start(*arguments, **options)

    def say_so(number: int) -> Job:
        job = cancel(number)
        called_off.set()
        return job

    monkeypatch.setattr(subprocess, "Popen", start_late)
    monkeypatch.setattr(jobs, "cancel", say_so)
    jobs.start(QUICK)
    assert wait_for(jobs, 1).state == "cancelled"
    closing.join()


def test_a_server_that_is_closed_starts_no_job(jobs: Jobs) -> None:
    jobs.close()
    with pytest.raises(StoreBusy, match="the server is being stopped"):
        jobs.start(QUICK)


# The map


def test_a_map_that_the_store_keeps_is_there_from_the_start(writable: Path) -> None:
    with Store.open(writable) as store:
        drawn = json.loads(json.dumps(asdict(store.map())))
    with serving(writable) as client:
        assert (client.get("/api/state").json()["map"], client.get("/api/map").json()) == (True, drawn)


def test_the_state_says_that_another_program_has_drawn_the_map_again(writable: Path) -> None:
    with serving(writable) as client, Store.open(writable) as other:
        versions = [client.get("/api/state").json()["map_version"]]
        for seed in (1, 2):
            other.map(rebuild=True, seed=seed)
            versions += [client.get("/api/state").json()["map_version"] for _ in range(2)]
    assert versions[0] == ""
    assert versions[1] == versions[2] != versions[3] == versions[4]


@pytest.mark.parametrize("kept", [None, b"damaged"])
def test_without_a_map_that_can_be_read_the_next_step_is_told(kept: bytes | None, writable: Path) -> None:
    if kept is not None:
        (writable / "map.npz").write_bytes(kept)
    with serving(writable) as client:
        answer = client.get("/api/map")
        assert (answer.status_code, "draws one" in answer.json()["detail"]) == (404, True)


def test_metrics_count_requests_by_route_and_not_by_id(client: TestClient) -> None:
    client.get("/api/images/3")
    client.get("/api/images/4")
    lines = client.get("/metrics").text.splitlines()
    assert any(
        line.startswith('vecstore_http_requests_total{method="GET",route="/api/images/{id}",status="200"}')
        for line in lines
    )
    assert "vecstore_images 18.0" in lines
    assert not any("/api/images/3" in line for line in lines)


# The command


def test_the_command_serves_this_machine_alone_until_it_is_told_to_end(store: Path) -> None:
    process = start_program("serve", "--store", store, "--port", "0", "--json")
    try:
        told = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        assert told["url"].startswith("http://127.0.0.1:")
        assert told["token"] is None
        # Not `urlopen`: it keeps the proxy that an earlier test of this process had in its environment.
        with build_opener(ProxyHandler({})).open(told["url"] + "healthz", timeout=20) as answer:
            assert answer.read() == b"ok\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_that_is_taken_is_told_at_once(store: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_program("serve", "--store", store, "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: 127.0.0.1 port {port} cannot be used: Address already in use; "
        "choose another --port (0: any free one)\n"
    )


def test_a_tree_is_walked_cut_and_explained_as_by_the_library(writable: Path) -> None:
    with Store.open(writable) as store:
        store.cluster(tree=(2, 4), restarts=2)
        top = store.tree(1)[0].cluster
        leaf = store.tree(2)[0].cluster
        asked = {
            "/api/clusters?level=2": store.tree(2),
            f"/api/clusters?parent={top}": store.tree(below=top),
            "/api/clusters/cut?k=3": store.cut_tree(3),
            f"/api/clusters/{leaf}/path": store.tree_path(leaf),
            f"/api/clusters/{leaf}/explanation": store.explain(leaf),
        }
        with serving(writable) as client:
            assert {path: client.get(path).json() for path in asked} == {path: plain(a) for path, a in asked.items()}
            assert client.get("/api/clusters?level=9").status_code == 400
            named = client.patch(f"/api/clusters/{top}", json={"name": "top"}).json()
            assert (named["cluster"], named["name"], named["level"]) == (top, "top", 1)


def test_a_store_whose_clusters_have_lost_their_images_is_served(writable: Path) -> None:
    with Store.open(writable) as store:
        lost = store.clusters()[-1].cluster
        store.remove(*(member.id for member in store.members(lost)))
        with serving(writable) as client:
            assert lost not in {found["cluster"] for found in client.get("/api/clusters").json()}
            assert client.get(f"/api/clusters/{lost}/members").json() == []
            assert client.get("/api/images/0/similar", params={"cluster": lost}).json() == []
            named = client.patch(f"/api/clusters/{lost}", json={"name": "lost"})
            assert (named.status_code, named.json()["size"], named.json()["representative"]) == (200, 0, None)
            store.remove(*store.session.catalog.images.alive_rows())
            for route in ("info", "state", "images", "clusters", "clusterings", "outliers", "failures"):
                assert client.get(f"/api/{route}").status_code == 200, route
