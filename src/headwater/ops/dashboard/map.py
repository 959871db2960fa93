"""The application's map: modules as boxes, messages as arrows, drawn on the server; and the same as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from headwater.model.message import Value
from headwater.ops.dashboard.html import Html, breakable, el
from headwater.ops.dashboard.layout import Layout, Line, Place, laid_out
from headwater.ops.dashboard.recent import Flow, Now
from headwater.ops.dashboard.seen import OUTSIDE
from headwater.ops.dashboard.tables import Column, table
from headwater.ops.dashboard.words import per_second, percent

__all__ = ["map_of", "map_table"]

NAME_MOST = 17
Label = tuple[float, float, float]
FIRST = {"request": 0, "call": 1, "event": 2}


class Bundle(Value, frozen=True):
    """Everything of one kind that goes from one box to another, drawn as one arrow."""

    source: str
    target: str
    kind: str
    flows: tuple[Flow, ...]

    @property
    def rate(self) -> float:
        """Messages a second."""
        return sum(f.rate for f in self.flows)

    @property
    def share(self) -> float:
        """The part of them that were errors."""
        return min(1.0, sum(f.errors for f in self.flows) / self.rate) if self.rate else 0.0

    @property
    def used(self) -> bool:
        """Whether any ever was."""
        return any(f.used for f in self.flows)


def map_of(now: Now) -> Html:
    """Return the map as an SVG picture with a title and a description."""
    bundles = _bundles(now.flows)
    outside = [OUTSIDE] if any(b.source == OUTSIDE for b in bundles) else []
    layout = laid_out((*outside, *now.seen.modules), tuple((b.source, b.target) for b in bundles))
    taken: list[Label] = []
    arrows = [_arrow(bundle, layout, bundles, taken) for bundle in bundles]
    boxes = [_box(name, place, now) for name, place in layout.places.items()]
    return el(
        "svg", el("title", f"Map of {now.seen.app}", id="picture-title"),
        el("desc", _told(now, bundles), id="picture-desc"),
        el("defs", [_head(kind) for kind in ("calm", "event", "some", "many", "dim")]),
        el("g", [line for line, _ in arrows]), el("g", boxes), el("g", [label for _, label in arrows]),
        viewBox=f"0 0 {layout.width:.0f} {layout.height:.0f}", width=layout.width, height=layout.height, role="img",
        aria_labelledby="picture-title picture-desc", class_="map", xmlns="http://www.w3.org/2000/svg",
    )


def map_table(now: Now) -> Html:
    """Return the same as a table: each message by itself."""
    rows = sorted(now.flows, key=lambda f: (FIRST[f.arrow.kind], f.arrow.source, f.arrow.target, f.arrow.name))
    columns = (
        Column[Flow]("from", "From", lambda f: _called(f.arrow.source)),
        Column[Flow]("to", "To", lambda f: f.arrow.target),
        Column[Flow]("message", "Message", lambda f: breakable(f.arrow.name), head=True),
        Column[Flow]("kind", "Kind", lambda f: f.arrow.kind),
        Column[Flow]("rate", "Rate", lambda f: per_second(f.rate) if f.used else "never used", number=True),
        Column[Flow]("errors", "Errors", lambda f: percent(f.share), number=True, bad=lambda f: f.share > 0),
    )
    return table("arrows", "Every arrow of the map, message by message", columns, rows)


def _bundles(flows: Sequence[Flow]) -> list[Bundle]:
    found: dict[tuple[str, str, str], list[Flow]] = {}
    for flow in flows:
        found.setdefault((flow.arrow.source, flow.arrow.target, flow.arrow.kind), []).append(flow)
    made = [Bundle(source=s, target=t, kind=k, flows=tuple(f)) for (s, t, k), f in found.items()]
    asked = {b.target for b in made if b.kind != "event" and b.source != b.target}
    # whom nobody asks anything lives on others' events: its own come after theirs, and so does it on the map
    return sorted(made, key=lambda b: (FIRST[b.kind], b.source not in asked))


def _told(now: Now, bundles: Sequence[Bundle]) -> str:
    return (
        f"{len(now.seen.modules)} modules, {len(bundles)} arrows, {sum(not b.used for b in bundles)} of them never "
        f"used, {sum(b.share > 0 for b in bundles)} with errors. The table under the map says the same in words."
    )


def _called(name: str) -> str:
    return "outside" if name == OUTSIDE else name


def _look(bundle: Bundle) -> str:
    if not bundle.used:
        return "dim"
    if bundle.share == 0:
        return "event" if bundle.kind == "event" else "calm"
    return "some" if bundle.share < 0.05 else "many"


def _head(look: str) -> Html:
    return el(
        "marker", el("path", d="M0,0 L8,4 L0,8 z", class_=f"head {look}"), id=f"head-{look}", viewBox="0 0 8 8",
        refX=7.0, refY=4.0, markerWidth=9.0, markerHeight=9.0, markerUnits="userSpaceOnUse", orient="auto",
    )


def _arrow(
    bundle: Bundle, layout: Layout, bundles: Sequence[Bundle], taken: list[Label]
) -> tuple[Html, Html]:
    """Return the line, and the label that is drawn over everything."""
    beside = [b for b in bundles if (b.source, b.target) == (bundle.source, bundle.target)]
    shift = (beside.index(bundle) - (len(beside) - 1) / 2) * 14.0
    look = _look(bundle)
    if bundle.source == bundle.target:
        points, path = _loop(layout.places[bundle.source])
    else:
        line = layout.lines.get((bundle.source, bundle.target))
        if line is None:
            return Html(), Html()
        points, path = _curve(line, shift)
    width = 1.5 if not bundle.rate else min(9.0, 1.5 + 1.5 * math.log10(1 + bundle.rate * 10))
    names = ", ".join(f.arrow.name for f in bundle.flows)
    said = f"{_called(bundle.source)} to {bundle.target}, {bundle.kind}: {names}"
    drawn = el(
        "path", el("title", said), d=path, class_=f"arrow {bundle.kind} {look}", stroke_width=round(width, 1),
        marker_end=f"url(#head-{look})", fill="none",
    )
    if not bundle.rate:
        return drawn, Html()
    text = per_second(bundle.rate) + (f", {percent(bundle.share)} errors" if bundle.share else "")
    x, y = _free(points, len(text) * 6.6, taken)
    return drawn, el("text", text, x=x, y=y, class_=f"rate {look}", text_anchor="middle")


def _curve(line: Line, shift: float) -> tuple[list[tuple[float, float]], str]:
    """Return points along the line for its label, and the line itself as a path with vertical ends."""
    points = [(x + shift, y) for x, y in line.points]
    path, along = f"M{points[0][0]:.1f},{points[0][1]:.1f}", []
    for (ax, ay), (bx, by) in pairwise(points):
        middle = (ay + by) / 2
        path += f" C{ax:.1f},{middle:.1f} {bx:.1f},{middle:.1f} {bx:.1f},{by:.1f}"
        for t in (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8):
            s = 1 - t
            along.append((
                s**3 * ax + 3 * s * s * t * ax + 3 * s * t * t * bx + t**3 * bx,
                s**3 * ay + 3 * s * s * t * middle + 3 * s * t * t * middle + t**3 * by,
            ))
    return along, path


def _loop(place: Place) -> tuple[list[tuple[float, float]], str]:
    """Return a line from a box to itself, at its right side."""
    x, y = place.x + place.width / 2, place.y
    out = x + 26
    path = f"M{x:.1f},{y - 10:.1f} C{out:.1f},{y - 22:.1f} {out:.1f},{y + 22:.1f} {x:.1f},{y + 10:.1f}"
    return [(x + 12, y + 34)], path


def _free(points: Sequence[tuple[float, float]], width: float, taken: list[Label]) -> tuple[float, float]:
    """Return the first of the points whose label would not lie on another one."""
    for x, y in points:
        if all(abs(x - other) > (width + wide) / 2 + 6 or abs(y - above) > 15 for other, above, wide in taken):
            break
    else:
        x, y = points[0]
    taken.append((x, y, width))
    return x, y + 4


def _box(name: str, place: Place, now: Now) -> Html:
    own = [c for c in now.contracts if c.module == name]
    rate, errors = sum(c.rate for c in own), sum(c.errors for c in own)
    share = errors / max(1, sum(c.count for c in own))
    waiting = sum(s.lag for s in now.seen.subscriptions if s.module == name)
    shown = _called(name)
    under = "requests" if name == OUTSIDE else f"{per_second(rate)}" + (f", {waiting} waiting" if waiting else "")
    look = "outside" if name == OUTSIDE else "many" if share >= 0.05 else "some" if share > 0 else "calm"
    left, top = place.x - place.width / 2, place.y - place.height / 2
    return el(
        "g", el("title", shown),
        el("rect", x=left, y=top, width=place.width, height=place.height, rx=9.0),
        el("text", shown if len(shown) <= NAME_MOST else f"{shown[: NAME_MOST - 1]}…", x=place.x, y=place.y - 3,
           class_="name", text_anchor="middle"),
        el("text", under, x=place.x, y=place.y + 15, class_="under", text_anchor="middle"),
        class_=f"box {look}",
    )
