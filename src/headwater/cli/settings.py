"""What a serving process is told by the command that starts it."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from headwater.topology.project import Project

__all__ = ["Settings"]


class Settings(Struct, frozen=True, kw_only=True):
    """What a serving process is told. Goes to worker processes as JSON, so it holds no secret.

    workers: how many there are. admin_port: where the worker in slot 0 is looked after; None for nowhere. lock, alive,
    listener, admin, told: descriptors that a worker inherits, -1 for none: of the data folder's lock, of a pipe that
    ends with the supervisor, of the sockets to serve at, of a pipe to say on that it serves.
    """

    app: str | None
    folder: str
    data: str
    topology: str | None
    host: str
    port: int
    instance: str | None = None
    slot: int = 0
    workers: int = 1
    admin_port: int | None = None
    lock: int = -1
    alive: int = -1
    listener: int = -1
    admin: int = -1
    told: int = -1
    dev: bool = False

    def project(self) -> Project:
        """Return the project it was made from."""
        return Project(
            Path(self.folder), app=self.app, data=Path(self.data),
            topology=None if self.topology is None else Path(self.topology),
        )
