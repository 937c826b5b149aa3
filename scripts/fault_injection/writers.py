"""Several processes that add to one store at once: every image is there, each once; who waits says so, and gives up.

The processes are real ones, started at the same moment, with folders that overlap; they create the store together. One
that waits must say so, and one that may not wait as long as it takes must end with one clear line, having done nothing.
"""

import os
import time
from pathlib import Path

from scripts.fault_injection.children import Child, Ended, call
from scripts.fault_injection.runs import Run
from scripts.fault_injection.scenario import Pool, Scenario, run_command
from scripts.fault_injection.store_snapshot import StoreSnapshot

CROWDS = (2, 10)
PICTURES_EACH, SHARED = 12, 6
# For one who waits in vain. What the program itself has is the torture's own limit for whatever hangs.
PATIENCE_SECONDS = 5.0
BUSY = "another process is writing to the store"


def torture(run: Run, pool: Pool) -> None:
    while run.goes_on():
        for crowd in CROWDS:
            _all_at_once(run, Scenario(run.scratch / "scenario", pool, run.random), crowd)
        _one_that_does_not_end(run, Scenario(run.scratch / "scenario", pool, run.random))


def _all_at_once(run: Run, scenario: Scenario, crowd: int) -> None:
    """Let so many processes add overlapping folders until each has succeeded; then count."""
    folders, contents = [], scenario.pool.contents
    for number in range(crowd):
        folders.append(scenario.pictures / f"of-{number}")
        for picture in range(PICTURES_EACH):
            # The last few of each are the first few of the next: the same content under another path.
            content = contents[(number * (PICTURES_EACH - SHARED) + picture) % len(contents)]
            scenario.write(folders[-1] / f"{picture}.png", content)
    ended = _add_together(run, scenario, folders)
    now = scenario.snapshot()
    expected = {bytes(file) for file in scenario.files()}
    n_contents = len({file.read_bytes() for file in scenario.files()})
    if not isinstance(now, StoreSnapshot) or now.problems:
        run.found(f"{crowd} writers: {now.problems if isinstance(now, StoreSnapshot) else now}")
    elif {*now.paths} != expected or len(now.rows) != n_contents or now.failures:
        run.found(f"{crowd} writers: {len(now.paths)} of {len(expected)} paths, {len(now.rows)} of {n_contents} images")
    for each in ended:
        if each.status or each.error or "Traceback" in each.err:
            run.found(f"{crowd} writers: exit {each.status} {(each.error or each.err)[-800:]}")
    run.counts[f"crowds of {crowd}"] += 1


def _add_together(run: Run, scenario: Scenario, folders: list[Path]) -> list[Ended]:
    arguments = [["add", str(folder), "--store", str(scenario.store), "--embedder", "hsv"] for folder in folders]
    children = [Child(run_command, each) for each in arguments]
    ended = [child.wait() for child in children]
    for number, each in enumerate(ended):
        run.counts["said that they wait"] += "waiting" in each.err
        while each.status == 1 and BUSY in each.err:  # it gave up, and said so: then it is for the caller to try again
            run.counts["gave up and were started again"] += 1
            each = ended[number] = call(run_command, arguments[number])
    return ended


def _one_that_does_not_end(run: Run, scenario: Scenario) -> None:
    """Let one process hold the lock: another must say that it waits, give up with one line, and change nothing."""
    scenario.run(scenario.step("add"))
    before = scenario.snapshot()
    holder = Child(_hold_the_lock, scenario.store)
    while not (scenario.arena / "held").exists():
        time.sleep(0.01)
    began = time.monotonic()
    step = scenario.step("add", before if isinstance(before, StoreSnapshot) else None)
    gave_up = scenario.run(step, program=_run_impatiently)
    os.kill(holder.pid, 9)
    holder.wait()
    errors = [line for line in gave_up.err.splitlines() if line.startswith("Error: ")]
    if gave_up.status != 1 or len(errors) != 1 or BUSY not in errors[0]:
        run.found(f"a writer that has to wait too long: exit {gave_up.status} {gave_up.err}")
    if "waiting" not in gave_up.err:
        run.found(f"a writer that waits {time.monotonic() - began:.1f} s does not say so: {gave_up.err}")
    now = scenario.snapshot()
    if not isinstance(now, StoreSnapshot) or not isinstance(before, StoreSnapshot) or now.differences(before):
        run.found("a writer that gave up has changed the store")
    run.counts["gave up on one that holds on"] += 1


def _run_impatiently(arguments: list[str]) -> None:
    from vecstore.storage import lock

    lock.LOCK_TIMEOUT_SECONDS = PATIENCE_SECONDS
    run_command(arguments)


def _hold_the_lock(store: Path) -> None:
    from vecstore.store import Store

    with Store.open(store) as opened, opened.session.writing():
        (store.parent / "held").touch()
        time.sleep(600)
