"""The doctor: what is slow or missing here, said with what to do about it."""

import json
import os
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from cli.app import app
from tests.programs import ROOT
from vecstore.maintenance import doctor, machine

KEYS = {"check", "ok", "found", "advice"}


class Usage(NamedTuple):
    free: int


def check_of(name: str, store: Path) -> doctor.Check:
    return next(one for one in doctor.diagnose(store) if one.check == name)


def test_every_line_says_what_was_looked_at_and_what_to_do(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--json", "--store", str(tmp_path / "not there yet")])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {frozenset(line) for line in lines} == {frozenset(KEYS)}
    assert [line for line in lines if not line["ok"] and not line["advice"]] == []
    assert done.exit_code == (0 if all(line["ok"] for line in lines) else 1)


def test_every_extra_is_looked_for_and_in_the_docs() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    table = (ROOT / "docs/installing.md").read_text().partition("| extra |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert {*machine.EXTRAS} == named == {*extras} - {"dev", "docs"}


def test_a_full_disk_is_one_line_and_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: Usage(free=5_000_000))
    done = CliRunner().invoke(app, ["doctor", "--quiet", "--store", str(tmp_path)])
    assert (done.exit_code, f"look  store space  0.0 GB free at {tmp_path}\n" in done.stdout) == (1, True)
    assert "\nok " not in done.stdout


def test_two_faiss_with_the_same_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "version_of", lambda package: "1.15.1")
    found = check_of("faiss", tmp_path)
    assert (found.ok, found.found) == (False, "faiss-gpu 1.15.1 and faiss-cpu 1.15.1")


def test_a_card_without_a_driver_is_told_from_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "gpu_names", lambda: [])
    monkeypatch.setattr(doctor, "has_driver", lambda: False)
    monkeypatch.setattr(doctor, "PCI", tmp_path)
    assert check_of("gpu", tmp_path).ok
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0/vendor").write_text("0x10de\n")
    (tmp_path / "0000:01:00.0/class").write_text("0x030200\n")
    found = check_of("gpu", tmp_path)
    assert (found.ok, found.found, found.advice) == (
        False,
        "an NVIDIA card without a driver",
        "install NVIDIA's driver",
    )


def test_a_gpu_that_torch_was_not_built_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "gpu_names", lambda: ["NVIDIA H100"])
    monkeypatch.setattr(machine, "torch_cuda", lambda: None)
    assert check_of("gpu", tmp_path).found == "NVIDIA H100, which this torch cannot use"
    monkeypatch.setattr(machine, "torch_cuda", lambda: "13.0")
    assert check_of("gpu", tmp_path) == doctor.Check("gpu", True, "NVIDIA H100; torch for CUDA 13.0")


@pytest.mark.parametrize(("text", "ok"), [("8192\n", False), ("524288\n", True), ("?", True)])
def test_few_watches_are_told_with_the_setting(text: str, ok: bool, tmp_path: Path) -> None:
    (tmp_path / "max").write_text(text)
    found: Any = doctor._watches(tmp_path / "max")
    assert (found.ok, "max_user_watches" in (found.advice or "")) == (ok, not ok)


def test_a_network_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "network_file_system", lambda _place: "nfs4")
    assert check_of("store disk", tmp_path).found == f"{tmp_path} is on nfs4, a network file system"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("VECSTORE_CACHE", str(tmp_path))
    assert not check_of("cache", tmp_path).ok
