"""The page, in a real Chromium: what a person does with it, what it logs, and what axe-core finds wrong.

Skips where there is no Chromium (Debian: apt-get install chromium; or VECSTORE_TEST_CHROMIUM names one).
"""

import asyncio
import base64
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import numpy as np
import pytest
import uvicorn
from PIL import Image

from tests.serving import TOKEN, copy_of, make_store, paint_one
from vecstore.sources.painted import paint
from vecstore.store import Store
from vecstore.views import palette
from vecstore.web.app import create_site
from vecstore.web.serve import listening_on, url
from vecstore.web.settings import Settings

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

CHROMIUM = os.environ.get("VECSTORE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium on this machine; apt-get install chromium"
)
HOSTILE = "<img src=x onerror=\"document.title='owned'\">&amp;.png"
# A busy machine is slow, and no claim is made of time here.
PATIENCE_MS = int(os.environ.get("VECSTORE_TEST_PATIENCE_MS", 90_000))
# What is said in passing goes after 5 or 12 seconds, which a busy machine may take from one step of a test to the next.
PATIENT_TOASTS = f"""
    window.setTimeout = ((known) => (run, ms, ...rest) =>
        known(run, ms === 5000 || ms === 12000 ? {PATIENCE_MS} : ms, ...rest))(window.setTimeout);"""

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Server(uvicorn.Server):
    """uvicorn's, which leaves nothing open when it ends."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, and hang up on who connected while it was ending, whom uvicorn waits for and then forgets."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # type: ignore[union-attr]
        await asyncio.sleep(0)  # a turn of the loop, in which they close


@contextmanager
def served(*stores: Path, port: int = 0, **settings: Any) -> Iterator[str]:
    """Yield the address of a server of stores, on a real socket. port: 0 is any that is free."""
    chosen = [Settings(store, **settings) for store in stores]
    with listening_on(chosen[0], port) as listening:
        config = uvicorn.Config(create_site(chosen), log_config=None, ws="none", timeout_graceful_shutdown=2)
        server = Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield url(chosen[0], listening).replace("0.0.0.0", "127.0.0.1")
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def running(page: Any, *stores: Path, **settings: Any) -> Iterator[str]:
    """Yield the address of a server that a test has for itself; the page leaves it before it ends."""
    with served(*stores, **settings) as found:
        try:
            yield found
        finally:
            page.goto("about:blank")


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """Yield a browser that is waited for as long as a busy machine takes."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *arguments])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of painted pictures, and one picture whose name is markup."""
    store = make_store(tmp_path_factory.mktemp("page"))
    hostile = paint_one("reef", 77, store.parent / "pictures" / HOSTILE)
    with Store.open(store) as opened:
        opened.add(hostile)
    return store


@pytest.fixture(scope="module")
def address(painted: Path) -> Iterator[str]:
    """A server of a store that no test of this module changes."""
    with served(painted) as found:
        yield found


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with watched(browser) as page:
        yield page


@contextmanager
def new_page(browser: Any, **options: Any) -> Iterator[Any]:
    """Yield a page; what it says in passing stays until a slow machine has come to read it."""
    context = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(PATIENT_TOASTS)
    yield context.new_page()
    context.close()


@contextmanager
def watched(browser: Any, **options: Any) -> Iterator[Any]:
    """Yield a page whose every complaint is a failure: errors on the console, exceptions, requests that are refused."""
    complaints: list[str] = []
    with new_page(browser, **options) as page:
        page.complaints = complaints  # for a test that provokes some
        page.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
    assert complaints == []


def go(page: Any, address: str, view: str = "") -> None:
    """Open a view anew."""
    page.goto("about:blank")
    page.goto(address + view)


def until(page: Any, claim: Callable[[], object]) -> None:
    """Ask again and again until a claim holds; what a page shows at one moment may not be what it comes to show."""
    limit = time.monotonic() + PATIENCE_MS / 1000
    while not claim():
        assert time.monotonic() < limit, "this does not come to hold"
        page.wait_for_timeout(50)


def place(locator: Any) -> dict[str, float]:
    """Return where an element is once it stays there: a view may replace it, or move it, while it is being drawn."""
    seen: list[Any] = [None]

    def stays() -> bool:
        seen.append(locator.bounding_box())
        return seen[-1] is not None and seen[-1] == seen[-2]

    until(locator.page, stays)
    return dict(seen[-1])


def at_rest(page: Any) -> None:
    """Wait until all that a grid shows of its list has come, and its pictures are asked for."""
    page.locator(".tile").first.wait_for()
    expect(page.locator(".tile.waiting, .tile img[data-src]")).to_have_count(0)


def held_back(page: Any, pattern: str, method: str = "POST") -> list[Any]:
    """Hold back the next request of a kind; return the list that it comes to be in."""
    held: list[Any] = []

    def hold(route: Any) -> None:
        if held or route.request.method != method:
            route.fallback()
        else:
            held.append(route)

    page.route(pattern, hold)
    return held


def ask_to_move_the_first(page: Any, address: str) -> None:
    go(page, address, "#/pictures")
    page.locator(".tile .corner").first.click()
    page.get_by_role("button", name="Move to cluster").click()


def tile(page: Any, name: str) -> Any:
    return page.locator(".tile", has=page.locator(f'img[alt="{name}"]'))


def a_million(page: Any, total: int = 1_000_000) -> list[int]:
    """Let the page have a list of a million pictures; return the positions that it asks for, as they come."""
    asked: list[int] = []

    def answer(route: Any) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        start, k = int(query["start"][0]), int(query["k"][0])
        asked.append(start)
        images = [
            {"id": i, "paths": [f"/p/{i:07}.jpg"], "width": 1, "height": 1, "added": "2026-01-01T00:00:00Z"}
            | {"cluster": None, "distance": None}
            for i in range(start, min(start + k, total))
        ]
        route.fulfill(json={"total": total, "images": images})

    page.route("**/api/browse*", answer)
    page.route("**/thumbnail*", lambda route: route.fulfill(body=DOT, content_type="image/png"))
    return asked


