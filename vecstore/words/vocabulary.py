"""The words: the names of ImageNet's 1,000 classes, and of all that they are kinds of, by WordNet.

The table, `imagenet.json.gz`, is made by `scripts/make_words`; WORDNET-LICENSE beside it is the license of its data.
This module knows no store and no network.
"""

import difflib
import functools
import gzip
import json
import operator
import re
import string
import unicodedata
from dataclasses import dataclass
from importlib.resources import files

from vecstore.errors import BadInput

# WordNet's own rules for the plural of nouns: https://wordnet.princeton.edu/documentation/morphy7wn
ENDINGS = (
    *(("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man")),
    ("ies", "y"),
)
# The end of a genitive, with what is typed for its apostrophe; and a word that a search engine would look away from.
GENITIVE, AWAY = re.compile(r"['\u2019]s?(?!\w)"), re.compile(r"(?:^|\s)[-\u2212](\w+)")
UNSAID = ("a", "an", "the", "and")
LONGEST_TEXT = 200
SUGGESTIONS = 3
SHORTEST_MISSPELT = 3


@dataclass(frozen=True)
class Vocabulary:
    """Names, and which classes they stand for.

    Attributes
    ----------
    names: of each class, the usual one first.
    classes_of: the classes of each name, in lower case, of a class or of anything that classes are kinds of.
    kinds: of each class, the names of the class itself and of what it is a kind of, from the nearest to the widest.
    plurals: irregular ones, with their singular.
    """

    names: tuple[tuple[str, ...], ...]
    classes_of: dict[str, frozenset[int]]
    kinds: tuple[tuple[str, ...], ...]
    plurals: dict[str, str]

    def require(self, text: str, embedder: str) -> list[frozenset[int]]:
        """Return the classes of each term of a text: a known name as long as possible, then the next.

        Raises BadInput, with near spellings, for a word that is in no known name.
        """
        words = _words(text)
        if not words:
            raise BadInput("no word was given to look for; name a thing, such as dog")
        if len(text) > LONGEST_TEXT:
            raise BadInput(f"the text has {len(text)} characters, the most are {LONGEST_TEXT}; name a thing or two")
        if away := AWAY.search(text):
            raise BadInput(
                f"a picture is looked for that shows all words; to look away from {away[1]!r}, "
                f"`vecstore similar --word WORD --minus-word {away[1]}`"
            )
        terms, unknown = self._terms(words)
        if unknown:
            raise BadInput(self._unknown(words, unknown, embedder))
        return terms

    def _terms(self, words: list[str]) -> tuple[list[frozenset[int]], list[str]]:
        """Return the classes of each term, and the words from the first that is in no known name on."""
        terms: list[frozenset[int]] = []
        while words:
            for length in range(len(words), 0, -1):
                classes = self.look_up(" ".join(words[:length]))
                if classes is not None:
                    terms.append(classes)
                    words = words[length:]
                    break
            else:
                break
        return terms, words

    def look_up(self, name: str) -> frozenset[int] | None:
        """Return the classes that a name in lower case stands for, in the singular or plural; None if it is unknown."""
        for form in self._forms(name):
            if form in self.classes_of:
                return self.classes_of[form]
        return None

    def _forms(self, name: str) -> list[str]:
        """Return what a name in lower case may be the plural of, itself first."""
        regular = [name[: -len(end)] + singular for end, singular in ENDINGS if name.endswith(end)]
        return [name, *([self.plurals[name]] if name in self.plurals else []), *regular]

    def _unknown(self, words: list[str], unknown: list[str], embedder: str) -> str:
        near = [name for name in self._near(" ".join(unknown)) if name not in unknown] or self._near(unknown[0])
        others = [word for word in words if word != unknown[0]]
        if others and not self._terms(others)[1]:
            near.append(f"{' '.join(others)!r} alone")
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        return (
            f"{embedder} does not know {unknown[0]!r}; {hint}it knows ImageNet's 1,000 things and what they are kinds "
            "of; for any words, `vecstore embed DEST --embedder open_clip:MODEL/PRETRAINED` makes a "
            "store of these pictures"
        )

    def _near(self, name: str) -> list[str]:
        """Return known names that it is a word of, then such in nearly this spelling, the same letters first."""
        longer = sorted((known for known in self.classes_of if name in known.split()), key=len)
        alike = [known for known in self.classes_of if len(known) == len(name)]
        swapped = [known for known in alike if sorted(known) == sorted(name)]
        near = longer + swapped + difflib.get_close_matches(name, list(self.classes_of), SUGGESTIONS, cutoff=0.75)
        if not near and len(name) >= SHORTEST_MISSPELT:  # of three letters one is too many for the cutoff
            near = [known for known in alike if sum(map(operator.ne, known, name)) == 1]
        return [*dict.fromkeys(near)][:SUGGESTIONS]


@functools.cache
def vocabulary() -> Vocabulary:
    """Return the table of words, read once."""
    table = json.loads(gzip.decompress((files("vecstore.words") / "imagenet.json.gz").read_bytes()))
    nouns: dict[str, tuple[list[str], list[str]]] = table["nouns"]
    classes_of: dict[str, set[int]] = {}
    kinds = []
    beside = _named_like_a_sibling(nouns)
    for number, wnid in enumerate(table["classes"]):
        above = _and_above(wnid, nouns)
        kinds.append(tuple(dict.fromkeys(nouns[one][0][0] for one in above)))
        for name in {name for one in above for name in (*nouns[one][0], *beside.get(one, ()))}:
            classes_of.setdefault(" ".join(_words(name)), set()).add(number)
    return Vocabulary(
        tuple(tuple(nouns[wnid][0]) for wnid in table["classes"]),
        {name: frozenset(found) for name, found in classes_of.items()},
        tuple(kinds),
        table["plurals"],
    )


def spellings(text: str) -> list[str]:
    """Return a name in lower case without articles, and what it may be the plural of."""
    return vocabulary()._forms(" ".join(_words(text)))


def _and_above(wnid: str, nouns: dict[str, tuple[list[str], list[str]]]) -> list[str]:
    """Return a noun and all that it is a kind of, the nearest first."""
    found = [wnid]
    for one in found:  # grows while it is gone through
        found.extend(above for above in nouns[one][1] if above not in found)
    return found


def _named_like_a_sibling(nouns: dict[str, tuple[list[str], list[str]]]) -> dict[str, set[str]]:
    """Return what a noun is also called, where its name ends with that of a sibling.

    WordNet's wild dogs, such as the dingo, are no dogs but canines beside them, and people call them dogs. A sea lion
    is not a sibling of the lion.
    """
    siblings: dict[str, list[str]] = {}
    for wnid, (_, above) in nouns.items():
        for one in above:
            siblings.setdefault(one, []).append(wnid)
    also: dict[str, set[str]] = {}
    for group in siblings.values():
        names = {name: wnid for wnid in group for name in nouns[wnid][0]}
        for name, wnid in names.items():
            _, blank, last = name.rpartition(" ")
            if blank and names.get(last, wnid) != wnid:
                also.setdefault(wnid, set()).add(last)
    return also


def _words(text: str) -> list[str]:
    """Return the words of a text in lower case, without articles; what is no letter parts words, but emoji do not."""
    text = GENITIVE.sub("", unicodedata.normalize("NFKC", text).casefold())
    said = "".join(" " if _parts(character) else character for character in text if not _is_unseen(character))
    return [word for word in said.split() if word not in UNSAID]


def _parts(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character)[0] in "PZ"


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) == "Cf"
