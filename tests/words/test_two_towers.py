"""From weights to an answer: a tiny model of open_clip's, trained here on painted pictures, finds reefs by "reef"."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.app import app
from vecstore.sources.painted import KINDS, paint, paint_folder

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = "tiny-painted"
CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
SAID = ["a picture of a {}", "{}", "the {} that we saw"]
PER_KIND, STEPS = 8, 60


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of painted pictures that the model was not trained on, four of each kind."""
    open_clip = pytest.importorskip("open_clip")
    import torch

    folder = tmp_path_factory.mktemp("towers")
    (folder / f"{NAME}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine two of them wait for each other
    try:
        torch.save(trained(open_clip), folder / "weights.pt")
    finally:
        torch.set_num_threads(threads)
    paint_folder(folder / "pictures", 100, 104)
    options = ["-e", f"open_clip:{NAME}", "--weights", str(folder / "weights.pt"), "--device", "cpu"]
    done = CliRunner().invoke(app, ["add", str(folder / "pictures"), *options, "-s", str(folder / "store")])
    assert done.exit_code == 0, done.stderr
    assert "initialized randomly" not in done.stderr  # open_clip says so before the weights are put in
    return folder


def trained(open_clip: object) -> dict[str, object]:
    """The weights of both towers after some steps: pictures are to choose the texts of their kind."""
    import torch

    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms(NAME, pretrained=None)  # type: ignore[attr-defined]
    tokens = open_clip.get_tokenizer(NAME)  # type: ignore[attr-defined]
    pictures = torch.stack([transform(paint(kind, seed)) for kind in KINDS for seed in range(PER_KIND)])
    kinds = torch.arange(len(KINDS)).repeat_interleave(PER_KIND)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(STEPS):
        texts = tokens([SAID[step % len(SAID)].format(kind) for kind in KINDS])
        images = model.encode_image(pictures, normalize=True)
        logits = model.logit_scale.exp() * images @ model.encode_text(texts, normalize=True).T
        loss = torch.nn.functional.cross_entropy(logits, kinds)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.state_dict()  # type: ignore[no-any-return]


def vecstore(folder: Path, command: str, *arguments: str) -> Result:
    options = ["--weights", str(folder / "weights.pt"), "-q", "--json", "-s", str(folder / "store")]
    return CliRunner().invoke(app, [command, *arguments, *options])


def kinds_of(done: Result) -> list[str]:
    assert done.exit_code == 0, done.stderr
    return [Path(json.loads(line)["path"]).parent.name for line in done.stdout.splitlines()]


@pytest.mark.parametrize("kind", ["reef", "forest"])
def test_pictures_are_found_by_what_they_show(kind: str, painted: Path) -> None:
    assert kinds_of(vecstore(painted, "find", kind, "-k", "4")) == [kind] * 4


def test_a_prompt_and_a_word_as_an_example_find_them_too(painted: Path) -> None:
    assert kinds_of(vecstore(painted, "find", "reef", "-k", "4", "--prompt", SAID[0])) == ["reef"] * 4
    assert kinds_of(vecstore(painted, "similar", "--word", "reef", "-k", "4")) == ["reef"] * 4


def test_words_of_one_s_own_tell_the_kinds_apart(painted: Path) -> None:
    (painted / "words.txt").write_text("\n".join(KINDS))
    (found,) = map(json.loads, vecstore(painted, "evaluate", "--words", str(painted / "words.txt")).stdout.splitlines())
    assert found["accuracy"] >= 0.9
    reef = str(painted / "pictures/reef/reef-100.jpg")
    (tagged,) = map(
        json.loads, vecstore(painted, "tag", reef, "--words", str(painted / "words.txt")).stdout.splitlines()
    )
    assert tagged["tags"][0]["word"] == "reef"
    assert tagged["tags"][0]["probability"] > 0.5


def test_a_text_that_is_too_long_is_one_line(painted: Path) -> None:
    done = vecstore(painted, "find", "reef " * 30)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "reads 12 tokens" in done.stderr


def test_a_missing_extra_is_one_line(painted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    done = vecstore(painted, "find", "reef")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"the embedder open_clip:{NAME} needs open_clip" in done.stderr
    assert "install it with `pip install 'vecstore[clip]'`" in done.stderr
