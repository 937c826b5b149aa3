"""Results as data frames, and as tables with pictures in notebooks."""

import dataclasses
import inspect
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import pytest
from PIL import Image

from tests.conftest import paint
from vecstore import Results
from vecstore.errors import BadInput
from vecstore.results import Neighbour
from vecstore.store import Store
from vecstore.views.map_rendering import write_map

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(open_store: Callable[..., Store], pictures: Path) -> Store:
    opened = open_store()
    opened.add(pictures)
    opened.cluster(2, restarts=1)
    return opened


def test_results_are_a_data_frame_with_a_column_for_each_field(store: Store) -> None:
    hits = store.similar(0, k=3)
    for frame in (hits.to_pandas(), hits.to_arrow().to_pandas()):
        assert list(frame.columns) == ["rank", "id", "score", "path", "cluster"]
        assert frame["id"].tolist() == [hit.id for hit in hits]
        assert frame["score"].tolist() == [hit.score for hit in hits]
    assert hits[1:].to_pandas()["id"].tolist() == [hit.id for hit in hits][1:]
    assert hits[:2]._repr_html_().count("<img") == 2
    assert Results(hits)[:0].columns == ["rank", "id", "score", "path", "cluster"]
    nothing = store.similar(0, min_score=1, k=1, path="none").to_pandas()
    assert list(nothing.columns) == ["rank", "id", "score", "path", "cluster"]
    assert store.similar_to_each([0, 1])[1].to_pandas()["id"][0] == 1


def test_a_store_is_a_data_frame_of_images_facts_and_clusters(store: Store) -> None:
    images, facts, clusters = (store.to_pandas(what) for what in ("images", "facts", "clusters"))
    assert images["id"].tolist() == facts["id"].tolist() == list(range(10))
    assert {"paths", "cluster", "distance", "brightness", "camera"} <= set(images.columns)
    assert images["brightness"].tolist() == facts["brightness"].tolist()
    assert clusters["size"].sum() == 10
    assert store.to_arrow().num_rows == 10
    with pytest.raises(BadInput, match="no table of 'rows'; name one of images, facts, clusters"):
        store.to_pandas("rows")


def test_results_are_a_polars_frame_with_the_same_columns_and_values(store: Store) -> None:
    polars = pytest.importorskip("polars")
    listed = [store.similar(0, k=3), store.clusters(), store.facts(0, 1), Results(store.duplicates()), store.failures()]
    for results in listed:
        frame = results.to_polars()
        assert isinstance(frame, polars.DataFrame)
        assert (frame.columns, len(frame)) == (results.columns, len(results))
    assert store.similar(0, k=3).to_polars()["score"].to_list() == [hit.score for hit in store.similar(0, k=3)]
    for what in ("images", "facts", "clusters"):
        assert store.to_polars(what).columns == store.to_arrow(what).column_names


def test_every_list_of_results_that_a_method_returns_is_a_table() -> None:
    plain = []
    for name, method in inspect.getmembers(Store, inspect.isfunction):
        returned = get_type_hints(method).get("return") if not name.startswith("_") else None
        kinds = get_args(returned) if get_origin(returned) is list else ()
        plain += [name for kind in kinds if dataclasses.is_dataclass(kind)]
    assert plain == []


def test_a_notebook_shows_a_table_with_a_thumbnail_for_each_image(store: Store, pictures: Path) -> None:
    shown = store.similar(0, k=3)._repr_html_()
    assert shown.count('<img width="96"') == 3
    assert shown.count("<tr>") == 4
    assert store.clusters()._repr_html_().count("<img") == 2
    assert "<img" not in store.operations()._repr_html_()
    store.close()
    assert (
        store._results(Neighbour, [Neighbour(1, 0, 0.5, "<b>", None)])
        ._repr_html_()
        .endswith("<tr><td></td><td>1</td><td>0</td><td>0.500</td><td>&lt;b&gt;</td><td></td></tr></tbody></table>")
    )


def test_a_long_table_says_how_long_it_is() -> None:
    shown = Results(Neighbour(n, n, 1.0, "", None) for n in range(1000))._repr_html_()
    assert shown.count("<tr>") == 51
    assert shown.endswith("<p>50 of 1,000</p>")


def test_a_name_that_is_no_text_has_its_bytes_in_a_data_frame(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store()
    name = os.fsdecode(b"caf\xe9.png")
    paint(tmp_path / "p" / name, 0)
    store.add(tmp_path / "p")
    hits = store.similar(0)
    assert hits[0].path.endswith(name)
    assert hits.to_pandas()["path"][0] == hits.to_arrow()["path"][0].as_py() == f"{tmp_path}/p/caf\\xe9.png"


def test_results_are_a_list_and_pickle_without_the_store(store: Store) -> None:
    hits = store.similar(0, k=2)
    assert hits == list(hits)
    again = pickle.loads(pickle.dumps(hits))
    assert (again, again.columns) == (hits, hits.columns)


def test_what_a_method_yields_is_made_a_table(store: Store) -> None:
    assert len(Results(store.neighbours(k=2)).to_pandas()) == 20


def test_a_library_that_is_not_installed_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(BadInput, match="^this needs pandas, which is not installed; `pip install pandas` brings it$"):
        store.to_pandas()


def test_curves_sheets_and_maps_show_in_a_notebook(store: Store, tmp_path: Path) -> None:
    sheet, found = store.sheet(), store.map()
    for drawn in (sheet._repr_png_(), store.elbow(max_k=4)._repr_png_()):
        assert drawn is not None
        assert min(Image.open(io.BytesIO(drawn)).size) > 200
    svg = found._repr_svg_()
    assert svg is not None
    assert svg.count("<image") > 0
    write_map(found, store.clusters(), store.thumbnail, tmp_path / "map.svg")
    assert (tmp_path / "map.svg").read_text() == svg
    store.close()
    assert found._repr_svg_() is None
