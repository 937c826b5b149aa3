"""The page on a large store, in Chromium: how long each step takes until every picture in view is there.

Vectors and paths are made up; a thumbnail is one painted picture, handed over in the browser, so what is measured is
the server's answers and the page, and not the decoding of pictures.
"""

import io
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from scripts.benchmarks.common import describe_machine
from vecstore import Store
from vecstore.sources.painted import paint

# Every tile in view has its picture.
IS_THERE = """() => {
    const tiles = [...document.querySelectorAll(".tile")].filter((tile) => {
        const { top, bottom } = tile.getBoundingClientRect();
        return bottom > 80 && top < innerHeight;
    });
    return tiles.length > 10 && tiles.every((tile) => tile.querySelector("img")?.naturalWidth);
}"""
# The map, moved for a while: milliseconds that the page's own thread took for each drawing, as the page notes them.
MOVED = """async (steps) => {
    const holder = document.querySelector(".map");
    const canvas = holder.querySelector("canvas");
    const took = [];
    for (let step = 0; step < steps; step += 1) {
        const box = canvas.getBoundingClientRect();
        const [clientX, clientY] = [box.left + box.width * (0.3 + 0.01 * (step % 40)), box.top + box.height / 2];
        const deltaY = step % 40 < 20 ? -40 : 40;
        canvas.dispatchEvent(new WheelEvent("wheel", { deltaY, clientX, clientY, bubbles: true, cancelable: true }));
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
        took.push(Number(holder.dataset.ms));
    }
    return took.sort((a, b) => a - b);
}"""
POINTED = """async (rounds) => {
    const { Points } = await import("./static/map/points.js");
    const { positions } = await import("./static/map/arrays.js");
    const found = await positions();
    const began = performance.now();
    const points = new Points(found.ids, found.at);
    const made = performance.now() - began;
    const took = [];
    for (let round = 0; round < rounds; round += 1) {
        const began = performance.now();
        points.nearest(Math.random() - 0.5, Math.random() - 0.5, [1200, 600], 24);
        took.push(performance.now() - began);
    }
    return [made, Math.max(...took), took.reduce((sum, one) => sum + one, 0) / rounds];
}"""
# WebGL in software, where there is no graphics processor: it says nothing of how long one takes to draw.
WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
HEAP_AND_NODES = "[performance.memory.usedJSHeapSize / 1e6, document.getElementsByTagName('*').length]"
JUMPS, MOVES = 100, 60


def main(
    rows: Annotated[int, typer.Option(help="Stored vectors.")] = 1_000_000,
    dim: Annotated[int, typer.Option()] = 32,
    clusters: Annotated[int, typer.Option()] = 40,
    store: Annotated[Path | None, typer.Option(help="Where to make the store, or one that is there.")] = None,
    n_rounds: Annotated[int, typer.Option("--rounds")] = 3,
    only_map: Annotated[bool, typer.Option("--only-map")] = False,
) -> None:
    """Print milliseconds for each step of a round, and what the page holds after many jumps."""
    from playwright.sync_api import sync_playwright

    describe_machine("fastapi", "uvicorn")
    with tempfile.TemporaryDirectory() as scratch:
        folder = store or Path(scratch) / "store"
        if not folder.exists():
            _make(folder, rows, dim, clusters, Path(scratch))
        _map(folder)
        command = [sys.executable, "-c", "from cli.app import main; main()", "serve", "-s", str(folder)]
        server = subprocess.Popen([*command, "--port", "0", "-q"], stdout=subprocess.PIPE, text=True)
        try:
            if server.stdout is None:
                raise ValueError("the server was started with a pipe")
            address = server.stdout.readline().strip()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"),
                    args=["--no-sandbox", "--enable-precise-memory-info", *WEBGL],
                )
                # Playwright asks a page by `eval`, which the page's own policy forbids.
                page = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True).new_page()
                _hand_over_thumbnails(page)
                if not only_map:
                    _measure(page, address, n_rounds)
                _measure_map(page, address, n_rounds)
                browser.close()
        finally:
            server.terminate()
            server.communicate()


def _make(folder: Path, rows: int, dim: int, clusters: int, scratch: Path) -> None:
    random = np.random.default_rng(0)
    kinds = random.normal(size=(clusters, dim)).astype(np.float32)
    noise = random.normal(scale=0.4, size=(rows, dim)).astype(np.float32)
    np.save(scratch / "vectors.npy", kinds[random.integers(0, clusters, rows)] + noise)
    with (scratch / "paths.txt").open("w") as file:
        for row in range(rows):
            file.write(f"/photos/{2000 + row * 25 // rows}/{row % 12 + 1:02}/DSC_{row:07}.jpg\n")
    with Store.open(folder, create=True) as store:
        store.import_vectors(scratch / "vectors.npy", scratch / "paths.txt")
        store.cluster(clusters, restarts=1)


