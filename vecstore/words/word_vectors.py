"""Words as vectors, to look for images beside pictures or instead of them.

With a text tower a word's vector is its text's. With a head it is the direction in the space of features that tells
the word's classes from the others: a ridge regression of what is 1 for these and 0 for the others on the classes'
weights, less their mean, which no probability depends on. The mean of the classes' own weights, its limit for a strong
ridge, tells dogs of any breed from cats less well (docs/quality.md).
"""

from collections.abc import Sequence

import numpy as np

from vecstore.embedders.embedder import unit_rows
from vecstore.embedders.heads import CLASSES, Head
from vecstore.errors import BadInput
from vecstore.session import Session
from vecstore.storage.vector_file import Float32, quantize_unit_rows
from vecstore.words.stored_head import stored_head
from vecstore.words.text_tower import reads_text, refuse_prompts, require_prompts, text_vectors
from vecstore.words.vocabulary import vocabulary

# Of the fit, in mean squared lengths of the classes' weights. Chosen on catsdogs60 and flowers200.
RIDGE = 3.0


def word_vectors(session: Session, texts: Sequence[str], prompts: Sequence[str]) -> list[Float32]:
    """Return the vector of each text, (dim,) float32 of length 1, rounded as stored ones are.

    Raises what `Store.find` does of words, and BadInput for prompts that cannot be used.
    """
    if not texts:
        return []
    require_prompts(prompts)
    if reads_text(session):
        return list(text_vectors(session, texts, prompts))
    refuse_prompts(session, prompts)
    head = stored_head(session)
    terms = [vocabulary().require(text, session.spec.name) for text in texts]
    found = iter(class_directions(head, [sorted(term) for own in terms for term in own]))
    means = np.array([np.mean([next(found) for _ in own], axis=0) for own in terms], np.float32)
    for text, mean in zip(texts, means, strict=True):
        if not mean.any():
            raise BadInput(
                f"{text!r} is all that {session.spec.name} knows, so no image is more like it; name something narrower"
            )
    return list(quantize_unit_rows(unit_rows(means)).astype(np.float32))


def class_directions(head: Head, groups: Sequence[Sequence[int]]) -> Float32:
    """Return the direction that tells each group of classes from the others, (groups, dim) float32 of length 1.

    That of a group of all classes is 0.
    """
    centred = head.weights - head.weights.mean(axis=0)
    targets = np.zeros((CLASSES, len(groups)), np.float32)
    for number, classes in enumerate(groups):
        if len(classes) < CLASSES:
            targets[list(classes), number] = 1 / len(classes)
    targets -= targets.mean(axis=0)
    products = centred @ centred.T
    products[np.diag_indices(CLASSES)] += RIDGE * products.trace() / CLASSES
    directions = np.linalg.solve(products, targets).T @ centred
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(directions / np.where(lengths > 0, lengths, 1), np.float32)
