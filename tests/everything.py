"""Run every check and every test, and say in one table what came of each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tools.compiled import compiled

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
BIN = Path(sys.executable).parent

CHECKS: dict[str, list[str]] = {
    "style": [str(BIN / "ruff"), "check", "."],
    "types, mypy --strict": [PYTHON, "-m", "mypy", "src", "examples/shop/shop", "tests/types/api.py", "bench", "tools"],
    "types, pyright strict": [PYTHON, "-m", "pyright", "--pythonpath", PYTHON],
    "floor plan": [str(BIN / "lint-imports")],
}
PYTEST = [PYTHON, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
TESTS: dict[str, list[str]] = {
    "tests": PYTEST,
    # the same over the compiled modules, but for pages and documents
    "tests, compiled": [
        *PYTEST, "tests/unit", "tests/flow", "tests/conformance", "tests/integration", "tests/chaos", "-m", "not plants",
        "--ignore", "tests/integration/test_wheel.py",
    ],
}


def run(name: str, command: list[str]) -> tuple[bool, float]:
    """Run one step, its output passed through."""
    print(f"\n=== {name}: {' '.join(Path(part).name if part.startswith('/') else part for part in command)}", flush=True)
    started = time.monotonic()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    if name.endswith("compiled"):
        environment |= {"HEADWATER_COMPILED": "1", "PYTHONPATH": str(compiled())}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, stdin=subprocess.DEVNULL)
    return done.returncode == 0, time.monotonic() - started


def main() -> int:
    """Run the steps; the exit code tells whether all are green."""
    steps = CHECKS if "--checks" in sys.argv else {**CHECKS, **TESTS}
    results = {name: run(name, command) for name, command in steps.items()}
    print("\n=== summary")
    for name, (good, seconds) in results.items():
        print(f"  {'ok    ' if good else 'FAILED'}  {name:<24} {seconds:6.1f} s")
    return 0 if all(good for good, _ in results.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
