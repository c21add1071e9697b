"""Plots as SVG: bars and lines on logarithmic scales, with nothing but text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

__all__ = ["bars", "lines"]

INK = "#4b5563"
GRID = "#d1d5db"
OURS = "#2563eb"
OTHERS = "#9ca3af"
COLOURS = ("#2563eb", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6")
WIDTH = 760


def bars(title: str, unit: str, values: Mapping[str, float], ours: Sequence[str]) -> str:
    """Draw a bar each, the shortest first; `ours` are highlighted."""
    left, right, step = 250, 90, 26
    ordered = sorted(values.items(), key=lambda pair: pair[1])
    low, high = _decades(values.values())
    height = 52 + step * len(ordered) + 26
    parts = [_text(16, 24, title, size=15, weight=600)]
    for decade in range(low, high + 1):
        x = left + (WIDTH - left - right) * (decade - low) / (high - low)
        parts.append(_line(x, 40, x, height - 24))
        parts.append(_text(x, height - 8, f"{10.0**decade:g}", anchor="middle"))
    for index, (name, value) in enumerate(ordered):
        y = 44 + step * index
        width = (WIDTH - left - right) * (math.log10(value) - low) / (high - low)
        colour = OURS if name in ours else OTHERS
        parts.append(_text(left - 10, y + 14, name, anchor="end"))
        parts.append(
            f'<rect x="{left}" y="{y}" width="{max(width, 2):.1f}" height="18" rx="3"'
            f' fill="{colour}"/>'
        )
        parts.append(_text(left + width + 8, y + 14, f"{value:.3g}"))
    parts.append(_text(WIDTH - 8, height - 8, unit, anchor="end"))
    return _svg(height, title, parts)


def lines(
    title: str, across: str, unit: str, series: Mapping[str, Sequence[tuple[float, float]]]
) -> str:
    """Draw a line for each series of `(x, y)`; both axes are logarithmic."""
    left, top, bottom, right, height = 70, 58, 310, 560, 354
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    (x_low, x_high), (y_low, y_high) = _decades(xs), _decades(ys)
    parts = [_text(16, 24, title, size=15, weight=600)]

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + (right - left) * (math.log10(x) - x_low) / (x_high - x_low),
            bottom - (bottom - top) * (math.log10(y) - y_low) / (y_high - y_low),
        )

    for decade in range(x_low, x_high + 1):
        x, _ = place(10.0**decade, 10.0**y_low)
        parts.append(_line(x, top, x, bottom))
        parts.append(_text(x, bottom + 18, f"{10**decade:,}", anchor="middle"))
    for decade in range(y_low, y_high + 1):
        _, y = place(10.0**x_low, 10.0**decade)
        parts.append(_line(left, y, right, y))
        parts.append(_text(left - 8, y + 4, f"{10.0**decade:g}", anchor="end"))
    parts.append(_text((left + right) / 2, bottom + 38, across, anchor="middle"))
    parts.append(_text(16, 40, unit))
    for points, colour in zip(series.values(), COLOURS * 3, strict=False):
        places = [place(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in places:
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
    for index, (name, colour) in enumerate(zip(series, COLOURS * 3, strict=False)):
        y = top + 14 + 22 * index
        parts.append(f'<circle cx="{right + 22}" cy="{y - 4}" r="4" fill="{colour}"/>')
        parts.append(_text(right + 34, y, name))
    return _svg(height, title, parts)


def _decades(values: Iterable[float]) -> tuple[int, int]:
    """Return the powers of ten around values."""
    logs = [math.log10(value) for value in values]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    return low, max(high, low + 1)


def _text(
    x: float, y: float, text: str, *, size: int = 12, weight: int = 400, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}"'
        f' text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{GRID}"/>'


def _svg(height: int, title: str, parts: Sequence[str]) -> str:
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' font-family="system-ui, sans-serif">\n<title>{escape(title)}</title>\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n{inside}\n</svg>\n'
    )
