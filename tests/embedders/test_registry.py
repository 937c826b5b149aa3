import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import TinyEmbedder
from tests.weights import open_loaded
from vecstore.embedders.embedder import Embedder, EmbedderOptions, EmbedderSpec, unit_rows
from vecstore.embedders.registry import known_embedders, open_embedder
from vecstore.errors import BadInput

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def plain(*colours: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Return a picture of upright stripes of equal width, one of each colour."""
    return Image.fromarray(np.array([colours], np.uint8)).resize(size, Image.Resampling.NEAREST)


def noisy(seed: int, size: tuple[int, int] = (300, 200)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 20, size[0] // 20, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def vectors(embedder: Embedder, *images: Image.Image) -> NDArray[np.float32]:
    return embedder.embed([embedder.prepare(image) for image in images])


# The registry


def test_unknown_name_is_refused_and_the_names_are_listed() -> None:
    with pytest.raises(BadInput) as refusal:
        open_embedder("resnet51")
    assert str(refusal.value) == (
        "no embedder is called 'resnet51'; there are efficientnet-lite0, efficientnet-lite2, hsv, resnet50, tiny, "
        "A+B of them, and models of libraries and files: `vecstore embedders` lists what can be used here"
    )


def test_unknown_part_of_a_combination_is_refused() -> None:
    with pytest.raises(BadInput, match="no embedder is called 'vgg'"):
        open_embedder("hsv+vgg")


@pytest.mark.parametrize(
    "name", ["", "+", "hsv+", "+hsv", "hsv*", "*2", "hsv*-1", "hsv*0", "hsv*nan", "hsv*inf", "hsv*two", "hsv*1*2"]
)
def test_what_is_no_combination_is_refused_with_the_form(name: str) -> None:
    with pytest.raises(BadInput) as refusal:
        open_embedder(name)
    assert str(refusal.value) == (
        f"the embedder {name!r} is not of the form A, A+B or A*0.8+B*0.2 with weights above 0"
    )


@pytest.mark.parametrize("name", ["hsv+hsv", "hsv*0.2+tiny+hsv*0.8", "hsv + hsv"])
def test_part_named_twice_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="names a part twice"):
        open_embedder(name)


@pytest.mark.parametrize("name", ["hsv", "efficientnet-lite0", "efficientnet-lite2", "hsv*2", "hsv+efficientnet-lite0"])
def test_weights_are_refused_where_none_are_taken(name: str, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"weights")
    with pytest.raises(BadInput, match="leave --weights out"):
        open_embedder(name, EmbedderOptions(weights=tmp_path / "weights.pth"))


def test_weights_of_a_combination_go_to_its_resnet50(resnet50: Embedder, resnet50_weights: Path) -> None:
    combined = open_embedder("hsv+resnet50", EmbedderOptions(weights=resnet50_weights, device="cpu"))
    assert combined.spec.weights == resnet50.spec.weights


class Plugged(TinyEmbedder):
    spec = EmbedderSpec(name="plugged", version=1, weights_sha256=None, dim=12, preprocessing="as tiny")


def open_plugged(options: EmbedderOptions) -> Plugged:
    return Plugged()


@pytest.fixture
def _installed_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a package be installed that brings the embedder `plugged`."""
    installed = importlib.metadata.EntryPoints(
        [
            importlib.metadata.EntryPoint(
                "plugged", "tests.embedders.test_registry:open_plugged", "vecstore.embedders"
            ),
            importlib.metadata.EntryPoint("stranger", "tests.conftest:open_tiny", "another.group"),
        ]
    )

    def entry_points(**params: Any) -> importlib.metadata.EntryPoints:
        return installed.select(**params)

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


@pytest.mark.usefixtures("_installed_plugin")
def test_embedder_of_an_installed_package_is_opened_by_its_name() -> None:
    assert isinstance(open_embedder("plugged"), Plugged)


@pytest.mark.usefixtures("_installed_plugin")
def test_embedders_of_installed_packages_are_listed_with_the_built_in_ones() -> None:
    assert known_embedders() == ["efficientnet-lite0", "efficientnet-lite2", "hsv", "plugged", "resnet50", "tiny"]


@pytest.mark.usefixtures("_installed_plugin")
def test_embedder_of_another_group_is_unknown() -> None:
    with pytest.raises(BadInput, match="no embedder is called 'stranger'"):
        open_embedder("stranger")


@pytest.mark.usefixtures("_installed_plugin")
def test_installed_embedder_can_be_a_part() -> None:
    assert open_embedder("plugged+hsv").spec.dim == 12 + 360


def test_built_in_embedder_cannot_be_replaced_by_an_installed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rogue = importlib.metadata.EntryPoint("hsv", "tests.conftest:open_tiny", "vecstore.embedders")
    installed = importlib.metadata.EntryPoints([rogue])
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **params: installed.select(**params))
    assert open_embedder("hsv").spec.name == "hsv"


