"""A store of another embedder from a store's pictures: the same files, and the names of clusters of the same images."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import TinyEmbedder, paint
from vecstore.errors import BadInput, NotFound, WrongEmbedder
from vecstore.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")

COLOURS = {"red": (200, 20, 20), "blue": (20, 20, 200)}


def shades(folder: Path, n: int = 5) -> Path:
    """Pictures in two groups that every embedder tells apart."""
    folder.mkdir()
    for name, colour in COLOURS.items():
        for shade in range(n):
            Image.new("RGB", (32, 32), tuple(part + shade for part in colour)).save(folder / f"{name}{shade}.png")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Store]:
    """A store of red and of blue pictures, in two clusters that are named so."""
    with Store.open(tmp_path / "source", embedder="hsv", create=True) as store:
        store.add(shades(tmp_path / "pictures"))
        store.cluster(2)
        for name in COLOURS:
            store.name_cluster(store.which(tmp_path / f"pictures/{name}0.png")[0].cluster, name)
        yield store


def test_the_new_store_has_the_same_pictures(source: Store, tmp_path: Path) -> None:
    report = source.embed_into(tmp_path / "new", embedder="tiny")
    assert (report.embedder, report.added, report.failed) == ("tiny", 10, 0)
    with Store.open(tmp_path / "new") as new:
        assert {hit.path for hit in new.similar(0, k=10)} == {hit.path for hit in source.similar(0, k=10)}


def test_clusters_of_the_same_images_keep_their_names(source: Store, tmp_path: Path) -> None:
    report = source.embed_into(tmp_path / "new", embedder="tiny")
    assert (report.clusters, report.names_kept, report.names_lost) == (2, 2, 0)
    with Store.open(tmp_path / "new") as new:
        names = {cluster.cluster: cluster.name for cluster in new.clusters()}
        for name in COLOURS:
            assert names[new.which(tmp_path / f"pictures/{name}1.png")[0].cluster] == name


def test_a_name_whose_images_are_elsewhere_is_counted_as_lost(source: Store, tmp_path: Path) -> None:
    with Store.open(tmp_path / "new", embedder="tiny", create=True) as new:
        new.add(tmp_path / "pictures")
        new.cluster(1)
    report = source.embed_into(tmp_path / "new", embedder="tiny")
    assert (report.clusters, report.names_kept, report.names_lost) == (1, 0, 2)


def test_what_the_new_store_has_is_not_embedded_again(source: Store, tmp_path: Path) -> None:
    source.embed_into(tmp_path / "new", embedder="tiny")
    paint(tmp_path / "pictures/more.png", 7)
    source.add(tmp_path / "pictures")
    before = TinyEmbedder.embedded_count
    report = source.embed_into(tmp_path / "new", embedder="tiny")
    assert (report.added, report.known, TinyEmbedder.embedded_count - before) == (1, 10, 1)


def test_what_was_removed_does_not_come_in(source: Store, tmp_path: Path) -> None:
    source.remove(tmp_path / "pictures/red0.png")
    assert source.embed_into(tmp_path / "new", embedder="tiny").added == 9


def test_pictures_in_archives_come_along(source: Store, tmp_path: Path) -> None:
    paint(tmp_path / "inside.png", 9)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(tmp_path / "inside.png", "a/inside.png")
    source.add(tmp_path / "more.zip")
    report = source.embed_into(tmp_path / "new", embedder="tiny")
    assert (report.added, report.failed) == (11, 0)


def test_a_file_that_is_gone_is_a_failure_and_stops_nothing(source: Store, tmp_path: Path) -> None:
    os.remove(tmp_path / "pictures/red0.png")
    report = source.embed_into(tmp_path / "new", embedder="tiny")
    assert (report.added, report.failed) == (9, 1)


def test_the_same_embedder_is_refused(source: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is made with hsv already"):
        source.embed_into(tmp_path / "new", embedder="hsv")
    assert not (tmp_path / "new").exists()


def test_the_store_itself_is_refused(source: Store) -> None:
    with pytest.raises(BadInput, match="source is the store itself"):
        source.embed_into(source.path, embedder="tiny")


def test_a_store_of_another_embedder_at_the_destination_is_refused(source: Store, tmp_path: Path) -> None:
    with Store.open(tmp_path / "new", embedder="hsv", create=True) as other:
        other.add(tmp_path / "pictures")
    with pytest.raises(WrongEmbedder):
        source.embed_into(tmp_path / "new", embedder="tiny")


def test_a_store_without_images_is_refused(source: Store, tmp_path: Path) -> None:
    source.remove(tmp_path / "pictures")
    with pytest.raises(NotFound, match="has no images; add some first"):
        source.embed_into(tmp_path / "new", embedder="tiny")
    assert not (tmp_path / "new").exists()


def test_selections_and_pinned_images_come_along_by_content(source: Store, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    source.select("some", pictures / "red1.png", pictures / "blue2.png")
    source.move(pictures / "red3.png", to="blue")
    source.embed_into(tmp_path / "new", embedder="tiny")
    with Store.open(tmp_path / "new") as new:
        chosen = {os.path.basename(image.path) for image in new.selected("some")}
        pins = [(os.path.basename(pin.path), pin.cluster) for pin in new.pins()]
        blue = new.which(pictures / "blue0.png")[0].cluster
        assert (chosen, pins, new.check()) == ({"red1.png", "blue2.png"}, [("red3.png", blue)], [])
