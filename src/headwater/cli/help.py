"""`headwater help`: what an error code means, without a network."""

from __future__ import annotations

import difflib
import textwrap

import click

from headwater.cli.common import json_option, print_json
from headwater.cli.reading import read_on
from headwater.help import GROUPS, Code, codes

__all__ = ["help_command"]

WIDTH = 96


@click.command("help")
@click.argument("code", required=False)
@json_option
@click.pass_context
def help_command(ctx: click.Context, code: str | None, as_json: bool) -> None:
    """Say what an error code means, what brings it about and what to do; without CODE, list all."""
    known = codes()
    if code is None:
        _list(known, as_json)
        return
    found = known.get(code.lower())
    if found is None:
        close = difflib.get_close_matches(code, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "headwater help lists all"
        click.echo(f"error: unknown-code: there is no code {code!r}; {hint}", err=True)
        click.echo(read_on("unknown-code"), err=True)
        ctx.exit(1)
    if as_json:
        print_json(found)
    else:
        click.echo(told(found))


def told(code: Code) -> str:
    """Return a code's text for a terminal."""
    status = "" if code.status is None else f"  (HTTP {code.status})"
    parts = [f"{code.code}{status}\n{_wrapped(code.title)}", f"Cause\n{_wrapped(code.cause)}"]
    if code.example:
        parts.append("Example\n" + textwrap.indent(code.example.strip(), "    "))
    parts.append(f"Fix\n{_wrapped(code.fix)}")
    if code.see:
        parts.append("Read on\n" + textwrap.indent("\n".join(f"docs/{page}" for page in code.see), "  "))
    return "\n\n".join(parts)


def _wrapped(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _list(known: dict[str, Code], as_json: bool) -> None:
    if as_json:
        print_json(list(known.values()))
        return
    width = max(len(name) for name in known)
    for group, title in GROUPS.items():
        click.echo(f"{title}")
        for code in known.values():
            if code.group == group:
                click.echo(f"  {code.code.ljust(width)}  {code.title}")
        click.echo("")
