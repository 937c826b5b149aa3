"""The `vecstore` program as a process of its own: for signals, kills, imports and terminals."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

# Whatever a test starts ends with it: pytest may be killed, and then it cleans nothing up. Linux alone knows this.
DIE_WITH_PARENT = """
import ctypes, signal
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
"""

# `hsv` slowed to a known pace, and commits after every eight files, so that a signal or a kill lands in the middle.
# "ready" is printed when the first file is about to be looked at.
SLOWLY = """
import time
from vecstore.ingest import pipeline
from vecstore.embedders.hsv import Hsv

pipeline.COMMIT_FILES = 8
embed, run = Hsv.embed, pipeline.Ingest.run

def embed_slowly(embedder, prepared):
    time.sleep(0.03)
    return embed(embedder, prepared)

def run_aloud(*arguments):
    print("ready", flush=True)
    return run(*arguments)

Hsv.embed, pipeline.Ingest.run = embed_slowly, run_aloud
"""


def command(*arguments: str | Path, prelude: str = "") -> list[str]:
    """The command line of the program, after the Python code of `prelude`."""
    # Whoever runs the tests may ignore Ctrl-C (a shell's background job does), and children inherit that.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    bound = DIE_WITH_PARENT if sys.platform == "linux" else ""
    code = f"{heard}\n{bound}\n{prelude}\nfrom cli.app import main\nmain()"
    return [sys.executable, "-c", code, *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """This process's environment, with the checkout under test first among the modules and no store of the user's."""
    kept = {name: value for name, value in os.environ.items() if name != "VECSTORE_STORE"}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def run_program(
    *arguments: str | Path, prelude: str = "", env: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments, prelude=prelude),
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def start_program(*arguments: str | Path, prelude: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments, prelude=prelude),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_code(code: str, arguments: Sequence[str | Path] = (), env: dict[str, str] | None = None) -> str:
    """What Python code prints that runs in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout
