"""The snippets of docs/testing.md run."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_runs(number: int) -> None:
    """Its code is executed, and every test in it is run."""
    names: dict[str, object] = {"__name__": f"snippet_{number}"}
    exec(compile(SNIPPETS[number], f"docs/testing.md, snippet {number + 1}", "exec"), names)
    for name, thing in list(names.items()):
        if name.startswith("test_") and inspect.iscoroutinefunction(thing):
            asyncio.run(thing())
