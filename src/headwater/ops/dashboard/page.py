"""The page: what needs attention first, then the map, then the figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from headwater.ops.dashboard import figures
from headwater.ops.dashboard.dead import dead_letters
from headwater.ops.dashboard.html import Html, Part, el, void
from headwater.ops.dashboard.map import map_of, map_table
from headwater.ops.dashboard.recent import Now
from headwater.ops.dashboard.tables import Order
from headwater.ops.dashboard.traces import traces, waterfall
from headwater.ops.dashboard.words import duration, percent, whole
from headwater.ports import TraceRecord

__all__ = ["failed_page", "main_page", "trace_page"]

LAG_MOST = 1_000
SHARE_MOST = 0.01


def main_page(now: Now, order: Order, token: str, elsewhere: Sequence[tuple[str, str]] = ()) -> str:
    """Return the whole page. It is complete without its script, which only asks for it again.

    elsewhere: other pages of this listener, by what they are called.
    """
    parts = (
        ("map", "Map", [
            el("div", map_of(now), class_="wide", role="region", aria_label="Map", tabindex=0, id="map-box"),
            _legend(),
            el("details", el("summary", "The map as a table", id="summary-arrows"), map_table(now), id="arrows"),
        ]),
        ("contracts", "Contracts", figures.contracts(now, order)),
        ("subscriptions", "Subscriptions", figures.subscriptions(now)),
        ("dead", "Dead letters", dead_letters(now, token)),
        ("traces", "Recent traces", traces(now)),
        ("slow", "Slow statements", figures.slow(now)),
        ("burns", "Objectives", figures.burns(now)),
        ("stores", "Stores", figures.stores(now)),
        ("processes", "Processes", figures.processes(now)),
    )
    links = [el("li", el("a", title, href=f"#{name}", id=f"to-{name}")) for name, title, _ in parts]
    links += [el("li", el("a", title, href=path)) for title, path in elsewhere]
    window = "since the start" if now.seconds is None else f"over the last {duration(now.seconds)}"
    stamp = datetime.fromtimestamp(now.seen.at, UTC)
    return _document(
        f"{now.seen.app}: dashboard",
        el(
            "header", el("h1", now.seen.app, " ", el("small", now.seen.version)),
            el("p", "Rates and latencies ", window, ", as of ", el("time", f"{stamp:%H:%M:%S} UTC"), ".",
               data_part="stamp"),
            el("p", el("a", "Refresh", href="/dashboard", id="refresh", class_="button"), " ",
               el("button", "Pause", type="button", id="pause", hidden=True), class_="controls"),
            el("p", id="said", class_="unseen", role="status"), class_="top",
        ),
        el("nav", el("ul", links), aria_label="Parts of this page"),
        el(
            "main",
            el("section", el("h2", "Attention", class_="unseen"), el("div", _attention(now), data_part="attention")),
            [
                el("section", el("h2", title, id=f"{name}-title"), el("div", content, data_part=name), id=name)
                for name, title, content in parts
            ],
        ),
        script=True,
    )


def trace_page(trace: TraceRecord, at: float) -> str:
    """Return the page of one trace."""
    title = el("h1", trace.name, " ", el("small", "trace"))
    return _document(f"{trace.name}: trace", _back(), el("main", title, waterfall(trace, at)))


def failed_page(title: str, text: str) -> str:
    """Return a page that says why something was not done."""
    return _document(title, _back(), el("main", el("h1", title), el("p", text)))


def _back() -> Html:
    return el("nav", el("ul", el("li", el("a", "Back to the dashboard", href="/dashboard"))), aria_label="Back")


def _attention(now: Now) -> Part:
    """Say what somebody should look at; the sentence is also what a screen reader is told when it changes."""
    found = _worries(now)
    if not found:
        return el("p", "Everything is well.", class_="well", data_said=True)
    count = f"{len(found)} thing{'s' if len(found) > 1 else ''} to look at"
    return el(
        "div", el("p", count, class_="unseen", data_said=True),
        el("ul", [el("li", el("a", text, href=f"#{part}", id=f"worry-{n}")) for n, (text, part) in enumerate(found)]),
        class_="worries",
    )


def _worries(now: Now) -> list[tuple[str, str]]:
    seen = now.seen
    found = [(f"{p.name} is {'not well' if p.ready else 'not ready'}: {'; '.join(p.reasons) or 'no reason given'}",
              "processes") for p in seen.processes if p.reasons or not p.ready]
    found += [(f"{b.contract} burns its error budget: {b.alert}", "burns") for b in seen.burns if b.alert]
    found += [
        (f"{c.name}: {percent(c.errors / c.count)} of the calls did not run or may not have", "contracts")
        for c in now.contracts if c.count and c.errors / c.count > SHARE_MOST
    ]
    found += [(f"{s.name}: {whole(s.lag)} events of {s.source} wait", "subscriptions")
              for s in seen.subscriptions if s.lag > LAG_MOST]
    found += [(f"{s.name}: {whole(s.retrying)} deliveries are being tried again", "subscriptions")
              for s in seen.subscriptions if s.retrying]
    if seen.dead_count:
        found.append((f"{whole(seen.dead_count)} dead letter{'s' if seen.dead_count > 1 else ''}", "dead"))
    return [*found, *((note, "processes") for note in seen.notes)]


def _legend() -> Html:
    return el(
        "p", el("span", "request or call", class_="key call"), el("span", "event", class_="key event"),
        el("span", "never used", class_="key dim"), el("span", "errors, up to 5 %", class_="key some"),
        el("span", "more errors", class_="key many"), el("span", "the wider, the more messages", class_="key"),
        class_="legend",
    )


def _document(title: str, *body: Part, script: bool = False) -> str:
    head = el(
        "head", void("meta", charset="utf-8"),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"), el("title", title),
        void("link", rel="icon", href="/dashboard.svg", type="image/svg+xml"),
        void("link", rel="stylesheet", href="/dashboard.css"),
        el("script", type="module", src="/dashboard.js") if script else None,
    )
    return "<!doctype html>" + el("html", head, el("body", body), lang="en")
