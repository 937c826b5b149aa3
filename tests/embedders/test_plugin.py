"""Embedders that others wrote: passed as an object, checked before anything is made, and the example of the docs."""

import importlib.metadata
import json
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import TinyEmbedder, paint
from vecstore.embedders import overview, registry
from vecstore.embedders.embedder import EmbedderSpec
from vecstore.errors import BadInput, VecstoreError, WrongEmbedder
from vecstore.store import Store

DOCS = Path(__file__).parents[2] / "docs" / "embedders.md"


class Mine(TinyEmbedder):
    spec = EmbedderSpec(name="mine", version=1, weights_sha256=None, dim=12, preprocessing="as tiny")


def test_an_object_is_the_embedder_of_a_new_store_and_of_the_same_store_again(tmp_path: Path, pictures: Path) -> None:
    with Store.open(tmp_path / "store", embedder=Mine(), create=True, device="cpu") as store:
        store.add(pictures / "0.png")
    with Store.open(tmp_path / "store", embedder=Mine(), device="cpu") as store:
        assert store.add(pictures).embedded == 9
        assert store.info().embedder == "mine"


def test_a_store_of_an_object_opens_without_it_for_what_needs_no_embedding(tmp_path: Path, pictures: Path) -> None:
    with Store.open(tmp_path / "store", embedder=Mine(), create=True, device="cpu") as store:
        store.add(pictures)
    with Store.open(tmp_path / "store", device="cpu") as store:
        assert store.info().images == 10
        with pytest.raises(BadInput) as refusal:
            store.similar(paint(tmp_path / "new.png", 99))
    assert str(refusal.value) == (
        f"the store {tmp_path / 'store'} was made with mine, which no package here brings; from Python, pass the same "
        "object again as `embedder=` of Store.open, or install the package that brings it"
    )


def test_another_object_is_refused_for_an_existing_store(tmp_path: Path, pictures: Path) -> None:
    class Newer(Mine):
        spec = EmbedderSpec(name="mine", version=2, weights_sha256=None, dim=12, preprocessing="as tiny")

    with Store.open(tmp_path / "store", embedder=Mine(), create=True, device="cpu") as store:
        store.add(pictures / "0.png")
    with pytest.raises(WrongEmbedder, match="version 1 of mine"):
        Store.open(tmp_path / "store", embedder=Newer(), device="cpu")  # type: ignore[arg-type]


def test_weights_beside_an_object_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"w")
    with pytest.raises(BadInput, match="leave weights out"):
        Store.open(tmp_path / "s", embedder=Mine(), weights=tmp_path / "w.pth", create=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("prepare", None, "its prepare cannot be called"),
        ("spec", "mine", "its spec is a str, not an EmbedderSpec"),
        ("spec", EmbedderSpec("", 1, None, 12, ""), "its spec has the name ''"),
        ("spec", EmbedderSpec("mine", 1, None, 0, ""), "the dim 0"),
        ("spec", EmbedderSpec("mine", 1, None, 12, b""), "cannot be kept as JSON"),  # type: ignore[arg-type]
        ("batch_size", 0, "its batch_size is 0"),
        ("input_size", 64, r"its input_size is 64, not \(width, height\)"),
    ],
)
def test_a_member_that_cannot_work_is_named_before_anything_is_made(
    member: str, value: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mine, member, value)
    with pytest.raises(BadInput, match=message):
        Store.open(tmp_path / "store", embedder=Mine(), create=True)  # type: ignore[arg-type]
    assert not (tmp_path / "store").exists()


def fails(*_: Any) -> Any:
    raise RuntimeError("no\nmemory")


WRONG = [
    ("load", fails, r"mine failed in its load: RuntimeError\('no.*memory'\)"),
    ("prepare", fails, "mine failed in its prepare: RuntimeError"),
    ("embed", fails, "mine failed in its embed: RuntimeError"),
    ("embed", lambda _, given: None, r"made object of the shape \(\) of 1 pictures"),
    (
        "embed",
        lambda _, given: np.zeros((0, 12)),
        r"the shape \(0, 12\) of 1 pictures, and floats of the shape \(1, 12\)",
    ),
    ("embed", lambda _, given: np.ones((len(given), 7)), r"the shape \(1, 7\)"),
    ("embed", lambda _, given: np.full((len(given), 12), "a"), "made <U1 of the shape"),
    ("embed", lambda _, given: np.full((len(given), 12), np.nan), "made numbers that are not finite"),
    ("embed", lambda _, given: np.zeros((len(given), 12)), "made a vector of the length 0, not 1"),
    ("embed", lambda _, given: np.full((len(given), 12), 5.0), r"made a vector of the length 17\.3, not 1"),
]


@pytest.mark.parametrize(("member", "value", "message"), WRONG)
def test_an_embedder_that_fails_is_one_line_and_leaves_nothing_behind(
    member: str, value: Any, message: str, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mine, member, value)
    with Store.open(tmp_path / "store", embedder=Mine(), create=True, device="cpu") as store:
        with pytest.raises(VecstoreError, match=message) as refusal:
            store.add(pictures)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("member", "value", "message"), WRONG)
def test_an_embedder_that_fails_later_changes_nothing(
    member: str, value: Any, message: str, tmp_path: Path, pictures: Path
) -> None:
    with Store.open(tmp_path / "store", embedder=Mine(), create=True, device="cpu") as store:
        store.add(pictures / "0.png")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Mine, member, value)
            with pytest.raises(VecstoreError, match=message):
                store.similar(pictures / "1.png")
            with suppress(VecstoreError):  # or each picture is a failure of its own
                store.add(pictures)
        assert len(store) == 1
        store.add(pictures)
        store.retry_failures()
        assert len(store) == 10
        assert store.check() == []


