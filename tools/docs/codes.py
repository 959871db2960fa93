"""Which error codes the source raises, read from its syntax, and the page of each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from headwater.help import GROUPS, Code, codes

__all__ = ["ROOT", "index_page", "page", "raised", "statuses", "write_pages"]

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "headwater"
PAGES = ROOT / "docs" / "errors"
_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PRINTED = re.compile(r"^error: ([a-z]+(?:-[a-z]+)*): ")
_CALLS = {"Rejected": 1, "problem": 1, "TopologyError": 0}
"""What takes a code, and as which argument."""


def raised() -> dict[str, list[str]]:
    """Return every code that the source can show to somebody, and where: `file:line`."""
    found: dict[str, list[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for code, line in _codes_in(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(code, []).append(f"{path.relative_to(ROOT)}:{line}")
    return found


def statuses() -> dict[str, set[int]]:
    """Return the HTTP statuses that stand beside codes in the source of the edge."""
    found: dict[str, set[int]] = {}
    for path in sorted((SOURCE / "edge").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Rejected", "problem"):
                match node.args:
                    case [ast.Constant(value=int() as status), code, *_]:
                        for name, _ in _texts(code):
                            found.setdefault(name, set()).add(status)
    return found


def _codes_in(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for statement in node.body:
                if _assigned(statement) == "code":
                    yield from _texts(statement.value)  # type: ignore[attr-defined]
        elif isinstance(node, ast.Assign) and _assigned(node) == "code" and isinstance(node.value, ast.IfExp):
            yield from _texts(node.value)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in _CALLS and len(node.args) > _CALLS[name]:
                yield from _texts(node.args[_CALLS[name]])
            for keyword in node.keywords:
                if keyword.arg == "code" and name == "Finding":
                    yield from _texts(keyword.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (told := _PRINTED.match(node.value)):
            yield told[1], node.lineno


def _assigned(statement: ast.stmt) -> str:
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        return getattr(statement.target, "id", "")
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return getattr(statement.targets[0], "id", "")
    return ""


def _texts(node: ast.expr) -> Iterator[tuple[str, int]]:
    """Yield the codes that an expression can be: a text, or one of two."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
        yield node.value, node.lineno
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


# --- pages --------------------------------------------------------------------------------------------


def page(code: Code) -> str:
    """Return the page of a code, in Markdown."""
    parts = [f"# `{code.code}`", f"*{GROUPS[code.group]}.* {code.title}"]
    if code.status is not None:
        parts.append(f"HTTP status: {code.status}.")
    parts += ["## Cause", code.cause.strip()]
    if code.example:
        parts += ["## Example", f"```{code.lang}\n{code.example.strip()}\n```"]
    parts += ["## Fix", code.fix.strip()]
    if code.see:
        titles = contents()
        parts += ["## Read on", "\n".join(f"* [{titles.get(page, page)}](../{page})" for page in code.see)]
    return "\n\n".join(parts) + "\n"


def contents() -> dict[str, str]:
    """Return the pages that stand in docs/contents.md, and how they are called there."""
    text = (ROOT / "docs" / "contents.md").read_text(encoding="utf-8")
    return {name: title for title, name in re.findall(r"^\* \[(.+?)\]\((.+?)\)", text, re.MULTILINE)}


def index_page() -> str:
    """Return the list of all codes, in Markdown."""
    known = codes()
    parts = [
        "# Error codes",
        "Every error that Headwater raises, prints or answers with has a code. Codes are stable: programs may match on "
        "them. `headwater help CODE` prints the same text without a network. These pages are written from "
        "`src/headwater/help/codes.toml` by `make docs`.",
    ]
    for group, title in GROUPS.items():
        mine = sorted(c.code for c in known.values() if c.group == group)
        rows = "\n".join(f"| [`{n}`]({n}.md) | {known[n].status or ''} | {known[n].title} |" for n in mine)
        parts += [f"## {title}", f"| code | status | what it says |\n|---|---|---|\n{rows}"]
    return "\n\n".join(parts) + "\n"


def write_pages() -> list[str]:
    """Write the pages that are missing or old, remove those of codes that are gone; return their names."""
    wanted = {f"{name}.md": page(code) for name, code in codes().items()} | {"index.md": index_page()}
    PAGES.mkdir(exist_ok=True)
    changed = []
    for name, text in wanted.items():
        path = PAGES / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    for path in PAGES.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
            changed.append(path.name)
    return sorted(changed)
