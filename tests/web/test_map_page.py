"""The map on the page, in a real Chromium, drawn by WebGL in software: what is seen, chosen, said and placed.

Skips where there is no Chromium, as `test_page.py` does.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.serving import paint_one
from tests.web.test_page import chromium, expect, go, place, pytestmark, running, until, watched  # noqa: F401
from tests.web.test_page_acts import wooded  # noqa: F401
from vecstore.sources.painted import paint
from vecstore.store import Store
from vecstore.views import map_layout, map_placing

WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
# A page of the tests has no WebGL.
NO_WEBGL = """
    const known = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        return kind === "webgl2" ? null : known.call(this, kind, ...rest);
    };"""
MANY = 21_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(*WEBGL) as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with watched(browser) as page:
        yield page


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a map of more pictures than a plain canvas draws, in six clusters; their files are not there."""
    folder, random = tmp_path_factory.mktemp("many"), np.random.default_rng(0)
    kinds = random.normal(size=(6, 8))
    np.save(folder / "vectors.npy", (kinds[np.arange(MANY) % 6] + random.normal(0, 0.2, (MANY, 8))).astype(np.float32))
    (folder / "paths.txt").write_text("".join(f"/nowhere/{i % 3}/{i}.jpg\n" for i in range(MANY)))
    with Store.open(folder / "store", create=True) as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_layout, "REFERENCE", 600)
        patch.setattr(map_placing, "STEPS", 100)
        patch.setattr(map_placing, "PLACING_STEPS", 20)
        store.import_vectors(folder / "vectors.npy", folder / "paths.txt")
        store.cluster(6, restarts=1)
        store.map(everything=True)
    return folder / "store"


@pytest.fixture
def no_files(page: Any) -> Any:
    """A page whose every thumbnail is one painted picture."""
    import io

    picture = io.BytesIO()
    paint("reef", 1).save(picture, "JPEG")
    page.route("**/thumbnail*", lambda route: route.fulfill(body=picture.getvalue(), content_type="image/jpeg"))
    return page


def colours_in(page: Any, selector: str = ".map") -> set[str]:
    """The colours of which a picture of a part of the page has many pixels, as three hexadecimal digits each."""
    import io

    pixels = np.asarray(Image.open(io.BytesIO(page.locator(selector).screenshot())).convert("RGB")).reshape(-1, 3)
    found, counts = np.unique(pixels, axis=0, return_counts=True)
    return {"#" + bytes(colour.tolist()).hex() for colour, n in zip(found, counts, strict=True) if n > 20}


def drawn(page: Any) -> None:
    """Wait until the map looks as it did at the look before."""
    page.locator(".map[data-ms]").wait_for()
    seen = [b""]

    def stays() -> bool:
        page.wait_for_timeout(250)  # longer than it rests before it draws all points, or chooses thumbnails again
        seen.append(page.locator(".map").screenshot())
        return seen[-1] == seen[-2]

    until(page, stays)


def test_the_map_follows_a_new_clustering_and_keeps_its_place(page: Any, few: Path) -> None:
    with running(page, few) as address:
        go(page, address, "#/map")
        page.get_by_role("button", name="Draw the map").click()
        canvas = page.locator(".map canvas[tabindex]")
        canvas.wait_for()
        expect(page.locator(".legend li")).to_have_count(4)
        canvas.focus()
        for _ in range(3):
            page.keyboard.press("+")
        page.keyboard.press("ArrowLeft")
        expect(page).to_have_url(re.compile(r"z=2\.744&x=-0\.\d+&y=0$"))  # the arrow's too
        where = page.url
        page.keyboard.press("Enter")
        expect(page.locator("dialog.lightbox")).to_be_visible()
        page.locator(".about a[href*='#/cluster/']").click()
        expect(page.locator(".back")).to_be_visible()
        page.go_back()
        page.go_back()
        expect(page).to_have_url(where)
        expect(page.locator("dialog.lightbox")).to_be_hidden()
        canvas.focus()
        with Store.open(few) as other:
            other.cluster(3, restarts=1)
        expect(page.locator(".legend li")).to_have_count(3)
        expect(canvas).to_be_focused()


