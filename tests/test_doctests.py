"""The examples in docstrings run, and give what they say."""

import doctest
import importlib
import subprocess
import sys

import pytest

MODULES = [
    "indexes.brute_force",
    "indexes.devices",
    "indexes.kmeans",
    "indexes.close_hashes",
    "indexes.near_duplicates",
    "vecstore.curation.xmp",
    "vecstore.search.conditions",
    "vecstore.search.filters",
    "vecstore.sources.paths",
    "vecstore.storage.catalog.near_names",
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_say(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0


def test_a_module_with_examples_loads_no_torch() -> None:
    code = (
        f"import importlib, json, sys; [importlib.import_module(m) for m in {MODULES}]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
