"""Makes the table of words that `vecstore find` and `vecstore tag` use: `scripts/make_words`.

From WordNet 3.0's data files (https://wordnet.princeton.edu/documentation/wndb5wn) come the nouns and what each is a
kind of; from timm (Apache-2.0) which noun each of ImageNet's 1,000 classes is. ImageNet's class ids are WordNet 3.0's
offsets, and each is checked to have the names that timm has for it. The result depends on these files alone.
"""

import argparse
import gzip
import json
import re
from importlib.resources import files
from pathlib import Path

TABLE = Path("vecstore/words/imagenet.json.gz")
# A line of data.noun: offset, file, type, number of words in hexadecimal, words and sense numbers, pointers.
LINE = re.compile(rb"^(\d{8}) \d\d n ([0-9a-f]{2}) ((?:\S+ [0-9a-f] )+?)\d{3} (.*?)\|")
ABOVE = re.compile(rb"@i? (\d{8}) n ")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the table of words.")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder with data.noun")
    nouns = read_nouns(parser.parse_args().wordnet / "data.noun")
    info = files("timm") / "data/_info"
    classes = (info / "imagenet_synsets.txt").read_text().split()
    lemmas = dict(line.split("\t") for line in (info / "imagenet_synset_to_lemma.txt").read_text().splitlines())
    for wnid in classes:
        if ", ".join(nouns[wnid][0]) != lemmas[wnid]:
            raise SystemExit(f"{wnid} is {nouns[wnid][0]} in WordNet and {lemmas[wnid]!r} in timm; is it WordNet 3.0?")
    kept = with_kinds_above(classes, nouns)
    names = {name.casefold() for wnid in kept for name in nouns[wnid][0]}
    table = {
        "source": "WordNet 3.0, Copyright 2006 by Princeton University; see WORDNET-LICENSE",
        "classes": classes,
        "nouns": {wnid: nouns[wnid] for wnid in sorted(kept)},
        "plurals": read_plurals(parser.parse_args().wordnet / "noun.exc", names),
    }
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
    # Without a time in it, so that the same table is the same file.
    TABLE.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{TABLE}: {len(classes)} classes, {len(kept)} nouns, {len(names)} names, {TABLE.stat().st_size:,} bytes")


def read_nouns(file: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Return the names of every noun, and the nouns that it is a kind of, by its id."""
    nouns = {}
    for line in file.read_bytes().splitlines():
        found = LINE.match(line)
        if found:
            words = found[3].decode().split()[::2]
            above = [f"n{offset.decode()}" for offset in ABOVE.findall(found[4])]
            nouns[f"n{found[1].decode()}"] = ([word.replace("_", " ") for word in words], above)
    return nouns


def with_kinds_above(classes: list[str], nouns: dict[str, tuple[list[str], list[str]]]) -> set[str]:
    kept: set[str] = set()
    waiting = list(classes)
    while waiting:
        wnid = waiting.pop()
        if wnid not in kept:
            kept.add(wnid)
            waiting.extend(nouns[wnid][1])
    return kept


def read_plurals(file: Path, names: set[str]) -> dict[str, str]:
    """Return the irregular plurals of names that are in the table, such as wolves and geese."""
    plurals = {}
    for line in file.read_text().splitlines():
        plural, singular = (word.replace("_", " ") for word in line.split()[:2])
        if singular in names and plural not in names:
            plurals[plural] = singular
    return dict(sorted(plurals.items()))


if __name__ == "__main__":
    main()
