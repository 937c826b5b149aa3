"""Pictures of maps: what is drawn where, in three kinds of files, for few images and for many."""

import base64
import hashlib
import io
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vecstore.errors import BadInput, NotFound
from vecstore.results import Cluster, MapPoint, StoreMap
from vecstore.views import map_rendering, palette
from vecstore.views.map_rendering import write_map


def _webp(picture: Image.Image) -> bytes:
    written = io.BytesIO()
    picture.save(written, "WEBP")
    return written.getvalue()


THUMBNAIL = _webp(Image.new("RGB", (64, 48), "red"))
HOSTILE = "/photos/<img src=x onerror=alert(1)>\"'&\x1b.jpg"


def clusters(n: int, size: int = 10) -> list[Cluster]:
    return [Cluster(i, None, size, 0.7, 1.0, 0, None, "/a.jpg", i) for i in range(n)]


def a_map(n: int, k: int = 3, path: str = "/photos/a.jpg", images: int | None = None) -> StoreMap:
    random = np.random.default_rng(0)
    at = random.normal(0, 5, (n, 2)) + random.normal(0, 20, (max(k, 1), 2))[np.arange(n) % max(k, 1)]
    points = tuple(MapPoint(i, float(x), float(y), i % k if k else None, path) for i, (x, y) in enumerate(at))
    return StoreMap(points, images or n, images is not None)


def gone(_: int) -> bytes:
    raise NotFound("gone")


def test_few_images_are_all_thumbnails_and_none_lies_over_another() -> None:
    found = a_map(30)
    layout = map_rendering._laid_out(found.points, clusters(3), lambda _: THUMBNAIL)
    assert len(layout.framed) >= 27
    boxes = [map_rendering._Box(left, top, one.width, one.height) for left, top, one in layout.framed.values()]
    boxes += layout.labels.values()
    assert not any(a.meets(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_many_images_are_marks_with_a_bounded_number_of_thumbnails(tmp_path: Path) -> None:
    asked = []

    def thumbnail_of(row: int) -> bytes:
        asked.append(row)
        return THUMBNAIL

    write_map(a_map(20_000, 40, images=100_000), clusters(40), thumbnail_of, tmp_path / "map.svg")
    drawn = (tmp_path / "map.svg").read_text()
    assert len(asked) < 700
    assert "Map of 20,000 of 100,000 images, a sample" in drawn
    assert drawn.count("<circle") + drawn.count("<polygon") >= 20_000 - len(asked)


@pytest.mark.parametrize("n", [1, 2, 500])
@pytest.mark.parametrize("k", [0, 1, 12])
def test_a_map_is_a_picture_of_its_size(tmp_path: Path, n: int, k: int) -> None:
    write_map(a_map(n, k), clusters(k), lambda _: THUMBNAIL, tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.width == map_rendering.WIDTH
        assert 600 <= picture.height <= 1300


def test_clusters_beyond_the_colours_differ_in_shape() -> None:
    styles = [palette.style(i) for i in range(48)]
    assert len({*styles}) == 48


def test_a_cluster_keeps_its_colour_whatever_its_rank(tmp_path: Path) -> None:
    found, drawn = a_map(30, 3), []
    for order in (clusters(3), clusters(3)[::-1]):
        write_map(found, order, gone, tmp_path / "map.svg")
        root = ElementTree.parse(tmp_path / "map.svg").getroot()
        circles = [mark.attrib for mark in root.iter() if mark.tag.endswith("circle")]
        (radius, _), *_ = Counter(circle["r"] for circle in circles).most_common()  # of the marks, not of the legend
        drawn.append({(one["cx"], one["cy"]): one["fill"] for one in circles if one["r"] == radius})
    assert drawn[0] == drawn[1]
    assert {*drawn[0].values()} == {palette.style(cluster)[0] for cluster in range(3)}


def test_files_that_are_gone_stay_marks(tmp_path: Path) -> None:
    write_map(a_map(30), clusters(3), gone, tmp_path / "map.svg")
    drawn = (tmp_path / "map.svg").read_text()
    assert "<image" not in drawn
    assert "0 shown as thumbnails, 30 as marks" in drawn


def test_an_svg_is_well_formed_and_a_hostile_name_is_only_a_name(tmp_path: Path) -> None:
    named = [Cluster(0, "<script>alert(1)</script>", 10, 0.7, None, None, None, HOSTILE, 0)]
    write_map(a_map(10, 1, HOSTILE), named, lambda _: THUMBNAIL, tmp_path / "map.svg")
    root = ElementTree.parse(tmp_path / "map.svg").getroot()
    assert {element.tag.split("}")[1] for element in root.iter()} <= {
        *("svg", "g", "rect", "circle", "polygon", "image", "text", "title", "style")
    }
    titles = [element.text for element in root.iter() if element.tag.endswith("title")]
    assert "@0 /photos/<img src=x onerror=alert(1)>\"'&\\x1b.jpg" in titles


def test_a_page_runs_its_own_script_and_loads_nothing(tmp_path: Path) -> None:
    write_map(a_map(10, 1, HOSTILE), clusters(1), lambda _: THUMBNAIL, tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text()
    assert page.count("<script>") == 1
    assert "<img" not in page
    assert re.findall(r"https?:", page) == []
    assert re.search(r"default-src 'none'; img-src data:; style-src 'sha256-\S+'; script-src 'sha256-\S+'", page)


@pytest.mark.parametrize("tag", ["style", "script"])
def test_the_policy_of_a_page_names_the_hash_of_what_stands_in_it(tag: str, tmp_path: Path) -> None:
    write_map(a_map(10), clusters(3), lambda _: THUMBNAIL, tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text()
    (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    assert f"{tag}-src 'sha256-{digest}'" in page


def test_a_map_has_a_known_suffix_and_images(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"\.png, \.svg or \.html"):
        write_map(a_map(10), [], gone, tmp_path / "map.gif")
    with pytest.raises(BadInput, match="no images to map"):
        write_map(StoreMap((), 0, False), [], gone, tmp_path / "map.png")


def test_a_cluster_of_all_of_many_images_is_named_in_time() -> None:
    found = a_map(20_000, 1)
    layout = map_rendering._laid_out(found.points, clusters(1), lambda _: THUMBNAIL)
    assert list(layout.labels) == [0]
