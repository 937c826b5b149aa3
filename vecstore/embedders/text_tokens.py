"""Texts as the numbers that a text tower takes, by open_clip's own tokenizers, without importing open_clip or torch.

A tokenizer of open_clip is converted once to one of the library `tokenizers`, compared with it, and kept as a file.
"""

import html
import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vecstore.storage.durable_files import replacing_in_cache

# Compared after a conversion: accents, entities, digits, punctuation, other scripts, signs of both tokenizers' own.
SAMPLES = [
    "",
    "a red bicycle in the snow",
    "Zwölf Boxkämpfer, 12 dogs & 3 cats!",
    "it's the dog's  bone; they'll   play",
    "caf\u00e9 &amp; cr\u00e8me br\u00fbl\u00e9e \u2014 \u201cgood\u201d",
    "\u732b\u3068\u72ac \U0001f415 \u041a\u043e\u0448\u043a\u0430",
    "<start_of_text> a_b-c/d.e <end_of_text>",
]


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer that `tokenizers` runs.

    model: of that library, with the numbers at the start and end. clean: which of `CLEANING` goes before it. fill: the
    number behind a text that is shorter than the tower's length. words: the pattern of what is taken for a word, where
    that is not the model's affair.
    """

    model: Any
    clean: str
    fill: int
    words: str | None = None

    def tokens(self, text: str) -> list[int]:
        """Return a text's numbers, of whatever length."""
        clean = CLEANING[self.clean](text)
        if self.words is None:
            return list(self.model.encode(clean).ids)
        import regex  # as open_clip does: which characters are letters differs between libraries

        words = regex.findall(self.words, clean, regex.IGNORECASE)
        return list(self.model.encode(words, is_pretokenized=True).ids)

    def filled(self, text: str, length: int) -> list[int]:
        """Return a text's numbers, filled up to a length."""
        found = self.tokens(text)
        return found + [self.fill] * (length - len(found))


def convert(tokenizer: Any, length: int) -> Tokenizer | None:
    """Return open_clip's tokenizer as one of `tokenizers`; None for one that cannot be converted with equal results."""
    clean = getattr(getattr(tokenizer, "clean_fn", None), "__name__", "")
    if clean not in CLEANING:
        return None
    if hasattr(tokenizer, "bpe_ranks") and tokenizer.reduction_fn is None:
        found = Tokenizer(_of_clip(tokenizer), clean, 0, tokenizer.pat.pattern)
    elif not getattr(tokenizer, "tokenizer_mode", "?") and not tokenizer.strip_sep_token:
        model = getattr(tokenizer.tokenizer, "backend_tokenizer", None)
        if model is None:
            return None
        found = Tokenizer(_alone(model), clean, int(tokenizer.tokenizer.pad_token_id or 0))
    else:
        return None
    truth = tokenizer(SAMPLES, context_length=length).tolist()
    fitting = [(text, row) for text, row in zip(SAMPLES, truth, strict=True) if len(found.tokens(text)) <= length]
    return found if all(found.filled(text, length) == row for text, row in fitting) else None


def keep(tokenizer: Tokenizer, path: Path) -> None:
    """Write a tokenizer to the cache. Raises OSError."""
    values = {**vars(tokenizer), "model": json.loads(tokenizer.model.to_str())}
    with replacing_in_cache(path) as file:
        file.write(json.dumps(values).encode())


def kept(path: Path) -> Tokenizer | None:
    """Return a tokenizer from the cache; None where there is none that is whole, or nothing here to run it."""
    try:
        import tokenizers

        values = json.loads(path.read_bytes())
        model = tokenizers.Tokenizer.from_str(json.dumps(values["model"]))
        found = Tokenizer(model, values["clean"], values["fill"], values["words"])
        found.tokens("a")  # needs what cleans a text
        return found
    except Exception:  # `tokenizers` raises nothing narrower for what it cannot read
        return None


def _of_clip(tokenizer: Any) -> Any:
    from tokenizers import AddedToken, models, pre_tokenizers, processors
    from tokenizers import Tokenizer as Model

    start, end = (tokenizer.decoder[number] for number in (tokenizer.sot_token_id, tokenizer.eot_token_id))
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
    model = Model(models.BPE(tokenizer.encoder, merges, end_of_word_suffix="</w>"))
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    model.add_special_tokens([AddedToken(one, normalized=False) for one in (start, end)])
    model.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=[(start, tokenizer.sot_token_id), (end, tokenizer.eot_token_id)],
    )
    return model


def _alone(model: Any) -> Any:
    """Return a copy of a tokenizer that neither cuts nor fills."""
    from tokenizers import Tokenizer as Model

    copy = Model.from_str(model.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


# What open_clip does to a text first, by its functions' names:
# https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/tokenizer.py (MIT)


def _mended(text: str) -> str:
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def _single_spaced(text: str) -> str:
    return " ".join(_mended(text).split())


def _without_punctuation(text: str) -> str:
    plain = _mended(text).replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    return " ".join(plain.lower().split())


CLEANING: dict[str, Callable[[str], str]] = {
    "_clean_lower": lambda text: _single_spaced(text).lower(),
    "_clean_whitespace": _single_spaced,
    "_clean_canonicalize": _without_punctuation,
}
