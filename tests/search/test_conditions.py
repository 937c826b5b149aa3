"""The language of conditions: what it finds is what a filter in Python finds, and what it refuses is told in a line."""

import math
import operator
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecstore.errors import BadInput
from vecstore.results import Facts, ImageFacts
from vecstore.search.conditions import parse
from vecstore.search.filters import Filter
from vecstore.store import Store

CAMERAS = ("X-T5", "NIKON D90", "100% Größe", "a_b", "iPhone 8 Plus")
WORDS = ("birch", "river", "Birch tree", "ÖL", "two words")
TAKEN = (
    "2023-12-31T23:59:59",
    "2024-05-31T18:30:05+02:00",
    "2024-05-01T00:00:00",
    "2024-06-01",
    "1999-01-01T12:00:00Z",
)
Predicate = Callable[[ImageFacts], bool]
COMPARED: dict[str, Callable[..., bool]] = {
    **{"=": operator.eq, "!=": operator.ne, "<": operator.lt},
    **{"<=": operator.le, ">": operator.gt, ">=": operator.ge},
}


def some_facts(draw: random.Random) -> Facts:
    """Facts of which about a third are missing."""

    def maybe(value: object) -> object:
        return value if draw.random() < 0.7 else None

    place = draw.random() < 0.7
    return Facts(
        taken=maybe(draw.choice(TAKEN)),  # type: ignore[arg-type]
        camera=maybe(draw.choice(CAMERAS)),  # type: ignore[arg-type]
        latitude=round(draw.uniform(-90, 90), 3) if place else None,
        longitude=round(draw.uniform(-180, 180), 3) if place else None,
        width=draw.choice((0, 64, 3000)),
        height=draw.choice((48, 2000)),
        bytes=draw.randrange(10_000),
        rating=maybe(draw.randint(1, 5)),  # type: ignore[arg-type]
        keywords=tuple(draw.sample(WORDS, draw.randint(0, 3))),
        sharpness=maybe(round(draw.uniform(0, 100), 4)),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """80 imported vectors, of which every tenth was removed and every ninth has no facts."""
    folder = tmp_path_factory.mktemp("conditions")
    np.save(folder / "vectors.npy", np.random.default_rng(0).standard_normal((80, 4)).astype(np.float32))
    (folder / "paths.txt").write_text("\n".join(f"/{'ab'[row % 2]}/{row:02}.jpg" for row in range(80)))
    draw = random.Random(0)
    with Store.open(folder / "store", create=True) as store:
        store.import_vectors(folder / "vectors.npy", folder / "paths.txt")
        with store.session.catalog.writing():
            store.session.catalog.facts.put((row, some_facts(draw)) for row in range(80) if row % 9)
        store.remove(*range(0, 80, 10))
        yield store


def quoted(text: str) -> str:
    return f'"{text}"'


def of_number(field: str, sign: str, number: float) -> tuple[str, Predicate]:
    def holds(image: ImageFacts) -> bool:
        value = getattr(image, field)
        if field in ("width", "height") and not value:
            return False
        return value is not None and COMPARED[sign](value, number)

    return f"{field} {sign} {number}", holds


def of_text(sign: str, text: str) -> tuple[str, Predicate]:
    def holds(image: ImageFacts) -> bool:
        if image.camera is None:
            return False
        held, wanted = image.camera.casefold(), text.casefold()
        if sign == "contains":
            return wanted in held
        if sign == "like":
            pattern = re.escape(wanted).replace("%", ".*").replace("_", ".")
            return re.fullmatch(pattern, held, re.S) is not None
        return COMPARED[sign](held, wanted)

    return f"camera {sign} {quoted(text)}", holds


def of_keywords(sign: str, text: str) -> tuple[str, Predicate]:
    def holds(image: ImageFacts) -> bool:
        held, wanted = [keyword.casefold() for keyword in image.keywords], text.casefold()
        if sign == "contains":
            return any(wanted in keyword for keyword in held)
        return bool(held) and (wanted in held) == (sign == "=")

    return f"keywords {sign} {quoted(text)}", holds


def of_date(sign: str, date: str) -> tuple[str, Predicate]:
    def holds(image: ImageFacts) -> bool:
        return image.taken is not None and COMPARED[sign](image.taken[: len(date)], date)

    return f"taken {sign} {date}", holds


def one_of(cameras: list[str], negated: bool) -> tuple[str, Predicate]:
    wanted = {camera.casefold() for camera in cameras}

    def holds(image: ImageFacts) -> bool:
        return (image.camera is not None and image.camera.casefold() in wanted) != negated

    return f"camera {'not ' * negated}in ({', '.join(map(quoted, cameras))})", holds


def missing(field: str, negated: bool) -> tuple[str, Predicate]:
    def holds(image: ImageFacts) -> bool:
        return (getattr(image, field) in (None, ())) != negated

    return f"{field} is {'not ' * negated}missing", holds


def unit(latitude: float, longitude: float) -> np.ndarray:
    north, east = math.radians(latitude), math.radians(longitude)
    return np.array([math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)])


