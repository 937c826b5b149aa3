"""Text as vectors of the pictures' space, by an embedder that reads text: alone, or in templates whose mean is taken.

An embedder reads text if it has a method `embed_text(texts)` that returns (n, dim) vectors; open_clip's do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vecstore.embedders import calling
from vecstore.embedders.embedder import unit_rows
from vecstore.errors import BadInput
from vecstore.session import IMPORTED, Session
from vecstore.storage.layout import HEAD
from vecstore.storage.vector_file import Float32, quantize_unit_rows
from vecstore.words.stored_head import read_head

PLACE = "{}"
# CLIP's models are trained to at most this (https://arxiv.org/abs/2103.00020, 2.5), and all published ones end there.
USUAL_SCALE = 100.0
TEXTS_AT_ONCE = 256


def reads_text(session: Session) -> bool:
    """Say whether the store's words are any text: its embedder has a text tower, and no head is kept."""
    if session.spec.name == IMPORTED or read_head(session.path / HEAD, session.spec.to_json()) is not None:
        return False
    return hasattr(session.embedder, "embed_text")


def text_vectors(session: Session, texts: Sequence[str], prompts: Sequence[str]) -> Float32:
    """Return (n, dim) vectors of texts, of length 1, rounded as stored ones are.

    Parameters
    ----------
    texts: words or sentences.
    prompts: templates such as "a photo of a {}"; a text is put into each of them, and the vectors' mean is taken.

    Raises
    ------
    BadInput: a text is empty or too long for the tokenizer, a prompt has no place for it, or the embedder's vectors
        are not of the store's space.
    """
    for text in (*texts, *prompts):
        require_said(text)
    templates = list(prompts) or [PLACE]
    said = [template.replace(PLACE, text) for text in texts for template in templates]
    found = np.concatenate(
        [_embedded(session, said[at : at + TEXTS_AT_ONCE]) for at in range(0, len(said), TEXTS_AT_ONCE)]
    )
    means = found.reshape(len(texts), len(templates), -1).mean(axis=1)
    return quantize_unit_rows(unit_rows(means)).astype(np.float32)


def _embedded(session: Session, texts: list[str]) -> Float32:
    embedder: Any = session.embedder
    found = calling.texts_of(embedder, texts)
    if found.shape != (len(texts), session.spec.dim) or not np.isfinite(found).all():
        raise BadInput(
            f"{session.spec.name} makes {found.shape} of {len(texts)} texts, not finite numbers of the shape "
            f"{(len(texts), session.spec.dim)}; its embed_text must be mended (docs/embedders.md)"
        )
    return unit_rows(found)


def require_said(text: str) -> None:
    """Raise BadInput for a text without a word, or with characters that are none."""
    if not text.strip():
        raise BadInput("no word was given to look for; name a thing, such as dog")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # bytes of a command line that are no text
        raise BadInput(f"{text!r} is not UTF-8, so no tokenizer reads it; give words in UTF-8") from error


def require_prompts(prompts: Sequence[str]) -> None:
    """Raise BadInput for a template without a place for the word."""
    for prompt in prompts:
        if PLACE not in prompt:
            raise BadInput(
                f"the prompt {prompt!r} has no {PLACE} for the word; write one such as 'a photo of a {PLACE}'"
            )


def require_no_prompts(prompts: Sequence[str]) -> None:
    """Raise BadInput if there is a template and no word for it."""
    if prompts:
        raise BadInput("a prompt is a template for words, and none is given; give a word, or leave the prompt out")


def refuse_prompts(session: Session, prompts: Sequence[str]) -> None:
    """Raise BadInput if a prompt is given to an embedder that knows names and reads no text."""
    if prompts:
        raise BadInput(
            f"{session.spec.name} knows words by name and reads no sentences; leave --prompt out (for any text, "
            "`vecstore embed DEST --embedder open_clip:MODEL/PRETRAINED`)"
        )


def chances(session: Session, cosines: Float32) -> Float32:
    """Return the probability of each of some texts for each picture, (n, texts), of their cosines.

    A model with a probability of a match (SigLIP) says it of each text by itself. Any other chooses one of the texts,
    by a softmax at its temperature, or at CLIP's usual one where a plugin does not say its own.
    """
    embedder: Any = session.embedder
    matched = embedder.match(cosines) if hasattr(embedder, "match") else None
    if matched is not None:
        return np.asarray(matched, np.float32)
    if hasattr(embedder, "choose"):
        return np.asarray(embedder.choose(cosines), np.float32)
    powers = np.exp(USUAL_SCALE * (cosines - cosines.max(axis=1, keepdims=True)))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