def _map(folder: Path) -> None:
    with Store.open(folder) as store:
        began = time.process_time()
        store.map(everything=True)
        n = len(store.map_positions().ids)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{n:,} places on the map, {time.process_time() - began:,.0f} s of CPU for those that were missing")
    print(f"peak of this process: {peak:,.0f} MiB")


def _hand_over_thumbnails(page: Any) -> None:
    thumbnail = io.BytesIO()
    paint("reef", 1).save(thumbnail, "JPEG")
    page.route("**/thumbnail*", lambda route: route.fulfill(body=thumbnail.getvalue(), content_type="image/jpeg"))
    page.set_default_timeout(120_000)


def _measure_map(page: Any, address: str, n_rounds: int) -> None:
    sent: dict[str, int] = {}
    page.on("response", lambda answer: "/api/map/" in answer.url and sent.update({answer.url: _length(answer)}))
    took: dict[str, list[float]] = {}
    for _ in range(n_rounds):
        for what, view in (("map drawn", "#/map"), ("map coloured by folder", "#/map?by=folder")):
            page.goto("about:blank")
            began = time.perf_counter()
            page.goto(f"{address}{view}")
            page.wait_for_function("document.querySelector('.map')?.dataset.ms", polling=10)
            took.setdefault(what, []).append(1000 * (time.perf_counter() - began))
    for step, times in took.items():
        print(f"{step:26}{', '.join(f'{one:,.0f}' for one in times)} ms")
    for url, n in sent.items():
        print(f"sent: {url.partition('/api/')[2]:22}{n / 1e6:.1f} MB the first time")
    moved = page.evaluate(MOVED, MOVES)
    middle, ninety_nine = moved[len(moved) // 2], moved[len(moved) * 99 // 100]
    print(
        f"each of {MOVES} drawings on the page's thread: median {middle:.1f} ms, 99 of 100 within {ninety_nine:.1f} ms"
    )
    made, slowest, mean = page.evaluate(POINTED, 1000)
    print(f"grid of points: {made:.0f} ms; pointing at one: {mean:.2f} ms, at most {slowest:.1f} ms")
    heap, _ = page.evaluate(HEAP_AND_NODES)
    print(f"the page with the map: {heap:.1f} MB of JavaScript")


def _length(answer: Any) -> int:
    return int(answer.headers.get("content-length", 0))


def _measure(page: Any, address: str, n_rounds: int) -> None:
    folders, groups = "#sidebar .tree a", "#sidebar section:nth-of-type(2) a"

    def go(view: str) -> None:
        page.evaluate("view => (location.hash = view)", view)

    def choose(facet: str, chips: int) -> None:
        page.locator(facet).nth(3).click()
        page.locator(".chip").nth(chips - 1).wait_for()

    steps: dict[str, tuple[Callable[[], object], str]] = {
        "first view": (lambda: page.goto(f"{address}#/pictures"), folders),
        "scroll to the middle": (lambda: page.evaluate("scrollTo(0, document.body.scrollHeight / 2)"), folders),
        "scroll to the end": (lambda: page.evaluate("scrollTo(0, document.body.scrollHeight)"), folders),
        "only one folder": (lambda: choose(folders, 1), groups),
        "and only one cluster": (lambda: choose(groups, 2), ".chip"),
        "similar to one": (lambda: go("#/similar?plus=1000"), ".score"),
        "a cluster, typical first": (lambda: go("#/cluster/7"), ".back"),
        "all by path": (lambda: go("#/pictures?order=path"), ".tile"),
    }
    took: dict[str, list[float]] = {step: [] for step in steps}
    for _ in range(n_rounds):
        page.goto("about:blank")
        for step, (act, sign) in steps.items():
            began = time.perf_counter()
            act()
            page.wait_for_function(IS_THERE, polling=10)
            took[step].append(1000 * (time.perf_counter() - began))
            page.locator(sign).first.wait_for()
    for step, times in took.items():
        print(f"{step:26}{', '.join(f'{one:,.0f}' for one in times)} ms")
    go("#/pictures")
    for _ in range(JUMPS):
        page.evaluate("scrollTo(0, Math.random() * document.body.scrollHeight)")
        page.wait_for_timeout(100)
    heap, nodes = page.evaluate(HEAP_AND_NODES)
    print(f"after {JUMPS} jumps: {heap:.1f} MB of JavaScript, {nodes:,} elements")
