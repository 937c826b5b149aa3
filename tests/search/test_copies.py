"""Altered copies in a store: what is found, what is remembered, and what is in another place."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.app import app
from tests.altered import ALTERATIONS, cropped, scene, with_bars
from vecstore import search
from vecstore.errors import BadInput, WrongEmbedder
from vecstore.likeness import comparison
from vecstore.likeness.comparison import Relation
from vecstore.likeness.look import Look
from vecstore.results import Duplicate
from vecstore.search.copies import CopyFinder
from vecstore.search.duplicates import duplicates
from vecstore.store import Store

OpenStore = Callable[..., Store]
# Of pictures that were drawn, the tiny embedder's vectors say little.
KINDS = ("mirrored", "turned 90", "grey", "resized", "letterboxed", "cropped")


def save(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six scenes, and of each the copy that is altered in one way; three more without a copy."""
    for seed in range(9):
        save(scene(seed), tmp_path / f"pictures/{seed}.png")
    for seed, kind in enumerate(KINDS):
        save(ALTERATIONS[kind](scene(seed)), tmp_path / f"pictures/{seed}_copy.png")
    return tmp_path / "pictures"


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[int]]:
    """The pairs that were compared pixel by pixel, each as the means of its two pictures."""
    pairs: list[frozenset[int]] = []
    compare = comparison.compare

    def counting(one: Look, other: Look, **options: bool) -> Relation | None:
        pairs.append(frozenset(int(seen.grey.astype(int).sum()) for seen in (one, other)))
        return compare(one, other, **options)

    monkeypatch.setattr(comparison, "compare", counting)
    return pairs


def grouped(found: Iterator[Duplicate]) -> list[list[tuple[str, str, str]]]:
    groups: dict[int, list[tuple[str, str, str]]] = {}
    for one in found:
        groups.setdefault(one.group, []).append((one.kind, one.relation, Path(one.path).name))
    return sorted(groups.values(), key=lambda group: group[0][2])


EXPECTED = [[("keep", "", f"{seed}.png"), ("near", kind, f"{seed}_copy.png")] for seed, kind in enumerate(KINDS)]


def test_altered_copies_are_found_and_called_what_they_are(open_store: OpenStore, folder: Path) -> None:
    with open_store() as store:
        store.add(folder)
        found = list(store.duplicates())
    assert grouped(iter(found)) == EXPECTED
    assert all(one.confidence > 0.8 for one in found)
    assert {(one.pixels, one.bytes) for one in found if one.path.endswith("/3_copy.png")} == {
        (106 * 80, (folder / "3_copy.png").stat().st_size)
    }


def test_what_was_compared_is_remembered_and_only_new_images_are_compared(
    open_store: OpenStore, folder: Path, compared: list[frozenset[int]]
) -> None:
    with open_store() as store:
        store.add(folder)
        list(store.duplicates())
        assert len(compared) >= len(KINDS)
    with open_store(embedder=None) as store:
        compared.clear()
        assert grouped(store.duplicates()) == EXPECTED
        assert compared == []
        new = ALTERATIONS["flipped"](scene(7))
        store.add(save(new, folder / "7_copy.png"))
        assert [("keep", "", "7.png"), ("near", "flipped", "7_copy.png")] in grouped(store.duplicates())
    of_new = int(_levels(new).sum())
    assert compared
    assert all(of_new in pair for pair in compared)


def test_a_copy_of_a_part_joins_the_group_that_the_part_joins_after_it(open_store: OpenStore, folder: Path) -> None:
    shutil.rmtree(folder)
    part = cropped(scene(0), 0.1, 0.1, 0.1, 0.1)
    save(scene(0), folder / "0.png")
    save(ALTERATIONS["turned 90"](part), folder / "1.png")
    save(part, folder / "2.png")
    with open_store() as store:
        store.add(folder)
        list(store.duplicates())
        known = {(0, 1): "", (0, 2): "cropped", (1, 2): "turned 270"}  # the first of these as of other photos
        with store.session.catalog.writing():
            pairs = ((*pair, relation, 0.9) for pair, relation in known.items())
            store.session.catalog.pairs.record(pairs, comparison.VERSION)
        assert grouped(store.duplicates()) == [
            [("keep", "", "0.png"), ("near", "cropped", "2.png"), ("near", "cropped", "1.png")]
        ]


