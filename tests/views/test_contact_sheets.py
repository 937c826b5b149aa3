"""Contact sheets: what is on them, their pages, and that names and missing files do no harm."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import paint
from vecstore.errors import BadInput, NotFound
from vecstore.results import Member
from vecstore.store import Store
from vecstore.views import contact_sheets, lettering
from vecstore.views.contact_sheets import Cell, Section, Sheet, write_sheet

HOSTILE = ("<img src=x onerror=alert(1)>.png", "лиса 狐 🦊 ثعلب.png", "new\nline \x1b[31m.png", "x" * 240 + ".png")


def captions(sheet: Sheet) -> list[list[tuple[int | None, str, str]]]:
    return [[(cell.id, cell.caption, cell.note) for cell in section.cells] for section in sheet.sections]


def no_thumbnail(_: int) -> bytes:
    raise NotFound("gone")


def test_a_cluster_is_shown_from_its_most_typical_image_on(open_store: Callable[..., Store], pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        store.cluster(1, restarts=1)
        members = store.members(0)
        made = store.sheet(0, k=4)
        assert made.title == "Cluster 0"
        assert made.note.startswith("4 of 10 images, most typical first")
        expected = [(m.id, Path(m.path).name, f"distance {m.distance:.3f}") for m in members[:4]]
        assert captions(made) == [expected]


def test_what_is_similar_has_scores_and_a_file_that_is_not_stored_is_shown_first(
    open_store: Callable[..., Store], pictures: Path, tmp_path: Path
) -> None:
    with open_store() as store:
        store.add(pictures)
        stored = store.sheet(similar="@3", k=2)
        hits = store.similar("@3", k=2)
        assert captions(stored) == [[(hit.id, Path(hit.path).name, f"{hit.score:.4f}") for hit in hits]]
        other = store.sheet(similar=paint(tmp_path / "other.png", 77), k=2)
    first = other.sections[0].cells[0]
    assert (first.id, first.caption) == (None, "other.png")
    assert first.picture is not None


def test_what_is_similar_says_its_clusters_names_and_does_not_count_the_query(
    open_store: Callable[..., Store], pictures: Path, tmp_path: Path
) -> None:
    with open_store() as store:
        store.add(pictures)
        store.cluster(1, restarts=1)
        store.name_cluster(0, "beaches")
        made = store.sheet(similar=paint(tmp_path / "other.png", 77), k=2)
        written = write_sheet(made, store.thumbnail, tmp_path / "sheet.png")
    assert [cell.note.split(" · ")[1:] for cell in made.sections[0].cells] == [[], ["beaches (0)"], ["beaches (0)"]]
    assert [page.images for page in written] == [2]


def test_all_clusters_have_a_row_each_and_representatives_a_cell(
    open_store: Callable[..., Store], pictures: Path
) -> None:
    with open_store() as store:
        store.add(pictures)
        store.cluster(3, restarts=2)
        store.name_cluster(1, "beaches")
        clusters = store.clusters()
        rows, cells = store.sheet(k=2), store.sheet(representatives=True)
    assert [(s.heading, len(s.cells)) for s in rows.sections] == [
        (f"beaches ({c.cluster})" if c.cluster == 1 else f"Cluster {c.cluster}", min(2, c.size)) for c in clusters
    ]
    assert [cell.id for cell in cells.sections[0].cells] == [c.representative_id for c in clusters]


def test_one_thing_is_asked_for_at_a_time(open_store: Callable[..., Store], pictures: Path) -> None:
    with open_store() as store:
        store.add(pictures)
        with pytest.raises(BadInput, match="a sheet shows one cluster"):
            store.sheet(0, representatives=True)


def test_a_long_sheet_has_pages_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheets, "PAGE_ROWS", 2)
    cells = tuple(Cell(i, f"{i}.jpg", "") for i in range(contact_sheets.COLUMNS * 5))
    long = Sheet("a", "30 images", (Section("one", "", cells[:20]), Section("two", "", cells[20:])), 30)
    written = write_sheet(long, no_thumbnail, tmp_path / "sheet.png")
    assert [Path(page.file).name for page in written] == ["sheet.png", "sheet-2.png", "sheet-3.png"]
    assert sum(page.images for page in written) == 30


def test_a_page_of_a_large_store_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 100,000 images: a page is drawn, and let go of, at a time.
    held = drawn = 0
    made = Image.new("RGB", (32, 24), "red")
    written_to = io.BytesIO()
    made.save(written_to, "WEBP")
    thumbnail = written_to.getvalue()

    class Page:
        def __init__(self, page: Image.Image) -> None:
            nonlocal held
            held += 1
            assert held == 1
            assert page.width * page.height < 6_000_000

        def save(self, *_: object, **__: object) -> None:
            nonlocal held, drawn
            held, drawn = held - 1, drawn + 1

    draw_page = contact_sheets.draw_page
    first = draw_page("a", "", [Section("", "", tuple(Cell(i, "a.jpg", "") for i in range(96)))], lambda _: thumbnail)
    monkeypatch.setattr(contact_sheets, "draw_page", lambda *_: Page(first))
    members = [Member(i, f"/photos/{i}.jpg", 0.5) for i in range(100_000)]
    cells = tuple(Cell(member.id, contact_sheets.name(member.path), "") for member in members)
    written = write_sheet(
        Sheet("all", "", (Section("", "", cells),), len(cells)), lambda _: thumbnail, tmp_path / "a.png"
    )
    assert (drawn, sum(page.images for page in written)) == (len(written), 100_000)
    assert len(written) == -(-100_000 // (contact_sheets.PAGE_ROWS * contact_sheets.COLUMNS))


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_can_be_drawn(tmp_path: Path, name: str) -> None:
    cell = Cell(0, contact_sheets.name(f"/photos/{name}"), "")
    assert "\n" not in cell.caption
    (written,) = write_sheet(Sheet(name, name, (Section(name, name, (cell,)),), 1), no_thumbnail, tmp_path / "a.png")
    with Image.open(written.file) as page:
        assert page.width < 1500


def test_a_name_that_is_no_text_can_be_drawn(tmp_path: Path) -> None:
    assert contact_sheets.name("/photos/caf\udce9.png") == "caf\\xe9.png"


def test_a_caption_keeps_both_ends_of_a_name_and_fits() -> None:
    text = "IMG_" + "0" * 80 + "_edited.jpg"
    short = lettering.elided(text, 200, 13)
    assert lettering.width_of(short, 13) <= 200
    assert short.startswith("IMG_")
    assert short.endswith("edited.jpg")
    assert lettering.elided("short.jpg", 200, 13) == "short.jpg"


def test_a_sheet_is_a_png(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="ends in .png"):
        write_sheet(Sheet("", "", (), 0), no_thumbnail, tmp_path / "sheet.jpg")
