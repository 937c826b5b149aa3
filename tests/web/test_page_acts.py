"""Acts of a person on the page: files sent, trees walked, names confirmed, pictures pinned, copies found.

In a real Chromium, as `test_page.py`, whose browser and server these tests use.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.serving import copy_of, paint_one
from tests.web import test_page
from tests.web.test_page import dropped, go, held_back, running, until
from vecstore.sources.painted import KINDS
from vecstore.store import Store

pytestmark = test_page.pytestmark
browser, page, painted, copies = test_page.browser, test_page.page, test_page.painted, test_page.copies
expect = test_page.expect


@pytest.fixture(scope="module")
def wooded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 36 pictures of six kinds, in a tree of 3 and 9 clusters."""
    folder = tmp_path_factory.mktemp("tree")
    for number in range(36):
        kind = [*KINDS][number % len(KINDS)]
        paint_one(kind, number, folder / "pictures" / kind / f"{number}.png", side=64)
    with Store.open(folder / "store", embedder="hsv", create=True) as store:
        store.add(folder / "pictures")
        store.cluster(tree=(3, 9), restarts=5)
    return folder / "store"


# Files that are sent


def dropped_to_add(page: Any, *files: tuple[str, bytes]) -> None:
    """Drop files on the part of the page that adds them, as a file manager does."""
    page.evaluate(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, bytes] of files) transfer.items.add(new File([Uint8Array.from(bytes)], name));
            document.body.dispatchEvent(new DragEvent("dragenter", { dataTransfer: transfer, bubbles: true }));
            const place = document.querySelector("#drop-add");
            if (!place.checkVisibility()) throw new Error("nothing to drop on");
            for (const type of ["dragover", "drop"]) {
                place.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
            }
        }""",
        [[name, list(data)] for name, data in files],
    )


def test_files_that_are_dropped_are_kept_and_added_and_what_is_refused_is_listed(
    page: Any, painted: Path, tmp_path: Path
) -> None:
    good = [(f"new-{n}.png", paint_one("city", 50 + n, tmp_path / f"{n}.png").read_bytes()) for n in range(3)]
    (tmp_path / "sent").mkdir()
    with running(page, copy_of(painted, tmp_path), uploads=tmp_path / "sent") as address:
        go(page, address, "#/pictures")
        expect(page.locator("main .sub").first).to_contain_text("19 pictures")
        with page.expect_console_message(lambda message: "400" in message.text):  # the browser's own, of the refusal
            dropped_to_add(page, good[0], ("<b>notes.png", b"no picture"), *good[1:])
        sent = page.locator(".job.over", has_text="Sending files")
        expect(sent).to_contain_text("3 files of 4 sent.")
        expect(sent.locator(".refused li")).to_contain_text(["<b>notes.png not a picture in a known format"])
        expect(page.locator(".job.done")).to_contain_text("3 added")
        expect(page.locator("main .sub").first).to_contain_text("22 pictures")
        expect(page.locator("#drop")).to_be_hidden()
        assert sorted(path.name for path in (tmp_path / "sent").iterdir()) == sorted(name for name, _ in good)
        page.locator(".job.done").get_by_role("button", name="Undo").click()
        expect(page.locator("main .sub").first).to_contain_text("19 pictures")
    page.complaints.clear()


def test_files_of_this_device_are_chosen_in_the_form(page: Any, painted: Path, tmp_path: Path) -> None:
    chosen = [paint_one("city", 60 + n, tmp_path / f"photo-{n}.png") for n in range(2)]
    (tmp_path / "sent").mkdir()
    with running(page, copy_of(painted, tmp_path), uploads=tmp_path / "sent") as address:
        go(page, address)
        page.get_by_role("button", name="Add pictures").click()
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="choose files of this device").click()
        chooser.value.set_files(chosen)
        expect(page.locator(".job.done")).to_contain_text("2 added")
        expect(page.locator(".job", has_text="Sending")).to_have_count(0)


def test_a_form_that_is_opened_before_the_server_has_answered_offers_files_once_it_has(
    page: Any, painted: Path, tmp_path: Path
) -> None:
    (tmp_path / "sent").mkdir()
    with running(page, painted, uploads=tmp_path / "sent") as address:
        states = held_back(page, "**/api/state", "GET")
        page.goto(address)
        page.get_by_role("button", name="Add pictures").click()
        until(page, lambda: states)
        expect(page.locator("#add-files")).to_be_hidden()
        states[0].continue_()
        expect(page.locator("#add-files")).to_be_visible()


def test_a_server_that_takes_no_files_offers_none(page: Any, painted: Path, tmp_path: Path) -> None:
    with running(page, painted) as address:
        go(page, address)
        page.get_by_role("button", name="Add pictures").click()
        expect(page.locator("#add-path")).to_be_visible()
        expect(page.locator("#add-files")).to_be_hidden()
        page.keyboard.press("Escape")
        dropped(page, painted.parent / "pictures/reef/reef-01.jpg")
        expect(page.locator("h1")).to_have_text("Like reef-01.jpg")


# Grouping


def test_what_a_grouping_takes_is_said_before_it_begins_and_every_method_can_be_asked_for(
    page: Any, wooded: Path, tmp_path: Path
) -> None:
    with running(page, copy_of(wooded, tmp_path)) as address:
        go(page, address)
        page.get_by_role("button", name="Group again").click()
        cost, problem = page.locator("#cluster-cost"), page.locator("#cluster-dialog .problem")
        expect(cost).to_have_text(re.compile(r"^At most about \d+ s and [\d.]+ \w+ of memory for 36 pictures\.$"))
        page.get_by_label("How", exact=True).select_option("agglomerative")
        page.get_by_label("How many clusters").fill("37")
        expect(problem).to_have_text("Choose a number from 1 to 36, or leave it to the page.")
        page.get_by_label("How many clusters").fill("4")
        expect(cost).to_have_text(re.compile(r"^About \d+ s and"))
        expect(problem).to_be_hidden()
        page.get_by_role("button", name="Group", exact=True).click()
        expect(page.locator("h1")).to_have_text("4 clusters")
        page.get_by_role("button", name="Group again").click()
        page.get_by_label("How", exact=True).select_option("tree")
        page.get_by_label("How many in each level").fill("4, 2")
        expect(problem).to_have_text("Give growing numbers of clusters, such as 20, 400, or leave it to the page.")
        page.get_by_label("How many in each level").fill("2, 5")
        expect(cost).to_be_visible()
        page.get_by_role("button", name="Group", exact=True).click()
        expect(page.locator("main .sub").first).to_contain_text("in a tree of 2 › 5 clusters")
        page.get_by_role("button", name="Group again").click()
        page.get_by_label("How", exact=True).select_option("hdbscan")
        page.get_by_label("Fewest pictures of a cluster").fill("3")
        page.get_by_role("button", name="Group", exact=True).click()
        expect(page.locator(".job.done")).to_have_count(3)
        expect(page.locator("main .sub").first).to_contain_text("the largest cluster first")
        page.locator("nav").get_by_role("link", name="History").click()
        done = page.get_by_role("list", name="What was done").locator("bdi")
        expect(done.nth(0)).to_have_text("by dense places")
        expect(done.nth(1)).to_have_text("into a tree of 2 › 5 clusters")
        expect(done.nth(2)).to_have_text("by joining what is nearest, into 4 clusters")
        page.get_by_role("button", name="Bring it back").nth(1).click()  # the agglomerative one
        expect(page.locator(".entry.current")).to_contain_text("4 clusters")


def test_a_name_in_doubt_is_marked_and_confirmed_or_changed(page: Any, painted: Path, tmp_path: Path) -> None:
    store = copy_of(painted, tmp_path)
    with Store.open(store) as opened:
        opened.cluster(2, restarts=5)
        for cluster in opened.clusters():
            opened.name_cluster(cluster.cluster, f"kind <{cluster.cluster}>")
        opened.cluster(9, restarts=5)
        doubtful = [cluster for cluster in opened.clusters() if cluster.doubtful]
    assert doubtful
    with running(page, store) as address:
        go(page, address)
        marked = page.locator(".card", has=page.locator(".badge.doubt"))
        expect(marked).to_have_count(len(doubtful))
        marked.first.locator("a").click()
        expect(page.locator(".doubtful")).to_contain_text("This name may no longer be true")
        page.get_by_role("button", name="It is still true").click()
        expect(page.locator(".doubtful")).to_have_count(0)
        page.locator(".toast", has_text="Confirmed").get_by_role("button", name="Undo").click()
        expect(page.locator(".doubtful")).to_have_count(1)
        page.get_by_role("button", name="Rename").click()
        page.get_by_label("Name of the cluster").fill("something else")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("something else")
        expect(page.locator(".doubtful")).to_have_count(0)


# Trees


def test_a_tree_is_walked_down_and_up_and_cut_and_every_place_has_an_address(page: Any, wooded: Path) -> None:
    with Store.open(wooded) as store:
        top = store.tree(1)
        below = store.tree(below=top[0].cluster)
        seven = store.cut_tree(7)
    with running(page, wooded) as address:
        go(page, address)
        expect(page.locator("h1")).to_have_text("3 clusters")
        expect(page.locator(".card")).to_have_count(3)
        page.locator(".card a").first.click()
        expect(page).to_have_url(f"{address}#/node/{top[0].cluster}")
        expect(page.locator(".card")).to_have_count(len(below))
        expect(page.locator("main .sub").first).to_contain_text(f"{top[0].size} pictures in {len(below)} parts")
        expect(page.locator(".card").first.locator("img")).not_to_have_count(0)
        page.get_by_role("link", name="Its pictures").click()
        expect(page.locator("main .sub").first).to_contain_text(f"{top[0].size} pictures of 36")
        page.go_back()
        page.locator(".card a").first.click()
        expect(page).to_have_url(f"{address}#/cluster/{below[0].cluster}")
        expect(page.locator(".crumbs li")).to_have_count(3)
        expect(page.locator(".crumbs [aria-current=page]")).to_have_text(f"Cluster {below[0].cluster}")
        page.locator(".crumbs a").nth(1).click()
        expect(page).to_have_url(f"{address}#/node/{top[0].cluster}")
        page.locator(".crumbs a").first.click()
        expect(page.locator("h1")).to_have_text("3 clusters")
        page.get_by_role("link", name="All 9").click()
        expect(page.locator(".card")).to_have_count(9)
        page.get_by_label("or cut into").fill("7")
        expect(page.locator("h1")).to_have_text("7 clusters")
        expect(page).to_have_url(f"{address}#/?cut=7")
        page.reload()
        expect(page.locator("h1")).to_have_text("7 clusters")
        together = next(cut for cut in seven if len(cut.nodes) > 1)
        page.locator(f".card a[href='#/node/{','.join(map(str, together.nodes))}']").click()
        expect(page.locator("h1")).to_have_text(f"{len(together.nodes)} clusters together")
        expect(page.locator("main .sub").first).to_contain_text(f"{together.size} pictures")
        page.go_back()
        expect(page.locator("h1")).to_have_text("7 clusters")
        page.locator("nav").get_by_role("link", name="Clusters", exact=True).click()
        expect(page.locator("h1")).to_have_text("3 clusters")
        page.get_by_label("or cut into").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator("h1")).to_have_text("4 clusters")
        page.locator("nav").get_by_role("link", name="Clusters", exact=True).click()
        expect(page.locator("h1")).to_have_text("3 clusters")


def test_a_node_is_named_as_a_cluster_is(page: Any, wooded: Path, tmp_path: Path) -> None:
    with Store.open(wooded) as store:
        node = store.tree(1)[0].cluster
    with running(page, copy_of(wooded, tmp_path)) as address:
        go(page, address, f"#/node/{node}")
        page.get_by_role("button", name="Name it").click()
        page.get_by_label("Name of the cluster").fill("green & wet")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("green & wet")
        expect(page.locator(".crumbs [aria-current=page]")).to_have_text("green & wet")
        go(page, address, f"#/pictures?cluster={node}")
        expect(page.locator(".chip")).to_contain_text("green & wet")


def test_a_node_that_is_not_there_says_so(page: Any, wooded: Path) -> None:
    with running(page, wooded) as address:
        with page.expect_console_message(lambda message: "404" in message.text):
            go(page, address, "#/node/999")
        expect(page.locator("h1")).to_have_text("Not found")
        expect(page.locator(".empty")).to_contain_text("There is no cluster 999 in the tree")
    page.complaints.clear()


# Pins


def test_pictures_are_pinned_and_unpinned_by_button_and_key_and_undone(
    page: Any, painted: Path, tmp_path: Path
) -> None:
    store = copy_of(painted, tmp_path)

    def held() -> list[int]:
        with Store.open(store) as opened:
            return [pin.id for pin in opened.pins()]

    with running(page, store) as address:
        go(page, address, "#/pictures?order=oldest")
        for at in (0, 2):
            page.locator(".tile .corner").nth(at).click()
        page.get_by_role("button", name="Pin or unpin").click()
        expect(page.locator(".toast").last).to_contain_text("2 pictures pinned")
        assert held() == [0, 2]
        page.keyboard.press("p")
        expect(page.locator(".toast").last).to_contain_text("2 pictures unpinned")
        assert held() == []
        page.locator(".toast").last.get_by_role("button", name="Undo").click()
        expect(page.locator(".toast").last).to_contain_text("undone")
        assert held() == [0, 2]
        page.keyboard.press("Escape")
        page.locator(".tile a.picture").first.click()
        pin = page.locator(".about .pin")
        expect(pin).to_have_text("Pinned")
        page.keyboard.press("p")
        expect(pin).to_have_text("Pin")
        expect(pin).to_have_attribute("aria-pressed", "false")
        assert held() == [2]
        page.locator("dialog .toast").last.get_by_role("button", name="Undo").click()  # above the large picture
        expect(pin).to_have_text("Pinned")
        assert held() == [0, 2]
        page.keyboard.press("Escape")
        expect(page.locator("body > #float")).to_have_count(1)


# Duplicates


def test_duplicates_are_drawn_from_what_is_known_and_compared_by_a_job(page: Any, copies: Path) -> None:
    with running(page, copies) as address:
        go(page, address, "#/duplicates")
        expect(page.locator(".to-compare")).to_contain_text("The 5 pictures were not compared with each other yet")
        expect(page.locator(".review-bar strong")).to_have_text("1 of 2")  # the same content, which is known
        page.get_by_role("button", name="Compare now").click()
        expect(page.locator(".compared")).to_contain_text("All 5 pictures are compared, up to those added")
        expect(page.locator(".review-bar strong")).to_have_text("1 of 3")
        with Store.open(copies) as store:
            store.add(paint_one("reef", 0, copies.parent / "pictures/reef-tiny.jpg", side=150))
        expect(page.locator(".to-compare")).to_contain_text("1 picture of 6 was not compared with the others yet")
        expect(page.locator(".review-bar strong")).to_have_text("1 of 3")


# Accessibility


@pytest.mark.parametrize(("scheme", "size"), [("light", (1440, 900)), ("dark", (390, 844))])
def test_axe_finds_nothing_serious_in_trees_and_forms(
    scheme: str, size: tuple[int, int], page: Any, wooded: Path, tmp_path: Path
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    (tmp_path / "sent").mkdir()
    with Store.open(wooded) as store:
        node = store.tree(1)[0].cluster
        leaf = store.tree(below=node)[0].cluster
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    views = {
        "#/": ".card img",
        "#/?cut=5": ".card img",
        f"#/node/{node}": ".card img",
        f"#/cluster/{leaf}": ".tile img",
    }
    with running(page, wooded, uploads=tmp_path / "sent") as address:
        for view, sign in {**views, "group": "#cluster-cost:visible", "add": "#add-files"}.items():
            go(page, address, view if view.startswith("#") else "#/")
            if view == "group":
                page.get_by_role("button", name="Group again").click()
            if view == "add":
                page.get_by_role("button", name="Add pictures").click()
            page.locator(sign).first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
            violations = Axe().run(page).response["violations"]
            serious = [(view, one["id"]) for one in violations if one["impact"] in ("serious", "critical")]
            assert serious == []
