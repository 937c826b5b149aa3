"""The choice of k: planted clusters are found, and the curve is drawn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from indexes.devices import Device
from tests.conftest import paint
from vecstore.clustering import elbow
from vecstore.embedders.embedder import unit_rows
from vecstore.errors import BadInput
from vecstore.results import Elbow
from vecstore.store import Store
from vecstore.views.plots import draw_elbow

CPU = Device("cpu")


def gaussians(k: int, n: int, spread: float, dim: int = 32) -> NDArray[np.float16]:
    """n unit vectors around k random directions. spread: the noise's length, of a direction of length 1."""
    random = np.random.default_rng(k)
    centres = unit_rows(random.standard_normal((k, dim)).astype(np.float32))
    noise = random.standard_normal((n, dim)).astype(np.float32) * np.float32(spread / np.sqrt(dim))
    return unit_rows(centres[random.integers(0, k, n)] + noise).astype(np.float16)


def sweep(vectors: NDArray[np.float16], max_k: int | None = None, seed: int = 0) -> Elbow:
    return elbow.sweep(vectors, np.arange(len(vectors)), seed=seed, device=CPU, max_k=max_k)


@pytest.mark.parametrize(
    ("k", "n", "max_k", "spread"), [(3, 200, 15, 0.3), (3, 200, 15, 0.6), (10, 400, 25, 0.6), (40, 600, 50, 0.5)]
)
def test_the_number_of_planted_clusters_is_found_within_a_tenth(k: int, n: int, max_k: int, spread: float) -> None:
    found = sweep(gaussians(k, n, spread), max_k)
    assert abs(found.k - k) <= k / 10, found.reason
    assert found.reason.startswith(f"the silhouette is highest at {found.k} (0.")


def test_the_loss_falls_with_k_and_is_the_mean_squared_distance() -> None:
    vectors = gaussians(5, 200, 0.5)
    found = sweep(vectors, 12)
    rows = vectors.astype(np.float64)
    assert found.curve[0].k == 1
    assert found.curve[0].loss == pytest.approx(np.square(rows - rows.mean(axis=0)).sum(axis=1).mean(), rel=1e-4)
    losses = [point.loss for point in found.curve]
    assert losses == sorted(losses, reverse=True)
    assert [point.k for point in found.curve if point.silhouette is None] == [1]


def test_the_same_seed_gives_the_same_curve() -> None:
    vectors = gaussians(5, 120, 0.8)
    assert sweep(vectors, seed=3) == sweep(vectors, seed=3)


def test_a_large_store_is_swept_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elbow, "SAMPLE_ROWS", 100)
    found = sweep(gaussians(3, 400, 0.3))
    assert (found.images, found.sampled, found.k, found.curve[-1].k) == (400, 100, 3, 10)


@pytest.mark.parametrize(
    ("knee", "peak", "silhouette", "k"), [(9, 3, 0.1, 3), (9, 9, 0.1, 9), (9, 20, 0.1, 9), (9, 20, 0.3, 20)]
)
def test_the_silhouette_decides_unless_it_is_higher_only_where_clusters_fall_apart(
    knee: int, peak: int, silhouette: float, k: int
) -> None:
    assert elbow._choose(knee, peak, silhouette)[0] == k


def test_pictures_that_are_all_alike_are_one_or_two_clusters() -> None:
    assert sweep(np.tile(gaussians(1, 1, 0.1), (50, 1))).k <= 2


@pytest.mark.parametrize(
    ("n", "max_k", "message"),
    [
        (3, None, "3 images are too few to choose k by; give -k N"),
        (1, None, "1 image is too few to choose k by; give -k N"),
        (10, 6, "the greatest k is 6; for 10 images it must be from 2 to 5"),
        (10, 1, "the greatest k is 1; for 10 images it must be from 2 to 5"),
    ],
)
def test_an_impossible_sweep_is_refused(n: int, max_k: int | None, message: str) -> None:
    with pytest.raises(BadInput, match=f"^{message}$"):
        sweep(gaussians(2, n, 0.3), max_k)


def test_images_all_alike_are_said_to_be_so() -> None:
    found = sweep(np.repeat(gaussians(1, 1, 0.3), 20, axis=0))
    said = "the images are all alike, so that nothing parts them"
    assert (found.k, found.reason, found.stability) == (1, said, None)


def test_clustering_with_auto_takes_the_k_of_the_elbow(open_store: Callable[..., Store], tmp_path: Path) -> None:
    for seed in range(40):
        paint(tmp_path / "in" / f"{seed}.png", seed)
    with open_store() as store:
        store.add(tmp_path / "in")
        chosen = store.elbow()
        run = store.cluster("auto", restarts=2)
        assert (run.k, run.k_reason) == (chosen.k, chosen.reason)
        assert store.clusterings()[0].k_reason == chosen.reason


def test_the_curve_is_drawn_as_a_png_of_many_colours(tmp_path: Path) -> None:
    draw_elbow(sweep(gaussians(3, 60, 0.3)), tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as drawn:
        colours = {colour for _, colour in drawn.convert("RGB").getcolors(1 << 20) or []}
        assert (drawn.format, drawn.size) == ("PNG", (960, 720))
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours  # the loss and the silhouette


def test_loss_and_silhouette_are_those_in_all_dimensions() -> None:
    from sklearn.metrics import silhouette_score

    rows = gaussians(6, 200, 0.8, dim=300).astype(np.float32)
    runs = elbow._Sweep(rows, np.random.default_rng(0), CPU)
    assert runs._rows.shape == (200, elbow.DIRECTIONS)
    labels = np.random.default_rng(1).integers(0, 7, 200)
    labels[labels == 3] = 4  # an empty cluster
    labels[labels == 6] = 0
    labels[17] = 6  # and one of one
    means = np.stack([rows[labels == label].mean(axis=0) if (labels == label).any() else rows[0] for label in range(7)])
    assert runs._loss(labels, 7) == pytest.approx(np.square(rows - means[labels]).sum(axis=1).mean(), rel=1e-5)
    assert runs._silhouette(labels, 7) == pytest.approx(silhouette_score(rows, labels), abs=1e-5)


def test_a_choice_says_how_sure_it_is() -> None:
    planted, noise = sweep(gaussians(4, 300, 0.3), 12), sweep(gaussians(1, 300, 30.0), 12)
    assert planted.stability == pytest.approx(1)
    assert planted.reason.endswith("; its clusters are well apart, and random halves agree on it (1.00)")
    assert noise.stability is not None
    assert noise.stability < 0.5
    assert "hardly apart, so other numbers may do as well, and random halves disagree on it" in noise.reason
