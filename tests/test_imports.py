"""What is imported when: imports point one way, and nothing heavy is loaded before it is needed."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import paint
from tests.programs import ROOT, environment, run_code, run_program

HEAVY = (
    *("numpy", "torch", "torchvision", "faiss", "onnxruntime", "openvino", "onnx", "PIL"),
    *("scipy", "sklearn", "kneed", "matplotlib", "rich.progress", "fastapi", "uvicorn"),
)

# Said on stderr when the program ends, whatever it did.
REPORT = f"""
import atexit, sys
atexit.register(lambda: print("loaded:", *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr))
"""


def loaded(*arguments: str | Path) -> set[str]:
    """The heavy modules that a run of the program loads."""
    done = run_program(*arguments, prelude=REPORT)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.partition("loaded:")[2].split())


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = f"import sys, vecstore; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_code(code) == "[]\n"


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    code = f"import sys, cli.app; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_code(code) == "[]\n"


@pytest.mark.parametrize("arguments", [("--help",), ("add", "--help"), ("--version",)])
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert loaded(*arguments) == set()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with clusters beside the folder `pictures` that it was made of."""
    folder = tmp_path_factory.mktemp("imports")
    for seed in range(6):
        paint(folder / f"pictures/{seed}.png", seed)
    for arguments in (["add", folder / "pictures", "-e", "hsv"], ["cluster", "-k", "2", "--restarts", "1"]):
        done = run_program(*arguments, "--store", folder / "store")
        assert done.returncode == 0, done.stderr
    return folder / "store"


def test_asking_for_a_stored_image_loads_no_network(store: Path) -> None:
    assert (
        loaded("similar", "@0", "--store", store) & {"torch", "torchvision", "onnxruntime", "openvino", "onnx"} == set()
    )


@pytest.mark.parametrize("arguments", [("--version", "-v"), ("doctor", "--json")])
def test_what_this_machine_is_is_said_without_network_or_index(arguments: tuple[str, ...], store: Path) -> None:
    done = run_program(*arguments, prelude=REPORT, env=environment(VECSTORE_STORE=str(store)))
    found = set(done.stderr.partition("loaded:")[2].split())
    # The doctor asks OpenVINO alone, for what this CPU multiplies.
    assert (done.returncode in (0, 1), found & {"torch", "torchvision", "onnxruntime", "onnx", "faiss"}) == (
        True,
        set(),
    )


def test_adding_what_is_known_loads_neither_network_nor_index(store: Path) -> None:
    found = loaded("add", store.parent / "pictures", "--store", store)
    assert found & {"torch", "torchvision", "onnxruntime", "openvino", "onnx", "faiss"} == set()


def test_adding_what_is_known_to_a_store_with_an_index_loads_no_index(store: Path) -> None:
    assert run_program("index", "--kind", "rabitq", "--store", store).returncode == 0
    found = loaded("add", store.parent / "pictures", "--store", store)
    assert run_program("index", "--kind", "auto", "--store", store).returncode == 0
    assert found & {"torch", "torchvision", "onnxruntime", "openvino", "onnx", "faiss"} == set()


@pytest.mark.parametrize(
    "arguments", [("members", "0"), ("which", "@0"), ("clusters",), ("clusterings",), ("failures",), ("remove", "@5")]
)
def test_what_the_catalog_knows_needs_neither_network_nor_index(arguments: tuple[str, ...], store: Path) -> None:
    found = loaded(*arguments, "--store", store)
    assert found & {"torch", "torchvision", "onnxruntime", "openvino", "onnx", "faiss"} == set()


def imported(file: Path) -> set[str]:
    """The dotted names that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import, which this test does not follow"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def imports_of(package: str) -> set[str]:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    return {name for file in files for name in imported(file)}


def from_packages(names: set[str], *packages: str) -> set[str]:
    return {name for name in names if name.split(".")[0] in packages}


def our_modules() -> dict[str, Path]:
    """Every module of ours by its dotted name; a package is its `__init__.py`."""
    files = [file for package in ("vecstore", "indexes", "cli") for file in (ROOT / package).rglob("*.py")]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


# From the ground up: what stands in one of these may import what stands before it, and nothing after.
ORDER = (
    *(
        "vecstore.version",
        "vecstore.defaults",
        "vecstore.errors",
        "vecstore.json_text",
        "indexes",
        "vecstore.results",
        "vecstore.tables",
    ),
    *("vecstore.sources", "vecstore.likeness", "vecstore.given", "vecstore.arguments", "vecstore.storage"),
    *("vecstore.embedders", "vecstore.engines", "vecstore.session", "vecstore.image_ref", "vecstore.words"),
    *("vecstore.clustering", "vecstore.search", "vecstore.ingest", "vecstore.views", "vecstore.curation"),
    *("vecstore.maintenance", "vecstore.exchange"),
    *("vecstore.store", "vecstore.estimators", "vecstore.datasets", "vecstore", "vecstore.web", "cli"),
)


def place_of(module: str) -> int:
    """Where a module stands in the order: with the longest name there that it is, or is in."""
    holders = [name for name in ORDER if module == name or module.startswith(f"{name}.")]
    return ORDER.index(max(holders, key=len))


def needs_of(name: str, file: Path, modules: dict[str, Path]) -> set[str]:
    """The modules of ours that a file imports, also lazily and for type checking alone."""
    return {found if found in modules else found.rpartition(".")[0] for found in imported(file)} & modules.keys()


def test_packages_import_only_those_below_them() -> None:
    modules = our_modules()
    upwards = [
        f"{name} imports {found}"
        for name, file in modules.items()
        for found in needs_of(name, file, modules)
        if place_of(found) > place_of(name)
    ]
    assert upwards == []


def test_no_two_modules_need_each_other() -> None:
    modules = our_modules()
    needs = {name: needs_of(name, file, modules) for name, file in modules.items()}
    assert len(needs) > 100
    try:
        list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        pytest.fail(f"these import each other: {' <- '.join(error.args[1])}")


def test_the_faiss_layer_imports_nothing_of_ours_but_the_errors() -> None:
    ours = from_packages(imports_of("indexes"), "vecstore", "cli")
    assert {name for name in ours if not name.startswith("vecstore.errors.")} == set()


def test_the_library_never_imports_the_command_line() -> None:
    assert from_packages(imports_of("vecstore"), "cli") == set()


def test_the_library_never_imports_what_serves_it() -> None:
    files = [file for file in (ROOT / "vecstore").rglob("*.py") if "web" not in file.relative_to(ROOT).parts]
    assert {name for file in files for name in imported(file) if name.startswith("vecstore.web")} == set()


def test_the_command_line_imports_no_array_database_or_index() -> None:
    foreign = ("numpy", "faiss", "sqlite3", "torch", "PIL", "onnxruntime", "indexes")
    assert from_packages(imports_of("cli"), *foreign) == set()


def test_all_sql_is_in_the_catalog() -> None:
    files = [*(ROOT / "vecstore").rglob("*.py"), *(ROOT / "cli").rglob("*.py"), *(ROOT / "indexes").rglob("*.py")]
    using = [file for file in files if "sqlite3" in imported(file)]
    assert using
    assert {file.parent for file in using} == {ROOT / "vecstore/storage/catalog"}
