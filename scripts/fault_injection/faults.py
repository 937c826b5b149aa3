"""Failing file calls: each call of each command in turn, in every way that it fails; then the store is as before.

As SQLite's own tests do. The command has to end with one clear line and an exit code that says so, or succeed as if
nothing had been; afterwards, on a disk that works again, the store must be what it was or what it was to become (of an
add: anything on the way), its check must find nothing, and the same command must do its work.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.fault_injection.children import Ended
from scripts.fault_injection.interposer import Block, Fault, How, Kind
from scripts.fault_injection.runs import Run
from scripts.fault_injection.scenario import ASKING, STEPS, Pool, Scenario, Step
from scripts.fault_injection.store_snapshot import EMPTY, StoreSnapshot

CREATE, UPGRADE = "create", "upgrade"


@dataclass(frozen=True)
class Case:
    """One command on one state of the store, with what the store is before and after it. counted: its calls by kind."""

    step: Step
    kept: Path
    before: StoreSnapshot | None
    after: StoreSnapshot
    counted: dict[Kind, int]

    def faults(self) -> Iterator[Fault]:
        """Yield everything that is to be tried: every call, in every way that it can fail."""
        for kind, number in self.counted.items():
            for nth in range(1, number + 1):
                yield Fault(nth, How.FAIL, kind, errno.EIO)
                if kind in (Kind.WRITE, Kind.OPEN, Kind.TRUNCATE, Kind.MKDIR, Kind.RENAME):
                    yield Fault(nth, How.FAIL, kind, errno.ENOSPC)
                if kind == Kind.WRITE:
                    yield Fault(nth, How.SHORT, kind)
                    yield Fault(nth, How.SHORT, kind, lasting=True)
                    yield Fault(nth, How.FAIL, kind, errno.ENOSPC, lasting=True)
                if kind == Kind.RENAME:
                    yield Fault(nth, How.LOSE, kind)
                if kind == Kind.OPEN:
                    yield Fault(nth, How.FAIL, kind, errno.EMFILE)
        yield Fault(1, How.FAIL, Kind.CHANGE, errno.EROFS, lasting=True)
        yield Fault(1, How.FAIL, Kind.SYNC, errno.EIO, lasting=True)


def torture(run: Run, pool: Pool) -> None:
    """Go through all commands in a random order; of a run that is bounded, each gets its share of what is left."""
    scenario = Scenario(run.scratch / "scenario", pool, run.random)
    names = [CREATE, *STEPS, *ASKING, UPGRADE]
    run.random.shuffle(names)
    new = scenario.keep()
    for name in ("add", "sync", "add", "cluster", "index", "import", "remove", "cluster"):
        scenario.run(scenario.step(name, _as_it_is(scenario) if scenario.store.exists() else None))
    living = scenario.keep()
    for number, name in enumerate(names):
        if run.is_over():
            break
        share = run.share(len(names) - number)
        scenario.restore(new if name == CREATE else living)
        scenario.restore(scenario.keep())  # what is written from now on is not to be in what is kept
        case = _case(scenario, name)
        todo = list(case.faults())
        run.counts["commands"] += 1
        run.counts["faults there are"] += len(todo)
        run.random.shuffle(todo)  # so that a short run is a sample of all
        for fault in todo:
            if not share.goes_on():
                break
            _withstands(run, scenario, case, fault)


def _as_it_is(scenario: Scenario) -> StoreSnapshot:
    found = scenario.snapshot()
    if not isinstance(found, StoreSnapshot):
        raise RuntimeError(f"the store to be tortured is not well: {found}")
    return found


def _case(scenario: Scenario, name: str) -> Case:
    """Run the command unharmed once, counting its calls."""
    if name == "redo":
        scenario.run(scenario.step("undo"))
    now = None if name == CREATE else _as_it_is(scenario)
    step = scenario.step("add" if name == CREATE else name, now)
    kept, before, block = scenario.keep(), scenario.snapshot(), Block(scenario.arena, Fault())
    ended = scenario.run(step, block)
    if ended.status:
        raise RuntimeError(f"{step}, unharmed: exit {ended.status} {ended.err} {ended.error}")
    counted = {kind: block.counted_of(kind) for kind in Kind.ANY}
    return Case(step, kept, before if isinstance(before, StoreSnapshot) else None, _as_it_is(scenario), counted)


def _withstands(run: Run, scenario: Scenario, case: Case, fault: Fault) -> None:
    scenario.restore(case.kept)
    block = Block(scenario.arena, fault)
    ended = scenario.run(case.step, block)
    where = f"{case.step}: {fault} ({block.what})"
    run.counts["faults tried"] += block.fired
    run.counts["not met"] += not block.fired
    run.counts["refused"] += ended.status > 0
    run.counts["withstood"] += ended.status == 0 and block.fired
    if problem := _manners(ended):
        run.found(f"{where}: {problem}")
    if problem := _harm(scenario, case, ended):
        run.found(f"{where}: exit {ended.status} {ended.err.strip()[-300:]}; then {problem}")


def _manners(ended: Ended) -> str:
    """Say what is wrong with how a command took a fault; empty if it said what it should."""
    lines = ended.err.strip().splitlines()
    errors = [line for line in lines if line.startswith("Error: ")]
    if ended.hung:
        return "it hung"
    if ended.error or "Traceback" in ended.err or "Exception ignored" in ended.err:
        return f"a traceback (exit {ended.status}): {(ended.error or ended.err).strip()[-1500:]}"
    if ended.status not in (0, 1, 3):
        return f"exit {ended.status}: {ended.err.strip()}"
    if len(errors) != (ended.status != 0):
        return f"exit {ended.status} with {len(errors)} lines of error: {ended.err.strip()}"
    return ""


def _harm(scenario: Scenario, case: Case, ended: Ended) -> str:
    """Say what a fault has done to the store, on a disk that works again; empty if nothing."""
    now = scenario.snapshot()
    if isinstance(now, str):
        return now
    if now is not None and now.problems:
        return "; ".join(now.problems)
    if now is None:
        if case.before is not None or ended.status == 0:
            return "the store is gone"
    elif ended.status == 0 and not case.step.answers_only:
        return now.differences(case.after)
    elif case.step.gradual:
        if problem := now.is_on_the_way(case.before or EMPTY, case.after):
            return problem
    elif now.differences(case.before or EMPTY) and now.differences(case.after):
        return f"neither as before ({now.differences(case.before or EMPTY)}) nor as after"
    if now is not None and not now.differences(case.after):
        return ""
    again = scenario.run(case.step)
    now = scenario.snapshot()
    if again.status or not isinstance(now, StoreSnapshot) or now.differences(case.after):
        found = now.differences(case.after) if isinstance(now, StoreSnapshot) else now
        return f"run again: exit {again.status} {again.err.strip()} {found}"
    return ""
