"""The command as people use it: in a fresh project, with mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def headwater(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "headwater.cli", *args], cwd=folder, capture_output=True, text=True, timeout=60,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh application."""
    made = headwater(tmp_path, "new", "myapp")
    assert made.returncode == 0, made.stderr
    return tmp_path / "myapp"


def test_a_new_application_is_small_and_clean(project: Path) -> None:
    """Under 60 lines of code, and `check` finds nothing."""
    code = [line for path in project.rglob("*.py") for line in path.read_text().splitlines() if line.strip()]
    assert len(code) < 60
    checked = headwater(project, "check", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["findings"]) == (0, [])


def test_routes_and_explain_speak_json(project: Path) -> None:
    """What a script reads is JSON, and says what the application says."""
    routes = json.loads(headwater(project, "routes", "--json").stdout)
    assert [(r["method"], r["path"]) for r in routes] == [("POST", "/v1/notes"), ("GET", "/v1/notes")]
    (chain,) = json.loads(headwater(project, "explain", "notes.write", "--json").stdout)
    assert chain["emits"][0]["event"] == "notes.written/1"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("chek",), 2, "did you mean 'check'"),
        (("explain", "notes.wrte"), 1, "notes.write"),
        (("token", "--ttl", "soon"), 2, "not a duration"),
        (("--app", "nowhere:app", "routes"), 2, "nowhere"),
        (("run", "--host", "0.0.0.0"), 2, "development"),
        (("dead", "list"), 1, "there is no data"),
    ],
)
def test_a_mistake_is_a_sentence(project: Path, args: tuple[str, ...], code: int, said: str) -> None:
    """No traceback; the exit code tells usage (2) from refusal (1)."""
    done = headwater(project, *args)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failing_import_names_its_line(project: Path) -> None:
    """The error stands at the line of the user's file."""
    path = project / "myapp" / "app.py"
    path.write_text("\n1 / 0\n")
    done = headwater(project, "routes")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{path}:2: configuration:")


@pytest.mark.parametrize("name", ["json", "click", "9x", "A"])
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    """Names that are none, or would hide a module, write nothing."""
    assert headwater(tmp_path, "new", name).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_the_openapi_document_is_printed_or_written(project: Path, tmp_path: Path) -> None:
    """The same bytes every time, for the project's own application or for one that is named."""
    printed = headwater(project, "openapi")
    document = json.loads(printed.stdout)
    assert (document["openapi"], document["info"]["title"]) == ("3.1.0", "myapp v1")
    written = headwater(project, "openapi", "myapp.app:app", "--api", "v1", "--out", str(tmp_path / "api.json"))
    assert (written.returncode, (tmp_path / "api.json").read_text()) == (0, printed.stdout)
    moved = headwater(project, "openapi", "--server", "https://notes.example")
    assert json.loads(moved.stdout)["servers"] == [{"url": "https://notes.example"}]
    wrong = headwater(project, "openapi", "--api", "v2")
    assert (wrong.returncode, wrong.stdout) == (2, "") and "no API 'v2'; it has: v1" in wrong.stderr
