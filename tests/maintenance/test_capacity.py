"""A plan is arithmetic on rates, and the rates are measured."""

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from cli.app import app
from vecstore.errors import BadInput
from vecstore.maintenance import capacity
from vecstore.results import Rates

RATES = Rates(images_per_second=50.0, comparisons_per_second=1e8, catalog_bytes_per_image=400.0)


def test_a_plan_follows_from_its_rates() -> None:
    plan = capacity.plan(1_000_000, 2048, RATES, machines=2, k=1000)
    assert plan.vector_bytes == 1_000_000 * 2048 * 2
    assert plan.catalog_bytes == 400_000_000
    assert plan.milvus_memory_bytes == 1_000_000 * (2048 * 4 + 128)
    assert plan.embed_hours == pytest.approx(1_000_000 / 50 / 2 / 3600)
    # 25 iterations on 256 rows for each of 1,000 centroids, and all rows assigned once.
    assert plan.cluster_hours == pytest.approx((256_000 * 1000 * 25 + 1_000_000 * 1000) / 1e8 / 2 / 3600)


def test_without_a_number_there_are_as_many_clusters_as_the_root_of_the_images() -> None:
    assert capacity.plan(90_000, 8, RATES).k == 300
    assert capacity.plan(10**9, 8, RATES).k == 10_000


@pytest.mark.parametrize("wrong", [{"images": 0}, {"machines": 0}, {"k": 11}])
def test_numbers_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="is not possible; give at least 1 of each"):
        capacity.plan(**{"images": 10, "dim": 8, "rates": RATES, **wrong})


@pytest.fixture
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "SECONDS", 0.05)
    monkeypatch.setattr(capacity, "CATALOG_IMAGES", 500)


@pytest.mark.usefixtures("_quickly")
def test_the_command_measures_and_says_all_of_it() -> None:
    done = CliRunner().invoke(app, ["plan", "--images", "1e6", "-e", "hsv", "--json", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    plan = json.loads(done.stdout)
    assert (plan["images"], plan["dim"], plan["vector_bytes"]) == (1_000_000, 360, 720_000_000)
    assert plan["embed_hours"] * 3600 * plan["images_per_second"] == pytest.approx(1e6)
    assert 200 < plan["catalog_bytes_per_image"] < 2000
    assert plan["comparisons_per_second"] > 1e5


@pytest.mark.usefixtures("_quickly")
def test_people_are_told_in_units() -> None:
    done = CliRunner().invoke(app, ["plan", "--images", "1e6", "-e", "hsv", "--device", "cpu"])
    assert "vector_bytes             686.6 MiB" in done.stdout.splitlines()


@pytest.mark.parametrize("text", ["many", "0", "-5", "inf", "nan"])
def test_a_number_of_images_that_is_none_is_wrong_use(text: str) -> None:
    done = CliRunner().invoke(app, ["plan", "--images", text])
    assert done.exit_code == 2
    assert "is not a number from 1" in done.output


def test_rates_are_of_the_embedder_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(capacity, "_embedding_rate", _noting(seen))
    monkeypatch.setattr(capacity, "_comparison_rate", lambda dim, device: float(dim))
    monkeypatch.setattr(capacity, "_catalog_bytes", lambda: 1.0)
    assert capacity.measure("tiny", device="cpu") == (Rates(7.0, 12.0, 1.0), 12)
    assert seen == ["tiny"]


def _noting(seen: list[str]) -> Callable[..., float]:
    def rate(embedder: object) -> float:
        seen.append(embedder.spec.name)  # type: ignore[attr-defined]
        return 7.0

    return rate


@pytest.mark.parametrize("images", ["0", "nan", "inf", "1e400", "1e300", "9" * 5000, str(2**70), ""])
def test_a_number_of_images_that_no_one_has_is_refused(images: str) -> None:
    done = CliRunner().invoke(app, ["plan", "--images", images])
    assert (done.exit_code, done.stdout, "--images" in done.stderr) == (2, "", True)