def test_a_map_that_is_made_anew_is_where_one_went_meanwhile(page: Any, few: Path) -> None:
    with Store.open(few) as store, running(page, few) as address:
        store.map()
        go(page, address, "#/map")
        page.locator(".map[data-ms]").wait_for()
        page.evaluate("""async () => {
            const { live } = await import('./static/live.js');
            live.dispatchEvent(new Event('up'));  // the server is back: the view is made anew
            const key = new KeyboardEvent('keydown', { key: '+', bubbles: true });
            document.querySelector('.map canvas[tabindex]').dispatchEvent(key);
            document.querySelector('.map').id = 'before';
        }""")
        page.locator(".map[data-ms]:not(#before)").wait_for()
        page.locator(".map canvas[tabindex]").press("+")
        expect(page).to_have_url(re.compile(r"z=1\.96"))  # twice 1.4


def test_a_map_that_another_program_draws_again_is_shown_where_one_is(
    page: Any, few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arranged = map_layout.arranged
    with Store.open(few) as other, running(page, few) as address:
        other.map()
        page.goto(address)
        with page.expect_response("**/api/map/positions") as before:
            page.goto(address + "#/map?z=1.2")
        drawn(page)
        shown = page.locator(".map").screenshot()
        monkeypatch.setattr(map_layout, "arranged", lambda points, seed: arranged(points, seed)[::-1])
        with page.expect_response("**/api/map/positions") as after:
            other.map(rebuild=True)
        assert after.value.body() != before.value.body()
        until(page, lambda: page.locator(".map").screenshot() != shown)
        assert page.evaluate("location.hash").startswith("#/map?z=1.2")


def around(page: Any) -> None:
    """Draw around all of the map."""
    box = place(page.locator(".map"))
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)]
    for step, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if not step:
            page.mouse.down()
    page.mouse.up()


def test_a_lasso_chooses_what_is_inside_and_puts_it_into_a_selection(no_files: Any, many: Path) -> None:
    page = no_files
    with running(page, many) as address:
        go(page, address, "#/map")
        drawn(page)
        page.get_by_role("button", name="Choose by drawing").click()
        around(page)
        expect(page.locator("#acts strong")).to_have_text(f"{MANY:,} pictures chosen")
        page.get_by_role("button", name="Add to selection").click()
        page.get_by_label("Name of the selection").fill("all of it")
        page.get_by_role("button", name="Put in").click()
        expect(page.locator("#acts")).to_be_hidden()
        with Store.open(many) as store:
            assert [(one.name, one.images) for one in store.selections()] == [("all of it", MANY)]
            store.delete_selection("all of it")
        # The left half alone: what is chosen are those that lie there.
        page.locator(".map canvas[tabindex]").focus()
        box = place(page.locator(".map"))
        page.keyboard.down("Shift")
        page.mouse.move(box["x"] + 6, box["y"] + 6)
        page.mouse.down()
        for x, y in ((0.5, 0.01), (0.5, 0.99), (0.005, 0.99)):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        page.mouse.up()
        page.keyboard.up("Shift")
        with Store.open(many) as store:
            at = store.map_positions()
        left, right = at.positions[:, 0].min(), at.positions[:, 0].max()
        inside = set(at.ids[at.positions[:, 0] < (left + right) / 2].tolist())
        expect(page.locator("#acts strong")).not_to_have_text(f"{MANY:,} pictures chosen")
        chosen = set(page.evaluate("async () => (await import('./static/chosen.js')).chosen.all()"))
        assert len(chosen ^ inside) < 0.002 * MANY  # those within a pixel of the line