def dropped(page: Any, *pictures: Path) -> None:
    """Drop files on the page, as a file manager does."""
    page.evaluate(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, text] of files) {
                const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
            }
            for (const type of ["dragenter", "dragover", "drop"]) {
                document.body.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true }));
            }
        }""",
        [[picture.name, base64.b64encode(picture.read_bytes()).decode()] for picture in pictures],
    )


def tour(page: Any, address: str, picture: Path, name: str) -> None:
    """Drop a stored picture, see it first among its neighbours, open its cluster, name it, reload: it has the name."""
    go(page, address)
    expect(page.locator(".card")).to_have_count(6)
    dropped(page, picture)
    expect(page.locator("h1")).to_have_text(f"Like {picture.name}")
    first = page.locator(".grid .tile").first
    expect(first.locator(".score")).to_have_text("1.000")
    expect(first.locator("img")).to_have_attribute("alt", picture.name)
    first.locator("a.picture").click()
    page.locator(".about a[href*='#/cluster/']").click()
    page.get_by_role("button", name="Name it").click()
    page.get_by_label("Name of the cluster").fill(name)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(name)
    page.reload()
    expect(page.locator("h1")).to_have_text(name)
    page.get_by_role("link", name="Clusters", exact=True).click()
    expect(page.locator(".card strong").get_by_text(name, exact=True)).to_have_count(1)


def test_a_picture_is_dropped_its_cluster_named_and_the_name_stays(page: Any, painted: Path, tmp_path: Path) -> None:
    with running(page, copy_of(painted, tmp_path)) as address:
        tour(page, address, painted.parent / "pictures/reef/reef-01.jpg", "reefs <b>&")
        page.locator("nav").get_by_role("link", name="History").click()
        page.get_by_role("button", name="Undo the last").click()
        expect(page.locator(".entry.undone")).to_contain_text("Naming a cluster")
        page.locator("nav").get_by_role("link", name="Clusters").click()
        expect(page.locator(".card strong").get_by_text("reefs <b>&", exact=True)).to_have_count(0)


def test_the_same_on_real_flowers(page: Any, shared_pictures: Callable[[str], Path], tmp_path: Path) -> None:
    flowers = shared_pictures("flowers200")
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(flowers)
        store.cluster(6, restarts=3)
    with running(page, tmp_path / "store") as address:
        tour(page, address, sorted(flowers.rglob("*.jpg"))[7], "flowers")


def test_all_pictures_that_are_dropped_are_searched_by(page: Any, painted: Path, address: str) -> None:
    both = [painted.parent / "pictures" / name for name in ("reef/reef-01.jpg", "city/city-01.jpg")]
    with Store.open(painted) as store:
        expected = [Path(hit.path).name for hit in store.similar(*both, k=6)]
    go(page, address)
    page.locator(".card").first.wait_for()
    dropped(page, *both)
    expect(page.locator("main .sub").first).to_contain_text("All 2 pictures are searched by together")
    expect(page.locator(".chip")).to_have_count(2)
    for at, name in enumerate(expected):
        expect(page.locator(".tile .name").nth(at)).to_have_text(name)


def test_examples_are_added_and_taken_away(page: Any, address: str) -> None:
    go(page, address, "#/similar?plus=1")
    second = page.locator(".grid .tile").nth(1)
    name = second.locator("img").get_attribute("alt")
    second.get_by_role("link", name=f"Less like {name}").click()
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator(".chip.minus")).to_contain_text(name)
    page.get_by_role("link", name=f"Take {name} away").click()
    expect(page.locator(".chip.minus")).to_have_count(0)


def test_a_threshold_hides_what_scores_less_and_is_part_of_the_address(page: Any, painted: Path, address: str) -> None:
    with Store.open(painted) as store:
        scores = [hit.score for hit in store.similar(1, k=19) if hit.score >= 0.9]
    assert 1 < len(scores) < 19
    go(page, address, "#/similar?plus=1")
    expect(page.locator(".tile")).to_have_count(19)
    page.get_by_label("Least score").fill("0.9")
    expect(page.locator(".tile .score")).to_have_text([f"{score:.3f}" for score in scores])
    expect(page.locator(".edge")).to_contain_text(f"{scores[-1]:.3f}")
    expect(page).to_have_url(re.compile("min=0.9"))
    page.reload()
    expect(page.locator(".tile")).to_have_count(len(scores))


def test_a_long_name_takes_three_lines_of_a_card_and_is_whole_on_its_page(
    page: Any, painted: Path, tmp_path: Path
) -> None:
    store, name = copy_of(painted, tmp_path), "a rather long name " * 12
    with Store.open(store) as opened:
        opened.name_cluster(2, name)
    with running(page, store) as address:
        go(page, address)
        label = page.locator(".card strong", has_text="a rather long name")
        assert place(label)["height"] < 80
        expect(label).to_have_attribute("title", name.strip())
        label.click()
        heading = page.locator("h1", has_text="a rather long name")
        expect(heading).to_have_text(name.strip())
        assert heading.evaluate("heading => heading.scrollHeight <= heading.clientHeight + 2")
        page.set_viewport_size({"width": 390, "height": 844})
        go(page, address, "#/pictures?group=cluster")
        expect(page.locator(".group-head", has_text="a rather long name")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") == 390  # also with a choice of all groups


def test_the_list_of_keys_is_readable_on_a_phone(page: Any, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    go(page, address)
    page.locator(".card").first.wait_for()
    page.keyboard.press("?")
    texts = page.locator(".keys dd")
    expect(texts.first).to_be_visible()
    expect(page.get_by_role("heading", name="Keys")).to_be_in_viewport()
    assert texts.evaluate_all("texts => texts.every(text => text.getBoundingClientRect().width > 120)")


def test_a_name_that_is_markup_is_just_a_name(page: Any, address: str) -> None:
    go(page, address, "#/pictures")
    newest = page.locator(".tile").first
    expect(newest.locator("img")).to_have_attribute("alt", HOSTILE)
    newest.locator("a.picture").click()
    expect(page.locator("#lightbox-title")).to_have_text(HOSTILE)
    expect(page.locator(".about .path")).to_contain_text(HOSTILE)
    page.get_by_role("link", name="Find similar").click()
    expect(page.locator("h1")).to_have_text(f"Like {HOSTILE}")
    expect(page.locator("img[src=x]")).to_have_count(0)
    expect(page).to_have_title(f"Like {HOSTILE} · vecstore")


# The grid


def test_a_million_pictures_are_scrolled_through_to_the_end(page: Any, address: str) -> None:
    asked = a_million(page)
    go(page, address, "#/pictures")
    expect(tile(page, "0000000.jpg")).to_be_visible()
    page.mouse.move(800, 500)
    for _ in range(10):  # faster than it is loaded
        page.mouse.wheel(0, 30_000)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(tile(page, "0999999.jpg")).to_be_visible()
    assert page.locator(".tile").count() < 150
    assert len(asked) < 50  # of 10,000 parts: a slow browser rests at each of the places above
    page.mouse.wheel(0, -300)  # from there pixel by pixel
    expect(tile(page, "0999970.jpg")).to_be_attached()
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    middle = re.compile(r"(4[89]|5[01])\d{4}")
    expect(page.locator(".tile:not(.waiting)").first).to_have_attribute("data-at", middle)
    page.evaluate("scrollTo(0, 0)")
    expect(tile(page, "0000000.jpg")).to_be_visible()


def test_a_jump_is_not_lost_just_when_scrolling_comes_to_rest(page: Any, address: str) -> None:
    page.add_init_script("""
        window.setTimeout = ((known) => (run, ms, ...rest) =>
            known(ms === 70 ? (window.comeToRest = run) : run, ms, ...rest))(window.setTimeout);""")
    a_million(page)
    go(page, address, "#/pictures")
    tile(page, "0000000.jpg").wait_for()
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    expect(tile(page, "0000000.jpg")).to_have_count(0)
    at_rest(page)
    page.evaluate("scrollTo(0, 0); comeToRest()")  # before the browser says that it has scrolled
    expect(tile(page, "0000000.jpg")).to_be_visible()
    assert page.evaluate("scrollY") == 0


def test_keys_go_through_a_million_pictures(page: Any, address: str) -> None:
    a_million(page)
    go(page, address, "#/pictures")
    at_rest(page)
    tile(page, "0000000.jpg").locator("a").focus()
    tops = page.evaluate("[...document.querySelectorAll('.tile')].map((tile) => tile.getBoundingClientRect().top)")
    columns = tops.count(tops[0])
    for key, place in (
        ("End", 999_999),
        ("ArrowLeft", 999_998),
        ("Home", 0),
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowUp", 1),
    ):
        page.keyboard.press(key)
        expect(tile(page, f"{place:07}.jpg").locator("a")).to_be_focused()
        if key == "Home":
            until(page, lambda: page.evaluate("scrollY") == 0)
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    page.keyboard.press("PageUp")
    page.keyboard.press("PageUp")
    expect(tile(page, "0000001.jpg").locator("a")).to_be_focused()


def test_back_leads_to_the_very_place(page: Any, address: str) -> None:
    a_million(page)
    go(page, address, "#/pictures")
    tile(page, "0000000.jpg").wait_for()
    page.evaluate("scrollTo(0, 400_000)")
    expect(tile(page, "0000000.jpg")).to_have_count(0)
    at_rest(page)
    seen = "[...document.querySelectorAll('.tile')].map((tile) => [tile.dataset.at, tile.getBoundingClientRect().top])"
    before = page.evaluate(seen)
    page.locator("nav").get_by_role("link", name="History").click()
    expect(page.locator("h1")).to_have_text("History")
    page.go_back()
    until(page, lambda: page.evaluate(seen) == before)
    page.reload()
    until(page, lambda: page.evaluate(seen) == before)


def test_similar_goes_on_past_the_first_ones(page: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(700, 8)).astype(np.float32))
    (tmp_path / "paths.txt").write_text("".join(f"/p/{i:03}.jpg\n" for i in range(700)))
    with Store.open(tmp_path / "store", create=True) as store:
        store.import_vectors(tmp_path / "v.npy", tmp_path / "paths.txt")
    page.route("**/thumbnail*", lambda route: route.fulfill(body=DOT, content_type="image/png"))
    with running(page, tmp_path / "store") as address:
        go(page, address, "#/similar?plus=3")
        page.locator(".tile a.picture").first.focus()
        last = page.locator(".tile").last
        until(page, lambda: page.keyboard.press("End") or last.get_attribute("data-at") == "699")
        expect(page.locator("main .sub").first).to_contain_text("700 pictures, the nearest first")


def test_filters_are_combined_counted_and_part_of_the_address(page: Any, address: str) -> None:
    go(page, address, "#/pictures")
    page.locator("#sidebar").get_by_role("link", name="reef 3").click()
    expect(page.locator(".tile")).to_have_count(3)
    expect(page.locator(".chip")).to_have_text("Folder: reef×")
    cluster = page.locator("#sidebar section", has_text="Clusters").locator("a")
    expect(cluster).to_have_count(1)  # the one of all three, once the counts are those of the folder
    cluster.click()
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator("main .sub").first).to_have_text("3 pictures of 19 pictures")
    page.reload()
    expect(page.locator(".chip")).to_have_count(2)
    page.get_by_role("link", name="Without Folder: reef").click()
    expect(page.locator(".chip")).to_have_count(1)


def test_a_filter_that_is_chosen_before_the_counts_have_come_is_added_to_the_others(page: Any, address: str) -> None:
    go(page, address, "#/pictures")
    cluster = page.locator("#sidebar section", has_text="Clusters").locator("a").first
    cluster.wait_for()
    held: list[Any] = []
    page.route("**/api/facets*", lambda route: held.append(route))
    page.locator("#sidebar").get_by_role("link", name="reef 3").click()
    expect(page.locator(".chip")).to_have_count(1)
    cluster.click()
    expect(page.locator(".chip")).to_have_count(2)
    for route in held:
        route.continue_()


# Choosing


def test_pictures_are_chosen_by_corner_shift_and_keys_removed_and_brought_back(
    page: Any, painted: Path, tmp_path: Path
) -> None:
    with running(page, copy_of(painted, tmp_path)) as address:
        go(page, address, "#/pictures")
        tiles = page.locator(".tile")
        expect(tiles).to_have_count(19)
        tiles.nth(1).hover()
        tiles.nth(1).locator(".corner").click()
        tiles.nth(4).locator("a").click(modifiers=["Shift"])
        expect(page.locator("#acts strong")).to_have_text("4 pictures chosen")
        tiles.nth(4).locator("a").focus()
        page.keyboard.press("Shift+ArrowRight")
        expect(page.locator("#acts strong")).to_have_text("5 pictures chosen")
        page.keyboard.press("Space")
        expect(page.locator("#acts strong")).to_have_text("4 pictures chosen")
        page.locator("#acts").get_by_role("button", name="Remove").click()
        page.locator("dialog[open]").get_by_role("button", name="Remove").click()
        expect(tiles).to_have_count(15)
        expect(page.locator("#acts")).to_be_hidden()
        page.get_by_role("button", name="Undo").click()
        expect(tiles).to_have_count(19)


def test_undo_takes_back_nothing_that_was_done_later(page: Any, painted: Path, tmp_path: Path) -> None:
    store = copy_of(painted, tmp_path)
    with running(page, store) as address:
        go(page, address, "#/pictures")
        page.locator(".tile .corner").first.click()
        page.locator("#acts").get_by_role("button", name="Remove").click()
        page.locator("dialog[open]").get_by_role("button", name="Remove").click()
        undo = page.locator(".toast").get_by_role("button", name="Undo")
        undo.wait_for()
        with Store.open(store) as other:
            other.name_cluster(2, "later")
            undo.click()
            expect(page.locator(".toast").last).to_contain_text("Something else was done since")
            assert [cluster.name for cluster in other.clusters() if cluster.name] == ["later"]


def test_dragging_from_a_corner_chooses_what_it_passes_and_escape_lets_go(page: Any, address: str) -> None:
    go(page, address, "#/pictures")
    at_rest(page)
    boxes = [place(page.locator(".tile").nth(at)) for at in (0, 2)]
    page.mouse.move(boxes[0]["x"] + 18, boxes[0]["y"] + 18)
    page.mouse.down()
    page.mouse.move(boxes[1]["x"] + 40, boxes[1]["y"] + 40, steps=6)
    page.mouse.up()
    expect(page.locator(".tile.chosen")).to_have_count(3)
    page.keyboard.press("Escape")
    expect(page.locator(".tile.chosen")).to_have_count(0)


def test_a_long_press_chooses_and_a_tap_then_adds(browser: Any, address: str) -> None:
    with new_page(browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        go(page, address, "#/pictures")
        at_rest(page)
        first = page.locator(".tile a.picture").first
        touch = {"pointerType": "touch", "bubbles": True, "isPrimary": True}
        first.dispatch_event("pointerdown", touch)
        expect(page.locator("#acts strong")).to_have_text("1 picture chosen")
        first.dispatch_event("pointerup", touch)
        first.dispatch_event("click")  # which the finger causes too
        page.locator(".tile a.picture").nth(1).tap()
        expect(page.locator("#acts strong")).to_have_text("2 pictures chosen")
        assert "at=" not in page.url


def test_chosen_pictures_of_several_views_are_searched_by_together(page: Any, address: str) -> None:
    go(page, address, "#/pictures")
    page.locator(".tile .corner").first.click()
    page.locator("nav").get_by_role("link", name="Outliers").click()
    expect(page.locator("h1")).to_have_text("Outliers")
    page.locator(".tile .corner").nth(3).click()
    page.get_by_role("button", name="More like these").click()
    expect(page.locator(".chip")).to_have_count(2)


# One picture


def test_a_picture_is_looked_at_and_gone_on_from_by_keys(page: Any, address: str) -> None:
    go(page, address, "#/pictures?order=oldest")
    page.locator(".tile a.picture").first.click()
    title = page.locator("#lightbox-title")
    expect(title).to_have_text("city-00.jpg")
    expect(page.locator(".near li")).to_have_count(12)
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("city-01.jpg")
    page.keyboard.press("End")
    expect(title).to_have_text(HOSTILE)
    page.keyboard.press("Home")
    expect(title).to_have_text("city-00.jpg")
    page.keyboard.press("+")
    expect(page.locator(".stage.zoomed")).to_have_count(1)
    page.keyboard.press("0")
    page.keyboard.press("x")
    assert page.locator("dialog.lightbox").evaluate("dialog => dialog.contains(document.activeElement)")
    for _ in range(30):  # the focus never leaves it
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(page.locator("dialog.lightbox")).to_be_hidden()
    expect(page.locator(".tile a.picture").first).to_be_focused()
    expect(page.locator(".tile.chosen")).to_have_count(1)
    assert "at=" not in page.url
    page.keyboard.press("Enter")  # a chosen one is let go by it
    expect(page.locator(".tile.chosen")).to_have_count(0)


def test_a_link_leads_to_a_picture_and_back_stays_in_the_page(page: Any, address: str) -> None:
    go(page, address, "#/pictures?at=4")
    expect(page.locator("#lightbox-title")).to_have_text("flower-01.jpg")
    page.get_by_role("button", name="Close").click()
    expect(page.locator(".tile")).to_have_count(19)
    page.locator(".tile a.picture").nth(2).click()
    expect(page.locator("dialog.lightbox")).to_be_visible()
    page.go_back()
    expect(page.locator("dialog.lightbox")).to_be_hidden()
    expect(page.locator("h1")).to_have_text("Pictures")


# Elsewhere


def test_an_address_that_leads_nowhere_says_so(page: Any, address: str) -> None:
    go(page, address, "#/nowhere")
    expect(page.locator("h1")).to_have_text("Not found")
    expect(page.locator("main")).to_contain_text("There is nothing at /nowhere on this page.")


@pytest.mark.parametrize(
    ("typed", "view"),
    [
        ("@3 @5 -@7", "#/similar?plus=3%2C5&minus=7"),
        ("reef/", "#/pictures?path=reef%2F"),
        ("two dogs", "#/find?q=two+dogs"),
    ],
)
def test_the_search_box_takes_ids_a_path_and_words(browser: Any, address: str, typed: str, view: str) -> None:
    with new_page(browser) as page:
        go(page, address)
        page.locator(".card").first.wait_for()
        page.keyboard.press("/")
        page.get_by_role("searchbox").fill(typed)
        page.keyboard.press("Enter")
        expect(page).to_have_url(address + view)


def test_a_folder_is_looked_at_added_and_clustered_from_the_page(page: Any, painted: Path, tmp_path: Path) -> None:
    with running(page, tmp_path / "store", embedder="hsv") as address:
        go(page, address)
        expect(page.locator("h1")).to_have_text("No pictures yet")
        page.get_by_role("button", name="Add pictures").first.click()
        page.get_by_label("Folder or file").fill(str(painted.parent / "pictures"))
        page.keyboard.press("Enter")
        expect(page.locator("#add-found")).to_contain_text("19 new files of 19 there")
        page.get_by_role("button", name="Add 19").click()
        expect(page.locator("h1")).to_have_text("Not grouped yet")
        expect(page.locator(".job.done")).to_contain_text("19 added")
        page.get_by_role("button", name="Group into clusters").click()
        page.get_by_label("How many clusters").fill("20")
        page.keyboard.press("Enter")
        expect(page.locator("#cluster-dialog .problem")).to_have_text(
            "Choose a number from 1 to 19, or leave it to the page."
        )
        page.get_by_label("How many clusters").fill("3")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("3 clusters")
        expect(page.locator(".card")).to_have_count(3)
        expect(page.locator(".job.done").last).to_contain_text("19 pictures in 3 clusters")


def test_before_the_first_add_every_view_says_what_comes_first(page: Any, tmp_path: Path) -> None:
    with running(page, tmp_path / "store", embedder="hsv") as address:
        for view in VIEWS:
            if view.startswith("#"):
                go(page, address, view)
                expect(page.locator("h1")).to_have_text("No pictures yet")
        go(page, address, "#/history")
        Store.open(tmp_path / "store", embedder="hsv", create=True).add(paint_one("reef", 1, tmp_path / "one.png"))
        expect(page.locator("h1")).to_have_text("History")


def test_what_could_not_be_added_is_listed(page: Any, tmp_path: Path) -> None:
    paint_one("reef", 1, tmp_path / "pictures" / "good.png")
    (tmp_path / "pictures" / "bad.jpg").write_bytes(b"no picture")
    with running(page, tmp_path / "store", embedder="hsv") as address:
        go(page, address)
        page.get_by_role("button", name="Add pictures").first.click()
        page.get_by_label("Folder or file").fill(str(tmp_path / "pictures"))
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Add 2").click()
        page.locator(".job.done").get_by_role("link", name="1 could not be read").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.locator("tbody .path")).to_contain_text("bad.jpg")


def test_a_page_follows_what_others_do(page: Any, painted: Path, tmp_path: Path) -> None:
    store = copy_of(painted, tmp_path)
    with running(page, store) as address:
        go(page, address, "#/pictures")
        expect(page.locator(".tile")).to_have_count(19)
        with Store.open(store) as other:
            other.add(paint_one("sunset", 5, tmp_path / "new.png"))
            expect(page.locator(".tile")).to_have_count(20)
            expect(page.locator(".toast")).to_have_text("1 new picture in the store")
            other.remove(3)
            expect(page.locator(".tile")).to_have_count(19)
            expect(page.locator("main .sub").first).to_have_text("19 pictures")
            page.locator("nav").get_by_role("link", name="Clusters").click()
            other.name_cluster(2, "seen")
            expect(page.locator(".card strong").get_by_text("seen", exact=True)).to_have_count(1)


def test_an_answer_that_comes_late_is_not_taken_for_the_present(page: Any, painted: Path, tmp_path: Path) -> None:
    store = copy_of(painted, tmp_path)
    with running(page, store) as address, Store.open(store) as other:
        go(page, address, "#/pictures")
        expect(page.locator(".tile")).to_have_count(19)
        before = page.request.get(address + "api/state").json()
        states = held_back(page, "**/api/state", "GET")
        until(page, lambda: states)
        other.add(paint_one("sunset", 5, tmp_path / "new.png"))
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # at which it asks again
        expect(page.locator(".toast")).to_have_text("1 new picture in the store")
        states[0].fulfill(json=before)
        page.evaluate("() => new Promise((seen) => setTimeout(seen, 200))")
        expect(page.locator(".toast")).to_have_text("1 new picture in the store")


def test_a_server_that_is_down_is_seen_and_seen_to_be_back(browser: Any, painted: Path) -> None:
    with new_page(browser) as page:  # the browser itself logs what it cannot reach
        with served(painted) as address:
            port = urlsplit(address).port
            go(page, address)
            page.locator(".card").first.wait_for()
        expect(page.locator("#offline")).to_be_visible()
        with served(painted, port=port or 0):
            expect(page.locator("#offline")).to_be_hidden()
            expect(page.locator(".card").first).to_be_visible()
            page.close()


def test_pictures_that_were_missed_while_the_server_was_down_come_when_it_is_back(browser: Any, painted: Path) -> None:
    # The browser itself logs what it cannot reach.
    with new_page(browser, viewport={"width": 390, "height": 300}) as page:
        with served(painted) as address:
            port = urlsplit(address).port
            go(page, address, "#/pictures")
            page.locator(".tile img").first.wait_for()
        expect(page.locator("#offline")).to_be_visible()
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(page.locator(".tile .missing").last).to_be_visible()
        # One look at all of them: others may still turn out to be missed.
        missing = "missing => missing.every(one => one.textContent.includes('its file is not there'))"
        assert page.locator(".missing").evaluate_all(missing)
        expect(page.locator(".missing small").first).to_be_hidden()  # nobody knows whether it is
        with served(painted, port=port or 0):
            expect(page.locator("#offline")).to_be_hidden()
            expect(page.locator(".missing")).to_have_count(0)
            have_come = "images => images.every((image) => image.naturalWidth)"
            until(page, lambda: page.locator(".tile img").evaluate_all(have_come))
            page.close()


def test_all_of_it_can_be_reached_with_the_keyboard(page: Any, address: str) -> None:
    go(page, address)
    page.locator(".card").first.wait_for()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('.card')"):
            break
    first = page.locator(".card a").first
    expect(first).to_be_focused()
    assert first.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    page.keyboard.press("ArrowRight")
    expect(page.locator(".card a").nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".back")).to_be_visible()
    expect(page.locator("h1")).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("h")
    expect(page.locator("h1")).to_have_text("History")


# Duplicates, selections, and clusters by hand


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """A store of four pictures, two of which have a copy each, and one a smaller one beside it."""
    for number, kind in enumerate(("reef", "city", "sunset", "forest")):
        paint_one(kind, number, tmp_path / "pictures" / f"{kind}.png")
    for kind in ("reef", "city"):
        shutil.copyfile(tmp_path / f"pictures/{kind}.png", tmp_path / f"pictures/{kind}-copy.png")
    paint_one("forest", 3, tmp_path / "pictures" / "forest-small.png", side=120)
    with Store.open(tmp_path / "copies", embedder="hsv", create=True) as store:
        store.add(tmp_path / "pictures")
        store.cluster(2, restarts=1)
    return tmp_path / "copies"


def test_duplicates_are_decided_by_keys_and_cleared_away_with_undo(page: Any, copies: Path) -> None:
    pictures = copies.parent / "pictures"
    with Store.open(copies) as store:
        n_groups = len(list(store.duplicate_groups()))
    with running(page, copies) as address:
        go(page, address, "#/duplicates")
        expect(page.locator(".review-bar strong")).to_have_text(f"1 of {n_groups}")
        expect(page.locator(".pair figure")).to_have_count(2)
        page.locator("body").press("b")  # both of the first are kept, and are never asked about again
        expect(page.locator(".review-bar strong")).to_have_text(f"1 of {n_groups - 1}")
        page.keyboard.press("l")
        page.keyboard.press("p")
        page.keyboard.press("d")
        page.route("**/api/duplicates?*", lambda route: None)  # the groups by the new rule do not come
        page.get_by_label("Which one to keep").select_option("pixels")
        page.get_by_role("button", name="Clear them away").click()
        expect(page.get_by_role("dialog")).to_contain_text("else the most pixels")
        page.get_by_label("What to do").select_option("hardlink")
        expect(page.locator(".plan")).to_contain_text("1 file, ")
        expect(page.locator(".plan li")).to_have_count(1)
        inodes = "reef-copy.png", "reef.png", "city-copy.png", "city.png"
        before = {name: (pictures / name).stat().st_ino for name in inodes}
        page.get_by_role("button", name="Do it").click()
        expect(page.locator(".toast")).to_contain_text(["All are kept", "1 file"])
        assert len({(pictures / name).stat().st_ino for name in inodes}) == 3
        page.locator(".toast", has_text="now links").get_by_role("button", name="Undo").click()
        expect(page.locator(".toast").last).to_contain_text("undone")
        assert len({(pictures / name).stat().st_ino for name in inodes}) == len(set(before.values())) == 4


def test_a_group_is_decided_once_however_often_the_key_is_pressed(page: Any, copies: Path) -> None:
    with Store.open(copies) as store:
        n_groups = len(list(store.duplicate_groups()))
    with running(page, copies) as address:
        go(page, address, "#/duplicates")
        expect(page.locator(".review-bar strong")).to_have_text(f"1 of {n_groups}")
        decisions = held_back(page, "**/api/decisions")
        for key in ("b", "b", "l"):
            page.keyboard.press(key)
        until(page, lambda: decisions)
        decisions[0].continue_()
        expect(page.locator(".review-bar strong")).to_have_text(f"1 of {n_groups - 1}")
        expect(page.locator(".toast")).to_have_text("All are keptUndo")
    with Store.open(copies) as store:
        assert len(store.decisions()) == 1


def test_duplicates_follow_what_others_decide_and_keep_what_is_looked_at(page: Any, copies: Path) -> None:
    with Store.open(copies) as store:
        n_groups = len(list(store.duplicate_groups()))
    where, shown = page.locator(".review-bar strong"), page.locator("figure.keep .path").first
    with running(page, copies) as address, Store.open(copies) as other:
        first, second = ([file.id for file in group.files] for group in [*other.duplicate_groups()][:2])
        go(page, address, "#/duplicates")
        page.get_by_role("button", name="Next group").click()
        expect(where).to_have_text(f"2 of {n_groups}")
        path = shown.text_content()
        page.locator(".pair").evaluate("pair => (pair.dataset.before = 'yes')")
        other.decide(first[0], verdict="both")
        expect(where).to_have_text(f"1 of {n_groups - 1}")
        expect(shown).to_have_text(path)
        expect(page.locator(".pair[data-before]")).to_have_count(1)  # it was not drawn again, so a zoom stays
        expect(page.locator("main .sub").first).to_contain_text(f"{n_groups - 1} groups.")
        page.keyboard.press("b")
        expect(where).to_have_text(f"1 of {n_groups - 2}")
        page.locator(".toast", has_text="All are kept").get_by_role("button", name="Undo").click()
        expect(where).to_have_text(f"2 of {n_groups - 1}")
        other.remove(*{*second})
        expect(page.locator(".review-bar strong")).to_have_text(f"1 of {n_groups - 2}")
        page.keyboard.press("b")
        expect(page.locator("h1")).to_have_text("No duplicates")


def test_what_would_be_done_is_that_of_the_last_choice(page: Any, copies: Path) -> None:
    with running(page, copies) as address:
        go(page, address, "#/duplicates?keep=pixels")
        first = held_back(page, "**/api/acts")
        page.get_by_role("button", name="Clear them away").click()
        until(page, lambda: first)
        page.get_by_label("What to do").select_option("hardlink")
        expect(page.get_by_role("button", name="Do it")).to_be_enabled()
        expect(page.locator(".plan li")).to_have_count(2)
        with page.expect_response("**/api/acts"):
            first[0].fulfill(json={"act": "trash", "done": 0, "refused": 0, "bytes": 0, "acts": []})
        page.evaluate("() => new Promise((seen) => setTimeout(seen, 100))")
        expect(page.get_by_role("button", name="Do it")).to_be_enabled()
        expect(page.locator(".plan li")).to_have_count(2)


def test_a_form_is_sent_once_however_often_it_is_pressed(page: Any, copies: Path) -> None:
    with running(page, copies) as address:
        ask_to_move_the_first(page, address)
        moves = held_back(page, "**/api/clusters*")
        for _ in range(3):
            page.get_by_role("button", name="Move", exact=True).click()
        until(page, lambda: moves)
        moves[0].continue_()
        expect(page.locator("dialog[open]")).to_have_count(0)
        page.locator("nav").get_by_role("link", name="Clusters").click()
        expect(page.locator("h1")).to_have_text("3 clusters")
        page.get_by_role("button", name="Group again").click()
        page.get_by_label("How many clusters").fill("2")
        jobs = held_back(page, "**/api/jobs")
        for _ in range(3):
            page.keyboard.press("Enter")
        until(page, lambda: jobs)
        jobs[0].continue_()
        expect(page.locator("h1")).to_have_text("2 clusters")
        assert len(page.request.get(address + "api/jobs").json()) == 1


def test_duplicates_come_in_the_order_that_the_address_says(page: Any, copies: Path) -> None:
    with Store.open(copies) as store:
        firsts = [group.files[0].path for group in store.duplicate_groups()]
    by_size = sorted(firsts, key=lambda path: -Path(path).stat().st_size)
    assert by_size != firsts
    shown = page.locator("figure.keep .path").first
    with running(page, copies) as address:
        go(page, address, "#/duplicates")
        expect(shown).to_have_text(firsts[0])
        page.get_by_label("Order").select_option("size")
        expect(shown).to_have_text(by_size[0])
        page.get_by_label("Which one to keep").select_option("pixels")
        expect(page).to_have_url(re.compile(r"#/duplicates\?(?=.*sort=size)(?=.*keep=pixels)"))
        page.go_back()
        page.go_back()
        expect(page.get_by_label("Order")).to_have_value("")
        expect(shown).to_have_text(firsts[0])


def test_chosen_pictures_are_put_into_a_selection_that_is_a_filter(page: Any, copies: Path) -> None:
    with running(page, copies) as address:
        go(page, address, "#/pictures")
        for at in (0, 2):
            page.locator(".tile .corner").nth(at).click()
        page.get_by_role("button", name="Add to selection").click()
        page.get_by_label("Name of the selection").fill("for <print>")
        page.keyboard.press("Enter")
        expect(page.locator(".toast")).to_contain_text("2 pictures put into for <print>")
        page.locator("#sidebar").get_by_role("link", name="for <print> 2").click()
        expect(page.locator(".tile")).to_have_count(2)
        page.locator(".tile .corner").first.click()
        page.get_by_role("button", name="Take out").click()
        expect(page.locator(".tile")).to_have_count(1)
        page.locator(".toast", has_text="taken out").get_by_role("button", name="Undo").click()
        expect(page.locator(".tile")).to_have_count(2)


def test_chosen_pictures_are_moved_to_a_new_cluster_and_clusters_merged(page: Any, copies: Path) -> None:
    with running(page, copies) as address:
        ask_to_move_the_first(page, address)
        page.get_by_role("button", name="Move", exact=True).click()
        expect(page.locator(".toast")).to_contain_text("1 picture moved to the new cluster")
        page.locator("nav").get_by_role("link", name="Clusters").click()
        expect(page.locator("h1")).to_have_text("3 clusters")
        page.locator(".card a").first.click()
        page.get_by_role("button", name="Merge").click()
        page.locator("dialog[open]").get_by_role("button", name="Merge").click()
        expect(page.locator(".toast").last).to_contain_text("Merged into")
        page.locator("nav").get_by_role("link", name="Clusters").click()
        expect(page.locator("h1")).to_have_text("2 clusters")


def test_a_page_for_reading_alone_offers_nothing_that_writes(page: Any, copies: Path) -> None:
    with running(page, copies, read_only=True) as address:
        for view in ("#/", "#/duplicates", "#/history", "#/cluster/0", "#/pictures?at=1"):
            go(page, address, view)
            page.locator("main h1").first.wait_for()
            page.wait_for_load_state("networkidle")
            words = " ".join(page.locator("button:visible").all_text_contents())
            assert not re.search("Add|Group|Remove|Name|Undo|Keep|Clear|Split|Merge|Not dup", words), (view, words)
        page.get_by_role("button", name="Close").click()
        page.locator(".tile .corner").first.click()
        expect(page.locator("#acts button")).to_have_text(["Clear", "More like these"])


# What pictures say of themselves


@pytest.fixture
def dated(tmp_path: Path) -> Path:
    """A store of three pictures of May 2024 by one camera, one of 2023 by another, and a black one of nothing."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    shots = [("2024:05:01 10:00:00", "X-T5"), ("2024:05:09 10:00:00", "X-T5"), ("2024:05:31 10:00:00", "X-T5")]
    for number, (taken, camera) in enumerate([*shots, ("2023:12:24 18:00:00", "K-1")]):
        picture = paint("reef", number)
        exif = picture.getexif()
        exif[0x0110] = camera
        exif.get_ifd(0x8769)[0x9003] = taken
        picture.save(folder / f"{number}.jpg", exif=exif)
    Image.new("RGB", (64, 64)).save(folder / "black.png")
    with Store.open(tmp_path / "dated", embedder="hsv", create=True) as store:
        store.add(folder)
    return tmp_path / "dated"


