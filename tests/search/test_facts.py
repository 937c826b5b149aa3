"""Facts in a store: kept at ingest from one read, asked for, filled in, and there after whatever is done to it."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from PIL import ExifTags, Image
from typer.testing import CliRunner, Result

from cli.app import app
from tests.conftest import TinyEmbedder, paint
from vecstore.errors import BadInput, NotFound
from vecstore.results import Group, ImageFacts
from vecstore.search.filters import Filter
from vecstore.sources import content
from vecstore.storage import places
from vecstore.store import Store

OpenStore = Callable[..., Store]
pytestmark = pytest.mark.usefixtures("one_thread")

# name: (taken, camera, size), of four pictures; the third has no such facts.
PICTURES: dict[str, tuple[str | None, str | None, tuple[int, int]]] = {
    "a/one.jpg": ("2024:05:31 18:30:05", "X-T5", (320, 240)),
    "a/two.jpg": ("2023:01:01 08:00:00", "NIKON D90", (900, 600)),
    "b/three.jpg": (None, None, (400, 100)),
    "b/four.jpg": ("2024:05:01 00:00:00", "X-T5", (50, 60)),
}


def shoot(path: Path, taken: str | None, camera: str | None, size: tuple[int, int], seed: int) -> None:
    """Write a picture with these facts, of a noise of its own."""
    exif = Image.Exif()
    if camera is not None:
        exif[ExifTags.Base.Model] = camera
    if taken is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
        exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (48.0, 8.0, 15.0), 3: "E", 4: (11.0, 34.0, float(seed))})
    colours = paint(path.with_suffix(".png"), seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(colours) as small:
        small.resize(size).save(path, exif=exif, quality=60)
    colours.unlink()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, (name, facts) in enumerate(PICTURES.items()):
        shoot(tmp_path / "photos" / name, *facts, seed)
    return tmp_path / "photos"


@pytest.fixture
def store(open_store: OpenStore, folder: Path) -> Store:
    made = open_store()
    made.add(folder)
    return made


def row_of(store: Store, name: str) -> int:
    return next(image.id for image in store.all_facts() if image.path.endswith(name))


def told(store: Store) -> dict[str, tuple[Any, ...]]:
    """What a store says of each picture, by its name."""
    found = {}
    for image in store.all_facts():
        measures = (image.brightness, image.sharpness, image.entropy)
        what = (image.taken, image.camera, image.latitude, image.width, image.height, image.bytes, image.format)
        found["/".join(image.path.split("/")[-2:])] = (*what, image.keywords, *measures)
    return found


# Kept at ingest


def test_what_a_file_says_is_kept_when_it_is_added(store: Store, folder: Path) -> None:
    (found,) = store.facts(folder / "a/two.jpg")
    assert (found.taken, found.camera, found.format) == ("2023-01-01T08:00:00", "NIKON D90", "JPEG")
    assert (found.latitude, found.longitude) == (48.1375, 11.5669444)
    # Of the picture, and not of what was decoded of it.
    assert (found.width, found.height, found.bytes) == (900, 600, (folder / "a/two.jpg").stat().st_size)
    assert found.brightness is not None
    assert store.image(found.id).facts is not None


def test_a_file_is_read_once(open_store: OpenStore, folder: Path) -> None:
    with mock.patch.object(content, "_open_regular", wraps=content._open_regular) as opened:
        open_store().add(folder)
    assert opened.call_count == len(PICTURES)


def test_a_picture_whose_facts_are_damaged_is_added(open_store: OpenStore, folder: Path) -> None:
    damaged = (folder / "a/one.jpg").read_bytes().replace(b"X-T5", b"\xff\xfe\0\1", 1).replace(b"II*\0", b"II*\1", 1)
    damaged = damaged.replace(b"MM\0*", b"MM\1*", 1)
    (folder / "a/one.jpg").write_bytes(damaged)
    with open_store() as store:
        assert store.add(folder).added == len(PICTURES)
        (found,) = store.facts(folder / "a/one.jpg")
    assert (found.taken, found.camera, found.width, found.format) == (None, None, 320, "JPEG")


# Filled in


@pytest.fixture
def without(store: Store) -> Store:
    """The same, as a store from before facts were kept."""
    with store.session.catalog.writing() as db:
        db.execute("delete from facts")
        db.execute("update images set width = 1, height = 1")
    return store


def test_an_older_store_is_filled_in_without_embedding(without: Store, folder: Path) -> None:
    assert told(without)["a/two.jpg"][:3] == (None, None, None)
    TinyEmbedder.prepared_count = TinyEmbedder.embedded_count = 0
    report = without.fill_facts()
    assert (report.filled, report.missing) == (4, 0)
    assert (TinyEmbedder.prepared_count, TinyEmbedder.embedded_count) == (0, 0)
    assert told(without)["a/two.jpg"][:5] == ("2023-01-01T08:00:00", "NIKON D90", 48.1375, 900, 600)
    assert without.fill_facts().filled == 0


def test_what_is_gone_or_changed_is_not_filled_in(without: Store, folder: Path) -> None:
    (folder / "a/one.jpg").unlink()
    shoot(folder / "a/two.jpg", "2020:01:01 00:00:00", "other", (32, 32), 9)
    report = without.fill_facts()
    assert (report.filled, report.missing) == (2, 2)
    assert told(without)["a/two.jpg"][:2] == (None, None)


def test_the_next_add_fills_in_what_it_reads(without: Store, folder: Path) -> None:
    os.utime(folder / "a/one.jpg", (0, 0))
    assert without.add(folder).known == 4
    found = told(without)
    assert (found["a/one.jpg"][1], found["a/two.jpg"][1]) == ("X-T5", None)


# Asked for


def test_conditions_hold_for_every_question(store: Store, folder: Path) -> None:
    one, two, four = (row_of(store, name) for name in ("one.jpg", "two.jpg", "four.jpg"))
    assert {hit.id for hit in store.similar(one, where="camera = X-T5")} == {one, four}
    assert {hit.id for hit in store.similar(one, path=["a/one.jpg", "b/four.jpg"])} == {one, four}
    assert {edge.query for edge in store.neighbours(taken_before="2024")} == set()
    assert {edge.query for edge in store.neighbours(taken_after="2024")} == {one, four}
    (folder / "copy.jpg").write_bytes((folder / "a/two.jpg").read_bytes())
    (folder / "copy of three.jpg").write_bytes((folder / "b/three.jpg").read_bytes())
    store.add(folder)
    assert {found.id for found in store.duplicates(exact=True, conditions=Filter(camera="nikon"))} == {two}
    everywhere = store.duplicates(min_score=-1, series=True, conditions=Filter(taken_after="2024"))
    assert {found.id for found in everywhere} == {one, four}


def test_clusters_are_looked_for_in_some_images_and_all_get_one(store: Store) -> None:
    with pytest.raises(BadInput, match="k is 4, but what the condition leaves has 3 images; choose -k from 1 to 3"):
        store.cluster(4, where="taken is not missing")
    run = store.cluster(3, where="taken is not missing")
    assert (run.k, run.rows, run.trained_on, run.empty) == (3, 4, 3, 0)
    three = row_of(store, "three.jpg")
    (holder,) = store.which(three)
    assert three in {member.id for member in store.members(holder.cluster)}
    assert store.members(holder.cluster, conditions=Filter(where="taken is missing")) == [
        member for member in store.members(holder.cluster) if member.id == three
    ]
    assert store.check() == []
    with pytest.raises(BadInput, match="leave the condition or `within` out"):
        store.cluster(2, within=0, where="id > 0")


def test_what_is_found_comes_in_another_order(store: Store) -> None:
    names = {image.id: Path(image.path).name for image in store.all_facts()}

    def in_order(sort: str) -> list[str]:
        found = [names[hit.id] for hit in store.similar(0, sort=sort)]
        assert found == [names[image.id] for image in store.all_facts(sort=sort)]
        return found

    assert in_order("taken") == ["two.jpg", "four.jpg", "one.jpg", "three.jpg"]
    assert in_order("size")[0] == "two.jpg"
    assert in_order("path") == ["one.jpg", "two.jpg", "four.jpg", "three.jpg"]
    with pytest.raises(BadInput, match="'colour' is no order; there are score, taken, size, path"):
        store.similar(0, sort="colour")


def test_images_are_counted_in_groups(store: Store, folder: Path) -> None:
    assert store.count_by("month") == [Group("2023-01", 1), Group("2024-05", 2), Group(None, 1)]
    assert store.count_by("camera") == [Group("X-T5", 2), Group("NIKON D90", 1), Group(None, 1)]
    assert store.count_by("folder") == [Group(str(folder / "a"), 2), Group(str(folder / "b"), 2)]
    assert store.count_by("month", Filter(camera="x-t5")) == [Group("2024-05", 2)]
    with pytest.raises(BadInput, match="not grouped by 'mood', but by folder, day, month, camera, place, cluster"):
        store.count_by("mood")


def test_places_have_the_names_of_the_nearest_towns(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    if not places.is_installed():
        pytest.skip("the extra `places` is not installed")
    assert store.count_by("place") == [Group("Munich, Germany", 3), Group(None, 1)]
    one = store.facts(row_of(store, "one.jpg"))[0]
    assert (one.place, one.country) == ("Munich, Germany", "DE")
    monkeypatch.setattr(places, "is_installed", lambda: False)
    with pytest.raises(BadInput, match=r"pip install 'vecstore\[places\]'"):
        store.count_by("place")


def test_odd_pictures_are_found_with_their_measures(open_store: OpenStore, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    noise = Image.effect_noise((320, 240), 60).convert("RGB")
    made = {
        "fine": noise,
        "dark": noise.point(lambda level: level // 4),
        "bright": noise.point(lambda level: 244 + level // 24),
        "blurred": noise.resize((8, 6), Image.Resampling.NEAREST).resize((320, 240), Image.Resampling.BICUBIC),
        "blank": Image.new("RGB", (320, 240), (120, 130, 140)),
        "tiny": noise.crop((0, 0, 40, 40)),
        "odd shape": noise.crop((0, 0, 320, 80)),
    }
    for name, picture in made.items():
        picture.save(odd / f"{name}.png")
    store = open_store()
    store.add(odd)
    found = {(oddity.kind, Path(oddity.path).stem) for oddity in store.oddities()}
    assert found - {("blank", "bright")} == {(name, name) for name in made if name != "fine"}
    (blurred,) = store.oddities("blurred")
    assert (blurred.measure, blurred.bound) == ("sharpness", 15)
    assert 0 < blurred.value < 15
    assert [*store.oddities(conditions=Filter(path=("fine.png",)))] == []
    with pytest.raises(BadInput, match="there is no oddity 'ugly'; there are dark, bright, blurred"):
        store.oddities("ugly")


def test_the_facts_of_what_is_not_stored_are_not_found(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store.facts(tmp_path / "none.jpg")


# They stay


def test_facts_survive_what_is_done_to_a_store(store: Store, folder: Path, tmp_path: Path) -> None:
    before = told(store)
    store.undo()
    assert [*store.all_facts()] == []
    TinyEmbedder.embedded_count = 0
    store.undo(redo=True)
    assert (told(store), TinyEmbedder.embedded_count) == (before, 0)
    store.remove(folder / "b/three.jpg")
    store.compact()
    del before["b/three.jpg"]
    assert told(store) == before
    assert store.session.catalog.db.execute("select count(*) from facts").fetchone() == (3,)
    store.backup(tmp_path / "copy")
    store.migrate(tmp_path / "moved")
    for place in ("copy", "moved"):
        with Store.open(tmp_path / place) as other:
            assert (told(other), other.check()) == (before, [])
    store.embed_into(tmp_path / "other", embedder="hsv")
    with Store.open(tmp_path / "other") as other:
        assert {name: facts[:8] for name, facts in told(other).items()} == {n: facts[:8] for n, facts in before.items()}


def test_an_export_has_columns_of_facts_and_brings_them_back(store: Store, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    store.export(tmp_path / "out.parquet")
    rows = {Path(row["path"]).name: row for row in parquet.read_table(tmp_path / "out.parquet").to_pylist()}
    assert (rows["one.jpg"]["taken"], rows["one.jpg"]["camera"]) == ("2024-05-31T18:30:05", "X-T5")
    assert (rows["two.jpg"]["width"], rows["three.jpg"]["taken"], rows["one.jpg"]["keywords"]) == (900, None, [])
    with Store.open(tmp_path / "imported", create=True) as other:
        other.import_vectors(tmp_path / "out.parquet")
        assert told(other) == told(store)


def test_an_export_with_facts_that_cannot_be_is_refused(store: Store, tmp_path: Path) -> None:
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    store.export(tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    at = table.schema.names.index("camera")
    parquet.write_table(table.set_column(at, "camera", pyarrow.array([1, 2, 3, 4])), tmp_path / "bad.parquet")
    with (
        Store.open(tmp_path / "imported", create=True) as other,
        pytest.raises(BadInput, match="is a damaged export .facts that cannot be: camera"),
    ):
        other.import_vectors(tmp_path / "bad.parquet")


def test_a_check_finds_facts_that_cannot_be_and_a_repair_forgets_them(store: Store) -> None:
    with closing(sqlite3.connect(store.path / "catalog.sqlite")) as db, db:
        db.execute("update facts set latitude = 900 where row = 1")
        db.execute("update facts set taken = x'00ff' where row = 2")
    (found,) = store.check()
    assert (found.kind, found.where, found.repairable) == ("facts", "facts of @1, @2", True)
    assert [finding.repaired for finding in store.check(repair=True)] == [True]
    assert store.check() == []
    assert store.fill_facts().filled == 2


# The command line


@pytest.fixture
def vecstore_(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("VECSTORE_STORE", str(store.path))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_show_prints_what_there_is(vecstore_: Callable[..., Result], store: Store, folder: Path) -> None:
    done = vecstore_("show", folder / "a/one.jpg", f"@{row_of(store, 'three.jpg')}")
    first, second = done.stdout.split("\n\n")
    assert first.startswith("id           @0\n")
    assert f"\npath         {folder}/a/one.jpg\n" in first
    assert "\ntaken        2024-05-31 18:30:05 (local time; the file names no time zone)\n" in first
    assert "\ncamera       X-T5\n" in first
    assert "camera" not in second
    assert (done.exit_code, done.stderr) == (0, "")


def test_show_as_json_has_every_key(vecstore_: Callable[..., Result], folder: Path) -> None:
    printed = json.loads(vecstore_("show", folder / "a/one.jpg", "--json").stdout)
    assert [*printed] == [*ImageFacts.__dataclass_fields__]
    assert (printed["id"], printed["taken"], printed["width"]) == (0, "2024-05-31T18:30:05", 320)


def test_show_says_how_facts_are_filled_in(vecstore_: Callable[..., Result], without: Store) -> None:
    assert "`vecstore facts --all` reads the files" in vecstore_("show", "@0").stderr
    assert vecstore_("facts", "--all").stdout.startswith("read the facts of 4 images in ")
    assert vecstore_("show", "@0").stderr == ""


def test_facts_lists_and_counts(vecstore_: Callable[..., Result], folder: Path) -> None:
    done = vecstore_("facts", "--where", 'camera = "x-t5"', "--taken-after", "2024-05-02")
    assert done.stdout == f"@0\t2024-05-31T18:30:05\tX-T5\t320\t240\tJPEG\t-\t{folder}/a/one.jpg\n"
    assert vecstore_("facts", "--group-by", "month", "--path", "a/").stdout == "1\t2023-01\n1\t2024-05\n"
    assert vecstore_("facts", "--camera", "leica").stderr == "nothing fits these conditions\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("facts", "--where", "camra = 3"), "'camra' stands where a name is wanted"),
        (("facts", "--taken-after", "soon"), "'soon' is not a date or time; give a date such as 2024-05-31"),
        (("facts", "--near", "here"), "'here' is not LATITUDE,LONGITUDE,KM"),
        (("facts", "--sort", "colour"), "'colour' is no order"),
        (("facts", "--group-by", "mood"), "not grouped by 'mood'"),
        (("facts", "--all", "--camera", "x"), "--all reads the files of all images without facts"),
        (("facts", "--group-by", "month", "--sort", "taken"), "groups have an order of their own"),
        (("oddities", "--kind", "ugly"), "there is no oddity 'ugly'"),
        (("cluster", "-k", "1", "--where", "id"), "'the end' stands behind id"),
        (("cluster", "--use", "1", "--where", "id > 1"), "leave -k, --tree, --method and the others out"),
        (("similar", "--all", "--sort", "taken"), "leave --sort out"),
        (("members", "0", "--copy-to", "x", "--camera", "a"), "leave conditions, --sort and --into out"),
    ],
)
def test_wrong_use_is_told_in_a_line(arguments: tuple[str, ...], said: str, vecstore_: Callable[..., Result]) -> None:
    done = vecstore_(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_two_paths_are_any_of_them(vecstore_: Callable[..., Result]) -> None:
    done = vecstore_("similar", "@0", "--path", "one.jpg", "--path", "four.jpg", "--json")
    assert {Path(json.loads(line)["path"]).name for line in done.stdout.splitlines()} == {"one.jpg", "four.jpg"}


def test_oddities_are_printed_with_their_bound(vecstore_: Callable[..., Result], folder: Path) -> None:
    done = vecstore_("oddities", "--kind", "tiny", "--kind", "odd shape")
    assert done.stdout.splitlines() == [
        f"tiny\t@2\tshorter\t50.0000\t64\t{folder}/b/four.jpg",
        f"odd shape\t@3\taspect\t4.0000\t3\t{folder}/b/three.jpg",
    ]
