"""`headwater new`: a small working application with a test."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path

import click

from headwater.errors import ConfigurationError

__all__ = ["new"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "gitignore.txt": ".gitignore",
    "contracts.py.txt": "{name}/contracts.py",
    "notes.py.txt": "{name}/notes/__init__.py",
    "0001_notes.sql.txt": "{name}/notes/migrations/0001_notes.sql",
    "app.py.txt": "{name}/app.py",
    "init.py.txt": "{name}/__init__.py",
    "test_notes.py.txt": "tests/test_notes.py",
}


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Write a small working application into the new folder NAME."""
    _check(name)
    target = Path.cwd() / name
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationError(f"{target} exists and is not empty; choose another name or remove it")
    draft = target.with_name(f".{name}.new")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        for source, path in _FILES.items():
            file = draft / path.format(name=name)
            file.parent.mkdir(parents=True, exist_ok=True)
            text = files("headwater.cli").joinpath("template", source).read_text(encoding="utf-8")
            file.write_text(text.replace("__NAME__", name), encoding="utf-8")
        draft.rename(target)  # whole or not at all
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from None
    click.echo(f"{name}/ is a working application. Next:")
    click.echo(f"  cd {name}")
    click.echo("  headwater run              # then: curl http://127.0.0.1:8000/v1/notes")
    click.echo("  pip install pytest && python -m pytest")
    click.echo("  headwater explain notes.write")


def _check(name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigurationError(f"{name!r} is not a name: use lower-case letters, digits and _, such as 'myapp'")
    if name == "tests":
        raise ConfigurationError("'tests' is the folder of the tests; choose another")
    found = None if name in sys.stdlib_module_names else importlib.util.find_spec(name)
    # a folder of that name right here is found as well when it lies on the path: it hides nothing
    if name in sys.stdlib_module_names or (found is not None and not (Path.cwd() / name).is_dir()):
        raise ConfigurationError(f"{name!r} would hide an installed module of that name; choose another")