def test_months_and_cameras_are_filters_and_a_picture_says_what_is_known_of_it(page: Any, dated: Path) -> None:
    with running(page, dated) as address:
        go(page, address, "#/pictures?order=taken")
        expect(page.locator(".tile .name")).to_have_text(["2.jpg", "1.jpg", "0.jpg", "3.jpg", "black.png"])
        page.locator("#sidebar").get_by_role("link", name="December 2023 1").click()
        expect(page.locator(".tile .name")).to_have_text(["3.jpg"])
        expect(page.locator(".chip")).to_have_text("Taken: December 2023×")
        page.locator(".tile a.picture").click()
        expect(page.locator(".facts")).to_contain_text("2023-12-24 18:00:00")
        page.locator(".facts").get_by_role("link", name="K-1").click()
        expect(page.locator(".chip")).to_have_text("Camera: K-1×")
        page.locator("#sidebar").get_by_role("link", name="X-T5 3").click()
        expect(page.locator(".tile")).to_have_count(3)


def test_odd_pictures_are_shown_by_kind(page: Any, dated: Path) -> None:
    with running(page, dated) as address:
        go(page, address, "#/oddities")
        expect(tile(page, "black.png").locator(".score")).to_contain_text("dark")
        page.get_by_role("link", name="Bright", exact=True).click()
        expect(page.locator("main .sub")).to_have_text("No picture is beyond any bound.")


