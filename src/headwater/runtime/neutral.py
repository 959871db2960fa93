"""Text that can do no harm where it is shown: no line ends, no terminal commands, nothing that turns or hides text."""

from __future__ import annotations

import re

__all__ = ["neutral", "neutral_lines"]

# C0 and C1 controls, DEL, line and paragraph separators, direction marks, zero-width, tags, lone surrogates
_HARMFUL = (
    "\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff"
)
_ALL = re.compile(f"[{_HARMFUL}]")
_BUT_LINES = re.compile(f"(?![\n\t])[{_HARMFUL}]")


def neutral(text: str, *, keep_lines: bool = False) -> str:
    r"""Return the text with what could do harm as visible escapes, such as `\n` and `\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return (_BUT_LINES if keep_lines else _ALL).sub(_escape, text)


def neutral_lines(text: str) -> list[str]:
    """Return the lines of a text, each one harmless."""
    return [neutral(line) for line in text.split("\n")]


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    named = {9: "\\t", 10: "\\n", 13: "\\r"}.get(number)
    if named is not None:
        return named
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