def near(latitude: float, longitude: float, km: float) -> tuple[str, Predicate]:
    def holds(image: ImageFacts) -> bool:
        if image.latitude is None or image.longitude is None:
            return False
        cosine = float(unit(latitude, longitude) @ unit(image.latitude, image.longitude))
        return 6371.0088 * math.acos(max(-1.0, min(1.0, cosine))) <= km

    return f"near({latitude}, {longitude}, {km})", holds


def negated(one: tuple[str, Predicate]) -> tuple[str, Predicate]:
    return f"not ({one[0]})", lambda image: not one[1](image)


def joined(parts: list[tuple[str, Predicate]], word: str) -> tuple[str, Predicate]:
    texts = f" {word} ".join(f"({text})" for text, _ in parts)
    every = all if word == "and" else any
    return texts, lambda image: every(holds(image) for _, holds in parts)


SIGNS = st.sampled_from(list(COMPARED))
LEAVES = st.one_of(
    st.builds(
        of_number, st.sampled_from(["rating", "bytes", "width", "sharpness", "id"]), SIGNS, st.integers(-1, 9_999)
    ),
    st.builds(
        of_number, st.sampled_from(["latitude", "sharpness"]), SIGNS, st.floats(-90, 100).map(lambda x: round(x, 3))
    ),
    st.builds(of_text, st.sampled_from(["=", "!="]), st.sampled_from([*CAMERAS, "x-t5", "GRÖSSE"])),
    st.builds(of_text, st.just("contains"), st.sampled_from(["x", "%", "_", "größe", "GRÖSSE", "", " "])),
    st.builds(of_text, st.just("like"), st.sampled_from(["%d90", "x-t_", "%", "", "100%", "I%E%S", "a_b"])),
    st.builds(of_keywords, st.sampled_from(["=", "!=", "contains"]), st.sampled_from([*WORDS, "IRC", "öl", "words"])),
    st.builds(of_date, SIGNS, st.sampled_from(["2024", "2024-05", "2024-05-31", "2024-05-31T18", "2024-05-31T18:30"])),
    st.builds(one_of, st.lists(st.sampled_from(CAMERAS), min_size=1, max_size=3), st.booleans()),
    st.builds(missing, st.sampled_from(["taken", "camera", "keywords", "rating", "latitude"]), st.booleans()),
    st.builds(near, st.integers(-90, 90), st.integers(-180, 180), st.sampled_from([0, 1_000, 8_000, 21_000])),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(negated),
        st.builds(joined, st.lists(inner, min_size=2, max_size=3), st.sampled_from(["and", "or"])),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=CONDITIONS)
def test_a_condition_finds_what_a_filter_in_python_finds(condition: tuple[str, Predicate], mixed: Store) -> None:
    text, holds = condition
    expected = [image.id for image in mixed.all_facts() if holds(image)]
    assert [image.id for image in mixed.all_facts(Filter(where=text))] == expected


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=CONDITIONS, k=st.integers(1, 80))
def test_as_many_are_found_as_there_are(condition: tuple[str, Predicate], k: int, mixed: Store) -> None:
    text, holds = condition
    expected = {image.id for image in mixed.all_facts() if holds(image)}
    found = mixed.similar(1, k=k, where=text)
    assert len(found) == min(k, len(expected))
    assert {hit.id for hit in found} <= expected


