"""The page about Python runs as it stands, its sample is strictly typed, and every public name is documented."""

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vecstore
from tests.conftest import paint
from tests.programs import ROOT, run_code

SAMPLE = """
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vecstore import Encoded, Results, Store, StoreDataset, VecstoreError


def main(folder: Path) -> int:
    with Store.open(folder, embedder="hsv", create=True) as store:
        try:
            store.add(folder)
        except VecstoreError as error:
            print(error)
        store.similar("a.png", 12, b"", Encoded(b""), Image.new("RGB", (1, 1)), np.ones(3), torch.ones(3))
        ids, scores = store.nearest(np.ones((2, 3)), 5)
        store.nearest([1, "a.png", Path("b.png"), torch.ones(3)])
        total: float = float(scores.sum()) + sum(hit.score for hit in store.similar(0, k=3))
        names: list[str] = [image.paths[0] for image in store]
        hits: Results[object] = Results(store.duplicates())
        print(ids[0, 0], total, names, len(store), 1 in store, store.vectors[:3], store.labels, len(hits))
        return len(StoreDataset(store))
"""


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/python.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 9
    for seed in range(8):
        paint(tmp_path / f"pictures/{seed}.png", seed)
    said = run_code(f"import os; os.chdir({str(tmp_path)!r})\n" + "\n".join(blocks))
    assert "torch.Size([4, 32, 32, 3])" in said


def test_a_users_program_is_strictly_typed(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    command = [sys.executable, "-m", "mypy", "--strict"]  # with the cache of `scripts/check`, if there is one
    command += ["--config-file", str(ROOT / "pyproject.toml"), "--follow-imports=silent", str(tmp_path / "sample.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [name for name in vecstore.__all__ if name != "__version__"])
def test_every_public_name_is_documented(name: str) -> None:
    found = getattr(vecstore, name)
    members = {
        called: getattr(member, "__func__", member)
        for called, member in vars(found).items()
        if not called.startswith("_") and (callable(member) or isinstance(member, property | classmethod))
    }
    undocumented = [called for called, member in members.items() if not inspect.getdoc(member)]
    fields = [field.name for field in dataclasses.fields(found)] if dataclasses.is_dataclass(found) else []
    assert inspect.getdoc(found)
    assert undocumented == []
    assert fields in ([], ["data"])


def test_the_public_names_are_those_that_can_be_had() -> None:
    assert sorted([*vecstore.MODULES, "__version__"]) == vecstore.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vecstore.nothing
