"""A store that is closed, in another thread, forked or pickled: one clear line, or a store of its own."""

import asyncio
import os
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import TinyEmbedder
from tests.programs import start_program
from vecstore.errors import VecstoreError
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
QUESTIONS: list[Callable[[Store], object]] = [
    lambda store: store.similar(0, k=2),
    lambda store: store.images(),
    lambda store: store.failures(),
    lambda store: store.remove(0),
    lambda store: list(store.neighbours(k=1)),
    lambda store: store.info(),
    lambda store: store.cluster(2),
]


@pytest.fixture
def store(open_store: Callable[..., Store], pictures: Path) -> Store:
    opened = open_store()
    opened.add(pictures)
    return opened


def error_of(question: Callable[[Store], object], store: Store) -> str:
    try:
        question(store)
    except VecstoreError as error:
        return str(error)
    return "no error"


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_closed_store_says_so_in_a_line(question: Callable[[Store], object], store: Store) -> None:
    store.close()
    assert error_of(question, store) == f"the store {store.path} was closed; open it again with `Store.open`"
    store.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_another_thread_is_told_to_reopen_and_does_no_harm(question: Callable[[Store], object], store: Store) -> None:
    with ThreadPoolExecutor(1) as threads:
        said = threads.submit(error_of, question, store).result()
        assert threads.submit(error_of, Store.close, store).result().startswith("the store ")
    assert said.startswith(f"the store {store.path} was opened in another thread")
    assert "`Store.reopen`" in said
    assert len(store.images()) == 10


def test_many_threads_with_a_store_each_answer_alike_and_share_the_embedder(store: Store) -> None:
    embedder = store.session.embedder
    together = threading.Barrier(3)

    def ask(row: int) -> list[int]:
        with store.reopen() as own:
            together.wait()
            assert own.session.embedder is embedder
            return [hit.id for hit in own.similar(row, k=4)]

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(ask, range(3))) == [[hit.id for hit in store.similar(row, k=4)] for row in range(3)]


def test_asyncio_asks_in_threads(store: Store) -> None:
    def ask(row: int) -> int:
        with store.reopen() as own:
            return own.similar(row, k=2)[1].id

    async def ask_all() -> list[int]:
        return await asyncio.gather(*(asyncio.to_thread(ask, row) for row in range(3)))

    assert asyncio.run(ask_all()) == [store.similar(row, k=2)[1].id for row in range(3)]


def test_a_store_pickles_to_its_place(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pickled = pickle.dumps(store)
    monkeypatch.chdir("/")
    with pickle.loads(pickled) as again:
        assert again.path == store.path
        assert again.similar(3, k=3) == store.similar(3, k=3)
    assert len(pickled) < 2000


def test_a_store_with_an_embedder_of_ones_own_pickles_with_it(tmp_path: Path, pictures: Path) -> None:
    with Store.open(tmp_path / "own", embedder=TinyEmbedder(), create=True) as store:
        with pickle.loads(pickle.dumps(store)) as before_there_is_one:
            before_there_is_one.add(pictures)
    with Store.open(tmp_path / "own", embedder=TinyEmbedder()) as store, pickle.loads(pickle.dumps(store)) as again:
        assert again.similar(pictures / "3.png", k=1)[0].id == 3


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_is_told_to_reopen_and_can(store: Store) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = error_of(lambda store: store.images(), store)
            store.close()
            with store.reopen() as own:
                os.write(writing, f"{len(own.images())} {said}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    said = os.read(reading, 4096).decode()
    os.close(reading)
    os.close(writing)
    assert said.startswith(f"10 the store {store.path} was opened in another process")
    assert len(store.images()) == 10


def test_a_store_is_read_while_another_process_adds(tmp_path: Path, pictures: Path) -> None:
    place = tmp_path / "read"
    with Store.open(place, embedder="hsv", create=True) as writer:
        writer.add(pictures / "0.png")
    with Store.open(place) as store:
        adding = start_program("add", pictures, "--store", place)
        counts = [len(store.images())]
        while adding.poll() is None:
            counts.append(len(store.images()))
            assert store.similar(0, k=1)[0].id == 0
        adding.communicate()
        assert adding.returncode == 0
        assert counts == sorted(counts)
        assert len(store.images()) == 10
