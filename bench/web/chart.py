"""The chart: a bar for each contender and case, as SVG that reads well on light and on dark pages."""

from __future__ import annotations

from html import escape

from bench.web.cases import CASES, PURE
from bench.web.contenders import BASE, CONTENDERS
from bench.web.figures import Report

__all__ = ["chart"]

WIDTH, LEFT, RIGHT, BAR, GAP, TOP = 860, 220, 70, 14, 12, 74
COLOURS = {"hello": "#2f7ed8", "order": "#1a9a76", "item": "#c98a1b"}
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .quiet { fill: #57606a; font-size: 12px }
  .own { font-weight: 600 }
  .line { stroke: #d0d7de }
  .base { stroke: #57606a; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .line { stroke: #3d444d } .base { stroke: #9198a1 }
  }
"""


def chart(report: Report) -> str:
    """Return the SVG: requests for each second of server CPU, as a multiple of bare granian's."""
    rows = _rows(report)
    most = max((value for _, bars in rows for _, value in bars), default=1.0) * 1.02
    scale = (WIDTH - LEFT - RIGHT) / most
    parts = [_legend()]
    height = TOP + sum(len(bars) * BAR + GAP for _, bars in rows)
    parts += [_rule(LEFT + at * scale, height, f"{at:g}") for at in _ticks(most)]
    y = TOP
    for name, bars in rows:
        middle = y + len(bars) * BAR / 2 + 4
        weight = ' class="own"' if name == "headwater" else ""
        parts.append(f'<text x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end"{weight}>{escape(name)}</text>')
        for case, value in bars:
            parts.append(_bar(y, value * scale, COLOURS[case], f"{name}, {CASES[case].title}: {value:.2f}"))
            parts.append(f'<text class="quiet" x="{LEFT + value * scale + 5:.1f}" y="{y + 11}">{value:.2f}</text>')
            y += BAR
        y += GAP
    said = "Requests for each second of server CPU, as a multiple of bare granian"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height + 10}" role="img" aria-label="{said}">\n'
        f'<title>{said}</title>\n<style>{_STYLE}</style>\n<text x="{LEFT}" y="20" class="own">{said}</text>\n'
        + "\n".join(parts) + "\n</svg>\n"
    )


def _rows(report: Report) -> list[tuple[str, list[tuple[str, float]]]]:
    rows = []
    for name in CONTENDERS:
        found = [(case, report.ratio(case, name, BASE)) for case in PURE]
        bars = [(case, ratio.median) for case, ratio in found if ratio is not None]
        if bars:
            rows.append((name, bars))
    return sorted(rows, key=lambda row: -row[1][0][1])


def _ticks(most: float) -> list[float]:
    step = 0.5 if most <= 4 else 1.0
    return [number * step for number in range(int(most / step) + 1)]


def _rule(x: float, height: int, label: str) -> str:
    kind = "base" if label == "1" else "line"
    return (
        f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height}"/>'
        f'<text class="quiet" x="{x:.1f}" y="{TOP - 13}" text-anchor="middle">{label}</text>'
    )


def _bar(y: int, width: float, colour: str, title: str) -> str:
    return (
        f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" rx="1.5" fill="{colour}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _legend() -> str:
    parts, x = [], LEFT
    for case in PURE:
        parts.append(f'<rect x="{x}" y="32" width="11" height="11" rx="2" fill="{COLOURS[case]}"/>')
        parts.append(f'<text class="quiet" x="{x + 16}" y="42">{escape(CASES[case].title)}</text>')
        x += 190
    return "\n".join(parts)
