"""The user's project: where it lies, which application it names, and importing that."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headwater.errors import ConfigurationError
from headwater.model.app import App
from headwater.topology.file import Topology, load_topology

__all__ = ["Project", "find_project", "load_app"]

_KEYS = ("app", "data", "topology")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Project:
    """A folder with `[tool.headwater]` in its pyproject.toml, or the current folder without one.

    app: `package.module:attribute`. data, topology: absolute.
    """

    __slots__ = ("_read", "app", "data", "folder", "topology")

    def __init__(self, folder: Path, *, app: str | None, data: Path, topology: Path | None) -> None:
        self.folder = folder
        self.app = app
        self.data = data
        self.topology = topology
        self._read: Topology | None = None

    def read_topology(self) -> Topology:
        """Return the topology, by default everything embedded; the file is read once. Raises TopologyError."""
        if self._read is None:
            self._read = Topology() if self.topology is None else load_topology(self.topology)
        return self._read


def find_project(
    start: Path, *, environment: Mapping[str, str], app: str | None = None, data: str | None = None,
    topology: str | None = None,
) -> Project:
    """Return the project that `start` lies in. Options come before the environment, that before the file.

    Raises ConfigurationError for a `[tool.headwater]` that says something else than it may.
    """
    folder, said = _search(start.resolve())
    app = app or environment.get("HEADWATER_APP") or said.get("app")
    if app is not None and not _TARGET.fullmatch(app):
        raise ConfigurationError(f"app {app!r}: write module:attribute, such as 'shop.app:app'")
    file = Path(topology).resolve() if topology else folder / said["topology"] if "topology" in said else None
    project = Project(folder, app=app, data=folder / said.get("data", "data"), topology=file)
    inside = project.read_topology().data.folder
    if inside is not None:
        project.data = folder / inside
    if data:
        project.data = Path(data).resolve()
    return project


def load_app(project: Project) -> App:
    """Import the application. Raises ConfigurationError at `file:line` of the line that failed."""
    if project.app is None:
        raise ConfigurationError(
            f"no application named in {project.folder}; write app = 'package.app:app' under [tool.headwater] in "
            "pyproject.toml, or give --app"
        )
    if str(project.folder) not in sys.path:
        sys.path.insert(0, str(project.folder))
    module, _, attribute = project.app.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ConfigurationError as error:
        if error.where is None:
            error.where = _failing_line(error, project.folder)
        raise
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise ConfigurationError(
            f"importing {module} failed: {said}", where=_failing_line(error, project.folder)
        ) from error
    if not isinstance(found, App):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise ConfigurationError(f"{project.app} is {what}; it must be a headwater.App")
    return found


def _search(start: Path) -> tuple[Path, dict[str, str]]:
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        if not path.is_file():
            continue
        import tomllib

        try:
            said: Any = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("headwater")
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"cannot be read: {error}", where=f"{path}:1") from None
        if said is None:
            continue
        for key, value in said.items():
            if key not in _KEYS or not isinstance(value, str):
                raise ConfigurationError(
                    f"[tool.headwater] {key}: only {', '.join(_KEYS)}, each a text", where=f"{path}:1"
                )
        return folder, said
    return start, {}


def _failing_line(error: BaseException, folder: Path) -> str | None:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno or 1}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).is_relative_to(folder) and "site-packages" not in f.filename]
    last = own[-1] if own else None
    return f"{last.filename}:{last.lineno}" if last else None
