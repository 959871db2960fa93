"""Both type checkers find every seeded mistake, at its line, without a plugin, and nothing else."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MISTAKES = HERE / "mistakes.py"
MARK = "  # error: "

Places = set[tuple[str, int]]


def seeded() -> Places:
    lines = MISTAKES.read_text().splitlines()
    return {(MISTAKES.name, number) for number, line in enumerate(lines, 1) if MARK in line}


def decorated() -> dict[int, int]:
    """Return, for the line of each decorated name, the line of its decorator."""
    return {
        node.lineno: node.decorator_list[0].lineno
        for node in ast.walk(ast.parse(MISTAKES.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.decorator_list
    }


def run(*command: str) -> str:
    environment = {**os.environ, "MYPYPATH": "", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, f"{command[0]} should find mistakes, no more and no less:\n{done.stdout}{done.stderr}"
    return done.stdout


def mypy() -> Iterator[tuple[str, int, str]]:
    files = [f"tests/types/{name}.py" for name in ("mistakes", "contracts", "api")]
    said = run("mypy", "--strict", "--config-file=", "--python-version=3.11", "--output=json", *files)
    for line in said.splitlines():
        found = json.loads(line)
        if found["severity"] == "error":
            yield Path(found["file"]).name, found["line"], found["message"]


def pyright() -> Iterator[tuple[str, int, str]]:
    said = run("pyright", "-p", "tests/types", "--pythonpath", sys.executable, "--outputjson")
    for found in json.loads(said)["generalDiagnostics"]:
        yield Path(found["file"]).name, found["range"]["start"]["line"] + 1, found["message"]


@pytest.mark.real
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_a_checker_finds_every_seeded_mistake_and_no_other(checker):
    """Each marked line is an error to the checker, and correct code of many shapes is none."""
    names = decorated()
    found = {
        (file, names.get(line, line) if file == MISTAKES.name else line): message for file, line, message in checker()
    }
    missed = sorted(seeded() - set(found))
    alarms = {place: found[place] for place in sorted(set(found) - seeded())}
    assert not missed
    assert not alarms


def test_the_suite_has_no_double_and_no_empty_example():
    """There are at least ninety mistakes, each in a function of its own with a name of its own."""
    tree = ast.parse(MISTAKES.read_text())
    names = [n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    assert len(seeded()) >= 90
    assert len(names) == len(set(names)) == len(seeded())
