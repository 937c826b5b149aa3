"""The page's lists in groups, jumps by date, and the filters beside them, in a real Chromium."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.web import test_page
from tests.web.test_page import a_million, at_rest, expect, go, new_page, place, tile, until
from vecstore.sources.painted import paint
from vecstore.store import Store

pytestmark = test_page.pytestmark
browser, page, painted, address = test_page.browser, test_page.page, test_page.painted, test_page.address
MONTHS = [("2024-05", 9), ("2024-04", 4), ("2023-12", 30), ("2023-01", 1)]
# Degrees and minutes north and east or west, of Munich and of Rennes.
PLACES = (("N", (48.0, 8.0, 0.0), "E", (11.0, 34.0, 0.0)), ("N", (48.0, 6.0, 0.0), "W", (1.0, 40.0, 0.0)))


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 44 pictures of four months, some of two places, and of one that says nothing, in three clusters."""
    folder = tmp_path_factory.mktemp("album")
    number = 0
    for month, images in MONTHS:
        for at in range(images):
            picture = paint(("reef", "city", "sunset")[number % 3], number)
            exif = picture.getexif()
            exif[0x0110] = ("X-T5", "K-1")[number % 2]
            exif.get_ifd(0x8769)[0x9003] = f"{month.replace('-', ':')}:{at % 28 + 1:02} 10:00:00"
            if number % 4 < 2:
                exif.get_ifd(0x8825).update(dict(enumerate(PLACES[number % 4], 1)))
            (folder / "pictures" / month[:4]).mkdir(parents=True, exist_ok=True)
            picture.save(folder / "pictures" / month[:4] / f"{number:02}.jpg", exif=exif)
            number += 1
    paint("forest", 99).save(folder / "pictures" / "صورة جميلة.png")
    with Store.open(folder / "store", embedder="hsv", create=True) as store:
        store.add(folder / "pictures")
        store.cluster(3, restarts=3)
    return folder / "store"


@pytest.fixture(scope="module")
def albums(album: Path) -> Any:
    with test_page.served(album) as found:
        yield found


def heads(page: Any) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(".group-head").all_text_contents()]


def test_pictures_come_in_groups_with_heads_as_the_address_says(page: Any, albums: str) -> None:
    go(page, albums, "#/pictures")
    expect(page.get_by_label("Groups")).to_have_value("")  # the choice that says so, and not none
    page.get_by_label("Groups").select_option("month")
    expect(page).to_have_url(re.compile(r"group=month&order=taken"))
    expect(page.locator(".group-head").first).to_have_text("May 2024 9")
    assert heads(page)[:3] == ["May 2024 9", "April 2024 4", "December 2023 30"]
    above, below = place(tile(page, "00.jpg")), place(tile(page, "09.jpg"))
    assert above["y"] < place(page.locator(".group-head", has_text="April"))["y"] < below["y"]
    page.reload()
    expect(page.locator(".group-head").first).to_have_text("May 2024 9")
    for group, first in (
        ("folder", "pictures"),
        ("day", "No date|May 2024"),
        ("camera", "K-1 22"),
        ("cluster", "Cluster"),
    ):
        page.get_by_label("Groups").select_option(group)
        expect(page.locator(".group-head").first).to_contain_text(re.compile(first))


def test_the_head_of_a_group_stays_while_one_scrolls_through_it(page: Any, albums: str) -> None:
    page.set_viewport_size({"width": 700, "height": 500})
    go(page, albums, "#/pictures?group=month&order=taken")
    december = page.locator(".group-head", has_text="December")
    may = page.locator(".group-head", has_text="May")
    expect(may).to_be_in_viewport()
    top = place(may)["y"]
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    january = page.locator(".group-head", has_text="January")
    expect(january).to_be_in_viewport()
    page.mouse.wheel(0, -(page.evaluate("innerHeight") + 100))  # back into the month of 30 pictures
    bar = place(page.locator("#bar"))["height"]
    until(page, lambda: abs(place(december.locator("h2"))["y"] - bar) < 2)
    heading = place(december.locator("h2"))
    assert place(december)["y"] < heading["y"]
    at = page.evaluate(
        "([x, y]) => document.elementFromPoint(x, y).closest('h2')?.textContent", [heading["x"] + 5, bar + 5]
    )
    assert at.split() == ["December", "2023", "30"]
    page.evaluate("scrollTo(0, 0)")
    expect(may.locator("h2")).to_be_in_viewport()
    assert abs(place(may.locator("h2"))["y"] - top) < 2


