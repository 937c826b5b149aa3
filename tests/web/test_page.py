"""The page, in a real Chromium: what a person does with it, what it logs, and what axe-core finds wrong.

Skips where there is no Chromium (Debian: apt-get install chromium; or VECSTORE_TEST_CHROMIUM names one).
"""

import base64
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.serving import TOKEN, copy_of, make_store, paint_one
from vecstore.store import Store
from vecstore.web.app import create_app
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
PATIENCE_MS = 90_000

Open = Callable[..., Any]


@contextmanager
def running(page: Any, store: Path, **settings: Any) -> Iterator[str]:
    """Yield the address of a server of the store, on a real socket; the page leaves it before it ends."""
    chosen = Settings(store, **settings)
    with listening_on(chosen, 0) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(chosen), log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield url(chosen, listening).replace("0.0.0.0", "127.0.0.1")
        finally:
            page.goto("about:blank")
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of painted pictures, and one picture whose name is markup."""
    store = make_store(tmp_path_factory.mktemp("page"))
    hostile = paint_one("reef", 77, store.parent / "pictures" / HOSTILE)
    with Store.open(store) as opened:
        opened.add(hostile)
    return store


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page whose every complaint is a failure: errors on the console, exceptions, requests that are refused."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    complaints: list[str] = []
    page.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def dropped(page: Any, picture: Path) -> None:
    """Drop a file on the page, as a file manager does."""
    page.evaluate(
        """([name, text]) => {
            const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name));
            for (const type of ["dragenter", "dragover", "drop"]) {
                document.body.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true }));
            }
        }""",
        [picture.name, base64.b64encode(picture.read_bytes()).decode()],
    )


def tour(page: Any, address: str, picture: Path, name: str) -> None:
    """Drop a stored picture, see it first among its neighbours, open its cluster, name it, reload: it has the name."""
    page.goto(address)
    expect(page.locator(".card")).to_have_count(6)
    dropped(page, picture)
    expect(page.locator("h1")).to_have_text(f"Like {picture.name}")
    first = page.locator(".grid .tile").first
    expect(first.locator(".score")).to_have_text("1.000")
    expect(first.locator("img")).to_have_attribute("alt", picture.name)
    first.locator("a").first.click()
    page.locator(".detail dl a").click()
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


def test_the_same_on_real_flowers(page: Any, shared_pictures: Callable[[str], Path], tmp_path: Path) -> None:
    flowers = shared_pictures("flowers200")
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(flowers)
        store.cluster(6, restarts=3)
    with running(page, tmp_path / "store") as address:
        tour(page, address, sorted(flowers.rglob("*.jpg"))[7], "flowers")


def test_examples_are_added_and_taken_away(page: Any, painted: Path) -> None:
    with running(page, painted) as address:
        page.goto(f"{address}#/similar?plus=1")
        second = page.locator(".grid .tile").nth(1)
        name = second.locator("img").get_attribute("alt")
        second.get_by_role("button", name=f"Less like {name}").click()
        expect(page.locator(".chip")).to_have_count(2)
        expect(page.locator(".chip.minus")).to_contain_text(name)
        page.get_by_role("link", name=f"Take {name} away").click()
        expect(page.locator(".chip")).to_have_count(0)


def test_a_name_that_is_markup_is_just_a_name(page: Any, painted: Path) -> None:
    with running(page, painted) as address:
        page.goto(f"{address}#/pictures")
        newest = page.locator(".tile").first
        expect(newest.locator("img")).to_have_attribute("alt", HOSTILE)
        newest.locator("a").click()
        expect(page.locator("h1")).to_have_text(f"Like {HOSTILE}")
        expect(page.locator(".path")).to_contain_text(HOSTILE)
        assert page.locator("img[src=x]").count() == 0
        assert page.title() == f"Like {HOSTILE} · vecstore"


def test_a_cluster_scrolls_to_its_end(page: Any, tmp_path: Path) -> None:
    for seed in range(100):
        paint_one("city", seed, tmp_path / "pictures" / f"{seed}.jpg", side=24)
    with Store.open(tmp_path / "store", embedder="hsv", create=True) as store:
        store.add(tmp_path / "pictures")
        store.cluster(1)
    with running(page, tmp_path / "store") as address:
        page.set_viewport_size({"width": 390, "height": 700})
        page.goto(f"{address}#/cluster/0")
        page.locator(".tile").first.wait_for()
        assert page.locator(".tile").count() < 100
        while page.locator(".tile").count() < 100:
            page.mouse.wheel(0, 20_000)
            page.wait_for_timeout(20)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_folder_is_added_and_clustered_from_the_page(page: Any, painted: Path, tmp_path: Path) -> None:
    with running(page, tmp_path / "store", embedder="hsv") as address:
        page.goto(address)
        expect(page.locator("h1")).to_have_text("No pictures yet")
        page.get_by_role("button", name="Add pictures").first.click()
        page.get_by_label("Folder or file").fill(str(painted.parent / "pictures"))
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Not grouped yet")
        page.get_by_role("button", name="Group into clusters").click()
        page.get_by_label("How many clusters").fill("3")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("3 clusters")
        expect(page.locator(".card")).to_have_count(3)


def test_a_page_follows_what_others_add(page: Any, painted: Path, tmp_path: Path) -> None:
    store = copy_of(painted, tmp_path)
    with running(page, store) as address:
        page.goto(f"{address}#/pictures")
        expect(page.locator(".tile")).to_have_count(19)
        with Store.open(store) as other:
            other.add(paint_one("sunset", 5, tmp_path / "new.png"))
        expect(page.locator(".tile")).to_have_count(20)
        expect(page.locator(".toast")).to_have_text("1 new picture in the store")


def test_all_of_it_can_be_reached_with_the_keyboard(page: Any, painted: Path) -> None:
    with running(page, painted) as address:
        page.goto(address)
        page.locator(".card").first.wait_for()
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        for _ in range(8):  # the brand, three views, the field for words, two buttons, group again
            page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        first = page.locator(".card a").first
        expect(first).to_be_focused()
        assert first.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
        page.keyboard.press("ArrowRight")
        expect(page.locator(".card a").nth(1)).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator(".back")).to_be_visible()
        expect(page.locator("h1")).to_be_focused()


def test_the_map_is_drawn_and_leads_to_pictures(page: Any, painted: Path, tmp_path: Path) -> None:
    with running(page, copy_of(painted, tmp_path)) as address:
        page.goto(f"{address}#/map")
        page.get_by_role("button", name="Draw the map").click()
        canvas = page.locator(".map canvas")
        canvas.wait_for()
        expect(page.locator(".legend li")).to_have_count(6)
        canvas.focus()
        for _ in range(3):
            page.keyboard.press("+")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("Like ")


def test_a_token_is_asked_for_and_leaves_the_address(page: Any, painted: Path) -> None:
    with running(page, painted, host="0.0.0.0", token=TOKEN) as address:
        page.goto(f"{address}#token={TOKEN}")
        expect(page.locator(".card")).to_have_count(6)
        assert TOKEN not in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(scheme: str, page: Any, painted: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    found = []
    with running(page, painted) as address:
        for view in ("", "#/cluster/1", "#/similar?plus=1", "#/similar?plus=1,2&minus=3", "add"):
            page.goto("about:blank")
            page.goto(address + ("" if view == "add" else view))
            page.locator("main img").first.wait_for()
            if view == "add":
                page.get_by_role("button", name="Add pictures").click()
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

    page = browser.new_page()  # without the watch over complaints: the browser itself logs an answer of 400
    with running(page, painted) as address:
        page.goto(address)
        page.get_by_role("searchbox").fill("dog")
        page.get_by_role("searchbox").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("“dog”", timeout=PATIENCE_MS)
        expect(page.locator("main .sub")).to_contain_text("hsv knows no words")
        assert page.get_by_role("searchbox").input_value() == "dog"
        violations = Axe().run(page).response["violations"]
        assert [found["id"] for found in violations if found["impact"] in ("serious", "critical")] == []
    page.close()


def test_what_is_typed_stays_while_the_first_view_is_still_loading(page: Any, painted: Path) -> None:
    with running(page, painted) as address:
        held: list[Any] = []
        page.route("**/api/state", lambda route: held.append(route), times=1)
        page.goto(address)
        page.get_by_role("searchbox").fill("dog")
        page.wait_for_timeout(100)
        for route in held:
            route.continue_()
        page.locator(".card").first.wait_for()
        assert page.get_by_role("searchbox").input_value() == "dog"