def test_a_map_is_coloured_by_any_fact_and_says_what_colours_mean(no_files: Any, many: Path) -> None:
    page = no_files
    with running(page, many) as address:
        go(page, address, "#/map")
        drawn(page)
        clusters = colours_in(page)
        page.get_by_label("Colour by").select_option("folder")
        expect(page.locator(".legend")).to_have_attribute("aria-label", "Folder")
        expect(page.locator(".legend li")).to_have_text([f"/nowhere/{i}{MANY // 3:,}" for i in range(3)])
        expect(page).to_have_url(re.compile("by=folder"))
        until(page, lambda: colours_in(page) != clusters)
        page.get_by_label("Colour by").select_option("added")
        expect(page.locator("p.legend")).to_contain_text("Time added")
        go(page, address, "#/map?by=folder")
        expect(page.get_by_label("Colour by")).to_have_value("folder")


def test_the_map_of_a_tree_shows_a_level_of_it_or_a_cut(page: Any, wooded: Path) -> None:  # noqa: F811
    with Store.open(wooded) as store:
        store.map()
        top, five = store.tree(1), store.cut_tree(5)
    with running(page, wooded) as address:
        go(page, address, "#/map")
        names, which = page.locator(".legend li"), page.get_by_label("Which clusters")
        expect(names).to_have_count(9)
        which.select_option("Level 1: 3")
        expect(names).to_have_text([f"Cluster {node.cluster}{node.size}" for node in top])
        expect(names.first.locator("a")).to_have_attribute("href", f"#/node/{top[0].cluster}")
        expect(page).to_have_url(re.compile(r"#/map\?level=1$"))
        page.locator(".map canvas[tabindex]").focus()
        page.keyboard.press("+")
        expect(page.locator(".map [role=status]")).to_contain_text(re.compile("|".join(f"{n.cluster}" for n in top)))
        which.select_option("Cut into 5")
        expect(names).to_have_count(5)
        expect(names.last.locator("a")).to_have_attribute("href", f"#/node/{','.join(map(str, five[-1].nodes))}")
        page.go_back()
        expect(names).to_have_count(3)
        expect(which).to_have_value("level=1")
        page.reload()
        expect(names).to_have_count(3)
        page.get_by_label("Colour by").select_option("folder")
        expect(which).to_have_count(0)
        page.go_back()
        expect(names).to_have_count(3)


def test_without_webgl_a_canvas_draws_a_sample_and_says_of_how_many(no_files: Any, many: Path, few: Path) -> None:
    page = no_files
    page.add_init_script(NO_WEBGL)
    with Store.open(few) as store:
        store.map()
    with running(page, many) as address:
        go(page, address, "#/map")
        drawn(page)
        expect(page.locator("main .sub").first).to_contain_text(f"20,000 of {MANY:,} pictures")
        until(page, lambda: {"#0072b2", "#e69f00"} <= colours_in(page))
        expect(page.get_by_role("button", name="Bring up to date")).to_have_count(0)
    with running(page, few) as address:
        go(page, address, "#/map")
        drawn(page)
        expect(page.locator("main .sub").first).to_contain_text("8 pictures.")


def test_new_pictures_are_placed_while_one_looks(page: Any, few: Path) -> None:
    with Store.open(few) as store:
        store.map()
    with running(page, few) as address:
        go(page, address, "#/map?z=1.2")
        drawn(page)
        paint_one("reef", 99, few.parent / "pictures" / "new.png")
        with Store.open(few) as other:
            other.add(few.parent / "pictures")
        expect(page.locator("main .sub").first).to_have_text("9 pictures. Pictures that are alike lie together.")
        assert page.evaluate("location.hash").startswith("#/map?z=1.2")
        with Store.open(few) as other:
            assert len(other.map_positions().ids) == 9


def test_keys_say_which_picture_is_in_the_middle_and_choose_it(page: Any, few: Path) -> None:
    with Store.open(few) as store:
        store.map()
    with running(page, few) as address:
        go(page, address, "#/map")
        drawn(page)
        page.locator(".map canvas[tabindex]").focus()
        page.keyboard.press("+")
        status = page.locator(".map [role=status]")
        expect(status).to_contain_text(re.compile(r"pictures in view\. In the middle: \d\.png, Cluster \d"))
        expect(page.locator(".tip strong")).to_have_text(re.compile(r"\d\.png"))
        page.keyboard.press(" ")
        expect(page.locator("#acts strong")).to_have_text("1 picture chosen")


