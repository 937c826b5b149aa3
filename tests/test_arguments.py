"""Arguments: whatever a public method is given, it answers or raises one of the library's errors, and loses nothing."""

import dataclasses
import inspect
import math
import re
import threading
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli.app import app
from tests.conftest import paint
from vecstore import arguments
from vecstore.errors import BadInput, VecstoreError
from vecstore.search.filters import Filter
from vecstore.sources.decoding import Encoded
from vecstore.sources.scan import Patterns
from vecstore.store import Store
from vecstore.views.contact_sheets import write_sheet

pytestmark = pytest.mark.usefixtures("one_thread")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("it cannot be printed")


ABSURD: list[Any] = [
    *(None, True, False, -1, 0, 1, 2.5, 2.0, math.nan, math.inf, -math.inf, 1j, 2**31, 2**63, 2**64, 2**70, -(2**70)),
    *(
        10**5000,
        "",
        "7",
        "auto",
        "x" * 5000,
        "a\0b",
        "\ud800",
        "\udc80",
        "@",
        "@1",
        "@-1",
        "@" + "9" * 5000,
        "9" * 5000,
    ),
    *(
        "*[",
        "\\",
        "~nobody",
        "nan",
        "-",
        "/",
        "../..",
        "file.png",
        "milvus:",
        "milvus://",
        "milvus://h/a b",
        b"",
        b"\0",
    ),
    *(b"\xff", [], [1], ["@1"], [None], (), {}, {"a": 1}, {1}, set(), object(), object, Unprintable(), len, range(3)),
    *(
        np.int64(3),
        np.uint64(2**64 - 1),
        np.int8(-1),
        np.float32(0.5),
        np.float64("nan"),
        np.bool_(True),
        np.array([1]),
    ),
    *(np.array(3), np.str_("7"), np.datetime64("2020-01-01"), np.empty(0), Decimal(1), Fraction(1, 2), date.min),
    *(date.max, Path(), Path("x"), Path("a\0b"), Encoded(b""), Encoded(b"no picture"), Encoded("text")),  # type: ignore[arg-type]
    *(Encoded(None), Patterns(), Patterns(only=(1,)), Patterns(only="ab"), Patterns(exclude=None)),  # type: ignore[arg-type]
    *(threading.Event(), iter([]), (n for n in ())),
]
# What a method cannot do without; the argument that is tried comes in the place of its own.
NEEDED: dict[str, dict[str, Any]] = {
    "add": {"paths": ["pictures"]},
    "sync": {"paths": ["pictures"]},
    "preview": {"paths": ["pictures"]},
    "follow": {"paths": ["pictures"]},
    "count_new": {"paths": ["pictures"]},
    "import_vectors": {"vectors": "vectors.npy"},
    "import_from": {"source": "vectors.npy"},
    "remove": {"refs": [0]},
    "similar": {"refs": [0]},
    "nearest": {"queries": [0]},
    "similar_to_each": {"queries": [0]},
    "embed": {"images": [0]},
    "find": {"text": "dog"},
    "find_each": {"texts": ["dog"]},
    "between": {"one": "pictures/0.png", "other": "pictures/1.png"},
    "tag": {"refs": [0]},
    "evaluate_words": {"words": ["dog"]},
    "thumbnail": {"ref": 0},
    "report": {"file": "report.html"},
    "backup": {"target": "copy"},
    "export": {"file": "out.parquet"},
    "export_as": {"target": "out.csv", "format": "csv"},
    "migrate": {"destination": "moved"},
    "embed_into": {"destination": "other", "embedder": "efficientnet-lite0"},
    "relocate": {"old": "pictures", "new": "moved"},
    "cluster": {"k": 2},
    "use_clustering": {"number": 1},
    "name_cluster": {"cluster": 0, "name": "a"},
    "confirm_name": {"cluster": 0},
    "tree": {},
    "tree_path": {"cluster": 0},
    "cut_tree": {"k": 1},
    "explain": {"cluster": 0},
    "members": {"cluster": 0},
    "make_folders": {"target": "folders"},
    "image": {"ref": 0},
    "facts": {"refs": [0]},
    "count_by": {"by": "month"},
    "map_values": {"by": "month"},
    "map_positions_and_values": {"by": "month"},
    "sections": {"group": "month"},
    "original": {"ref": 0},
    "which": {"refs": [0]},
    "decide": {"verdict": "both", "refs": [0, 1]},
    "act_on_duplicates": {"act": "delete"},
    "collect": {"refs": [0], "target": "folders", "dry_run": True},
    "move": {"refs": [0], "to": 1},
    "merge_clusters": {"clusters": [0, 1]},
    "split_cluster": {"cluster": 0},
    "pin": {"refs": [0]},
    "unpin": {"refs": [0]},
    "select": {"name": "a", "refs": [0]},
    "selected": {"name": "a"},
    "delete_selection": {"name": "a"},
    "write_selection_xmp": {"name": "a"},
    "export_selection": {"name": "a", "target": "a.csv"},
}
CONDITIONS = [field.name for field in dataclasses.fields(Filter)]
METHODS = {
    name: method
    for name, method in vars(Store).items()
    if not name.startswith("_") and inspect.isfunction(method) and name != "close"
}
# Conditions are given by their names, one or more of the fields of a `Filter`.
BY_NAME = inspect.Parameter.VAR_KEYWORD
ARGUMENTS = [
    (name, argument)
    for name, method in METHODS.items()
    for parameter in [*inspect.signature(method).parameters.values()][1:]
    for argument in (CONDITIONS if parameter.kind is BY_NAME else [parameter.name])
]
# These say of a file or an engine that it is not to be had, which is the system's to say.
OF_THE_SYSTEM = (OSError,)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arguments")
    for seed in range(5):
        paint(folder / "pictures" / f"{seed}.png", seed)
    np.save(folder / "vectors.npy", np.eye(4, dtype=np.float32))
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store of five pictures in two clusters, in a folder beside which nothing else is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").symlink_to(made / "pictures")
    (tmp_path / "vectors.npy").symlink_to(made / "vectors.npy")
    with Store.open(tmp_path / "store", embedder="tiny", create=True, device="cpu", wait=0) as opened:
        opened.add(made / "pictures")
        opened.cluster(2)
        yield opened


