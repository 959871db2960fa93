"""`python -m headwater.cli.worker SETTINGS`: one of several serving processes of an instance.

Started by the supervisor, which holds the data folder's lock. Ends with it, however that ends.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import NoReturn

import msgspec

from headwater.cli.reading import read_on
from headwater.cli.serving import listen, run_loop, serve
from headwater.cli.settings import Settings
from headwater.errors import ConfigurationError, HeadwaterError
from headwater.topology.project import load_app

__all__ = ["main"]


def main(said: str) -> int:
    """Serve until told to stop. Return the exit code: 0 drained, 2 cannot run."""
    settings = msgspec.json.decode(said, type=Settings)
    threading.Thread(target=_end_with, args=(settings.alive,), daemon=True).start()
    try:
        project = settings.project()
        app = load_app(project)
        if settings.dev:  # the code may have changed since the supervisor looked at it
            from headwater.topology.check import require_boundaries

            require_boundaries(app)
        listener = _inherited(settings.listener) or listen(settings.host, settings.port, shared=True)
        admin = _inherited(settings.admin)
        topology = project.read_topology()
        run_loop(lambda: serve(app, settings, topology, listener, started=lambda: _tell(settings.told), admin=admin))
    except HeadwaterError as error:
        where = getattr(error, "where", None)
        sys.stderr.write(f"{where or 'error'}: {error.code}: {error}\n{read_on(error.code)}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


def _inherited(descriptor: int) -> socket.socket | None:
    if descriptor < 0:
        return None
    found = socket.socket(fileno=descriptor)
    found.setblocking(False)
    return found


def _tell(descriptor: int) -> None:
    if descriptor >= 0:
        os.write(descriptor, b"1")
        os.close(descriptor)


def _end_with(pipe: int) -> NoReturn:
    """The supervisor holds the other end and never writes: a read returns when it is gone.

    A thread, so that it works while the event loop is stuck.
    """
    os.read(pipe, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