def test_two_fingers_zoom_and_open_nothing(browser: Any, few: Path) -> None:
    with Store.open(few) as store:
        store.map()
    with (
        watched(browser, has_touch=True, viewport={"width": 390, "height": 844}) as page,
        running(page, few) as address,
    ):
        go(page, address, "#/map")
        drawn(page)
        box = place(page.locator(".map"))
        x, y = box["x"] + box["width"] / 2, box["y"] + 200
        session = page.context.new_cdp_session(page)

        def touch(kind: str, *apart: int) -> None:
            points = [{"x": x + side * far, "y": y, "id": side + 1} for far in apart for side in (-1, 1)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", 20)
        for far in range(25, 65, 5):
            touch("touchMove", far)
        touch("touchEnd")
        expect(page).to_have_url(re.compile(r"z=(2\.[5-9]|3)"))
        expect(page.locator("dialog.lightbox")).to_have_count(0)


def test_a_place_is_found_among_a_million_as_by_comparing_all(page: Any, few: Path) -> None:
    with running(page, few) as address:
        go(page, address)
        wrong = page.evaluate(
            """async () => {
                const { Points } = await import("./static/map/points.js");
                let seed = 7;
                const random = () => ((seed = (seed * 48271) % 2147483647), seed / 2147483647);
                const wrong = [];
                for (const n of [1, 2, 50, 20000]) {
                    const at = Float32Array.from({ length: 2 * n }, () => 40 * (random() + random()) ** 3);
                    const points = new Points(Uint32Array.from({ length: n }, (_, i) => 3 * i), at);
                    const scale = [1200, 500];
                    const [across, down] = [(i, x) => points.at[2 * i] - x, (i, y) => points.at[2 * i + 1] - y];
                    const far = (i, x, y) => Math.hypot(across(i, x) * scale[0], down(i, y) * scale[1]);
                    for (let round = 0; round < 60; round += 1) {
                        const [x, y] = [1.4 * random() - 0.7, 1.4 * random() - 0.7];
                        const within = round % 3 ? 24 : Infinity;
                        let best = -1;
                        for (let i = 0; i < n; i += 1) {
                            if (far(i, x, y) < (best < 0 ? within : far(best, x, y))) best = i;
                        }
                        const found = points.nearest(x, y, scale, within);
                        const isTie = found >= 0 && best >= 0 && Math.abs(far(found, x, y) - far(best, x, y)) < 1e-9;
                        if (found !== best && !isTie) wrong.push([n, x, y, within, found, best]);
                        const part = { left: x - 0.1, right: x + 0.1, top: y - 0.1, bottom: y + 0.1 };
                        const inside = [...points.in(part)];
                        const isIn = (i) => Math.abs(across(i, x)) <= 0.1 && Math.abs(down(i, y)) <= 0.1;
                        const all = [...Array(n).keys()].filter(isIn);
                        if (Math.abs(inside.length - all.length) > 1) wrong.push([n, inside.length, all.length]);
                    }
                    if (points.numberOf(3 * (n - 1)) !== n - 1 || points.numberOf(1) !== -1) wrong.push(n);
                }
                return wrong;
            }"""
        )
    assert wrong == []


@pytest.mark.parametrize(("scheme", "size"), [("light", (1440, 900)), ("dark", (390, 844))])
def test_axe_finds_nothing_serious_on_a_map(scheme: str, size: tuple[int, int], no_files: Any, many: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = no_files
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    with running(page, many) as address:
        for view in ("#/map", "#/map?by=added", "#/map?by=folder"):
            go(page, address, view)
            drawn(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
            violations = Axe().run(page).response["violations"]
            assert [found["id"] for found in violations if found["impact"] in ("serious", "critical")] == []