def call(store: Store, name: str, given: dict[str, Any]) -> None:
    """Call a method by the names of its arguments, and read its answer to the end."""
    parameters = [*inspect.signature(METHODS[name]).parameters.values()][1:]
    kinds = [parameter.kind for parameter in parameters]
    refs: list[Any] = []
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        at = kinds.index(inspect.Parameter.VAR_POSITIONAL)
        refs = [given.pop(parameter.name) for parameter in parameters[:at]]
        refs.extend(given.pop(parameters[at].name, ()))
    if name == "follow":
        given.setdefault("stop", stopped())
    answer = getattr(store, name)(*refs, **given)
    if inspect.isgenerator(answer):
        list(answer)


def stopped() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def tried(value: Any, name: str, argument: str) -> dict[str, Any]:
    """Return the arguments of a call in which one has this value."""
    parameter = inspect.signature(METHODS[name]).parameters.get(argument)
    is_many = parameter is not None and parameter.kind is inspect.Parameter.VAR_POSITIONAL
    return {**NEEDED.get(name, {}), argument: [value] if is_many else value}


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS, ids=lambda part: str(part))
def test_whatever_an_argument_is_only_errors_of_the_library_come(
    name: str, argument: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Store, "_blocks" if argument in ("ray", "segments") else "_nothing_of_this", refuse, raising=False
    )
    leaked = []
    for value in ABSURD:
        if is_out_of_hand(value, argument):
            continue
        try:
            call(store, name, tried(value, name, argument))
        except (VecstoreError, *OF_THE_SYSTEM):
            pass
        except Exception as error:
            leaked.append(f"{name}({argument}={arguments._shown(value)}): {type(error).__name__}: {error}")
    assert leaked == []


