"""Files that an application shows to browsers as they are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from headwater.errors import ConfigurationError
from headwater.model.api import Auth, public

__all__ = ["Pages"]

_PATH = re.compile(r"/(?:[A-Za-z0-9._~-]+/)*")


class Pages:
    """A folder of files, served under a path: `Pages("/", "pages")`.

    path: begins and ends with /. folder: relative to the file that makes the Pages; every file in it is public
    property of whoever `auth` lets in, except those whose name begins with a dot. `index.html` answers for its folder.
    """

    __slots__ = ("auth", "folder", "path", "where")

    def __init__(self, path: str, folder: str, *, auth: Auth = public) -> None:
        frame = sys._getframe(1)
        self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if not _PATH.fullmatch(path) or "/./" in path or "/../" in path:
            raise ConfigurationError(
                f"Pages({path!r}): the path begins and ends with /, such as '/' or '/help/'", where=self.where
            )
        self.path = path
        self.folder = Path(frame.f_code.co_filename).parent / folder
        self.auth = auth

    def __repr__(self) -> str:
        return f"<pages {self.path}: {self.folder}>"