def test_the_options_say_what_conditions_say(mixed: Store) -> None:
    def ids(**conditions: object) -> list[int]:
        return [image.id for image in mixed.all_facts(Filter.of(**conditions))]

    assert ids(taken_after="2024-05") == ids(where="taken >= 2024-05") != []
    assert ids(taken_before="2024-05-31") == ids(where="taken < 2024-05-31") != []
    assert ids(camera="nikon") == ids(where='camera contains "Nikon"') != []
    assert ids(near=(10, 20, 5_000)) == ids(near="10,20,5000") == ids(where="near(10, 20, 5000)") != []
    assert ids(path="/a/") == ids(where='path contains "/A/"') != []
    assert ids(path=["/a/", "/b/"]) == ids() != ids(path="/b/") != []
    assert ids(where="cluster is missing") == ids()
    assert ids(where="added >= 24h and added < 9999") == ids()


def test_nothing_of_a_text_reaches_the_database_as_sql(mixed: Store) -> None:
    for text in ("'; drop table images; --", "\\' or 1=1 --", "%' or '%'='"):
        assert [*mixed.all_facts(Filter(where=f'camera = "{text}"'))] == []
    assert len([*mixed.all_facts()]) == 72


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("camra = 3", "'camra' stands where a name is wanted; there are id, path, added, "),
        ("rating = many", "'many' is not a number, and rating is one"),
        ("rating = 1e999", "'1e999' is not a number, and rating is one"),
        (
            "rating contains 3",
            "'contains' stands behind rating; it can be compared by =, !=, <, <=, >, >=, in, is missing",
        ),
        ("camera < b", "'<' stands behind camera; it can be compared by =, !=, contains, like, in, is missing"),
        ("camera is 3", "'3' stands where `missing` is wanted"),
        ("camera = ", "'the end' stands where a value for camera is wanted"),
        ("camera = 'a", '"\'a" cannot be read; texts stand in quotes of one kind'),
        ("camera = a b = c", "'b' is more than a condition; put `and` or `or` before it"),
        ("(rating = 3", "'the end' stands where ')' is wanted"),
        ("rating in 3", "'3' stands where '(' is wanted"),
        ("taken > 2024-13", "'2024-13' is not a date; give a date such as "),
        ("taken > soon", "'soon' is not a date"),
        ("taken > 2024-05-31T18:30+02:00", "is not a date"),
        ("", "'the end' stands where a name is wanted"),
        ("(" * 60 + "rating = 3" + ")" * 60, "more than 12 brackets or `not` stand within each other"),
        (" or ".join(["id=3"] * 300), "there are more than 200 comparisons"),
        ("camera = " + "a" * 5_000, "the condition has 5,009 characters; at most 4,000 are read"),
        ("near(91, 0, 1)", "'91,0,1' is not LATITUDE,LONGITUDE,KM"),
        ("camera = \udc80", "has bytes that are no UTF-8"),
        ("near(1, 2)", "')' stands where ',' is wanted"),
    ],
)
def test_what_is_no_condition_is_told_in_a_line(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=re.escape(reason)) as refused:
        parse(text)
    assert "\n" not in str(refused.value)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*"()=<>,'\"@.-", "and", "or", "not", "in", "is", "missing", "taken", "rating", "near", "7d", "5", "\n"]
        )
    )
)
def test_whatever_is_asked_is_parsed_or_refused(words: list[str]) -> None:
    try:
        found = parse(" ".join(words))
    except BadInput:
        return
    assert found.sql([])


def test_a_filter_takes_no_more_than_it_knows(mixed: Store) -> None:
    with pytest.raises(BadInput, match="is not a `Filter`"):
        mixed.all_facts("rating = 3")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="where is 3; text is wanted"):
        mixed.all_facts(replace(Filter(), where=3))  # type: ignore[arg-type]


def test_a_condition_of_its_largest_size_is_answered(mixed: Store) -> None:
    every = " or ".join(f"id={row}" for row in range(200))
    assert len([*mixed.all_facts(Filter(where=every))]) == 72
    assert len([*mixed.all_facts(Filter(where="not " * 12 + "id >= 0"))]) == 72
    deep = "(id < 0 or id >= 0 and not " * 5 + "id < 0" + ")" * 5
    assert len([*mixed.all_facts(Filter(where=deep))]) == 72
    deep = "(id < 0 or id >= 0 and " * 12 + "id >= 0" + ")" * 12
    assert len([*mixed.all_facts(Filter(where=deep))]) == 72


def test_a_path_of_a_folder_is_a_path(mixed: Store, tmp_path: Path) -> None:
    assert [hit.path for hit in mixed.similar(1, k=2, path=[tmp_path, "/b/01.jpg"])] == ["/b/01.jpg"]