def refuse(*_: object) -> None:
    raise BadInput("no cluster of machines is asked for here")


def is_out_of_hand(value: Any, argument: str) -> bool:
    """Say whether a value is one to be taken, and leads to what is not the library's: to folders of this machine that
    hold more than the test's, to a function that raises errors of its own, or to following folders for ever."""
    if argument in ("paths", "listed"):
        return isinstance(value, str | bytes | Path) and str(value) in ("/", "../..", "~nobody", ".")
    return (argument in ("on_progress", "on_act") and callable(value)) or (
        argument == "stop" and (value is None or isinstance(value, threading.Event))
    )


@pytest.mark.parametrize("argument", [*inspect.signature(Store.open).parameters])
def test_whatever_a_store_is_opened_with_only_errors_of_the_library_come(argument: str, store: Store) -> None:
    leaked = []
    for value in ABSURD:
        try:
            Store.open(**{"path": store.path, argument: value}).close()
        except VecstoreError:
            pass
        except Exception as error:
            leaked.append(f"open({argument}={arguments._shown(value)}): {type(error).__name__}: {error}")
    assert leaked == []


@pytest.mark.parametrize("argument", ["sheet", "thumbnail_of", "file"])
def test_whatever_a_sheet_is_written_with_only_errors_of_the_library_come(argument: str, store: Store) -> None:
    leaked = []
    for value in ABSURD:
        if argument == "thumbnail_of" and callable(value):
            continue
        given = {"sheet": store.sheet(), "thumbnail_of": store.thumbnail, "file": Path("sheet.png"), argument: value}
        try:
            write_sheet(**given)
        except (VecstoreError, *OF_THE_SYSTEM):
            pass
        except Exception as error:
            leaked.append(f"write_sheet({argument}={arguments._shown(value)}): {type(error).__name__}: {error}")
    assert leaked == []


def test_every_argument_of_every_public_method_is_checked() -> None:
    source = inspect.getsource(Store)
    unchecked = [
        name for name in {name for name, _ in ARGUMENTS} if not re.search(rf"@checked\([^@]*def {name}\(", source)
    ]
    assert unchecked == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda store: store.cluster(2.5), 'k is 2.5; a whole number or "auto" is wanted'),
        (lambda store: store.cluster("7"), "k is '7'; a whole number or \"auto\" is wanted"),
        (lambda store: store.cluster(True), 'k is True; a whole number or "auto" is wanted'),
        (lambda store: store.cluster(2, seed=-1), "seed is -1; it must be at least 0"),
        (lambda store: store.map(seed=2**63), f"seed is {2**63}; it must be at most {2**63 - 1}"),
        (lambda store: store.similar(0, k=0), "k is 0; it must be at least 1"),
        (lambda store: store.similar(0, min_score=math.nan), "min_score is nan; scores are from -1 to 1"),
        (lambda store: store.similar(0, min_score=1.5), "min_score is 1.5; scores are from -1 to 1"),
        (lambda store: store.similar(0, exact="no"), "exact is 'no'; True or False is wanted"),
        (lambda store: store.similar(0, minus="@1"), "minus is '@1'; a list is wanted"),
        (
            lambda store: store.similar(1.0),
            "1.0 is not an image; name a file or a stored id, or give a file's bytes, a picture or a vector",
        ),
        (
            lambda store: store.similar([0, 1]),
            "[0, 1] is not an image; name a file or a stored id, or give a file's bytes, a picture or a vector; "
            "`nearest` and `similar_to_each` take several",
        ),
        (lambda store: store.add(""), "paths is empty; name a file or a folder"),
        (
            lambda store: store.add(["a", "b"]),
            "paths is ['a', 'b']; each path as an argument of its own, such as *paths, is wanted",
        ),
        (
            lambda store: store.similar(0, added_after=7),
            "added_after is 7; a date, or text such as 2026-05-31 or 7d is wanted",
        ),
        (lambda store: Store.open(store.path, wait=-1), "wait is -1 seconds; it must be at least 0"),
    ],
)
def test_a_refusal_names_the_argument_and_what_it_was(call: Callable[[Store], Any], message: str, store: Store) -> None:
    with pytest.raises(BadInput, match=f"^{re.escape(message)}$"):
        call(store)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda store: store.cluster(n_clusters=2), "Store.cluster(): got an unexpected keyword argument 'n_clusters'"),
        (lambda store: store.which(0, k=2), "Store.which(): got an unexpected keyword argument 'k'"),
        (lambda store: store.similar(0, top=2), "got an unexpected keyword argument 'top'; conditions are cluster, "),
        (lambda store: store.thumbnail(), "Store.thumbnail(): missing a required argument: 'ref'"),
    ],
)
def test_an_argument_that_there_is_not_is_told_as_python_does(
    call: Callable[[Store], Any], message: str, store: Store
) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
        call(store)


