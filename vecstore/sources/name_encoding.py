"""In which code page the names of an archive are, where it does not say so.

Names that are all UTF-8 are UTF-8: hardly any text of another kind is so by chance. Else the code page is taken in
which they look most like names: letters of one script beside each other, lower case behind upper case, common
characters. A zip's own code page (437) stays unless another is clearly better.
"""

import itertools
import unicodedata
from collections.abc import Sequence

# Latin, Cyrillic, Greek; Japanese, Chinese (simplified, traditional), Korean; of old DOS and of Windows.
CODE_PAGES = ("cp1252", "cp850", "cp866", "cp1251", "cp1253", "cp932", "gbk", "big5", "euc_kr")
# How much less odd, for each byte beyond ASCII, a code page has to look than the one that would stay.
CLEARLY = 0.4
# What one character adds: the odder in a name, the more.
_LETTER, _HALF_WIDTH, _MARK, _BOX, _CONTROL = 0.0, 0.8, 1.0, 2.0, 3.0
_RARE_LETTER, _RARE_IDEOGRAPH, _ACCENTS_TOGETHER, _OTHER_SCRIPT, _UPPER_WITHIN = 0.5, 0.6, 0.4, 1.0, 0.8
# Korean bytes are Chinese too, but hardly ever the other way round.
_HANGUL = -0.1


def encoding_of(names: Sequence[bytes], usual: str | None) -> str | None:
    """Return the encoding that all the names of an archive are in; `usual` unless another is clearly right.

    None stands for unknown: the bytes are to be kept.
    """
    odd = b"\n".join(name for name in names if not name.isascii())
    if _decoded(odd, "utf-8") is not None:
        return "utf-8"
    n_high = sum(byte > 0x7F for byte in odd)
    found = {page: _oddity(text, page) for page in CODE_PAGES if (text := _decoded(odd, page)) is not None}
    best = min(found, key=lambda page: found[page], default=None)
    # Bytes without a code page are as odd as marks.
    staying = _oddity(odd.decode(usual), usual) if usual is not None else _MARK * n_high
    return best if best is not None and found[best] + CLEARLY * n_high <= staying else usual


def _decoded(text: bytes, encoding: str) -> str | None:
    try:
        return text.decode(encoding)
    except UnicodeDecodeError:
        return None


def _oddity(text: str, encoding: str) -> float:
    total = sum(_of_character(character, encoding) for character in text if not character.isascii())
    for before, after in itertools.pairwise(text):
        if before.isalpha() and after.isalpha() and not (before.isascii() and after.isascii()):
            total += _OTHER_SCRIPT * (_script(before) != _script(after))
            total += _ACCENTS_TOGETHER * (_is_accented(before) and _is_accented(after))
    for first, second, third in zip(" " + text, text, text[1:] + " ", strict=False):
        if first.isalpha() and second.isupper() and not second.isascii():
            total += _UPPER_WITHIN * (first.islower() or third.islower())
    return total


def _is_accented(letter: str) -> bool:
    return not letter.isascii() and _script(letter) == "LATIN"


def _of_character(character: str, encoding: str) -> float:
    category = unicodedata.category(character)
    if category in ("Cc", "Co", "Cn"):
        return _CONTROL
    if "\u2500" <= character <= "\u25ff":
        return _BOX
    if "\uff61" <= character <= "\uff9f":
        return _HALF_WIDTH
    if "\u4e00" <= character <= "\u9fff":
        return _LETTER if _is_common(character, encoding) else _RARE_IDEOGRAPH
    if "\uac00" <= character <= "\ud7a3":
        return _HANGUL
    if "\u0400" <= character <= "\u04ff":
        return _LETTER if "\u0410" <= character <= "\u044f" or character in "ЁёІіЇїЄєҐґЎў" else _RARE_LETTER
    if category[0] == "L" and character not in "ªºƒµ":  # letters that only marks of code pages are
        return _LETTER
    return _MARK if category[0] not in "P" or not "\u3000" <= character <= "\u303f" else _LETTER


def _is_common(ideograph: str, encoding: str) -> bool:
    """Say whether an ideograph is among the few thousand that the standards put first, by how often they are used."""
    code = ideograph.encode(encoding, "replace")
    first = {"cp932": (0x88, 0x97), "gbk": (0xB0, 0xD7), "big5": (0xA4, 0xC6)}.get(encoding)
    if first is None or len(code) != 2:
        return False
    return first[0] <= code[0] <= first[1] and (encoding != "gbk" or code[1] >= 0xA1)


def _script(letter: str) -> str:
    word = unicodedata.name(letter, "").split(" ")[0]
    # Japanese is written in three scripts side by side.
    return "CJK" if word in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC") else word