def test_a_picture_of_which_no_vector_is_made_is_a_failure_of_its_own(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Mine().prepare(Image.open(pictures / "3.png"))
    embed = Mine.embed

    def some(own: Any, given: Any) -> Any:
        return np.stack(
            [row * (np.nan if (one == bad).all() else 1) for one, row in zip(given, embed(own, given), strict=True)]
        )

    monkeypatch.setattr(Mine, "embed", some)
    with Store.open(tmp_path / "store", embedder=Mine(), create=True, device="cpu") as store:
        assert (store.add(pictures).added, len(store)) == (9, 9)
        assert [(Path(one.path).name, one.reason) for one in store.failures()] == [
            ("3.png", "the embedder made numbers that are not finite")
        ]


def test_an_entry_point_that_raises_is_one_line(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = importlib.metadata.EntryPoint("edges", "nothing_of_that_name:open", registry.ENTRY_POINTS)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [entry])
    with pytest.raises(BadInput, match="the embedder 'edges' cannot be opened: ModuleNotFoundError"):
        Store.open(tmp_path / "store", embedder="edges", create=True).add(pictures)
    assert not (tmp_path / "store").exists()


def test_what_has_no_members_of_an_embedder_is_refused_with_their_names(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refusal:
        Store.open(tmp_path / "store", embedder=3, create=True)  # type: ignore[arg-type]
    assert str(refusal.value) == (
        "embedder, of the type int, is not an embedder: it has no spec, batch_size, input_size, load, prepare, embed; "
        "docs/embedders.md has the protocol and an example"
    )


def test_the_example_of_the_docs_runs(tmp_path: Path, pictures: Path) -> None:
    program = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    assert program is not None
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(DOCS.parents[1])!r})\n{program[1]}"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr


def test_the_list_of_embedders_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    find = overview.importlib.util.find_spec  # type: ignore[attr-defined]
    monkeypatch.setattr(overview.importlib.util, "find_spec", lambda name: None if name == "timm" else find(name))  # type: ignore[attr-defined]
    lines = {line.name: line.available for line in overview.embedders()}
    assert lines["timm:NAME"] == "after pip install 'vecstore[timm]'"
    assert (lines["hsv"], lines["efficientnet-lite2"]) == ("yes", "yes")


def here_or_not(name: str) -> tuple[int | None, str]:
    (line,) = overview.embedders([name])
    return line.dim, line.available


def test_a_named_model_is_listed_with_its_length_and_whether_its_weights_are_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name = "torchvision:mobilenet_v3_small"
    assert here_or_not(name) == (1024, overview.DOWNLOAD)
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints/mobilenet_v3_small-047dcff4.pth").touch()
    assert here_or_not(name) == (1024, "yes")


@pytest.mark.parametrize(
    ("name", "dim", "repository", "file"),
    [
        ("timm:test_vit", 64, "timm/test_vit.r160_in1k", "model.safetensors"),
        (
            "open_clip:ViT-B-32/laion2b_s34b_b79k",
            512,
            "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
            "open_clip_model.safetensors",
        ),
    ],
)
def test_weights_in_the_hub_s_cache_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, dim: int, repository: str, file: str
) -> None:
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path))  # or a network that another test exported is there
    pytest.importorskip(name.partition(":")[0])
    import huggingface_hub

    cached: set[tuple[str, str]] = set()
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *asked: "a file" if asked in cached else None)
    assert here_or_not(name) == (dim, overview.DOWNLOAD)
    cached.add((repository, file))
    assert here_or_not(name) == (dim, "yes")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:nothing_like_it", "timm has no model 'nothing_like_it'"),
        ("torchvision:resnet19", "torchvision has no model 'resnet19'; near names: .*resnet18"),
        ("onnx:/no/such.onnx", "no model file at /no/such.onnx"),
        ("nothing", "no embedder is called 'nothing'"),
    ],
)
def test_a_named_model_that_is_not_known_is_refused(name: str, message: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(BadInput, match=message):
        overview.embedders([name])


def test_the_parts_of_a_combination_are_listed_one_by_one() -> None:
    assert [line.name for line in overview.embedders(["hsv*0.2+efficientnet-lite0"])] == ["hsv", "efficientnet-lite0"]


def test_a_speed_is_measured_when_asked_for_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path))
    assert overview.embedders(["hsv"])[0].speed is None
    done = CliRunner().invoke(app, ["embedders", "hsv", "--measure", "--json"])
    assert done.exit_code == 0
    assert overview.embedders(["hsv"])[0].speed == json.loads(done.stdout)["speed"] > 0


def test_the_command_prints_an_object_for_each_embedder() -> None:
    done = CliRunner().invoke(app, ["embedders", "--json"])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert {tuple(line) for line in lines} == {("name", "dim", "words", "available", "needs", "speed")}
    assert [line["name"] for line in lines[:4]] == ["resnet50", "efficientnet-lite0", "efficientnet-lite2", "hsv"]


def test_the_list_of_embedders_imports_no_torch() -> None:
    program = (
        "import sys; from vecstore.embedders import overview; overview.embedders(); "
        "print(sorted({'torch', 'timm', 'open_clip', 'torchvision'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=DOCS.parents[1], timeout=60
    )
    assert done.stdout == "[]\n"
