"""A kill in the midst of an act, without a process: nothing after the n-th change of a file is done."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from send2trash import plat_other

from vecstore.curation import file_acts, trash
from vecstore.storage import durable_files

CHANGES = ("open", "replace", "rename", "unlink", "link", "symlink", "chmod", "utime", "fsync", "mkdir")


class Killed(BaseException):
    """No error that a program could see to: it is gone."""


class Interrupted:
    """What stands for the module `os` in those that touch files."""

    def __init__(self, number: int, after: bool) -> None:
        self.left = number
        self.after = after

    def __getattr__(self, name: str) -> Any:
        call = getattr(os, name)
        return self._counted(call) if name in CHANGES else call

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left < 0 or (self.left == 0 and not self.after):
                raise Killed
            result = call(*arguments, **options)
            if self.left == 0:
                if isinstance(result, int):
                    os.close(result)
                raise Killed
            return result

        return counted


@contextmanager
def killed_at(number: int, *, after: bool) -> Iterator[None]:
    """Let the n-th call that opens or changes a file, from 1 on, not return; after: it was done all the same."""
    with ExitStack() as patched:
        stand_in = Interrupted(number, after)
        for module in (file_acts, trash, durable_files, plat_other):
            patched.enter_context(patch.object(module, "os", stand_in))
        yield
