"""Plays one page's code in a project folder: run as a script, in a process of its own.

Standard input holds the steps as JSON: `{"kind": "file" | "python" | "compile", "name", "text", "at"}`. Python steps
share one namespace, as a reader's session would; tests among them are run.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import linecache
import sys
import types
from pathlib import Path


def main() -> None:
    """Play all steps; the first that fails ends it with a traceback that names the page's line."""
    page = types.ModuleType("page")
    sys.modules["page"] = page
    for step in json.load(sys.stdin):
        if step["kind"] == "file":
            path = Path(step["name"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step["text"], encoding="utf-8")
            importlib.invalidate_caches()
        elif step["kind"] == "compile":
            compile(step["text"], step["at"], "exec")
        else:
            play(page, step["text"], step["at"])


def play(page: types.ModuleType, text: str, at: str) -> None:
    """Run code, then every test that it has defined."""
    name = str(Path.cwd() / at.replace("/", "_"))  # a Module finds its migrations beside its file
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    before = dict(vars(page))
    exec(compile(text, name, "exec"), vars(page))
    for test, function in vars(page).items():
        if test.startswith("test_") and function is not before.get(test):
            result = function()
            if inspect.iscoroutine(result):
                asyncio.run(result)


if __name__ == "__main__":
    main()
