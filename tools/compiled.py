"""Compiles the modules that run for every request, with mypyc: the same source, read as typed and made native.

`python -m tools.compiled` writes the whole package, compiled, into `build/compiled` and prints that folder; whoever
puts it first on PYTHONPATH runs it. The hook in `tools/wheel.py` makes wheels of it. What is compiled
is listed in pyproject.toml; the Python files stay beside what was made of them, for people and tracebacks.

Three things are rewritten first, in a copy. Native classes have slots without being told. A plain `Struct` is
spelled out as a class, so that its fields are members and not descriptors. mypyc drops the cause of `raise ... from`,
so that is set by a function.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["FOLDER", "compiled", "rewritten"]

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "headwater"
FOLDER = ROOT / "build" / "compiled"
SETUP = """
from mypyc.build import mypycify
from setuptools import setup

setup(name="headwater", ext_modules=mypycify({arguments!r}, opt_level="3", debug_level="0", group_name="headwater"))
"""
_FUTURE = "from __future__ import annotations"
SETTINGS = """
[mypy]
strict = true
"""


def compiled(folder: Path = FOLDER) -> Path:
    """Return a folder that holds the package, compiled; made anew where a source has changed.

    Raises SystemExit with the compiler's words when it refuses.
    """
    modules = _modules()
    stamp, wanted = folder / ".made", _digest(modules)
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "src", folder, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    originals = {module: (folder / module).read_text() for module in modules}
    for module, text in originals.items():
        (folder / module).write_text(rewritten(text))
    _build(folder, modules)
    for module, text in originals.items():
        (folder / module).write_text(text)
    stamp.write_text(wanted)
    return folder


def _modules() -> list[str]:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = [file for pattern in told["tool"]["compiled"]["modules"] for file in PACKAGE.glob(f"{pattern}.py")]
    return sorted(str(file.relative_to(PACKAGE.parent)) for file in found if file.name != "__init__.py")


def _digest(modules: Sequence[str]) -> str:
    digest = hashlib.sha256(repr((sys.version, sysconfig.get_platform(), modules)).encode())
    for file in [Path(__file__), *sorted((ROOT / "src").rglob("*"))]:
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _build(folder: Path, modules: Sequence[str]) -> None:
    settings, setup = folder / "mypy.ini", folder / "setup.py"
    settings.write_text(SETTINGS)
    setup.write_text(SETUP.format(arguments=["--config-file", "mypy.ini", *modules]))
    # mypy is to see the copy, not an installed package
    environment = {**os.environ, "MYPYPATH": str(folder), "PYTHONPATH": ""}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode:
        raise SystemExit(f"the modules cannot be compiled:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    for left in (settings, setup):
        left.unlink()
    for made in ("build", ".mypy_cache"):
        shutil.rmtree(folder / made, ignore_errors=True)


def rewritten(text: str) -> str:
    """Return a module's source as the compiler wants it, line for line where it was."""
    lines = text.split("\n")
    tree = ast.parse(text)
    parents = {ast.unparse(base) for kind in _classes(tree) for base in kind.bases}
    for kind in _classes(tree):
        if _is_struct(kind) and kind.name not in parents:
            _spell_out(kind, lines)
        for statement in kind.body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__slots__":
                _replace(lines, statement, "    pass")
    raises = [node for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.cause is not None]
    for node in sorted(raises, key=lambda node: -node.lineno):
        _name_cause(node, lines)
    return "\n".join(lines).replace(_FUTURE, f"{_FUTURE}; from headwater.errors import caused as _caused", 1)


def _name_cause(node: ast.Raise, lines: list[str]) -> None:
    assert node.exc is not None
    assert node.cause is not None
    text = f"raise _caused({ast.unparse(node.exc)}, {ast.unparse(node.cause)})"
    _replace(lines, node, " " * node.col_offset + text)


def _classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    return (node for node in tree.body if isinstance(node, ast.ClassDef))


def _is_struct(kind: ast.ClassDef) -> bool:
    told = [ast.unparse(keyword) for keyword in kind.keywords]
    return [ast.unparse(base) for base in kind.bases] == ["Struct"] and told in ([], ["kw_only=True"])


def _spell_out(kind: ast.ClassDef, lines: list[str]) -> None:
    fields = [one for one in kind.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
    parameters, sets = ["self"], []
    if kind.keywords:
        parameters.append("*")
    for one in fields:
        name, hint = ast.unparse(one.target), ast.unparse(one.annotation)
        default = "" if one.value is None else ast.unparse(one.value)
        value = name
        if default.startswith("field("):  # field(default_factory=dict)
            value = f"{name} if {name} is not None else {default.removeprefix('field(default_factory=')[:-1]}()"
            parameters.append(f"{name}: {hint} | None = None")
        else:
            parameters.append(f"{name}: {hint} = {default}" if default else f"{name}: {hint}")
        sets.append(f"self.{name}: {hint} = {value}")
    for one in fields[1:]:
        _replace(lines, one, "")
    _replace(lines, fields[0], f"    def __init__({', '.join(parameters)}) -> None: {'; '.join(sets)}")
    lines[kind.lineno - 1] = f"class {kind.name}:"


def _replace(lines: list[str], statement: ast.stmt, text: str) -> None:
    end = statement.end_lineno or statement.lineno
    lines[statement.lineno - 1 : end] = [text] + [""] * (end - statement.lineno)


if __name__ == "__main__":
    print(compiled())