# The spec


@pytest.mark.parametrize("name", ["tiny", "hsv", "efficientnet-lite0", "hsv*0.3+tiny", "tiny+efficientnet-lite0+hsv"])
def test_spec_survives_json(name: str) -> None:
    spec = open_embedder(name).spec
    assert EmbedderSpec.from_json(spec.to_json()) == spec


def test_spec_of_a_combination_records_shares_that_add_up_to_one() -> None:
    spec = open_embedder("hsv*3+tiny").spec
    assert [(share, part.name) for share, part in spec.parts] == [(0.75, "hsv"), (0.25, "tiny")]


def test_other_weights_make_another_spec() -> None:
    assert open_embedder("hsv*0.3+tiny*0.7").spec != open_embedder("hsv*0.4+tiny*0.6").spec


def test_weights_of_a_combination_are_those_of_its_networks() -> None:
    alone = open_embedder("efficientnet-lite0").spec
    assert open_embedder("hsv+efficientnet-lite0+tiny").spec.weights == {"efficientnet-lite0": alone.weights_sha256}


# Combinations


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("tiny+hsv", (0.5, 0.5)),
        ("tiny*0.8+hsv*0.2", (0.8, 0.2)),
        ("tiny*8 + hsv*2", (0.8, 0.2)),
        ("tiny*3+hsv", (0.75, 0.25)),
    ],
)
def test_score_of_a_combination_is_the_weighted_mean_of_its_parts_scores(
    name: str, shares: tuple[float, float]
) -> None:
    images = [noisy(seed) for seed in range(6)]
    first, second = vectors(TinyEmbedder(), *images), vectors(open_embedder("hsv"), *images)
    joined = vectors(open_embedder(name), *images)
    mean = shares[0] * (first @ first.T) + shares[1] * (second @ second.T)
    np.testing.assert_allclose(joined @ joined.T, mean, atol=1e-6)


def test_a_single_part_with_a_weight_scores_as_it_does_alone() -> None:
    images = [noisy(seed) for seed in range(4)]
    np.testing.assert_allclose(
        vectors(open_embedder("hsv*0.5"), *images), vectors(open_embedder("hsv"), *images), atol=1e-6
    )


# hsv


def test_same_picture_has_the_same_hsv_vector() -> None:
    first, second = vectors(open_embedder("hsv"), noisy(1), noisy(1))
    np.testing.assert_array_equal(first, second)


def test_hsv_score_falls_as_more_of_the_colour_changes() -> None:
    stripes = [plain(*[GREEN] * n, *[RED] * (8 - n), size=(128, 128)) for n in range(9)]
    found = vectors(open_embedder("hsv"), *stripes)
    scores = found @ found[0]
    assert scores[0] == pytest.approx(1, abs=1e-6)
    assert scores[8] == pytest.approx(0, abs=1e-6)
    assert (np.diff(scores) < -0.01).all()


def test_hsv_tells_where_a_colour_is() -> None:
    left, right, whole = vectors(open_embedder("hsv"), plain(RED, BLUE), plain(BLUE, RED), plain(RED))
    # The whole pictures' histograms are equal, half of the score; no quarter shares a colour.
    assert left @ right == pytest.approx(0.5, abs=1e-6)
    # sqrt(1/2) of the whole, and two quarters of four.
    assert left @ whole == pytest.approx(0.5 * np.sqrt(0.5) + 0.25, abs=1e-6)


def test_reds_on_both_sides_of_the_hue_circle_s_seam_are_alike() -> None:
    orange_red, pink_red = vectors(open_embedder("hsv"), plain((255, 20, 0)), plain((255, 0, 20)))
    assert orange_red @ pink_red == pytest.approx(1, abs=1e-6)