def test_numpys_numbers_are_taken_for_numbers(store: Store) -> None:
    assert store.similar(np.int64(0), k=np.int32(2), min_score=np.float32(-1), exact=np.bool_(True)) == store.similar(
        0, k=2, min_score=-1, exact=True
    )
    assert store.cluster(np.int64(2), seed=np.uint8(3)).k == 2


def test_more_than_there_can_be_is_all_that_there_is(store: Store) -> None:
    assert len(store.similar(0, k=2**70)) == 5
    assert store.compact(keep_clusterings=2**70).images == 0


# The command line

ABSURD_TEXTS = ["", "-1", "0", "2.5", "nan", "1e400", str(2**70), "9" * 5000, "\udc80"]
# What a command cannot do without.
COMMANDS: dict[str, list[str]] = {
    "cluster": ["-k", "2"],
    "members": ["0"],
    "name": ["0", "a"],
    "similar": ["@0"],
    "embed": ["other", "-e", "hsv"],
    "show": ["@0"],
}
# Those that wait for requests, go through ten seconds of measuring, or have another store for an argument.
LEFT_OUT = {"serve", "demo", "plan", "embedders", "migrate"}
OF_FACTS = ("taken_after", "taken_before", "camera", "near", "where", "sort", "group_by")
OF_TEXT = (*OF_FACTS, "added_after", "path", "kind", "since", "images", "name", "init")
OPTIONS = [
    (name, option)
    for name, command in sorted(typer.main.get_command(app).commands.items())  # type: ignore[attr-defined]
    if name not in LEFT_OUT
    for option in command.params
    if not getattr(option, "is_flag", False)
    and (option.type_descriptor.annotation in (int, float) or option.name in (*OF_TEXT, "k"))
]


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=lambda part: getattr(part, "name", part))
def test_whatever_an_option_is_a_command_says_in_a_line_what_is_wrong(name: str, option: Any, store: Store) -> None:
    leaked = []
    for text in ABSURD_TEXTS:
        is_argument = option.param_type_name == "argument"
        given = [text] if is_argument else [*COMMANDS.get(name, []), f"{max(option.opts, key=len)}={text}"]
        if is_argument and name == "name":
            given = [text, "a"] if option.name == "cluster" else ["0", text]
        if max(option.opts, key=len) == "-k":
            given[-1:] = ["-k", text]
        done = CliRunner().invoke(app, [name, *given, "--store", str(store.path)])
        if done.exit_code not in (0, 1, 2, 3) or not (done.exception is None or isinstance(done.exception, SystemExit)):
            leaked.append(f"{name} {option.name} {text[:20]!r}: {done.exception!r}")
    assert leaked == []
