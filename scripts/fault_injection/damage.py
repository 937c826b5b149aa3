"""Flipped, zeroed, cut and shuffled bytes in every file of a store: noticed or harmless, and never believed.

Every question is asked of the damaged store, and the program's own check runs over it. An answer that comes has to be
the right one, or `check` has to say that something is wrong. The one exception is written down in docs/durability.md:
the catalog has no checksums, so a byte that makes another possible path, time or name of it is not told from the right
one; such answers are counted. Nothing may end in a traceback, a hang, or more memory than it could take.
"""

import os
import resource
import shutil
import traceback
from pathlib import Path
from random import Random
from typing import Any

from scripts.fault_injection.children import call
from scripts.fault_injection.runs import Run
from scripts.fault_injection.scenario import Pool, Scenario, Step, run_command
from scripts.fault_injection.store_snapshot import questions
from vecstore.errors import VecstoreError
from vecstore.store import Store

# What the process may take beside what it has: a damaged length must not become an allocation.
MEMORY_BYTES = 2 << 30
# Asked through the command line, and not only of the library: every so many rounds.
BY_COMMAND = 10
COMMANDS = (("info",), ("similar", "@0"), ("clusters",), ("duplicates",), ("failures",), ("members", "0"))
REFUSED = "refused"
# Ids and scores: they come of vectors, and are compared without the catalog's words beside them.
UNDER_CHECKSUMS = {"similar", "by the index"}


def torture(run: Run, pool: Pool) -> None:
    scenario = Scenario(run.scratch / "scenario", pool, run.random)
    kept = _a_store_with_everything(scenario)
    truth = _asked(scenario.store)
    files = sorted(path.relative_to(kept / "arena") for path in (kept / "arena").rglob("*") if path.is_file())
    files = [file for file in files if (kept / "arena" / file).stat().st_size]
    number = 0
    while run.goes_on():
        shutil.rmtree(scenario.arena)
        shutil.copytree(kept / "arena", scenario.arena)
        file = files[number % len(files)]
        content, way = damaged((scenario.arena / file).read_bytes(), run.random)
        (scenario.arena / file).write_bytes(content)
        what = f"{file.name}: {way}"
        run.counts[f"damages to {file.name}"] += 1
        _judge(run, scenario, what, truth)
        if number % BY_COMMAND == 0:
            _by_command(run, scenario, what)
        number += 1


def damaged(content: bytes, random: Random) -> tuple[bytes, str]:
    """Return the content of a file damaged in one of the ways in which files are damaged, and which."""
    found, size = bytearray(content), len(content)
    way = random.choice(("flip a bit", "flip a bit", "flip a bit", "random bytes", "zeros", "cut", "append", "move"))
    at, length = random.randrange(size), random.choice((1, 4, 64, 512, 4096))
    there = len(found[at : at + length])
    if way == "flip a bit":
        found[at] ^= 1 << random.randrange(8)
    elif way == "random bytes":
        found[at : at + there] = random.randbytes(there)
    elif way == "zeros":
        found[at : at + there] = bytes(there)
    elif way == "cut":
        del found[at:]
    elif way == "append":
        found += random.randbytes(length)
    else:
        to = random.randrange(size - there + 1)
        found[to : to + there] = found[at : at + there]
    return bytes(found), f"{way} at {at} of {size} ({length} bytes)"


def _a_store_with_everything(scenario: Scenario) -> Path:
    """Make a store with removed images, clusterings, names, failures and an index; return where it is kept."""
    for name in ("add", "sync", "add", "cluster", "name", "import", "add", "remove", "cluster", "name"):
        ended = scenario.run(scenario.step(name, scenario.snapshot()))  # type: ignore[arg-type]
        if ended.status:
            raise RuntimeError(f"{name}: exit {ended.status} {ended.err} {ended.error}")
    scenario.run(Step("index", ("--kind", "rabitq", "--rebuild")))
    return scenario.keep()


def _ask_everything(store: Path) -> dict[str, Any]:
    """In a child: return the answer to each question, or how it was refused."""
    here = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (here + MEMORY_BYTES, here + MEMORY_BYTES))
    try:
        with Store.open(store) as opened:
            return {name: _attempt(opened, ask) for name, ask in questions(opened).items()}
    except (VecstoreError, OSError) as error:
        return {"open": (REFUSED, str(error))}


def _attempt(store: Store, ask: Any) -> Any:
    try:
        return ask()
    except (VecstoreError, OSError) as error:
        return (REFUSED, str(error))
    except Exception as error:  # the program then says whether the store is damaged, as here
        damage = store.damage()
        return ("traceback", traceback.format_exc()) if damage is None else (REFUSED, f"{error}: {damage}")


def _asked(store: Path) -> dict[str, Any]:
    ended = call(_ask_everything, store)
    if ended.value is None:
        return {"crash": f"status {ended.status}{' hung' if ended.hung else ''}: {(ended.error or ended.err)[-1500:]}"}
    return dict(ended.value)


def _judge(run: Run, scenario: Scenario, what: str, truth: dict[str, Any]) -> None:
    answers = _asked(scenario.store)
    if "crash" in answers:
        run.found(f"{what}: {answers['crash']}")
        return
    refused = {name for name, answer in answers.items() if _is(answer, REFUSED)}
    for name, answer in answers.items():
        if _is(answer, "traceback"):
            run.found(f"{what}: {name}: {answer[1][-1500:]}")
    given = answers.keys() - refused
    wrong = {name for name in given if not _is(answers[name], "traceback") and answers[name] != truth[name]}
    checked = call(run_command, ["check", "--store", str(scenario.store)])
    if checked.error or checked.status not in (0, 1, 3):
        run.found(f"{what}: check: exit {checked.status} {(checked.error or checked.err)[-1500:]}")
    noticed = checked.status != 0
    if wrong and not noticed and what.startswith("catalog.sqlite") and not wrong & UNDER_CHECKSUMS:
        run.counts["other words of the catalog, not noticed"] += 1
    elif wrong and not noticed:
        some = sorted(wrong)[0]
        run.found(f"{what}: wrong and not noticed: {some}: {str(answers[some])[:300]} not {str(truth[some])[:300]}")
    run.counts["harmless" if not (wrong or refused or noticed) else "noticed"] += 1
    run.counts["refused by what met it"] += bool(refused)
    run.counts["reported by check"] += noticed


def _is(answer: Any, what: str) -> bool:
    return isinstance(answer, tuple) and len(answer) == 2 and answer[0] == what


def _by_command(run: Run, scenario: Scenario, what: str) -> None:
    arguments = run.random.choice(COMMANDS)
    ended = call(run_command, [*arguments, "--store", str(scenario.store)])
    run.counts["commands"] += 1
    if ended.error or ended.hung or ended.status not in (0, 1, 3) or "Traceback" in ended.err:
        run.found(f"{what}: {' '.join(arguments)}: exit {ended.status} {(ended.error or ended.err)[-1500:]}")