def test_colours_of_clusters_are_those_of_drawn_maps(page: Any, address: str) -> None:
    go(page, address)
    found = page.evaluate(
        """async () => {
            const { palette, style } = await import("./static/palette.js");
            const colours = await palette();
            return Array.from({ length: 60 }, (_, cluster) => style(colours, cluster));
        }"""
    )
    assert [tuple(one) for one in found] == [palette.style(cluster) for cluster in range(60)]


# The server


def test_the_grouping_of_before_is_brought_back(page: Any, few: Path) -> None:
    with Store.open(few) as opened:
        opened.cluster(2, restarts=1)
    with running(page, few) as address:
        go(page, address, "#/history")
        expect(page.locator(".entry.current")).to_contain_text("Grouping 2: 2 clusters")
        page.get_by_role("button", name="Bring it back").click()
        expect(page.locator(".entry.current")).to_contain_text("Grouping 1: 4 clusters")
        page.locator("nav").get_by_role("link", name="Clusters").click()
        expect(page.locator("h1")).to_have_text("4 clusters")


def test_why_there_are_so_many_clusters_is_told(page: Any, address: str) -> None:
    def with_reason(route: Any) -> None:
        runs = route.fetch().json()
        route.fulfill(json=[{**run, "k_reason": "the loss curve bends there"} for run in runs])

    page.route("**/api/clusterings", with_reason)
    for view in ("#/", "#/history"):
        go(page, address, view)
        expect(page.locator("main")).to_contain_text("Why 6: the loss curve bends there.")


