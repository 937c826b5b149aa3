"""A trash of the test's own in place of the user's."""

from pathlib import Path

import pytest


def use_trash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let files go to a trash in the folder, and return where they are then. Skips where it is not freedesktop's."""
    folder.mkdir(parents=True, exist_ok=True)
    trash = pytest.importorskip("send2trash.plat_other", reason="only freedesktop's trash can be put elsewhere")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    monkeypatch.setattr("send2trash.send2trash", trash.send2trash)
    monkeypatch.setattr(trash, "XDG_DATA_HOME", bytes(folder))
    monkeypatch.setattr(trash, "HOMETRASH_B", bytes(folder / "Trash"))
    monkeypatch.setenv("HOME", str(folder))
    return folder / "Trash" / "files"
