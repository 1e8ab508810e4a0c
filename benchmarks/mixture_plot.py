"""What images are a mixture of, and how widely they are spread, as an SVG file for the documents."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.svg import draw_line, draw_text

_WIDTH, _HEIGHT = 680, 520
_LEFT, _RIGHT = 52, 20
_COLOURS = ("#4269d0", "#e0701f", "#3a9a5b", "#c8384a", "#8a5bd0", "#8a6b4f", "#2a9db0", "#d0a020", "#6b7280")
_GREY = "#6b7280"
_BARS = (64, 250)
_CURVES = (318, 470)
_GAP = 40

Groups = Mapping[str, Sequence[float]]


def plot(title: str, bars: Sequence[Mapping[str, float]], figures: Mapping[str, Groups], note: str = "") -> str:
    """Draw the shares of images as bars, and below them how figures are distributed over groups of images.

    Args:
        title: Above the plot.
        bars: An image each: shares by source class, which sum to 1; at most as many classes as there are colours.
        figures: By name (at most two) and then by group: a value an image.
        note: Small, below the title.

    Returns:
        An SVG document. The same figures give the same text.
    """
    body = [
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        draw_text(_LEFT, 22, title, size=15, weight="bold"),
        draw_text(_LEFT, 40, note, size=11, colour=_GREY),
        *_stacked(bars),
    ]
    wide = (_WIDTH - _LEFT - _RIGHT - _GAP * (len(figures) - 1)) / len(figures)
    for place, (name, groups) in enumerate(figures.items()):
        body += _spread(name, groups, _LEFT + place * (wide + _GAP), wide, keyed=place == 0)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, *body, "</svg>", ""])


def _stacked(bars: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """A bar an image, sorted by its largest class; the key stands below."""
    totals: dict[str, float] = {}
    for shares in bars:
        for name, share in shares.items():
            totals[name] = totals.get(name, 0.0) + share
    names = sorted(totals, key=lambda name: -totals[name])
    colours = dict(zip(names, _COLOURS, strict=False))
    top, foot = _BARS
    wide = (_WIDTH - _LEFT - _RIGHT) / len(bars)
    for place, shares in enumerate(sorted(bars, key=lambda one: [-one.get(name, 0.0) for name in names])):
        y = float(foot)
        for name in names:
            high = shares.get(name, 0.0) * (foot - top)
            y -= high
            if high >= 0.05:
                yield _box(_LEFT + place * wide, y, wide * 0.92, high, colours[name])
    yield from (
        draw_text(_LEFT - 6, foot - share * (foot - top) + 4, f"{share:g}", anchor="end") for share in (0, 0.5, 1)
    )
    for place, name in enumerate(names):
        x = _LEFT + place * (_WIDTH - _LEFT - _RIGHT) / len(names)
        yield _box(x, foot + 10, 9, 9, colours[name])
        yield draw_text(x + 12, foot + 18, name, size=10)


def _spread(name: str, groups: Groups, left: float, wide: float, *, keyed: bool) -> list[str]:
    """The part of each group's images that lie at or below a value: a line a group."""
    top, foot = _CURVES
    most = max(max(values) for values in groups.values()) * 1.02
    parts = [draw_text(left + wide / 2, foot + 34, name, anchor="middle"), draw_line(left, foot, left + wide, foot)]
    parts += [
        draw_text(left + wide * step / 4, foot + 16, f"{most * step / 4:.2g}", anchor="middle", size=11)
        for step in range(5)
    ]
    for share in (0.0, 0.5, 1.0):
        y = foot - share * (foot - top)
        parts += [draw_line(left, y, left + wide, y), draw_text(left - 6, y + 4, f"{share:.0%}", anchor="end", size=11)]
    for place, (group, values) in enumerate(groups.items()):
        colour = _COLOURS[place]
        ordered = sorted(values)
        points = [(left, float(foot))]
        points += [
            (left + wide * value / most, foot - (rank + 1) / len(ordered) * (foot - top))
            for rank, value in enumerate(ordered)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if keyed:
            parts.append(draw_text(_LEFT + 200 * place, top - 14, f"— {group}", colour=colour))
    return parts


def _box(x: float, y: float, wide: float, high: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{colour}"/>'