@pytest.mark.parametrize("prefix", ["/photos/of-mine", ""])
def test_it_works_below_a_path_and_with_several_stores(page: Any, painted: Path, tmp_path: Path, prefix: str) -> None:
    (tmp_path / "pets").mkdir()
    paint_one("reef", 1, tmp_path / "pictures" / "one.png")
    with Store.open(tmp_path / "pets", embedder="hsv", create=True) as store:
        store.add(tmp_path / "pictures")
    with running(page, painted, tmp_path / "pets", root_path=prefix) as address:
        assert urlsplit(address).path == f"{prefix}/"
        go(page, address)
        expect(page.locator(".card img").first).to_be_visible()
        page.get_by_label("Store").select_option("pets")
        expect(page.locator("h1")).to_have_text("Not grouped yet")
        expect(tile(page, "one.png")).to_be_visible()
        assert urlsplit(page.url).path == f"{prefix}/s/pets/"


def test_a_token_is_asked_for_and_leaves_the_address(page: Any, painted: Path) -> None:
    with running(page, painted, host="0.0.0.0", token=TOKEN) as address:
        page.goto(f"{address}#token={TOKEN}")
        expect(page.locator(".card")).to_have_count(6)
        assert TOKEN not in page.url


def test_a_token_leads_to_a_store_that_is_not_made_yet(page: Any, tmp_path: Path) -> None:
    with running(page, tmp_path / "store", embedder="hsv", host="0.0.0.0", token=TOKEN) as address:
        page.goto(address)
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("No pictures yet")
        page.complaints.clear()  # the browser's own, of what it was refused before


