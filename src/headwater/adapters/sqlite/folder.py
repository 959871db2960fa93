"""The data folder of one instance: who it belongs to, and that nobody else uses it."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from headwater.errors import ConfigurationError, DataFolderInUse, StoreForeign

__all__ = ["DataFolder"]

FORMAT = 1


class DataFolder:
    """`modules/` holds a database for each module, `run/` the sockets of running processes.

    One instance at a time: `acquire` takes a lock that ends with the process, however it ends. The
    workers of an instance inherit the lock's descriptor (`fileno`) and `join` instead.
    """

    def __init__(self, path: Path, *, app: str) -> None:
        self.path = path
        self.app = app
        self.modules = path / "modules"
        self.run = path / "run"
        self._lock = -1

    def acquire(self) -> None:
        """Create the folder if need be, check whose it is, and lock it.

        Raises DataFolderInUse, StoreForeign, ConfigurationError.
        """
        try:
            for folder in (self.path, self.modules, self.run):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / "instance.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"the data folder {self.path} cannot be used: {error.strerror}; choose another with --data"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise DataFolderInUse(
                f"the data folder {self.path} is in use by process {owner}; stop it, or choose another with --data"
            ) from None
        try:
            self._check_owner()
        except BaseException:
            os.close(lock)
            raise
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def join(self, descriptor: int) -> None:
        """Use a lock that the supervisor holds and this worker has inherited."""
        self._lock = descriptor

    def fileno(self) -> int:
        """Return the lock's descriptor, for workers to inherit."""
        return self._lock

    def release(self) -> None:
        """Let go of the lock; harmless when it is not held."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _check_owner(self) -> None:
        path = self.path / "instance.json"
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            app, version = said["app"], said["format"]
        except FileNotFoundError:
            strangers = [p.name for p in self.modules.iterdir()]
            if strangers:
                raise StoreForeign(
                    f"{self.path} holds data ({', '.join(sorted(strangers)[:3])}) but no instance.json that says whose"
                ) from None
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps({"app": self.app, "format": FORMAT}) + "\n", encoding="utf-8")
            fresh.replace(path)
            return
        except (ValueError, KeyError, TypeError) as error:
            raise StoreForeign(f"{path} is not readable as this instance's description: {error}") from None
        if app != self.app:
            raise StoreForeign(
                f"the data folder {self.path} belongs to application {app!r}, this is {self.app!r}; "
                "choose another with --data"
            )
        if version != FORMAT:
            raise StoreForeign(f"the data folder {self.path} has format {version}, this version reads {FORMAT}")
