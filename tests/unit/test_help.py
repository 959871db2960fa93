"""Whoever meets a code is told what it means: in the terminal, and by a problem's type."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from headwater import Failure
from headwater.cli.help import told
from headwater.edge.problems import Rejected, explained_at, problem_of
from headwater.errors import Overloaded
from headwater.help import GROUPS, codes


def headwater(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headwater.cli", *args], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_code_is_explained_without_a_network(tmp_path: Path) -> None:
    """Cause, example, fix, and where to read on; as JSON too."""
    done = headwater(tmp_path, "help", "idempotency-conflict")
    assert done.returncode == 0
    for part in ("(HTTP 409)", "Cause", "Example", "Fix", "docs/concepts/idempotency.md"):
        assert part in done.stdout
    assert json.loads(headwater(tmp_path, "help", "built-sql", "--json").stdout)["group"] == "check"
    listed = headwater(tmp_path, "help").stdout
    assert all(code in listed for code in codes())
    assert all(title in listed for title in GROUPS.values())


def test_lines_fit_a_terminal() -> None:
    """Also the longest text."""
    examples = {line for code in codes().values() for line in code.example.splitlines()}
    long = [line for code in codes().values() for line in told(code).splitlines() if len(line) > 100]
    assert [line for line in long if line.strip() not in examples] == []


@pytest.mark.parametrize(
    ("args", "code", "exit_code"),
    [
        (("help", "idempotency-conflikt"), "unknown-code", 1),
        (("--app", "nowhere:app", "routes"), "configuration", 2),
        (("--topology", "x", "routes"), "", 2),
        (("check", "--topology", "missing.toml"), "unreadable", 2),
        (("dead", "list"), "refused", 1),
        (("explain", "notes.wrte"), "unknown-contract", 1),
    ],
)
def test_a_mistake_ends_with_its_code_and_where_to_read_on(
    tmp_path: Path, args: tuple[str, ...], code: str, exit_code: int
) -> None:
    """The last line is the same for all; what is wrong with the command itself is the usage's matter."""
    assert headwater(tmp_path, "new", "myapp").returncode == 0
    done = headwater(tmp_path / "myapp", *args)
    assert done.returncode == exit_code
    last = done.stderr.strip().splitlines()[-1]
    if code:
        assert last == f"  read on: headwater help {code}, or docs/errors/{code}.md"
        assert code in codes()


def test_findings_end_with_where_to_read_on(tmp_path: Path) -> None:
    """Each code once."""
    headwater(tmp_path, "new", "myapp")
    handlers = tmp_path / "myapp" / "myapp" / "notes" / "__init__.py"
    handlers.write_text(handlers.read_text().replace("limit 100", "limit {100}").replace('Note, "select', 'Note, f"select'))
    app = tmp_path / "myapp" / "myapp" / "app.py"
    app.write_text(app.read_text().replace('Api("v1", auth=public)', 'Api("v1")'))
    done = headwater(tmp_path / "myapp", "check")
    assert done.returncode == 1
    assert done.stdout.count(": no-auth: ") == 2
    assert done.stdout.count("headwater help no-auth") == 1


class Taken(Failure, status=409):
    name: str


def test_a_problem_leads_to_its_page_where_pages_are_served() -> None:
    """A failure of the application's own keeps its name: Headwater has no page for it."""

    def type_of(error: BaseException) -> str:
        return str(json.loads(problem_of(error, "r").body)["type"])

    assert type_of(Overloaded("full")) == "urn:headwater:problem:overloaded"
    try:
        explained_at("https://docs.example/headwater/")
        assert type_of(Overloaded("full")) == "https://docs.example/headwater/errors/overloaded.html"
        assert type_of(Rejected(404, "not-found", "nothing")) == "https://docs.example/headwater/errors/not-found.html"
        assert type_of(Taken(name="ada")) == "urn:headwater:problem:Taken"
    finally:
        explained_at(None)
    assert type_of(Overloaded("full")) == "urn:headwater:problem:overloaded"
