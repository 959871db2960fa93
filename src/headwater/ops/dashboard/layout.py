"""Places boxes in layers and leads lines between them: a small layered layout, the same for the same input.

In the order of Sugiyama, Tagawa and Toda (1981): turn around the edges that close cycles, give each box a layer, put
stand-ins where a line passes a layer, order the layers by the middle of their neighbours, and place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from headwater.model.message import Value

__all__ = ["Layout", "Line", "Place", "laid_out"]

BOX_WIDTH, BOX_HEIGHT = 148.0, 52.0
GAP, ROW = 34.0, 128.0
PASSING = 26.0
MARGIN = 20.0
SWEEPS = 8

Edge = tuple[str, str]
_Spot = str | tuple[str, str, int]
"""A box, or the stand-in of an edge in a layer."""


class Place(Value, frozen=True):
    """Where a box is: its middle and its size."""

    x: float
    y: float
    width: float
    height: float


class Line(Value, frozen=True):
    """The points that an edge passes, from its source to its target."""

    points: tuple[tuple[float, float], ...]


class Layout(Value):
    """The whole picture. lines: by edge, as it was given."""

    width: float
    height: float
    places: dict[str, Place]
    lines: dict[Edge, Line]


@lru_cache(8)
def laid_out(boxes: tuple[str, ...], edges: tuple[Edge, ...]) -> Layout:
    """Return a layout of boxes and the edges between them, from top to bottom as far as cycles allow.

    Edges that come first count more when a cycle has to be turned. An edge from a box to itself is left out.
    """
    wanted = list(dict.fromkeys(e for e in edges if e[0] != e[1] and e[0] in boxes and e[1] in boxes))
    down = _without_cycles(boxes, wanted)
    layer = _layers(boxes, down.values())
    rows, chains = _rows(boxes, layer, down)
    _order(rows, chains)
    x = _placed(rows, chains)
    left = min((x[s] - _width(s) / 2 for s in x), default=0.0) - MARGIN
    places = {
        box: Place(x=x[box] - left, y=MARGIN + layer[box] * ROW + BOX_HEIGHT / 2, width=BOX_WIDTH, height=BOX_HEIGHT)
        for box in boxes
    }
    width = max((x[s] + _width(s) / 2 for s in x), default=0.0) - left + MARGIN
    height = MARGIN * 2 + max(layer.values(), default=0) * ROW + BOX_HEIGHT
    passed = {
        edge: tuple(
            (x[spot] - left, MARGIN + number * ROW + BOX_HEIGHT / 2)
            for number, spot in enumerate(chain, layer[chain[0]]) if isinstance(spot, tuple)  # type: ignore[index]
        )
        for edge, chain in chains.items()
    }
    return Layout(width=width, height=height, places=places, lines=_lines(wanted, down, places, passed))


def _without_cycles(boxes: Sequence[str], edges: Sequence[Edge]) -> dict[Edge, Edge]:
    """Return each edge as it points downwards: itself, or turned around where it would close a cycle."""
    below: dict[str, set[str]] = {box: set() for box in boxes}

    def reaches(start: str, goal: str) -> bool:
        waiting, met = [start], {start}
        while waiting:
            here = waiting.pop()
            if here == goal:
                return True
            fresh = below[here] - met
            met |= fresh
            waiting.extend(sorted(fresh))
        return False

    down: dict[Edge, Edge] = {}
    for source, target in edges:
        turned = reaches(target, source)
        down[source, target] = (target, source) if turned else (source, target)
        below[target if turned else source].add(source if turned else target)
    return down


def _layers(boxes: Sequence[str], edges: Iterable[Edge]) -> dict[str, int]:
    """Return the longest way down to each box."""
    above: dict[str, list[str]] = {box: [] for box in boxes}
    for source, target in edges:
        above[target].append(source)
    found: dict[str, int] = {}

    def depth(box: str) -> int:
        if box not in found:
            found[box] = max((depth(up) + 1 for up in above[box]), default=0)
        return found[box]

    return {box: depth(box) for box in boxes}


def _rows(
    boxes: Sequence[str], layer: Mapping[str, int], down: Mapping[Edge, Edge]
) -> tuple[list[list[_Spot]], dict[Edge, list[_Spot]]]:
    """Return what stands in each layer, and the spots that each downward edge passes."""
    rows: list[list[_Spot]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for box in boxes:
        rows[layer[box]].append(box)
    chains: dict[Edge, list[_Spot]] = {}
    for source, target in dict.fromkeys(down.values()):
        passing: list[_Spot] = [(source, target, number) for number in range(layer[source] + 1, layer[target])]
        for spot, number in zip(passing, range(layer[source] + 1, layer[target]), strict=True):
            rows[number].append(spot)
        chains[source, target] = [source, *passing, target]
    return rows, chains


def _order(rows: list[list[_Spot]], chains: Mapping[Edge, Sequence[_Spot]]) -> None:
    """Put each row in the order of the middles of its neighbours, downwards and upwards in turn."""
    up, down = _neighbours(chains)
    for sweep in range(SWEEPS):
        near = up if sweep % 2 == 0 else down
        numbers = range(1, len(rows)) if sweep % 2 == 0 else range(len(rows) - 2, -1, -1)
        for number in numbers:
            beside = rows[number - 1 if sweep % 2 == 0 else number + 1]
            at = {spot: index / max(1, len(beside) - 1) for index, spot in enumerate(beside)}
            now = {spot: index / max(1, len(rows[number]) - 1) for index, spot in enumerate(rows[number])}
            rows[number].sort(key=lambda spot, near=near, at=at, now=now: _middle(near.get(spot, ()), at, now[spot]))  # type: ignore[misc]


def _neighbours(
    chains: Mapping[Edge, Sequence[_Spot]]
) -> tuple[dict[_Spot, list[_Spot]], dict[_Spot, list[_Spot]]]:
    up: dict[_Spot, list[_Spot]] = {}
    down: dict[_Spot, list[_Spot]] = {}
    for chain in chains.values():
        for above, below in pairwise(chain):
            up.setdefault(below, []).append(above)
            down.setdefault(above, []).append(below)
    return up, down


def _middle(near: Sequence[_Spot], at: Mapping[_Spot, float], otherwise: float) -> float:
    known = [at[spot] for spot in near if spot in at]
    return sum(known) / len(known) if known else otherwise


def _width(spot: _Spot) -> float:
    return BOX_WIDTH if isinstance(spot, str) else PASSING


def _placed(rows: Sequence[Sequence[_Spot]], chains: Mapping[Edge, Sequence[_Spot]]) -> dict[_Spot, float]:
    """Return where each spot is across, as near to the middle of its neighbours as its row allows."""
    x: dict[_Spot, float] = {}
    for row in rows:
        total = sum(_width(s) for s in row) + GAP * (len(row) - 1)
        at = -total / 2
        for spot in row:
            x[spot] = at + _width(spot) / 2
            at += _width(spot) + GAP
    up, down = _neighbours(chains)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wish = {s: _middle([*up.get(s, ()), *down.get(s, ())], x, x[s]) for s in row}
            _settle(row, wish, x)
    return x


def _settle(row: Sequence[_Spot], wish: Mapping[_Spot, float], x: dict[_Spot, float]) -> None:
    """Move a row's spots towards their wishes without changing their order: the mean of pushing right and left."""
    right: list[float] = []
    for index, spot in enumerate(row):
        least = right[-1] + (_width(row[index - 1]) + _width(spot)) / 2 + GAP if index else wish[spot]
        right.append(max(wish[spot], least))
    left: list[float] = [0.0] * len(row)
    for index in range(len(row) - 1, -1, -1):
        spot = row[index]
        left[index] = wish[spot]
        if index + 1 < len(row):
            left[index] = min(wish[spot], left[index + 1] - (_width(row[index + 1]) + _width(spot)) / 2 - GAP)
    for spot, a, b in zip(row, right, left, strict=True):
        x[spot] = (a + b) / 2


