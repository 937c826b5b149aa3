"""The report: what is on the page, that it needs nothing else, and that a name is only a name."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import TinyEmbedder, paint
from tests.words.conftest import random_head
from vecstore.errors import BadInput, NotFound
from vecstore.search.filters import Filter
from vecstore.store import Store
from vecstore.views import map_placing, report
from vecstore.views.html_page import policy

HOSTILE = "<img src=x onerror=alert(1)>.jpg"


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("a", "code", "span"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_placing, "EXAGGERATED_STEPS", 10)
    monkeypatch.setattr(map_placing, "STEPS", 10)


@pytest.fixture
def store(open_store: Callable[..., Store], pictures: Path) -> Store:
    """Ten pictures, one of them twice, one with a hostile name; a file that is none; three clusters, one named."""
    (pictures / "0.png").rename(pictures / HOSTILE)
    (pictures / "copy.png").write_bytes((pictures / "1.png").read_bytes())
    (pictures / "broken<b>.jpg").write_bytes(b"not a picture")
    opened = open_store()
    opened.add(pictures)
    opened.cluster(3, restarts=2)
    opened.name_cluster(0, "<i>beaches</i>")
    return opened


def reported(store: Store, tmp_path: Path, since: str | None = None) -> Page:
    store.report(tmp_path / "report.html", since=since)
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_a_report_has_the_numbers_the_clusters_the_duplicates_and_the_failures(store: Store, tmp_path: Path) -> None:
    page = reported(store, tmp_path)
    text = " ".join(page.text.split())
    assert "images 10 paths 11 clusters 3 spare copies 1 failures 1" in text
    for cluster in store.clusters():
        title = "<i>beaches</i> (0)" if cluster.cluster == 0 else f"Cluster {cluster.cluster}"
        assert f"{title} {cluster.size} image" in text
        assert f"cohesion {cluster.cohesion:.3f}" in text
    assert "copy.png" in text
    assert "not a picture in a known format" in text
    assert len(page.all("h1")) == 1
    assert {"map", "clusters", "outliers", "k", "duplicates", "failures"} <= {
        one.get("id") for one in page.all("section")
    }


def test_only_what_could_be_freed_is_a_spare_copy(store: Store, pictures: Path, tmp_path: Path) -> None:
    (pictures / "0-link.png").symlink_to("1.png")
    (pictures / "gone.png").write_bytes((pictures / "1.png").read_bytes())
    (pictures / "hard.png").hardlink_to(pictures / "copy.png")
    store.add(pictures)
    (pictures / "gone.png").unlink()
    page = reported(store, tmp_path)
    text = " ".join(page.text.split())
    assert "spare copies 1 " in text
    assert all(f"{kind}, " in text for kind in ("to keep", "copy", "link", "same file", "missing"))


def test_it_loads_nothing_and_runs_nothing(store: Store, tmp_path: Path) -> None:
    page = reported(store, tmp_path)
    assert page.all("script") == page.all("link") == page.all("iframe") == []
    sources = [one.get("src") or one.get("srcset") or one.get("href") or "" for _, one in page.elements]
    assert {source.split(",")[0] for source in sources if source and not source.startswith("#")} == {
        "data:image/jpeg;base64",
        "data:image/svg+xml;base64",
    }
    text = (tmp_path / "report.html").read_text()
    assert re.findall(r"https?:", text) == []
    assert re.findall(r"\son\w+=\"", text) == []
    (style,) = re.findall(r"<style>(.*)</style>", text, re.DOTALL)
    (found,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert found == policy(style)
    assert "script-src 'none'" in str(found)


def test_no_style_is_inside_an_element(store: Store, tmp_path: Path) -> None:
    assert [attributes for _, attributes in reported(store, tmp_path).elements if "style" in attributes] == []


def test_a_name_is_only_a_name(store: Store, tmp_path: Path) -> None:
    page = reported(store, tmp_path)
    assert f"{HOSTILE}" in page.text
    assert {attributes.get("src") for attributes in page.all("img")}.isdisjoint({"x"})
    assert page.all("i") == page.all("b") == []
    assert any(str(image["alt"]).startswith(HOSTILE) for image in page.all("img"))


def test_every_picture_has_a_text_for_those_who_do_not_see_it(store: Store, tmp_path: Path) -> None:
    page = reported(store, tmp_path)
    assert page.all("img")
    assert all(image.get("alt") for image in page.all("img"))
    assert all(svg.get("aria-label") for svg in page.all("svg"))


def test_suggested_names_are_in_it_and_marked(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyEmbedder, "head", lambda self: random_head(), raising=False)
    suggested = {cluster.cluster: cluster.suggested for cluster in store.suggest_names() if cluster.suggested}
    page = reported(store, tmp_path)
    assert suggested
    assert all(f"Cluster {cluster}, {name}?" in page.text for cluster, name in suggested.items())


def test_a_doubtful_name_is_marked_and_clusters_are_explained(store: Store, tmp_path: Path) -> None:
    store.cluster(1)
    store.name_cluster(store.clusters()[0].cluster, "all")
    store.cluster(3)
    assert [name.doubtful for name in store.kept_names()] == [True]
    store.report(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert text.count("This name may no longer be true") == 1
    assert text.count("Found again in samples") == 3
    store.confirm_name("all")
    store.report(tmp_path / "report.html")
    assert "may no longer be true" not in (tmp_path / "report.html").read_text()


def test_it_works_before_the_first_clustering(open_store: Callable[..., Store], pictures: Path, tmp_path: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        page = reported(store, tmp_path)
    assert "There are no clusters yet. Make some with vecstore cluster -k auto" in page.text


def test_it_works_for_a_store_with_nothing_in_it(
    open_store: Callable[..., Store], pictures: Path, tmp_path: Path
) -> None:
    with open_store() as store:
        store.add(pictures)
        store.remove(pictures)
        page = reported(store, tmp_path)
    assert "has no images to cluster" in page.text


def test_since_a_clustering_it_says_what_is_new_moved_born_and_gone(store: Store, tmp_path: Path) -> None:
    for seed in (50, 51):
        paint(tmp_path / "pictures" / f"{seed}.png", seed)
    store.session.catalog.db.execute("update clusterings set created = '2020-01-01T00:00:00Z'")
    store.session.catalog.db.execute("update images set added = '2019-12-31T00:00:00Z'")
    store.add(tmp_path / "pictures")
    before = {row: cluster for row, cluster, _ in store.session.catalog.memberships.all(1)}
    run = store.cluster(4, restarts=2, seed=5)
    now = {row: cluster for row, cluster, _ in store.session.catalog.memberships.all(2)}
    moved = sum(now[row] != cluster for row, cluster in before.items() if row < 10)
    born, gone = {*now.values()} - {*before.values()}, {*before.values()} - {*now.values()}
    assert (len(born), len(gone)) == (run.born, run.gone)
    for since, named in (("1", "clustering 1"), ("2020-01-02", "2020-01-02")):
        text = " ".join(reported(store, tmp_path, since).text.split())
        assert f"Since {named}" in text
        assert "Compared with clustering 1 of 2020-01-01, in 3 clusters" in text
        expected = f"new images 2 moved to another cluster {moved} clusters born {len(born)} clusters gone {len(gone)}"
        assert expected in text


def test_since_a_moment_before_any_clustering_it_says_what_is_new(store: Store, tmp_path: Path) -> None:
    text = " ".join(reported(store, tmp_path, "2001-01-01").text.split())
    assert "There was no clustering then" in text
    assert "new images 10" in text


def test_no_such_clustering_or_moment_is_said(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no clustering 7; there are 1"):
        store.report(tmp_path / "report.html", since="7")
    with pytest.raises(BadInput, match="is not a date or time"):
        store.report(tmp_path / "report.html", since="soon")
    with pytest.raises(BadInput, match="ends in .html"):
        store.report(tmp_path / "report.pdf")
    assert not (tmp_path / "report.html").exists()


def test_thumbnails_are_bounded_in_bytes_and_what_is_left_out_is_said(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MAX_THUMBNAIL_BYTES", 3_000)
    page = reported(store, tmp_path)
    shown = [str(image["src"]) for image in page.all("img") if str(image["src"]).startswith("data:image/jpeg")]
    assert 0 < sum(map(len, shown)) < 3_000 + 2_000
    assert re.search(r"To keep this page small, \d+ thumbnails of it are left out", page.text)
    assert "no picture here" in page.text


def test_a_report_can_be_about_some_images(store: Store, tmp_path: Path) -> None:
    whole = reported(store, tmp_path)
    store.report(tmp_path / "some.html", since="1", conditions=Filter(path=("deep/",)))
    some = Page((tmp_path / "some.html").read_text())
    assert "This report is about 5 images of 10" in " ".join(some.text.split())
    assert "This report is about" not in whole.text
    names = {name for name in (f"{number}.png" for number in range(1, 10)) if name in some.text}
    assert names == {"5.png", "6.png", "7.png", "8.png", "9.png"}


def test_odd_pictures_have_a_gallery(store: Store, tmp_path: Path) -> None:
    page = " ".join(reported(store, tmp_path).text.split())
    assert "Dark, blurred and the like" in page
    assert "Tiny 10 images with shorter < 64" in page
    assert "Blurred" not in page


def test_duplicates_say_what_they_are_how_sure_that_is_and_what_is_kept_by_which_rule(
    store: Store, pictures: Path, tmp_path: Path
) -> None:
    size = (pictures / "1.png").stat().st_size
    page = reported(store, tmp_path)
    text = " ".join(page.text.split())
    assert "as it was decided, or of the most pixels" in text
    assert f"Deleting its copies frees {size} B." in text
    assert [figure["class"] for figure in page.all("figure") if figure.get("class") == "keep"] == ["keep"]
    assert names_of_kept(tmp_path) == ["1.png"]
    store.report(tmp_path / "report.html", keep_by=["path:copy.png"])
    text = " ".join(Page((tmp_path / "report.html").read_text()).text.split())
    assert "or by the rules path:copy.png" in text
    assert "Kept: path copy.png." in text
    assert names_of_kept(tmp_path) == ["copy.png"]
    with pytest.raises(BadInput):
        store.report(tmp_path / "other.html", keep_by=["the best"])
    assert not (tmp_path / "other.html").exists()


def names_of_kept(folder: Path) -> list[str]:
    text = (folder / "report.html").read_text()
    return re.findall(r'class="keep">.*?<figcaption[^>]*><span>(.*?)</span>', text, re.DOTALL)


def test_an_altered_copy_has_its_relation_and_confidence(open_store: Callable[..., Store], tmp_path: Path) -> None:
    picture = Image.open(paint(tmp_path / "a/big.png", 5)).resize((320, 240))
    picture.save(tmp_path / "a/big.png")
    picture.resize((160, 120)).save(tmp_path / "a/small.jpg", quality=60)
    opened = open_store()
    opened.add(tmp_path / "a")
    (small,) = [found for found in opened.duplicates() if found.kind == "near"]
    text = " ".join(reported(opened, tmp_path).text.split())
    sure = "" if small.confidence == 1 else f" ({100 * small.confidence:.0f} % sure)"
    assert f"{small.relation}{sure}, 160 × 120, " in text


def test_a_report_has_the_clusters_of_a_level(open_store: Callable[..., Store], pictures: Path, tmp_path: Path) -> None:
    opened = open_store()
    opened.add(pictures)
    opened.cluster(tree=(2, 4), restarts=2)
    top = opened.tree(1)
    opened.name_cluster(top[0].cluster, "coasts")
    opened.report(tmp_path / "report.html", level=1)
    text = " ".join(Page((tmp_path / "report.html").read_text()).text.split())
    assert "2 clusters, largest first. These are of one level of a tree" in text
    assert f"coasts ({top[0].cluster}) {top[0].size} image" in text
    assert f"Cluster {top[1].cluster} {top[1].size} image" in text
    opened.report(tmp_path / "part.html", level=1, conditions=Filter(cluster=top[1].cluster))
    assert "1 cluster, largest first." in " ".join(Page((tmp_path / "part.html").read_text()).text.split())
    with pytest.raises(BadInput, match="there is no level 3"):
        opened.report(tmp_path / "none.html", level=3)