def histogram(image: Image.Image) -> NDArray[np.float64]:
    """Return the shares of 8 hues (red in the middle of the first) x 3 saturations x 3 values, written anew."""
    hsv = np.asarray(image.convert("HSV"), np.float64).reshape(-1, 3)
    hue = np.floor((hsv[:, 0] + 16) / 32) % 8
    bins, _ = np.histogramdd(
        np.column_stack([hue, hsv[:, 1], hsv[:, 2]]),
        bins=(np.arange(9) - 0.5, [0, 85.4, 170.7, 256], [0, 85.4, 170.7, 256]),
    )
    return bins.ravel() / len(hsv)


def test_hsv_score_is_the_mean_bhattacharyya_coefficient_of_the_regions() -> None:
    # Of the embedder's own size, so that nothing is scaled and the oracle needs no scaling either.
    one, other = noisy(1, (128, 128)), noisy(2, (128, 128)).point(lambda value: value // 2)
    boxes = [(0, 0, 128, 128), (0, 0, 64, 64), (64, 0, 128, 64), (0, 64, 64, 128), (64, 64, 128, 128)]
    coefficients = [np.sqrt(histogram(one.crop(box)) * histogram(other.crop(box))).sum() for box in boxes]
    first, second = vectors(open_embedder("hsv"), one, other)
    assert 0.05 < coefficients[0] < 0.95
    assert first @ second == pytest.approx(coefficients[0] / 2 + np.mean(coefficients[1:]) / 2, abs=1e-6)


# What the store relies on, of every embedder


@pytest.fixture(
    params=["tiny", "hsv", "efficientnet-lite0", "resnet50", "resnet50*0.8+hsv*0.2", "efficientnet-lite0+hsv"]
)
def embedder(request: pytest.FixtureRequest) -> Embedder:
    for network in ("efficientnet", "resnet50"):
        if network in request.param:
            request.getfixturevalue(network)  # exports it
    weights = request.getfixturevalue("resnet50_weights") if "resnet50" in request.param else None
    return open_loaded(request.param, weights)


SIZES = [(300, 200), (200, 300), (256, 256), (640, 40), (33, 500), (1, 1), (2, 7)]


def test_vectors_are_float32_rows_of_unit_length(embedder: Embedder) -> None:
    found = vectors(embedder, *[noisy(seed, (320, 240)).resize(size) for seed, size in enumerate(SIZES)])
    assert (found.shape, found.dtype) == ((len(SIZES), embedder.spec.dim), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found.astype(np.float64), axis=1), 1, atol=1e-6)


def test_vector_does_not_depend_on_the_batch_it_is_in(embedder: Embedder) -> None:
    prepared = [embedder.prepare(noisy(seed)) for seed in range(5)]
    at_once = embedder.embed(prepared)
    split = np.concatenate([embedder.embed(prepared[:1]), embedder.embed(prepared[1:3]), embedder.embed(prepared[3:])])
    np.testing.assert_allclose(split, at_once, atol=1e-6)


def test_vectors_come_in_the_order_of_the_pictures(embedder: Embedder) -> None:
    prepared = [embedder.prepare(noisy(seed)) for seed in range(3)]
    forward, backward = embedder.embed(prepared), embedder.embed(prepared[::-1])
    np.testing.assert_allclose(backward[::-1], forward, atol=1e-6)
    assert not np.allclose(forward[0], forward[2], atol=1e-3)


def test_preparing_leaves_the_picture_as_it_was(embedder: Embedder) -> None:
    image = noisy(0)
    before = image.tobytes()
    embedder.prepare(image)
    assert image.tobytes() == before


def test_unit_rows_scales_to_length_one_and_gives_a_zero_row_the_first_axis() -> None:
    rows = np.array([[3, 4, 0], [0, 0, 0], [0, 0, -2]], np.float32)
    expected = np.array([[0.6, 0.8, 0], [1, 0, 0], [0, 0, -1]], np.float32)
    np.testing.assert_allclose(unit_rows(rows), expected, atol=1e-7)


def test_unit_rows_leaves_its_argument_alone() -> None:
    rows = np.array([[3, 4], [0, 0]], np.float32)
    unit_rows(rows)
    np.testing.assert_array_equal(rows, np.array([[3, 4], [0, 0]], np.float32))
