"""Lines on two logarithmic axes as an SVG file, for the documents."""

import math
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.svg import draw_line, draw_text

Line = Sequence[tuple[float, float]]
"""(x, y), both above zero, x growing."""

_WIDTH, _HEIGHT = 640, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 120, 52, 48
_COLOURS = ("#4269d0", "#e0701f", "#3a9a5b", "#c8384a", "#8a5bd0", "#8a6b4f", "#2a9db0", "#6b7280")
_LABEL_PX = 14


def plot(title: str, x_name: str, y_name: str, lines: Mapping[str, Line], note: str = "") -> str:
    """Draw lines, each with its name at its end.

    Args:
        title: Above the plot.
        x_name: Below the axis, with the unit.
        y_name: Beside the axis, with the unit.
        lines: By name; empty ones are left out.
        note: Small, below the title.

    Returns:
        An SVG document. The same lines give the same text.
    """
    shown = {name: line for name, line in lines.items() if line}
    points = [point for line in shown.values() for point in line]
    x, y = (
        _Axis.of([p[0] for p in points], _LEFT, _WIDTH - _RIGHT),
        _Axis.of([p[1] for p in points], _HEIGHT - _BOTTOM, _TOP),
    )
    body = [
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        draw_text(_LEFT, 22, title, size=15, weight="bold"),
        *([draw_text(_LEFT, 40, note, size=11, colour="#6b7280")] if note else []),
        draw_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, x_name, anchor="middle"),
        f'<g transform="rotate(-90)">{draw_text(-_HEIGHT / 2, 16, y_name, anchor="middle")}</g>',
        *_ticks(x, y),
        *_drawn(shown, x, y),
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, *body, "</svg>", ""])


class _Axis:
    """Values to pixels, logarithmic."""

    def __init__(self, low: float, high: float, first_px: float, last_px: float) -> None:
        self.low, self.high = low, high
        self._first_px, self._last_px = first_px, last_px

    @classmethod
    def of(cls, values: Sequence[float], first_px: float, last_px: float) -> "_Axis":
        """With room for all values."""
        low, high = min(values), max(values)
        return cls(low / 1.15, high * 1.15, first_px, last_px)

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self._first_px + share * (self._last_px - self._first_px)

    def ticks(self) -> list[float]:
        """Powers of ten within; 2 and 5 times them too where there are few."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1,), (1, 3), (1, 2, 5)):
            inside = [step * 10.0**e for e in decades for step in steps if self.low <= step * 10.0**e <= self.high]
            if len(inside) >= 3:
                return inside
        return inside


def _ticks(x: _Axis, y: _Axis) -> Iterator[str]:
    for value in x.ticks():
        yield draw_line(x(value), _TOP, x(value), _HEIGHT - _BOTTOM)
        yield draw_text(x(value), _HEIGHT - _BOTTOM + 16, f"{value:,.6g}", anchor="middle")
    for value in y.ticks():
        yield draw_line(_LEFT, y(value), _WIDTH - _RIGHT, y(value))
        yield draw_text(_LEFT - 6, y(value) + 4, f"{value:.6g}", anchor="end")


def _drawn(lines: Mapping[str, Line], x: _Axis, y: _Axis) -> Iterator[str]:
    ends = _apart({name: y(line[-1][1]) for name, line in lines.items()})
    for (name, line), colour in zip(lines.items(), _COLOURS * len(lines), strict=False):
        pixels = [(x(a), y(b)) for a, b in line]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in pixels)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>' for a, b in pixels)
        yield draw_text(_WIDTH - _RIGHT + 8, ends[name] + 4, name, colour=colour)


def _apart(places: Mapping[str, float]) -> dict[str, float]:
    """Labels moved down until none lies on another."""
    moved: dict[str, float] = {}
    last = -math.inf
    for name, place in sorted(places.items(), key=lambda item: item[1]):
        last = max(place, last + _LABEL_PX)
        moved[name] = last
    return moved
