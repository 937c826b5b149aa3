"""Models of timm, torchvision and open_clip: equal to the library's own forward, from files with random weights."""

import json
import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from tests.programs import run_code
from vecstore.embedders import text_tokens
from vecstore.embedders.embedder import EmbedderOptions
from vecstore.embedders.library import downloading
from vecstore.embedders.registry import open_embedder
from vecstore.errors import BadInput, WeightsUnavailable

SIZES = [(120, 80), (80, 120), (100, 100), (20, 31), (300, 25)]
TIMM = ["test_vit", "test_convnext", "test_efficientnet"]
TEXTS = ["a red bicycle in the snow", "reef", "Zwölf Boxkämpfer, 12 dogs!"]


def noisy(size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def vectors(embedder: Any, *images: Image.Image) -> NDArray[np.float32]:
    return embedder.embed([embedder.prepare(image) for image in images])  # type: ignore[no-any-return]


def opened(name: str, weights: Path | None, **options: Any) -> Any:
    return open_embedder(name, EmbedderOptions(weights=weights, device="cpu", **options))


# timm


@pytest.fixture
def save_timm(tmp_path: Path) -> Callable[[str], tuple[Any, Path]]:
    """Return a model of timm with random weights and its classifier, and the file of its state."""
    timm = pytest.importorskip("timm")

    def save(name: str) -> tuple[Any, Path]:
        import torch

        torch.manual_seed(0)
        model = timm.create_model(name, pretrained=False).eval()
        path = tmp_path / f"{name}.pth"
        torch.save(model.state_dict(), path)
        return model, path

    return save


@pytest.mark.parametrize("name", TIMM)
def test_vectors_are_timm_s_own(name: str, save_timm: Callable[[str], tuple[Any, Path]]) -> None:
    import timm
    import torch

    model, path = save_timm(name)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    images = [noisy(size) for size in SIZES]
    with torch.inference_mode():
        maps = model.forward_features(torch.stack([transform(image) for image in images]))
        truth = unit(model.forward_head(maps, pre_logits=True).numpy())
    np.testing.assert_allclose(vectors(opened(f"timm:{name}", path), *images), truth, atol=1e-5)


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("input_size", [(3, 64, 64), (3, 48, 64)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pixels_are_those_of_timm_s_transform(mode: str, input_size: tuple[int, int, int], interpolation: str) -> None:
    timm = pytest.importorskip("timm")
    from vecstore.embedders.timm_model import preprocessing_of

    config = {"input_size": input_size, "crop_pct": 0.875, "crop_mode": mode, "interpolation": interpolation}
    config |= {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    transform = timm.data.create_transform(**config, normalize=False)
    for size in SIZES:
        truth = transform(noisy(size)).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(preprocessing_of(config).pixels(noisy(size)), truth)


def test_unknown_timm_model_is_refused_with_near_names() -> None:
    pytest.importorskip("timm")
    with pytest.raises(BadInput, match=r"^timm has no model 'convnext_tinny'; near names: .*convnext_tiny"):
        opened("timm:convnext_tinny", None)


def test_timm_model_that_cannot_be_downloaded_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", no_network)
    with pytest.raises(WeightsUnavailable, match=r"downloaded \(no route to host\); give a weight file with --weights"):
        opened("timm:test_vit", None)


def test_weights_of_another_architecture_are_refused(save_timm: Callable[[str], tuple[Any, Path]]) -> None:
    _, path = save_timm("test_vit")
    with pytest.raises(BadInput, match="is not of timm:test_convnext: .* tensors are missing"):
        opened("timm:test_convnext", path)


def test_model_without_a_pooled_feature_is_refused(
    save_timm: Callable[[str], tuple[Any, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    _, path = save_timm("test_convnext")
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **options: create(name, global_pool="", **options))
    with pytest.raises(BadInput, match="no pooled feature"):
        opened("timm:test_convnext", path)


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(BadInput, match=r"install it with `pip install 'vecstore\[timm\]'`"):
        opened("timm:test_vit", None)


def test_recorded_model_opens_from_the_cache_without_its_library(
    save_timm: Callable[[str], tuple[Any, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = save_timm("test_vit")
    first = opened("timm:test_vit", path)
    truth = vectors(first, noisy((90, 60)))
    first.load()
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    again = opened("timm:test_vit", None, expected=first.spec.weights)
    assert again.spec == first.spec
    np.testing.assert_allclose(vectors(again, noisy((90, 60))), truth, atol=1e-6)


def test_library_model_can_be_a_part_of_a_combination(save_timm: Callable[[str], tuple[Any, Path]]) -> None:
    model, path = save_timm("test_vit")
    combined = opened("timm:test_vit*0.8+hsv*0.2", path)
    assert combined.spec.dim == model.num_features + 360


@pytest.mark.parametrize("name", ["timm:", "open_clip:/", "torchvision: "])
def test_library_without_a_model_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="names no model"):
        opened(name, None)


# torchvision


def small_vit(**_: object) -> Any:
    """A vision transformer of torchvision's making, of which it has none that is small."""
    from torchvision import models

    return models.VisionTransformer(224, 56, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64)


@pytest.mark.parametrize(
    ("name", "last"),
    [("resnet18", "fc"), ("mobilenet_v3_small", "classifier.3"), ("vit_b_16", "heads.head")],
)
def test_vectors_are_torchvision_s_own(name: str, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from torchvision import models

    if name == "vit_b_16":
        monkeypatch.setattr(models, "get_model", lambda name, **options: small_vit())
    torch.manual_seed(0)
    model = models.get_model(name, weights=None).eval()
    torch.nn.init.normal_(model.get_submodule(last).weight)  # torchvision's transformers begin with zeros there
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    transforms = models.get_model_weights(name).DEFAULT.transforms()
    images = [noisy(size) for size in SIZES[:3]]
    taken: list[Any] = []
    model.get_submodule(last).register_forward_pre_hook(lambda layer, given: taken.append(given[0]))
    with torch.inference_mode():
        model(torch.stack([transforms(image) for image in images]))
    found = vectors(opened(f"torchvision:{name}", tmp_path / "weights.pth"), *images)
    np.testing.assert_allclose(found, unit(taken[0].numpy()), atol=1e-5)


def test_torchvision_model_without_a_linear_end_is_refused(tmp_path: Path) -> None:
    import torch
    from torchvision import models

    torch.save(models.squeezenet1_1().state_dict(), tmp_path / "weights.pth")
    with pytest.raises(BadInput, match="torchvision:squeezenet1_1 has no pooled feature"):
        opened("torchvision:squeezenet1_1", tmp_path / "weights.pth")


# open_clip

VISION = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
CLIP = {
    "tiny-clip": {"embed_dim": 24, "vision_cfg": VISION, "text_cfg": TEXT},
    "tiny-quick": {
        "embed_dim": 16,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": TEXT,
    },
    "tiny-sigmoid": {
        "embed_dim": 24,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear", "image_size": 160},
        "text_cfg": TEXT,
    },
}


@pytest.fixture
def save_clip(tmp_path: Path) -> Callable[[str], tuple[Any, Any, Path]]:
    """Return two tiny towers with random weights, their own picture transform, and the file of their state."""
    open_clip = pytest.importorskip("open_clip")
    for name, config in CLIP.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)

    def save(name: str) -> tuple[Any, Any, Path]:
        import torch

        torch.manual_seed(0)
        model, _, transform = open_clip.create_model_and_transforms(name, pretrained=None)
        path = tmp_path / f"{name}.pt"
        torch.save(model.state_dict(), path)
        return model.eval(), transform, path

    return save


@pytest.mark.parametrize("name", CLIP)
def test_both_towers_vectors_are_open_clip_s_own(name: str, save_clip: Callable[[str], tuple[Any, Any, Path]]) -> None:
    import open_clip
    import torch

    model, transform, path = save_clip(name)
    images = [noisy(size) for size in SIZES]
    with torch.inference_mode():
        pictures = model.encode_image(torch.stack([transform(image) for image in images]), normalize=True).numpy()
        texts = model.encode_text(open_clip.get_tokenizer(name)(TEXTS), normalize=True).numpy()
    embedder = opened(f"open_clip:{name}", path)
    np.testing.assert_allclose(vectors(embedder, *images), pictures, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_text(TEXTS), texts, atol=1e-5)


def test_texts_need_neither_torch_nor_the_weights_once_a_picture_was_embedded(
    save_clip: Callable[[str], tuple[Any, Any, Path]],
) -> None:
    path = save_clip("tiny-clip")[2]
    first = opened("open_clip:tiny-clip", path)
    first.load()
    truth = first.embed_text(TEXTS)
    path.unlink()
    code = (
        "import sys; from vecstore.embedders.registry import open_embedder; "
        "from vecstore.embedders.embedder import EmbedderOptions; "
        f"found = open_embedder('open_clip:tiny-clip', EmbedderOptions(device='cpu', expected={first.spec.weights!r}))"
        f".embed_text({TEXTS!r}); print(found.tolist()); "
        "print(sorted({'torch', 'open_clip', 'timm', 'transformers'} & sys.modules.keys()))"
    )
    found, imported = run_code(code).splitlines()
    np.testing.assert_allclose(json.loads(found), truth, atol=1e-6)
    assert imported == "[]"


def test_damaged_text_tower_and_tokenizer_are_made_again(save_clip: Callable[[str], tuple[Any, Any, Path]]) -> None:
    path = save_clip("tiny-clip")[2]
    truth = opened("open_clip:tiny-clip", path).embed_text(TEXTS)
    again: Any = opened("open_clip:tiny-clip", path)
    for kept in (again._text_path(), again._text_path().with_suffix(".tokenizer.json")):
        kept.write_bytes(kept.read_bytes()[:100])
    np.testing.assert_allclose(again.embed_text(TEXTS), truth, atol=1e-6)


@given(texts=st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=4))
@settings(deadline=None, max_examples=150)
def test_tokens_are_open_clip_s_own(tokenizers: tuple[Any, Any], texts: list[str]) -> None:
    own, converted = tokenizers
    assert [converted.filled(text, 300) for text in texts] == own(texts, context_length=300).tolist()


@pytest.fixture(scope="module", params=["simple", "canonicalize", "huggingface"])
def tokenizers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A tokenizer of open_clip, and what is read of it from a file."""
    open_clip = pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param == "huggingface":
        own = open_clip.tokenizer.HFTokenizer(_save_words(folder), context_length=16, clean="canonicalize")
    else:
        own = open_clip.tokenizer.SimpleTokenizer(clean="lower" if request.param == "simple" else request.param)
    converted = text_tokens.convert(own, 77)
    assert converted is not None
    text_tokens.keep(converted, folder / "kept.json")
    return own, text_tokens.kept(folder / "kept.json")


def _save_words(folder: Path) -> str:
    """Write a small tokenizer of transformers' kind: words, then the end."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known = {"<pad>": 0, "<unk>": 1, "</s>": 2, "dog": 3, "reef": 4}
    model = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    tokens = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=model, **tokens).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def siglip(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The weights of a tiny model of SigLIP's kind, whose tokenizer is not in the package but on the hub.

    They are others for each test, or the tokenizer would be in the cache.
    """
    open_clip = pytest.importorskip("open_clip")
    import torch

    text = {**CLIP["tiny-sigmoid"]["text_cfg"], "hf_tokenizer_name": "nobody/no-tokenizer"}
    config = {**CLIP["tiny-sigmoid"], "text_cfg": {**text, "tokenizer_kwargs": {"clean": "canonicalize"}}}
    folder = tmp_path / "tiny-siglip"
    folder.mkdir()
    configs = tmp_path / "configs"  # open_clip reads every .json of it again with each folder that follows
    configs.mkdir()
    (configs / "tiny-siglip.json").write_text(json.dumps(config))
    open_clip.add_model_config(configs)
    torch.manual_seed(zlib.crc32(request.node.name.encode()))
    path = folder / "weights.pt"
    torch.save(open_clip.create_model("tiny-siglip", pretrained=None).state_dict(), path)
    return path


def test_tokenizer_beside_the_weights_is_read(siglip: Path) -> None:
    import open_clip

    own = open_clip.tokenizer.HFTokenizer(_save_words(siglip.parent), context_length=16, clean="canonicalize")
    embedder: Any = opened("open_clip:tiny-siglip", siglip)
    texts = ["dog", "A reef.", "reef dog zebra"]
    assert [embedder._tokens(text) for text in texts] == own(texts).tolist()
    found = embedder.embed_text(texts)
    assert found.shape == (3, embedder.spec.dim)
    again = opened("open_clip:tiny-siglip", siglip)
    (siglip.parent / "tokenizer.json").unlink()
    np.testing.assert_array_equal(again.embed_text(texts), found)  # it was kept


def test_tokenizer_that_is_nowhere_is_asked_for_beside_the_weights(
    siglip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(open_clip, "get_tokenizer", no_network)
    message = (
        r"^the tokenizer of open_clip:tiny-siglip is not in .* \(no route to host\); put the tokenizer's files of "
        r"nobody/no-tokenizer \(tokenizer.json and tokenizer_config.json\) beside the weights"
    )
    with pytest.raises(WeightsUnavailable, match=message):
        opened("open_clip:tiny-siglip", siglip).embed_text(["dog"])


def test_damaged_tokenizer_beside_the_weights_is_refused(siglip: Path) -> None:
    (siglip.parent / "tokenizer.json").write_text("{")
    with pytest.raises(BadInput, match=f"^the tokenizer in {siglip.parent} cannot be read: "):
        opened("open_clip:tiny-siglip", siglip).embed_text(["dog"])


def _try_to_fetch(hub: logging.Logger) -> None:
    with downloading("the weights of x are"):
        hub.warning("Retrying in 1s")
        logging.error("Failed to download")  # as open_clip does
        raise OSError


def test_tries_of_a_hub_s_client_are_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    hub = logging.getLogger("huggingface_hub.utils._http")
    with pytest.raises(WeightsUnavailable, match=r"^the weights of x are not in .* \(OSError\); give"):
        _try_to_fetch(hub)
    assert caplog.text == ""
    hub.warning("heard again")
    logging.error("and this")
    assert [record.message for record in caplog.records] == ["heard again", "and this"]


def test_tokenizer_that_cuts_in_its_own_way_is_not_converted() -> None:
    open_clip = pytest.importorskip("open_clip")
    assert text_tokens.convert(open_clip.tokenizer.SimpleTokenizer(reduction_mask="simple"), 16) is None


def test_text_that_is_empty_or_too_long_is_refused_and_one_that_just_fits_is_taken(
    save_clip: Callable[[str], tuple[Any, Any, Path]],
) -> None:
    embedder = opened("open_clip:tiny-clip", save_clip("tiny-clip")[2])
    assert embedder.embed_text([" ".join(["dog"] * 14)]).shape == (1, 24)
    with pytest.raises(BadInput, match=r"is too long: open_clip:tiny-clip reads 16 tokens"):
        embedder.embed_text(["dog", " ".join(["dog"] * 15)])
    with pytest.raises(BadInput, match="the text is empty"):
        embedder.embed_text(["  "])


def test_sigmoid_s_probability_is_the_model_s_own(save_clip: Callable[[str], tuple[Any, Any, Path]]) -> None:
    model, _, path = save_clip("tiny-sigmoid")
    embedder = opened("open_clip:tiny-sigmoid", path)
    cosines = np.array([0.1, 0.9, 1.0], np.float32)
    truth = 1 / (1 + np.exp(-(cosines * model.logit_scale.exp().item() + model.logit_bias.item())))
    np.testing.assert_allclose(embedder.match(cosines), truth, rtol=1e-4)


def test_model_with_a_softmax_chooses_among_texts_but_does_not_match(
    save_clip: Callable[[str], tuple[Any, Any, Path]],
) -> None:
    embedder: Any = opened("open_clip:tiny-clip", save_clip("tiny-clip")[2])
    assert embedder.match(np.array([0.5], np.float32)) is None
    chosen = embedder.choose(np.array([[0.5, 0.1]], np.float32))
    odds = np.exp(0.4 * embedder.logit_scale)
    np.testing.assert_allclose(chosen, [[odds / (1 + odds), 1 / (1 + odds)]], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip:ViT-B-33/openai", "open_clip has no model 'ViT-B-33'; near names: "),
        ("open_clip:ViT-B-32/laion2b_s34b_b79", "near names: ViT-B-32/laion2b_s34b_b79k"),
        ("open_clip:ViT-B-32", "does not say which weights; name them, such as open_clip:ViT-B-32/"),
    ],
)
def test_what_open_clip_does_not_have_is_refused_with_the_next_step(name: str, message: str) -> None:
    pytest.importorskip("open_clip")
    with pytest.raises(BadInput) as refusal:
        opened(name, None)
    assert message in str(refusal.value)
