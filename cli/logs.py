"""What is logged, where: a few lines for a person on stderr, everything as JSON lines in a file when asked for.

Nothing is sent anywhere. A line of the file has `time` (UTC), `level`, `logger`, `message`, and for an unexpected error
`exception`; whatever else a record was given stands under `fields`.
"""

import logging
import sys
import time
from pathlib import Path
from typing import Any

from vecstore.errors import BadInput
from vecstore.json_text import to_json

# What every record has; the rest was given with `extra`.
PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
# Told to a person also without --verbose, unless they ask for quiet: fetching weights takes a while, and happens once;
# what a scan has left out would be missed.
ALOUD = ("vecstore.embedders", "vecstore.sources.exclusions")


class ForPeople(logging.Filter):
    """Lets through warnings; with `verbose` everything; with `aloud` what one would wait for in vain otherwise."""

    verbose = False
    aloud = False

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING or self.verbose:
            return True
        is_for_all = record.levelno >= logging.INFO and not record.exc_info
        return self.aloud and is_for_all and record.name.startswith(ALOUD)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        fields = {name: value for name, value in vars(record).items() if name not in PLAIN}
        if fields:
            line["fields"] = fields
        return to_json(line, default=str)


for_people = ForPeople()


def begin(verbose: bool, file: Path | None) -> None:
    """Log to stderr, and all from INFO on to `file`, if one is given. Raises BadInput if it cannot be written."""
    root = logging.getLogger()
    for_people.verbose, for_people.aloud = verbose, False
    for handler in [handler for handler in root.handlers if isinstance(handler, _Stderr | _File)]:
        root.removeHandler(handler)
        handler.close()
    on_stderr = _Stderr()
    on_stderr.setFormatter(logging.Formatter("%(message)s"))
    on_stderr.addFilter(for_people)
    root.addHandler(on_stderr)
    # Only what somebody is going to read is put together.
    root.setLevel(logging.INFO if verbose or file is not None else logging.WARNING)
    for name in ALOUD:
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it tells which of its builds it tried
    if file is None:
        return
    try:
        lines = _File(file, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise BadInput(f"the log {file} cannot be written: {error.strerror}; name another --log-file") from error
    lines.setFormatter(JsonLines())
    root.addHandler(lines)


class _Stderr(logging.StreamHandler[Any]):
    def __init__(self) -> None:
        super().__init__(sys.stderr)


class _File(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Go on without the log: a full disk must not stop what is logged."""
