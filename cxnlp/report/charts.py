"""Drawings as inline SVG: an interval on an axis, and a share over time.

Comes in: numbers. Goes out: markup that needs no script and prints as it is. Left out: the
numbers in words, which the page writes beside each drawing, so that drawings within a table are
hidden from screen readers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 320.0, 132.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 8.0, 8.0, 22.0
_ROOM: Final = _WIDTH - _LEFT - _RIGHT


@dataclass(frozen=True, slots=True)
class Point:
    """A share of one moment, with its interval; `few`: too few comments to lean on."""

    label: str
    share: float
    low: float
    high: float
    few: bool


def interval(
    value: float, low: float, high: float, *, reach: tuple[float, float] = (-1.0, 1.0),
    tone: str = "", few: bool = False,
) -> Markup:  # fmt: skip
    """Return a dot with its interval on an axis from `reach[0]` to `reach[1]`, and a line at 0.

    >>> "circle" in interval(-0.4, -0.6, -0.2)
    True
    """
    x, x1, x2 = (_across(v, reach) for v in (value, low, high))
    zero = _across(0, reach)
    classes = " ".join(filter(None, ("interval", tone, "few" if few else "")))
    return Markup(
        '<svg class="{}" viewBox="0 0 120 16" aria-hidden="true" focusable="false">'
        '<line class="axis" x1="4" y1="8" x2="116" y2="8"/>'
        '<line class="zero" x1="{z}" y1="1" x2="{z}" y2="15"/>'
        '<line class="whisker" x1="{:.1f}" y1="8" x2="{:.1f}" y2="8"/>'
        '<circle cx="{:.1f}" cy="8" r="3.4"/></svg>'
    ).format(classes, x1, x2, x, z=f"{zero:.1f}")


def trend(
    lines: Sequence[tuple[str, Sequence[Point]]], *, top: float, title: str, told: str
) -> Markup:
    """Return lines of shares over time, each with a band for its interval.

    `lines` are (class, points), all of the same moments; `top` is the highest share of the
    axis. `title` and `told` are read out instead of the drawing.
    """
    body = Markup("").join([_grid(top), *(_line(name, points, top) for name, points in lines)])
    return Markup(
        '<svg class="trend" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">'
        "<title>{}</title><desc>{}</desc>{}{}</svg>"
    ).format(_WIDTH, _HEIGHT, f"{title}. {told}", title, told, body, _moments(lines))


def _across(value: float, reach: tuple[float, float]) -> float:
    inside = min(max(value, reach[0]), reach[1])
    return 4 + 112 * (inside - reach[0]) / (reach[1] - reach[0])


def _y(share: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(share / top, 1)


def _x(place: int, moments: int) -> float:
    return _LEFT + (_ROOM * place / (moments - 1) if moments > 1 else _ROOM / 2)


def _grid(top: float) -> Markup:
    return Markup("").join(
        Markup(
            '<line class="grid" x1="{:.0f}" y1="{y}" x2="{:.0f}" y2="{y}"/>'
            '<text class="tick" x="{:.0f}" y="{:.1f}" text-anchor="end">{:.0f}\u202f%</text>'
        ).format(_LEFT, _WIDTH - _RIGHT, _LEFT - 5, _y(at, top) + 3.5, at * 100,
                 y=f"{_y(at, top):.1f}")
        for at in (0, top / 2, top)
    )  # fmt: skip


def _moments(lines: Sequence[tuple[str, Sequence[Point]]]) -> Markup:
    """The first and the last moment, written under the axis."""
    points = lines[0][1]
    ends = [(_LEFT, "start", points[0].label), (_WIDTH - _RIGHT, "end", points[-1].label)]
    return Markup("").join(
        Markup('<text class="tick" x="{:.0f}" y="{:.0f}" text-anchor="{}">{}</text>').format(
            x, _HEIGHT - 6, anchor, label
        )
        for x, anchor, label in ends[: len(points)]
    )


def _line(name: str, points: Sequence[Point], top: float) -> Markup:
    places = [_x(i, len(points)) for i in range(len(points))]
    upper = [f"{x:.1f},{_y(p.high, top):.1f}" for x, p in zip(places, points, strict=True)]
    lower = [f"{x:.1f},{_y(p.low, top):.1f}" for x, p in zip(places, points, strict=True)]
    middle = [f"{x:.1f},{_y(p.share, top):.1f}" for x, p in zip(places, points, strict=True)]
    dots = Markup("").join(
        Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="2.6"/>').format(
            "few" if p.few else "sure", x, _y(p.share, top)
        )
        for x, p in zip(places, points, strict=True)
    )
    return Markup(
        '<g class="line {}"><polygon class="band" points="{}"/><polyline points="{}"/>{}</g>'
    ).format(escape(name), " ".join([*upper, *lower[::-1]]), " ".join(middle), dots)
