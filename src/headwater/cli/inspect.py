"""Commands that look at the application without running it: routes, explain, check."""

from __future__ import annotations

import difflib
from typing import Any

import click

from headwater.cli.common import json_option, print_json, print_table, project_of, the_app, topology_option
from headwater.cli.reading import read_on

__all__ = ["check", "explain", "routes"]


@click.command()
@json_option
def routes(as_json: bool) -> None:
    """List every route: method, path, contract, who may use it, handler."""
    app = the_app(project_of())
    handlers = {c: h.where for m in app.modules for c, h in m.handlers.items()}
    handlers |= {c: u.where for m in app.modules for c, u in m.upcasts.items()}
    rows = [
        {
            "method": r.method, "path": r.path, "contract": r.contract.wire_name, "status": r.status,
            "auth": repr(r.auth) if r.auth else None, "handler": handlers.get(r.contract.message),
        }
        for api in app.apis for r in api.routes
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(["METHOD", "PATH", "CONTRACT", "STATUS", "AUTH", "HANDLER"], [list(r.values()) for r in rows])


@click.command()
@click.argument("name")
@json_option
@click.pass_context
def explain(ctx: click.Context, name: str, as_json: bool) -> None:
    """Print the whole chain of a contract, such as orders.place."""
    from headwater.topology.explain import explain as chain_of
    from headwater.topology.explain import known_names

    app = the_app(project_of())
    chains = chain_of(app, name)
    if not chains:
        close = difflib.get_close_matches(name, known_names(app), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "headwater routes lists what there is"
        if as_json:
            print_json({"error": "unknown-contract", "name": name, "suggestions": close})
        click.echo(f"error: unknown-contract: there is no contract {name!r}; {hint}", err=True)
        click.echo(read_on("unknown-contract"), err=True)
        ctx.exit(1)
    if as_json:
        print_json(chains)
        return
    for chain in chains:
        _print_chain(chain)


def _print_chain(chain: dict[str, Any]) -> None:
    click.echo(f"{chain['contract']}  {chain['kind']} of module {chain['module']}  ({chain['class']})")
    for route in chain["routes"]:
        _line("route", f"{route['method']} {route['path']} -> {route['status']}  ({route['where']})")
        _line("auth", route["auth"] or "not declared")
        _line("reads", route["reads"])
    _line("layers", ", ".join(chain["layers"]))
    if chain["handler"]:
        _line("handler", f"{chain['handler']['function']}  ({chain['handler']['where']})")
    _line("data", chain["data"])
    _line("calls", ", ".join(chain["calls"]))
    _line("sends", ", ".join(chain["sends"]))
    _line("fails", ", ".join(f"{f['name']} ({f['status']})" for f in chain["fails"]))
    for source in chain["emitted_by"]:
        _line("emitted by", f"{source['contract']}  ({source['where']})")
    for event in chain["emits"]:
        key = f"  ordered by {event['key']}" if event["key"] else ""
        _line("emits" if chain["kind"] != "event" else "event", f"{event['event']}{key}")
        for subscription in event["subscriptions"]:
            _line("", f"-> {subscription['kind']} {subscription['name']}  ({subscription['where']})")
    _line("uses", ", ".join(chain["uses"]))


def _line(label: str, text: str | None) -> None:
    if text:
        click.echo(f"  {label:<11}{text}")


@click.command()
@json_option
@topology_option
@click.pass_context
def check(ctx: click.Context, as_json: bool, topology: str | None) -> None:
    """Check boundaries, contracts and configuration. Exit 0 clean, 1 findings, 2 cannot run."""
    from headwater.topology.check import check_app

    project = project_of(topology=topology)
    project.read_topology()
    app = the_app(project)
    found = check_app(app)
    if as_json:
        print_json({"app": app.name, "findings": found})
    else:
        for f in found:
            click.echo(f"{f.where}: {f.severity}: {f.code}: {f.message}: {f.fix}")
        if found:
            click.echo(read_on(*dict.fromkeys(f.code for f in found)))
        else:
            click.echo(f"{app.name}: clean ({len(app.modules)} modules)")
    ctx.exit(1 if found else 0)