def test_it_can_be_installed(page: Any, address: str) -> None:
    go(page, address)
    link = page.locator("link[rel=manifest]").evaluate("link => link.href")
    manifest = page.request.get(link)
    assert manifest.headers["content-type"] == "application/manifest+json"
    assert {icon["sizes"] for icon in manifest.json()["icons"]} >= {"192x192", "512x512"}
    for icon in manifest.json()["icons"]:
        assert page.request.get(urljoin(link, icon["src"])).ok


VIEWS = {
    "#/": ".card img",
    "#/pictures": ".tile img",
    "#/pictures?path=reef/": ".tile img",
    "#/cluster/1": ".tile img",
    "#/similar?plus=1,2&minus=3": ".tile img",
    "#/pictures?at=3": ".near img",
    "#/duplicates": "h1",
    "#/oddities": "h1",
    "#/outliers": ".tile img",
    "#/history": ".entry",
    "#/failures": "h1",
    "#/map": "h1",
    "add": "#add-path",
}


@pytest.mark.parametrize(("scheme", "size"), [("light", (1440, 900)), ("dark", (390, 844))])
def test_axe_finds_nothing_serious(scheme: str, size: tuple[int, int], page: Any, address: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    found = []
    for view, sign in VIEWS.items():
        go(page, address, "" if view == "add" else view)
        if view == "add":
            page.get_by_role("button", name="Add pictures").click()
        page.locator(sign).first.wait_for()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        result = Axe().run(page).response
        found += [
            (view, violation["id"], [node["target"] for node in violation["nodes"]][:3])
            for violation in result["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        assert result["passes"]
    assert found == []


def test_words_that_cannot_be_asked_for_say_so_in_place_of_pictures(browser: Any, painted: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # Without the watch over complaints: the browser itself logs an answer of 400.
    with new_page(browser) as page, running(page, painted) as address:
        page.goto(address)
        page.get_by_role("searchbox").fill("dog")
        page.get_by_role("searchbox").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("“dog”")
        expect(page.locator("main .sub")).to_contain_text("hsv knows no words")
        expect(page.get_by_role("searchbox")).to_have_value("dog")
        violations = Axe().run(page).response["violations"]
        assert [found["id"] for found in violations if found["impact"] in ("serious", "critical")] == []


def test_what_is_typed_stays_while_the_first_view_is_still_loading(page: Any, painted: Path) -> None:
    with running(page, painted) as address:
        states = held_back(page, "**/api/state", "GET")
        page.goto(address)
        page.get_by_role("searchbox").fill("dog")
        until(page, lambda: states)
        states[0].continue_()
        page.locator(".card").first.wait_for()
        expect(page.get_by_role("searchbox")).to_have_value("dog")