def outdate(store: Store, relation: str | None = None) -> None:
    """Let all that was compared be of an earlier version of the check, which found that each pair is this, if given."""
    with store.session.catalog.writing() as db:
        db.execute("update pairs set version = 0, relation = coalesce(?, relation)", (relation,))


@pytest.mark.parametrize("relation", ["", "edited"])
def test_what_an_earlier_check_judged_is_judged_once_more(
    relation: str,
    open_store: OpenStore,
    folder: Path,
    compared: list[frozenset[int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for seed in range(6):  # of each group three, of which not all pairs are compared
        save(ALTERATIONS["flipped"](scene(seed)), folder / f"{seed}_other.png")
    with open_store() as store:
        store.add(folder)
        expected = [(one.id, one.kind, one.relation, one.group) for one in store.duplicates()]
        n_pairs = len(list(store.session.catalog.pairs.all()))
        n_compared = store.compared_duplicates().compared
        outdate(store, relation)
        compared.clear()
        assert store.compared_duplicates().compared < n_compared == store.info().images
        assert [(one.id, one.kind, one.relation, one.group) for one in store.duplicates()] == expected
        assert len(compared) >= n_pairs
        told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert told == [f"{n_pairs} pairs were judged by an earlier check for copies, and are compared once more"]
        compared.clear()
        assert [(one.id, one.kind, one.relation, one.group) for one in store.duplicates()] == expected
        assert (compared, store.compared_duplicates().compared) == ([], n_compared)


def test_what_is_no_longer_a_copy_is_compared_with_what_was_in_its_group(
    open_store: OpenStore, folder: Path, compared: list[frozenset[int]]
) -> None:
    shutil.rmtree(folder)
    save(scene(0), folder / "0.png")
    save(ALTERATIONS["grey"](scene(0)), folder / "1.png")
    save(scene(1), folder / "2.png")
    with open_store() as store:
        store.add(folder)
        list(store.duplicates())
        with store.session.catalog.writing() as db:  # an earlier check, to which all were copies of the second
            db.execute("delete from pairs")
            db.execute("insert into pairs values (0, 2, 'edited', 1, 0), (1, 2, 'edited', 1, 0)")
        assert grouped(store.duplicates()) == [[("keep", "", "0.png"), ("near", "grey", "1.png")]]


def test_decisions_outlive_the_check_that_they_were_made_with(open_store: OpenStore, folder: Path) -> None:
    with open_store() as store:
        store.add(folder)
        rows = {Path(one.path).name: one.id for one in store.duplicates()}
        store.decide(rows["0.png"], rows["0_copy.png"], verdict="different")
        store.decide(rows["1.png"], rows["1_copy.png"], verdict="keep", keep=folder / "1_copy.png")
        decisions = store.decisions()
        expected = grouped(store.duplicates())
        outdate(store)
        assert (grouped(store.duplicates()), store.decisions()) == (expected, decisions)
        assert expected[0] == [("keep", "", "1_copy.png"), ("near", "turned 270", "1.png")]


def test_verdicts_on_pictures_that_cannot_be_read_stay(
    open_store: OpenStore, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store() as store:
        store.add(folder)
        list(store.duplicates())
        outdate(store)
        before = sorted(store.session.catalog.pairs.all())
        shutil.move(folder, folder.parent / "away")
        list(store.duplicates())
        assert (sorted(store.session.catalog.pairs.all()), caplog.messages) == (before, [])
        shutil.move(folder.parent / "away", folder)
        assert grouped(store.duplicates()) == EXPECTED


def _levels(image: Image.Image) -> np.ndarray:
    from vecstore.likeness.perceptual_hash import grey

    return grey(image).astype(int)


def test_pictures_without_a_hash_are_read_once(open_store: OpenStore, folder: Path) -> None:
    with open_store() as store:
        store.add(folder)
        with store.session.catalog.writing():
            store.session.catalog.pairs.clear()  # as in a store from before there were any
        assert grouped(store.duplicates()) == EXPECTED
        assert store.session.catalog.picture_hashes.of(0) is not None


def test_damaged_hashes_are_found_by_check_and_made_again(open_store: OpenStore, folder: Path) -> None:
    with open_store() as store:
        store.add(folder)
        with store.session.catalog.writing() as db:
            db.execute("update picture_hashes set checksum = checksum + 1")
        assert [finding.kind for finding in store.check()] == ["picture hashes"]
        assert grouped(store.duplicates()) == EXPECTED
        assert store.check() == []


def test_compacting_forgets_what_is_known_of_removed_images(open_store: OpenStore, folder: Path) -> None:
    with open_store() as store:
        store.add(folder)
        list(store.duplicates())
        row = store.image(folder / "0.png").id
        store.remove(row)
        store.compact()
        assert store.session.catalog.picture_hashes.of(row) is None
        assert all(row not in pair[:2] for pair in store.session.catalog.pairs.all())
        assert grouped(store.duplicates()) == EXPECTED[1:]


def test_where_the_store_is_being_written_to_the_answer_is_the_same(open_store: OpenStore, folder: Path) -> None:
    with open_store() as store:
        store.add(folder)
        with open_store(embedder=None).session.lock():
            assert grouped(store.duplicates()) == EXPECTED
        assert list(store.session.catalog.pairs.all()) == []


def test_the_one_without_bars_is_kept_and_parts_of_parts_are_in_one_group(open_store: OpenStore, folder: Path) -> None:
    shutil.rmtree(folder)
    save(scene(0), folder / "0.png")
    save(with_bars(scene(0), 0.1, 0.1), folder / "bars.png")
    save(cropped(scene(0), 0.1, 0.1, 0.1, 0.1), folder / "part.png")
    with open_store() as store:
        store.add(folder)
        (group,) = grouped(store.duplicates())
    assert group[0] == ("keep", "", "0.png")
    assert {*group[1:]} == {("near", "letterboxed", "bars.png"), ("near", "cropped", "part.png")}


def test_pairs_that_are_set_apart_are_in_no_group(open_store: OpenStore, folder: Path) -> None:
    with open_store() as store:
        store.add(folder)
        list(store.duplicates())
        store.decide(folder / "0.png", folder / "0_copy.png", verdict="different")
        assert grouped(duplicates(store.session, 0.95, exact=False)) == EXPECTED[1:]


def test_in_a_long_chain_of_copies_each_is_compared_with_few(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 60
    for number in range(n):
        save(scene(number).resize((64, 48)), tmp_path / f"pictures/{number:02}.png")
    store = open_store()
    store.add(tmp_path / "pictures")
    compared: list[int] = []
    is_copy = Relation(comparison.CROPPED, 0.9)

    def relation(finder: CopyFinder, row: int, other: int) -> Relation | None:
        compared.append(row)
        return is_copy if abs(row - other) == 1 else None

    def known_copies(finder: CopyFinder, row: int) -> dict[int, Relation]:
        return {row - 1: is_copy, row + 1: is_copy}

    monkeypatch.setattr(CopyFinder, "groups", lambda finder: [list(range(n))])
    monkeypatch.setattr(CopyFinder, "relation", relation)
    monkeypatch.setattr(CopyFinder, "known_copies", known_copies)
    monkeypatch.setattr(search.duplicates, "MOST_GROUPS", 4)
    groups = [[name for _, _, name in group] for group in grouped(store.duplicates())]
    assert groups == [[f"{number:02}.png", f"{number + 1:02}.png"] for number in range(0, n, 2)]
    assert n // 2 * 4 < len(compared) <= n * (4 + 2)


def test_series_are_listed_when_asked_for_and_none_is_to_be_deleted(open_store: OpenStore, folder: Path) -> None:
    shutil.rmtree(folder)
    background, thing = scene(6, (360, 260)), scene(7, (90, 70))
    for aside in (0, 9):
        shot = background.crop((20 + aside, 10, 340 + aside, 250))
        shot.paste(thing, (110 - aside, 80))
        save(shot, folder / f"{aside}.png")
    with open_store() as store:
        store.add(folder)
        assert list(store.duplicates()) == []
        found = list(store.duplicates(series=True))
        shutil.copyfile(folder / "0.png", folder / "copy.png")
        store.add(folder)
        by_path = [one.group for one in store.duplicates(series=True, sort="path")]
    assert set(by_path) == {1, 2}  # 0.png is the first of both
    assert [(one.kind, one.relation, one.keep) for one in found] == [("series", "series", False)] * 2


def test_what_cannot_be_read_is_near_by_its_vector_and_said_to_be_unverified(
    open_store: OpenStore, folder: Path
) -> None:
    with open_store() as store:
        store.add(folder / "3.png", folder / "3_copy.png")
        (folder / "3_copy.png").unlink()
        assert grouped(store.duplicates(min_score=0.9)) == [
            [("keep", "", "3.png"), ("missing", "unverified", "3_copy.png")]
        ]
        shutil.copy(save(ALTERATIONS["resized"](scene(3)), folder / "3_copy.png"), folder / "again.png")
        store.add(folder / "again.png")
        assert ("near", "resized", "3_copy.png") in grouped(store.duplicates())[0]


# Between two places


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders: of the first one picture is in the second, one is in it altered, and one is not."""
    for seed in (0, 1, 2):
        save(scene(seed), tmp_path / f"train/{seed}.png")
    save(scene(0), tmp_path / "test/same.png")
    save(ALTERATIONS["mirrored"](scene(1)), tmp_path / "test/altered.png")
    save(scene(3), tmp_path / "test/other.png")
    return tmp_path / "train", tmp_path / "test"


FOUND = [("0.png", "same.png", "same bytes"), ("1.png", "altered.png", "mirrored")]


def in_both(store: Store, one: Path, other: Path, exact: bool = False) -> list[tuple[str, str, str]]:
    found = store.between(one, other, exact=exact)
    return [(Path(f.path).name, Path(f.other_path).name, f.relation) for f in found]


def test_pictures_of_one_folder_are_found_in_another(open_store: OpenStore, places: tuple[Path, Path]) -> None:
    with open_store() as store:
        store.add(*places)
        assert in_both(store, *places) == FOUND
        assert in_both(store, *places, exact=True) == FOUND[:1]
        assert in_both(store, places[0] / "2.png", places[1]) == []


def test_pictures_of_one_store_are_found_in_another(
    open_store: OpenStore, places: tuple[Path, Path], tmp_path: Path
) -> None:
    with open_store() as store, Store.open(tmp_path / "second", embedder="tiny", create=True) as second:
        store.add(places[0])
        second.add(places[1])
        assert in_both(store, places[0], tmp_path / "second") == FOUND
        assert in_both(second, tmp_path / "store", places[1]) == FOUND
        assert in_both(store, tmp_path / "store", tmp_path / "second", exact=True) == FOUND[:1]


def test_pictures_of_one_selection_are_found_in_another(open_store: OpenStore, places: tuple[Path, Path]) -> None:
    with open_store() as store:
        store.add(*places)
        store.select("ours", *(places[0] / f"{n}.png" for n in range(3)))
        store.select("theirs", places[1] / "altered.png", places[1] / "other.png")
        assert in_both(store, Path("ours"), Path("theirs")) == FOUND[1:]
        assert in_both(store, places[0], Path("theirs")) == FOUND[1:]
        with pytest.raises(BadInput, match="no image of the store"):
            store.between("ours", "nothing is called so")


def test_places_that_cannot_be_compared_are_refused(
    open_store: OpenStore, places: tuple[Path, Path], tmp_path: Path
) -> None:
    with open_store() as store, Store.open(tmp_path / "hsv", embedder="hsv", create=True) as other:
        store.add(*places)
        other.add(places[1])
        with pytest.raises(WrongEmbedder, match="of two embedders"):
            store.between(places[0], tmp_path / "hsv")
        with pytest.raises(BadInput, match="one in the other"):
            store.between(places[0], places[0] / "0.png")
        store.select("some", 0)
        with pytest.raises(BadInput, match="^some and some are one in the other"):
            store.between("some", "some")
        with pytest.raises(BadInput, match="no image of the store"):
            store.between(places[0], tmp_path / "nowhere")


def test_scripts_are_told_by_the_exit_code(open_store: OpenStore, places: tuple[Path, Path]) -> None:
    with open_store() as store:
        store.add(*places)
        at = str(store.session.path)

    def run(one: Path, other: Path) -> tuple[int, int]:
        done = CliRunner().invoke(app, ["duplicates", "--between", str(one), str(other), "--store", at])
        return done.exit_code, len(done.stdout.splitlines())

    assert run(*places) == (1, 2)
    assert run(places[0] / "2.png", places[1]) == (0, 0)
    assert run(places[0], places[0].parent / "nowhere") == (2, 0)
