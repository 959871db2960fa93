"""The parser path under fuzzing: what was found stays found, and a short search each time finds nothing new."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import KEPT
from tests.fuzz.http_target import check

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted(KEPT.iterdir()), ids=lambda p: p.name)
def test_kept_inputs_break_no_rule(path):
    """In the pieces that each names, whole, and byte by byte."""
    data = path.read_bytes()
    check(data)
    check(b"\xff" + data[1:])
    check(b"\x00" + data[1:])


@pytest.mark.real
def test_a_short_search_finds_nothing(tmp_path):
    """Coverage-guided, against llhttp as the second opinion."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--seconds", "15", "--corpus", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "Done" in ran.stderr
