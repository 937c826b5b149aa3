"""scripts/screenshots: the page as it is, in docs/images, on a store of pictures that are painted here."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from vecstore import Store
from vecstore.sources.painted import KINDS, paint_folder

IMAGES = Path(__file__).parents[1] / "docs" / "images"
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 780}
NAMES = {"city": "Night cities", "flower": "Flowers", "forest": "Forests", "reef": "Reefs", "sunset": "Sunsets"}
PER_KIND = 20
# What is kept in the documentation; with a folder of one's own, all are made.
KEPT = {
    *("clusters-desktop-light", "clusters-desktop-dark", "similar-desktop-light", "map-desktop-light"),
    *("examples-phone-dark", "cluster-phone-light"),
}


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="Photos") as scratch:
        store = _painted(Path(scratch))
        command = [
            sys.executable,
            "-c",
            "from cli.app import main; main()",
            "serve",
            "-s",
            str(store),
            "--port",
            "0",
            "-q",
        ]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            if server.stdout is None:
                raise ValueError("the server was started with a pipe")
            _photograph(server.stdout.readline().strip(), target, Path(scratch) / "Pictures")
        finally:
            server.terminate()
            server.communicate()


def _painted(folder: Path) -> Path:
    paint_folder(folder / "Pictures", 0, PER_KIND)
    with Store.open(folder / "store", embedder="efficientnet-lite0", create=True) as store:
        store.add(folder / "Pictures")
        store.cluster(len(KINDS))
        for cluster in store.clusters():
            name = NAMES.get(Path(cluster.representative).parent.name)
            if name:
                store.name_cluster(cluster.cluster, name)
    return folder / "store"


def _photograph(address: str, target: Path, pictures: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for device, size in {"desktop": DESKTOP, "phone": PHONE}.items():
                context: Any = browser.new_context(
                    viewport=size, color_scheme=scheme, reduced_motion="reduce", device_scale_factor=1
                )
                page = context.new_page()
                for view, prepare in VIEWS.items():
                    name = f"{view}-{device}-{scheme}"
                    if target == IMAGES and name not in KEPT:
                        continue
                    page.goto("about:blank")
                    page.goto(address)
                    page.locator(".card img").first.wait_for(timeout=60_000)
                    prepare(page, pictures)
                    page.wait_for_load_state("networkidle")
                    page.wait_for_timeout(1_000)
                    page.screenshot(path=target / f"page-{name}.png")
                context.close()
        browser.close()


def _clusters(page: Page, pictures: Path) -> None:
    pass


def _cluster(page: Page, pictures: Path) -> None:
    page.get_by_text("Reefs").click()
    page.locator(".grid img").first.wait_for()


def _similar(page: Page, pictures: Path) -> None:
    page.get_by_text("Reefs").click()
    page.locator(".tile a.picture").nth(3).click()
    page.get_by_role("link", name="Find similar").click()
    page.locator(".score").first.wait_for()


def _examples(page: Page, pictures: Path) -> None:
    page.locator("#file").set_input_files(pictures / "sunset" / "sunset-04.jpg")
    page.locator(".score").first.wait_for()
    page.evaluate("location.hash += '&plus=83&minus=5'")  # a reef and a city, which are not among the first
    page.locator(".chip.minus").wait_for()


def _map(page: Page, pictures: Path) -> None:
    page.get_by_role("link", name="Map").click()
    page.locator("h1").get_by_text("ap").wait_for()
    draw = page.get_by_role("button", name="Draw the map")
    if draw.count():
        draw.click()
    page.locator(".map canvas[role=img]").wait_for(timeout=120_000)
    page.get_by_text("Drawing the map").wait_for(state="hidden", timeout=120_000)


VIEWS = {"clusters": _clusters, "cluster": _cluster, "similar": _similar, "examples": _examples, "map": _map}

if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else IMAGES)
