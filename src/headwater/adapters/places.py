"""Where sockets between the processes of one machine lie."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from headwater.errors import ConfigurationError

__all__ = ["sockets_folder"]

FOLDER_BYTES_MOST = 78
"""A socket's path may have about a hundred bytes, and the names in the folder want their part."""


def sockets_folder(run: Path) -> Path:
    """Return the folder itself, or where its path is too long one in the temporary folder that stands for it.

    That one is our user's and nobody else's. Raises ConfigurationError where somebody has made it before us.
    """
    if len(os.fsencode(run)) <= FOLDER_BYTES_MOST:
        return run
    digest = hashlib.sha256(os.fsencode(run.resolve())).hexdigest()[:24]
    place = Path(tempfile.gettempdir()) / f"headwater-{digest}"
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigurationError(f"{place} belongs to somebody else; take a data folder with a shorter path")
    return place
