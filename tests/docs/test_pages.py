"""Every snippet of the documentation is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import DOCS, Block, Reader, blocks, check_output, commands, environment

PAGES = sorted(path for path in DOCS.rglob("*.md") if path.parent != DOCS / "errors" and blocks(path))


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which Headwater is installed, and nothing of this project is on the path."""
    return environment(tmp_path_factory.mktemp("environment"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, fresh: dict[str, str]) -> None:
    """Files are written, code is run, commands answer as printed."""
    Reader(tmp_path, fresh).follow(blocks(page))


def test_only_other_frameworks_code_is_merely_compiled() -> None:
    """Our own code is run."""
    compiled = {block.page for page in PAGES for block in blocks(page) if "compile" in block.words}
    assert all(page.startswith("docs/coming-from/") for page in compiled), compiled


# --- the reader itself --------------------------------------------------------------------------------


def one(text: str, info: str) -> Block:
    language, *words = info.split()
    return Block(page="page.md", line=1, language=language, words=frozenset(words), title=None, text=text)


@pytest.mark.parametrize(
    ("info", "text"),
    [
        ("python", "assert 1 == 2\n"),
        ("python", "async def test_it():\n    assert False\n"),
        ("console", "$ false\n"),
        ("console", "$ echo hello\ngood-bye\n"),
        ("toml", "a = \n"),
        ("toml topology", "[htp]\nport = 1\n"),
        ("json", "{"),
        ("sql", "select 1"),
        ("ruby", "puts 1"),
    ],
)
def test_a_page_that_is_wrong_is_noticed(tmp_path: Path, fresh: dict[str, str], info: str, text: str) -> None:
    """The check can fail, for each kind of block."""
    with pytest.raises(Exception, match=r"(?s).+"):
        Reader(tmp_path, fresh).follow([one(text, info)])


def test_console_blocks_are_cut_into_commands() -> None:
    """A command may go on in the next line; what stands below it is its output."""
    found = list(commands("$ one \\\n    two\nsaid\n$ three\n"))
    assert found == [("one two", ["said"]), ("three", [])]
    check_output(one("", "console"), "x", ["a ... c", "d"], "b\na  b c\nd\n")
    with pytest.raises(AssertionError, match="should have said"):
        check_output(one("", "console"), "x", ["d", "a"], "a\nd\n")
