"""`kill -9` in the middle of an add: what the catalog counts has its vector, and the next add completes the rest."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

from PIL import Image

from tests.conftest import paint
from tests.programs import SLOWLY, run_program, start_program
from vecstore.embedders.hsv import Hsv
from vecstore.storage.vector_file import quantize_unit_rows
from vecstore.store import Store

# Between the vectors' being on the disk and the catalog's commit is where a kill tears: make that a likely place.
TEARING = f"""{SLOWLY}
from vecstore.storage.vector_file import VectorFile

append = VectorFile.append

def append_and_wait(*arguments):
    append(*arguments)
    time.sleep(0.02)

VectorFile.append = append_and_wait
"""

N_PICTURES = 600
N_KILLS = 10


def vectors_by_path(folder: Path) -> dict[bytes, list[float]]:
    """What the store is to hold, worked out from the files."""
    embedder = Hsv()
    paths = sorted(folder.iterdir())
    prepared = []
    for path in paths:
        with Image.open(path) as image:
            prepared.append(embedder.prepare(image.convert("RGB")))
    vectors = quantize_unit_rows(embedder.embed(prepared)).tolist()
    return dict(zip(map(os.fsencode, paths), vectors, strict=True))


def stored(store: Path) -> dict[bytes, list[float]]:
    """What a reader finds: the path and vector of every row that the catalog counts."""
    with Store.open(store) as opened:
        vectors = opened.session.vectors()
        paths = [
            (row, opened.session.catalog.paths.first_of(row))
            for row in range(opened.session.catalog.images.row_count())
        ]
        return {path: vectors[row].tolist() for row, path in paths if path is not None}


def wait_until_it_grows(file: Path, process: subprocess.Popen[str]) -> None:
    def size() -> int:
        return file.stat().st_size if file.exists() else 0

    before = size()
    while size() <= before and process.poll() is None:
        time.sleep(0.001)


def test_ten_kills_in_the_middle_of_an_add_lose_and_double_nothing(tmp_path: Path) -> None:
    for seed in range(N_PICTURES):
        paint(tmp_path / f"pictures/{seed:03}.png", seed)
    truth = vectors_by_path(tmp_path / "pictures")
    arguments = ("add", tmp_path / "pictures", "--store", tmp_path / "store", "-e", "hsv")
    delays = random.Random(0)
    ends, counts = [], []
    for _ in range(N_KILLS):
        process = start_program(*arguments, prelude=TEARING)
        wait_until_it_grows(tmp_path / "store/vectors.f16", process)
        time.sleep(delays.uniform(0, 0.1))
        process.kill()
        process.communicate()
        ends.append(process.returncode)
        found = stored(tmp_path / "store")
        assert found == {path: truth[path] for path in found}
        counts.append(len(found))
    # The kills did land in the middle: each found the process at work, and the store grew between them.
    assert ends == [-signal.SIGKILL] * N_KILLS
    assert counts == sorted(counts)
    assert len(set(counts)) > N_KILLS // 2
    assert run_program(*arguments).returncode == 0
    with Store.open(tmp_path / "store") as store:
        info, n_rows = store.info(), store.session.catalog.images.row_count()
    assert (stored(tmp_path / "store") == truth, info.images, n_rows, info.failures) == (
        *(True, N_PICTURES),
        N_PICTURES,
        0,
    )
    assert (tmp_path / "store/vectors.f16").stat().st_size == N_PICTURES * info.dim * 2