def _lines(
    edges: Sequence[Edge], down: Mapping[Edge, Edge], places: Mapping[str, Place],
    passed: Mapping[Edge, tuple[tuple[float, float], ...]],
) -> dict[Edge, Line]:
    """Return each edge's points; the ends at one side of a box stand apart, in the order of where they lead."""
    ends: dict[tuple[str, bool], list[tuple[float, Edge]]] = {}
    for edge in edges:
        top, bottom = down[edge]
        way = passed[top, bottom]
        ends.setdefault((top, True), []).append((way[0][0] if way else places[bottom].x, edge))
        ends.setdefault((bottom, False), []).append((way[-1][0] if way else places[top].x, edge))
    at: dict[tuple[str, bool, Edge], float] = {}
    for (box, under), led in ends.items():
        step = min(30.0, (BOX_WIDTH - 24) / len(led))
        for index, (_, edge) in enumerate(sorted(led)):
            at[box, under, edge] = places[box].x + (index - (len(led) - 1) / 2) * step
    lines: dict[Edge, Line] = {}
    for edge in edges:
        top, bottom = down[edge]
        aside = 0.0 if edge == (top, bottom) or (top, bottom) not in down.values() else 9.0
        points = (
            (at[top, True, edge], places[top].y + BOX_HEIGHT / 2),
            *((x + aside, y) for x, y in passed[top, bottom]),
            (at[bottom, False, edge], places[bottom].y - BOX_HEIGHT / 2),
        )
        lines[edge] = Line(points=points if edge == (top, bottom) else points[::-1])
    return lines