def test_one_jumps_to_a_month_by_the_list_beside_by_keys_and_by_address(page: Any, albums: str) -> None:
    go(page, albums, "#/pictures?group=month&order=taken")
    jumps = page.get_by_role("navigation", name="Jump to")
    expect(jumps.locator("a")).to_have_text(
        ["May 20249", "April 20244", "December 202330", "January 20231", "No date1"]
    )
    expect(jumps.locator("[aria-current]")).to_have_text("May 20249")
    jumps.get_by_role("link", name="December 2023").click()
    expect(jumps.locator("[aria-current]")).to_have_text("December 202330")
    expect(page).to_have_url(re.compile("to=2023-12"))
    head = page.locator(".group-head", has_text="December")
    assert 0 <= place(head)["y"] - place(page.locator("#bar"))["height"] < 30
    page.keyboard.press("[")
    expect(jumps.locator("[aria-current]")).to_have_text("April 20244")
    page.keyboard.press("]")
    expect(jumps.locator("[aria-current]")).to_have_text("December 202330")
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator(".group-head", has_text="December")).to_be_in_viewport()
    expect(page.locator(".group-head", has_text="May")).not_to_be_in_viewport()


def test_on_a_phone_the_months_are_a_choice(browser: Any, albums: str) -> None:
    with new_page(browser, viewport={"width": 390, "height": 844}, has_touch=True) as page:
        go(page, albums, "#/pictures?order=taken")
        page.locator("select.jump").select_option(label="\u2068December 2023\u2069 (30)")
        expect(tile(page, "40.jpg")).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_keys_keep_their_column_from_group_to_group(page: Any, albums: str) -> None:
    go(page, albums, "#/pictures?group=month&order=taken")
    focused = "Number(document.activeElement.closest('li').dataset.at)"
    at_rest(page)
    tile(page, "08.jpg").locator("a").focus()
    tops = page.evaluate("[...document.querySelectorAll('.tile')].map((tile) => tile.getBoundingClientRect().top)")
    columns = tops.count(tops[0])
    rows = -(-9 // columns)  # of May
    seen = []
    for key in ("ArrowDown",) * rows + ("ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
        seen.append(page.evaluate(focused))
    assert seen[: rows - 1] == [columns * row for row in range(1, rows)]
    assert seen[rows - 1 : rows + 1] == [9, 10]
    assert seen[-1] == min(columns * (rows - 1) + 1, 8)  # the last row of May may be shorter


def test_a_million_pictures_in_thousands_of_groups_stay_few_elements(page: Any, address: str) -> None:
    a_million(page)
    days = [f"{2024 - n // 336:04}-{12 - n // 28 % 12:02}-{28 - n % 28:02}" for n in range(5000)]
    page.route("**/api/sections*", lambda route: route.fulfill(json=[{"group": day, "images": 200} for day in days]))
    go(page, address, "#/pictures?group=day&order=taken")
    expect(page.locator(".group-head").first).to_have_text("28 December 2024 200")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(tile(page, "0999999.jpg")).to_be_visible()
    assert page.locator(".tile").count() < 150
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    middle = re.compile(r"(4[89]|5[01])\d{4}")
    expect(page.locator(".tile:not(.waiting)").first).to_have_attribute("data-at", middle)
    page.keyboard.press("]")
    head = page.locator(".group-head h2").first
    expect(head).to_be_in_viewport()
    # After the last head, since the group of the first one may have begun above.
    every_200th = re.compile("[02468]00$")
    expect(page.locator(".group-head + .tile").last).to_have_attribute("data-at", every_200th)
    assert page.locator(".group-head").count() < 20


def test_places_are_a_filter_with_counts_and_one_may_name_coordinates(page: Any, albums: str) -> None:
    pytest.importorskip("reverse_geocode")
    go(page, albums, "#/pictures")
    places = page.locator("#sidebar section", has=page.get_by_role("heading", name="Places"))
    places.get_by_role("link", name="Munich, Germany 11").click()
    expect(page.locator(".chip")).to_have_text("Place: Munich, Germany×")
    expect(page.locator("main .sub")).to_have_text("11 pictures of 45 pictures")
    page.get_by_role("link", name="Without Place").click()
    counts: list[Any] = []
    page.route("**/api/facets*", lambda route: counts.append(route))
    page.get_by_label("Near latitude").fill("48.1; -1.7; 30")
    page.get_by_label("Near latitude").press("Enter")
    expect(page.locator(".chip")).to_have_text("Within 30 km of 48.10, -1.70×")
    expect(page.locator("main .sub")).to_have_text("11 pictures of 45 pictures")
    page.get_by_label("Near latitude").fill("here")
    page.get_by_label("Near latitude").press("Enter")
    expect(places.get_by_role("alert")).to_have_text("Three numbers, such as 48.14, 11.58, 25.")
    page.evaluate("document.querySelector('#sidebar h2').dataset.before = 'yes'")
    until(page, lambda: any("near=" in route.request.url for route in counts))
    for route in counts:
        route.continue_()  # what comes late draws the sidebar anew, and leaves what one is typing
    expect(page.locator("#sidebar h2[data-before]")).to_have_count(0)
    expect(places.get_by_role("alert")).to_have_text("Three numbers, such as 48.14, 11.58, 25.")
    expect(page.get_by_label("Near latitude")).to_have_value("here")
    expect(page.get_by_label("Near latitude")).to_be_focused()
    page.unroute("**/api/facets*")
    expect(page.locator(".chip")).to_have_count(1)
    page.reload()
    expect(page.locator(".chip")).to_have_text("Within 30 km of 48.10, -1.70×")


def test_words_have_a_least_probability_too(page: Any, albums: str) -> None:
    def answer(route: Any) -> None:
        scores = (0.9, 0.7, 0.4, 0.1)
        route.fulfill(
            json=[
                {"rank": n + 1, "id": n, "score": score, "path": f"/p/{n}.jpg", "cluster": None, "words": ["dog"]}
                for n, score in enumerate(scores)
            ]
        )

    page.route("**/api/find*", answer)
    go(page, albums, "#/find?q=dog")
    expect(page.locator(".tile")).to_have_count(4)
    page.get_by_label("Least probability").fill("0.5")
    expect(page.locator(".tile")).to_have_count(2)
    expect(page.locator(".edge")).to_contain_text("the last one: 0.700")
    expect(page).to_have_url(re.compile("min=0.5"))
    page.reload()
    expect(page.locator(".tile")).to_have_count(2)


def test_a_name_from_right_to_left_stands_so(page: Any, albums: str) -> None:
    go(page, albums, "#/pictures?order=taken&to=none")
    name = page.locator(".tile .name", has_text="صورة")
    expect(name).to_be_visible()
    assert name.evaluate("name => getComputedStyle(name).direction") == "rtl"


@pytest.mark.parametrize(("scheme", "size"), [("light", (1440, 900)), ("dark", (390, 844))])
def test_axe_finds_nothing_serious_in_groups(scheme: str, size: tuple[int, int], page: Any, albums: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for view in ("#/pictures?group=month&order=taken", "#/pictures?group=folder&order=path&place=FR"):
        go(page, albums, view)
        page.locator(".tile img").first.wait_for()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        violations = Axe().run(page).response["violations"]
        assert [found["id"] for found in violations if found["impact"] in ("serious", "critical")] == [], view


def test_the_first_view_asks_for_little(page: Any, albums: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    go(page, albums, "#/pictures")
    page.locator("#sidebar .tree a").first.wait_for()
    page.wait_for_load_state("networkidle")
    answers = [path for path in asked if "/api/" in path and "thumbnail" not in path]
    assert "/api/state" in answers  # and again after 3 s, which a busy machine may take
    others = sorted(path for path in answers if path != "/api/state")
    assert others == ["/api/browse", "/api/facets", "/api/selections", "/api/stores"]


def test_all_modules_are_asked_for_at_once(page: Any, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: request.url.endswith(".js") and asked.append(urlsplit(request.url).path))
    go(page, address, "#/")
    page.locator(".card").first.wait_for()
    named = re.findall(r'modulepreload" href="static/([^"]+)"', page.request.get(address).text())
    assert sorted(asked) == sorted(f"/static/{module}" for module in named)
    assert len(named) == len({*named}) > 20
