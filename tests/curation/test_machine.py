"""Files, links, decisions, acts, kills and undo in any order: each content keeps a file that can be read.

The model looks at the files with nothing of vecstore's. What people do to their files may lose a content; what vecstore
does never may. Decisions are a dict beside the store, by content.
"""

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from PIL import Image

from tests.curation.interruptions import Killed, killed_at
from tests.curation.trash_bin import use_trash
from vecstore.errors import NotFound, NothingAdded
from vecstore.store import Store


def _picture(seed: int, side: int) -> bytes:
    colours = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours).resize((side, side), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


# Three pictures, the first in two sizes, which are near to each other.
CONTENTS = (_picture(0, 8), _picture(0, 16), _picture(1, 8), _picture(2, 8))
PLACES = tuple(Path(folder) / name for folder in ("a", "b") for name in ("1.png", "2.png", "3.png"))
RULES = ((), ("pixels",), ("oldest", "folder:a"), ("folder:b", "newest"), ("path:2.png", "bytes"), ("format:png",))

places = st.sampled_from(PLACES)
numbers = st.integers(0, 30)
acts = st.sampled_from(["trash", "move", "hardlink", "symlink", "delete"])
kills = st.one_of(st.none(), st.tuples(st.integers(1, 25), st.booleans()))


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class FilesAndActs(RuleBasedStateMachine):
    scratch: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = self.scratch / "pictures"
        for left in self.scratch.iterdir():
            shutil.rmtree(left)
        (self.scratch / "data").mkdir()
        self.seconds = 1_000_000
        self.decided: dict[tuple[str, str], str] = {}
        self.store = Store.open(self.scratch / "store", embedder="tiny", create=True)

    @initialize()
    def begin(self) -> None:
        for place, content in zip(PLACES, (0, 0, 1, 0, 2, 3), strict=True):
            self.write(place, content)
        self.store.add(self.folder)

    def teardown(self) -> None:
        if self.store.session.exists:
            assert self.store.check() == []
        self.store.close()

    # What people do

    @rule(
        what=st.sampled_from(["write", "write", "remove", "hardlink", "symlink", "move a folder"]),
        place=places,
        to=places,
        content=st.integers(0, len(CONTENTS) - 1),
        is_seen=st.booleans(),
    )
    def people(self, what: str, place: Path, to: Path, content: int, is_seen: bool) -> None:
        """Change files; is_seen: and let the store look at them, which then has them as they are."""
        if what == "write":
            self.write(place, content)
        elif what == "remove":
            (self.folder / place).unlink(missing_ok=True)
        elif what == "move a folder":
            self._move_folder()
        elif place != to and (self.folder / to).is_file():
            path = self._made_way(place)
            if (self.folder / to).is_file():  # it was no link to what made way
                (path.hardlink_to if what == "hardlink" else path.symlink_to)(self.folder / to)
        if is_seen and self._pictures():
            self._keeping_contents(lambda: self.store.sync(self.folder))

    def write(self, place: Path, content: int) -> None:
        path = self._made_way(place)
        path.write_bytes(CONTENTS[content])
        self.seconds += 1
        os.utime(path, (self.seconds, self.seconds))

    def _move_folder(self) -> None:
        """A folder moves away, or back."""
        moved = self.scratch / "elsewhere"
        if (self.folder / "a").is_dir() and not moved.exists():
            (self.folder / "a").rename(moved)
        elif moved.exists() and not (self.folder / "a").exists():
            moved.rename(self.folder / "a")

    # What vecstore does

    @rule(which=numbers, verdict=st.sampled_from(["different", "both", "keep", "keep"]))
    def decide(self, which: int, verdict: str) -> None:
        groups = list(self.store.duplicate_groups(min_score=0.9))
        if not groups:
            return
        group = groups[which % len(groups)]
        keep = group.files[which % len(group.files)].path if verdict == "keep" else None
        ids = list(dict.fromkeys(file.id for file in group.files))
        if len(ids) > 1 or len(self.store.image(ids[0]).paths) > 1:
            for decision in self.store.decide(*ids, verdict=verdict, keep=keep):
                self.decided[decision.one_sha256, decision.other_sha256] = decision.verdict

    @rule(act=acts, rules=st.sampled_from(RULES), near=st.booleans(), kill=kills)
    def act(self, act: str, rules: tuple[str, ...], near: bool, kill: tuple[int, bool] | None) -> None:
        rules = tuple(rule.replace("folder:", f"folder:{self.folder}/") for rule in rules)
        near = near and bool(rules) and act in ("trash", "move")
        name = f"move:{self.scratch / 'moved'}" if act == "move" else act
        self._run(
            lambda: self.store.act_on_duplicates(name, keep_by=rules, near=near, min_score=0.9, dry_run=False), kill
        )

    @rule(act=acts, rules=st.sampled_from(RULES[1:]), near=st.booleans(), kill=kills, again=kills)
    def act_and_turn_back(
        self,
        act: str,
        rules: tuple[str, ...],
        near: bool,
        kill: tuple[int, bool] | None,
        again: tuple[int, bool] | None,
    ) -> None:
        """Duplicates there are, an act, its undo, and redoing it."""
        for place, content in zip(PLACES, (0, 0, 1, 0, 1, 2), strict=True):
            if not (self.folder / place).exists():
                self.write(place, content)
        self._keeping_contents(lambda: self.store.add(self.folder))
        before = len(self.store.operations())
        self.act(act, rules, near, None)
        if len(self.store.operations()) > before:
            self.undo(False, kill)
            self.undo(True, again)

    @rule(act=st.sampled_from(["copy", "link", "move"]), which=numbers, kill=kills)
    def collect(self, act: str, which: int, kill: tuple[int, bool] | None) -> None:
        images = self.store.images(20)
        if images:
            row = images[which % len(images)].id
            self._run(lambda: self.store.collect(row, target=self.scratch / "collected", act=act), kill)

    @rule(redo=st.booleans(), kill=kills)
    def undo(self, redo: bool, kill: tuple[int, bool] | None) -> None:
        def turn() -> None:
            try:
                self.store.undo(redo=redo)
            except NotFound:
                pass

        kinds = {operation.kind for operation in self.store.operations()}
        self._run(turn, kill)
        if "decide" in kinds:  # it may have taken one back; what is left has to survive again
            self.decided = {(d.one_sha256, d.other_sha256): d.verdict for d in self.store.decisions()}

    # What is always so

    @invariant()
    def decisions_survive(self) -> None:
        if self.store.session.exists:
            assert {(d.one_sha256, d.other_sha256): d.verdict for d in self.store.decisions()} == self.decided

    @invariant()
    def what_was_decided_apart_is_in_no_group_together(self) -> None:
        if not self.store.session.exists:
            return
        contents = self.store.session.catalog.images.sha256_of
        for group in self.store.duplicate_groups(min_score=0.9):
            found = sorted({(contents(file.id) or b"").hex() for file in group.files})
            assert {self.decided.get(pair) for pair in combinations(found, 2)} <= {None, "keep"}

    # What the above are made of

    def _run(self, call: Callable[[], object], kill: tuple[int, bool] | None) -> None:
        """Make a call that may be killed; then the next writer finishes what was begun."""
        if kill is None:
            self._keeping_contents(call)
            return

        def killed() -> None:
            try:
                with killed_at(kill[0], after=kill[1]):
                    call()
            except Killed:
                self.store.close()
                self.store = Store.open(self.scratch / "store")

        self._keeping_contents(killed)
        self._keeping_contents(self.store.compact)
        assert self.store.session.catalog.acts.unfinished() == []
        assert not [path for path in self.scratch.rglob(".vecstore-*")]

    def _keeping_contents(self, call: Callable[[], object]) -> None:
        before = self._contents()
        try:
            call()
        except (NotFound, NothingAdded):
            pass
        assert before <= self._contents()

    def _contents(self) -> set[str]:
        """Every content that a file of its own has, wherever that is."""
        files = (path for path in self.scratch.rglob("*") if (self.scratch / "store") not in path.parents)
        pictures = {hashlib.sha256(content).hexdigest() for content in CONTENTS}
        return {sha256_of(path) for path in files if path.is_file() and not path.is_symlink()} & pictures

    def _pictures(self) -> list[Path]:
        return [path for path in self.folder.rglob("*.png") if path.is_file()]

    def _made_way(self, place: Path) -> Path:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        return path


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.usefixtures("one_thread")
def test_each_content_keeps_a_readable_file_and_decisions_survive(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_trash(scratch / "data", monkeypatch)
    bounded = settings(
        max_examples=int(os.environ.get("VECSTORE_EXAMPLES", "25")),
        stateful_step_count=12,
        deadline=None,
        derandomize="VECSTORE_EXAMPLES" not in os.environ,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    machine = type("Machine", (FilesAndActs,), {"scratch": scratch})
    run_state_machine_as_test(machine, settings=bounded)
