"""kill -9, and power cuts, at any moment of any command; then the store must be what it was, or what it was to be.

Beside the store lives a twin that is given the same commands and never killed. A command is killed up to three times,
at a file call or at a point in time, and then run to its end: nothing that it had reported may be gone, the program's
own check must find nothing, and in the end the store must hold and answer what the twin does.
"""

from scripts.fault_injection.children import Ended
from scripts.fault_injection.interposer import Block, Fault, How, Kind
from scripts.fault_injection.power import Disk
from scripts.fault_injection.runs import Run
from scripts.fault_injection.scenario import Pool, Scenario, Step
from scripts.fault_injection.store_snapshot import EMPTY, StoreSnapshot

STEPS_A_STORE, MOST_KILLS = 12, 3
BY_TIME, POWER_CUT = 0.2, 0.4


def torture(run: Run, pool: Pool) -> None:
    number = 0
    while run.goes_on():
        if number % STEPS_A_STORE == 0:
            scenario = Scenario(run.scratch / "scenario", pool, run.random)
            if number % (2 * STEPS_A_STORE) == 0:
                scenario.begin_with_an_old_store()
            run.counts["stores"] += 1
        number += 1
        before = scenario.snapshot()
        if isinstance(before, str):
            run.found(before)
            number = 0
            continue
        is_old = before is not None and number % (2 * STEPS_A_STORE) == 1
        step = scenario.step("info") if is_old else scenario.next_step(before)
        if not _survives(run, scenario, step, before):
            number = 0  # what follows from a finding is none of its own


def _survives(run: Run, scenario: Scenario, step: Step, before: StoreSnapshot | None) -> bool:
    """Kill a command a few times, then run it to its end; say whether all was as it should be."""
    with scenario.twin() as twin:
        unharmed = Block(twin.parent, Fault(kinds=Kind.CHANGE | Kind.OPEN))
        done = scenario.run(step, unharmed, store=twin)
        after = scenario.snapshot(twin)
    if done.status or not isinstance(after, StoreSnapshot) or after.problems:
        problems = after.problems if isinstance(after, StoreSnapshot) else after
        run.found(f"{step}: without a kill: exit {done.status}, {done.err.strip()} {done.error} {problems}")
        return False
    for _ in range(run.random.randint(1, MOST_KILLS)):
        where, ended = _kill(run, scenario, step, unharmed.counted, done.seconds)
        run.counts[f"{where.split()[0]} kills" if ended.status < 0 else "not hit"] += 1
        run.counts[f"of {step.name}"] += ended.status < 0
        now = scenario.snapshot()
        if problem := _problem(now, before, after, step, ended):
            run.found(f"{step}, killed {where} (then exit {ended.status}): {problem}")
            return False
        if now is not None and not isinstance(now, str) and not now.differences(after):
            return True
    done = scenario.run(step)
    now = scenario.snapshot()
    found = now if isinstance(now, str) else now.differences(after) if now else "there is no store"
    if done.status or found:
        run.found(f"{step}, run to its end after kills: exit {done.status} {done.err.strip()} {done.error}; {found}")
    return not (done.status or found)


def _kill(run: Run, scenario: Scenario, step: Step, n_calls: int, seconds: float) -> tuple[str, Ended]:
    """Run the command and kill it at one moment; say which."""
    random = run.random
    chance = random.random()
    if chance < BY_TIME:
        after = random.uniform(0, seconds)
        return f"by-time after {after:.4f} s", scenario.run(step, kill_after=after)
    how = random.choice((How.KILL_BEFORE, How.KILL_AFTER, How.KILL_TORN))
    fault = Fault(random.randint(1, n_calls + 1), how, Kind.CHANGE | Kind.OPEN)
    if chance < BY_TIME + POWER_CUT:
        disk, journal = Disk(scenario.arena), run.scratch / "journal"
        block = Block(scenario.arena, fault, journal)
        ended = scenario.run(step, block)
        disk.replay(journal)
        disk.cut(random)
        return f"power-cut {fault} ({block.what})", ended
    block = Block(scenario.arena, fault)
    ended = scenario.run(step, block)
    return f"at-call {fault} ({block.what})", ended


def _problem(
    now: StoreSnapshot | None | str, before: StoreSnapshot | None, after: StoreSnapshot, step: Step, ended: Ended
) -> str:
    """Say what is wrong with the store after a kill; empty if nothing is."""
    if isinstance(now, str):
        return now
    if ended.hung:
        return "it hung"
    reported = max(ended.said, default=0)
    if now is None:
        return "the store is gone" if before is not None or reported or ended.status == 0 else ""
    if now.problems:
        return "; ".join(now.problems)
    if ended.status == 0:
        return now.differences(after)
    if len(now.rows) < reported:
        return f"{reported} rows were reported, {len(now.rows)} are there"
    if step.gradual:
        return now.is_on_the_way(before or EMPTY, after)
    if before is not None and now.differences(before) and now.differences(after):
        return f"neither as before ({now.differences(before)}) nor as after ({now.differences(after)})"
    return ""
