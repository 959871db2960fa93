"""The house rules, kept by reading the sources: what may be imported, said and touched, and where."""

from __future__ import annotations

import ast
import inspect
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import headwater
from headwater import errors
from headwater.ports.points import POINTS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "headwater"
TREES = ("src", "examples", "bench", "docs", "tests", "tools")
TEXTS = {".py", ".md", ".toml", ".sql", ".txt", ".in", ".yml", ".cfg", ""}

FOREIGN = (
    "asyncio", "apsw", "sqlite3", "httptools", "uvloop", "joserfc", "sqlalchemy", "pydantic", "click", "opentelemetry",
    "prometheus_client", "ssl", "socket", "threading", "multiprocessing",
)


def python_files() -> Iterator[Path]:
    return (path for path in sorted(SOURCE.rglob("*.py")) if "template" not in path.parts)


def run(*command: str) -> str:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_importing_headwater_brings_no_loop_driver_or_telemetry():
    """A contract package costs its importer the standard library's basics and msgspec, nothing that runs."""
    code = "import sys; before = set(sys.modules); import headwater; print(*sorted(set(sys.modules) - before))"
    loaded = {name.partition(".")[0] for name in run("-c", code).split()}
    assert not loaded & set(FOREIGN)


def test_the_tool_starts_without_loading_what_it_does_not_need():
    """`headwater --help` loads no loop, driver or server: it answers nearly as fast as Python starts."""
    code = (
        "import sys\nfrom headwater.cli.main import main\nsys.argv = ['headwater', '--help']\n"
        "try: main()\nexcept SystemExit: pass\nprint('@', *sys.modules)"
    )
    loaded = set(run("-c", code).rpartition("@")[2].split())
    assert not loaded & {"apsw", "httptools", "uvloop", "joserfc", "sqlalchemy", "pydantic", "asyncio"}

    def best(*command: str) -> float:
        times: list[float] = []
        for _ in range(5):
            started = time.perf_counter()
            run(*command)
            times.append(time.perf_counter() - started)
        return statistics.median(times)

    assert best("-m", "headwater.cli", "--help") < 25 * best("-c", "pass")


# --- the outside world --------------------------------------------------------------------------------

OUTSIDE = {
    "time": None, "random": None, "secrets": None, "uuid": None, "threading": None, "concurrent.futures": None,
    "multiprocessing": None, "signal": None, "subprocess": None, "pickle": None, "marshal": None, "shelve": None,
}
CALLS = {
    "asyncio.sleep", "asyncio.to_thread", "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "os.urandom", "loop.time", "eval", "exec", "time.time", "time.monotonic",
}
# Adapters meet the outside world, the tool works with processes, and the testing tools stand beside the house.
ALLOWED_ROOMS = ("adapters", "cli", "testing")
ALLOWED_FILES = {
    "runtime/watchdog.py": "a thread watches the loop from outside",
    "topology/crash.py": "kills the process where a test asks for it",
    "topology/secrets.py": "makes the key that tokens are signed with in development",
}


def outside_world(path: Path) -> Iterator[str]:
    """Return what a file takes from the outside world, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name in OUTSIDE]
        elif isinstance(node, ast.ImportFrom) and node.module in OUTSIDE:
            names = [str(node.module)]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            names = [called] if any(called == name or called.endswith(f".{name}") for name in CALLS - {"eval", "exec"}) else []
            names += [called] if called in ("eval", "exec") else []
        for name in names:
            yield f"{path.relative_to(SOURCE)}:{node.lineno}: {name}"


def test_time_chance_and_threads_come_through_ports():
    """Below the adapters nothing reads a clock, draws a number, starts a thread or sleeps by itself."""
    found = [
        told
        for path in python_files()
        if path.relative_to(SOURCE).parts[0] not in ALLOWED_ROOMS
        and str(path.relative_to(SOURCE)) not in ALLOWED_FILES
        for told in outside_world(path)
    ]
    assert found == []


def test_nothing_is_pickled_or_evaluated_anywhere():
    """Also not in adapters and tools: bytes become values through types only."""
    forbidden = ("pickle", "marshal", "shelve", "eval", "exec")
    found = [told for path in python_files() for told in outside_world(path) if told.rpartition(": ")[2] in forbidden]
    assert found == []


# --- names --------------------------------------------------------------------------------------------


def test_every_error_has_a_code_of_its_own():
    """Codes may be matched on, so each class has one, and no two share it."""
    classes = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.HeadwaterError)]
    assert [c.__name__ for c in classes if "code" not in c.__dict__] == []
    assert [code for code, count in Counter(c.code for c in classes).items() if count > 1] == []
    assert {c.__name__ for c in classes} | {"FieldError"} == set(errors.__all__)


def test_every_crash_point_is_listed_and_every_listed_one_is_passed():
    """The list of points is the truth: a fault harness strikes all of them, and each is somewhere in the code."""
    hit = {
        node.args[0].value
        for path in python_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "hit"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert hit == set(POINTS)


def test_public_names_are_sorted_and_exist():
    """`__all__` can be read and relied on."""
    assert sorted(headwater.__all__) == headwater.__all__
    assert all(hasattr(headwater, name) for name in headwater.__all__)


# --- words --------------------------------------------------------------------------------------------


def texts() -> Iterator[tuple[Path, str]]:
    for tree in TREES:
        for path in sorted((ROOT / tree).rglob("*")):
            inner = path.relative_to(ROOT)
            if path.is_file() and path.suffix in TEXTS and not any(p.startswith((".", "__pycache__")) for p in inner.parts):
                yield inner, path.read_text(errors="replace")
    for path in sorted(ROOT.glob("*.*")):
        if path.is_file() and path.suffix in TEXTS and not path.name.startswith("."):
            yield path.relative_to(ROOT), path.read_text(errors="replace")


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a path of one machine", r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/"),
        ("an unkept promise", r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b"),
    ],
)
def test_the_tree_says_nothing_of(what, pattern):
    """Files speak for every machine and of what is there."""
    rule = re.compile(pattern)
    found = [
        f"{path}:{number}"
        for path, text in texts()
        if path.name != "test_house.py"
        for number, line in enumerate(text.splitlines(), 1)
        if rule.search(line)
    ]
    assert found == []
