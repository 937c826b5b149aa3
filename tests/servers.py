"""A Milvus server of the tests' own, from the PyPI wheel `milvus`: started, killed, and started again where it was."""

import functools
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.programs import DIE_WITH_PARENT


class MilvusServer:
    """One server over one folder. port: read back after the start; it stays the same over restarts."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        """settings: of the server's configuration, such as authorization_enabled."""
        self.folder = folder
        self.settings = settings
        self.port = 0
        self._server: Any = None

    def start(self) -> None:
        from milvus import MilvusServer as Wheel
        from milvus import MilvusServerConfig

        port = {"proxy_port": self.port} if self.port else {}
        config = MilvusServerConfig(**port)
        for name, value in self.settings.items():
            config.set(name, value)

        class Bound(Wheel):  # type: ignore[misc]
            """One that ends when this process does, however that ends."""

            def get_milvus_executable_path(self) -> str:
                return bound_to_parent(Path(super().get_milvus_executable_path()))

        self._server = Bound(config)
        self._server.set_base_dir(str(self.folder))
        self._server.start()  # returns when it is healthy
        self.port = self._server.listen_port

    def kill(self) -> None:
        """As `kill -9` does."""
        if self._server is not None:
            self._server.server_proc.kill()
            self._server.server_proc.wait()

    def start_again(self) -> None:
        """Where it was, with what it had; on the same port, which the wheel's own start finds taken for a minute."""
        self._server.server_proc = subprocess.Popen(
            [self._server.get_milvus_executable_path(), "run", "standalone"],
            cwd=self.folder,
            env={
                **os.environ,
                "DEPLOY_MODE": "STANDALONE",
                "METRICS_PORT": str(self._server.webservice_port),
                "MILVUS_RUN_DIR": str(self.folder / "run"),
                "LD_LIBRARY_PATH": str(self.folder / "bin"),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._server.wait_started()

    def stop(self) -> None:
        self.kill()  # it would take its time to say goodbye, and nothing of it is kept
        if self._server is not None:
            self._server.stop()
            self._server = None


def bound_to_parent(program: Path) -> str:
    """Return the path of what runs the program in its place, killed when the process dies that starts it."""
    if sys.platform != "linux":
        return str(program)
    bound = program.with_name(f"{program.name}-bound-to-parent")
    run = f"import os, sys\nos.execv({str(program)!r}, [{str(program)!r}, *sys.argv[1:]])\n"
    bound.write_text(f"#!{sys.executable}\n{DIE_WITH_PARENT}\n{run}")
    bound.chmod(0o755)
    return str(bound)


@functools.cache
def why_not() -> str | None:
    """Return why no Milvus can be tried here, None if it can."""
    try:
        import milvus  # noqa: F401
        import milvus_lite  # noqa: F401
        import pymilvus  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed; `scripts/test --engines` installs it and runs these"
    return None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
