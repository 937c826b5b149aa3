"""What the tests start ends with them, also when they are killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.programs import ROOT, environment

# Starts something that would go on for a minute, says its number, and waits to be killed.
PROGRAM = """
import sys
from tests.programs import start_program
print(start_program("serve", "--store", sys.argv[1], prelude="import time; time.sleep(60)").pid, flush=True)
sys.stdin.read()
"""
SERVER = """
import subprocess, sys
from pathlib import Path
from tests.servers import bound_to_parent
server = Path(sys.argv[1]) / "server"
server.write_text("#!/bin/sh\\nexec sleep 60\\n")
server.chmod(0o755)
print(subprocess.Popen([bound_to_parent(server)]).pid, flush=True)
sys.stdin.read()
"""


def is_running(process: int) -> bool:
    """Say whether the process is there; one that nobody has waited for yet is not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="processes are bound to their parent on Linux alone")
@pytest.mark.parametrize("code", [PROGRAM, SERVER], ids=["program", "server"])
def test_what_a_killed_test_run_has_started_is_killed(code: str, tmp_path: Path) -> None:
    starting = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with starting:
        assert starting.stdout is not None
        started = int(starting.stdout.readline())
        time.sleep(1)  # it has to be as far as binding itself
        was_running = is_running(started)
        starting.kill()
    limit = time.monotonic() + 10
    while is_running(started) and time.monotonic() < limit:
        time.sleep(0.02)
    left_over = is_running(started)
    if left_over:
        os.kill(started, signal.SIGKILL)
    assert (was_running, left_over) == (True, False)
