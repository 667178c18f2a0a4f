# SPDX-License-Identifier: GPL-2.0-or-later
"""Cost against scale, as SVG: the median of the rounds, and from the best to the
worst of them."""

import math
import statistics
from xml.sax.saxutils import escape

# Of each panel: title, x axis, y axis, what a unit of it is of the samples', and
# its series with their words.
PANELS = (
    ("One more volume under one KEK", "volumes open", "ms", 1000,
     (("volume-paes", "xts(paes)"), ("volume-aes", "xts(aes)"))),
    ("One more blob under one of many KEKs", "KEKs held", "us", 1,
     (("kek-blob", "a blob opened"), ("kek-lookup", "a KEK found"))),
)
COLOURS = ("#0b6e99", "#c2571a")
WIDTH, HEIGHT = 460, 320
LEFT, RIGHT, TOP, BOTTOM = 60, 24, 56, 48
TICKS = 5


def nice(most):
    """A round step of the axis, so that some TICKS of them reach @most."""
    rough = most / TICKS or 1
    base = 10 ** math.floor(math.log10(rough))
    return next(base * step for step in (1, 2, 5, 10) if base * step >= rough)


def text(x, y, words, anchor="middle", size=12, more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'font-size="{size}"{more}>{escape(words)}</text>')


def line(x1, y1, x2, y2, colour, width=1.0):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-width="{width}"/>')


class Panel:
    """One pair of axes; x is logarithmic, y begins at 0."""

    def __init__(self, spec, points, offset):
        self.title, self.x_name, self.y_name, self.unit, series = spec
        self.offset = offset
        self.series = [(name, words, points[name]) for name, words in series
                       if points.get(name)]
        self.xs = sorted({x for _, _, at in self.series for x, _ in at})
        most = max(max(ys) for _, _, at in self.series for _, ys in at)
        self.step = nice(most / self.unit)
        self.top = self.step * math.ceil(most / self.unit / self.step)

    def x(self, value):
        first, last = math.log(self.xs[0]), math.log(self.xs[-1])
        part = (math.log(value) - first) / (last - first) if last > first else 0.5
        return self.offset + LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)

    def axes(self):
        left, right = self.offset + LEFT, self.offset + WIDTH - RIGHT
        yield text(left, 22, self.title, "start", 14, ' font-weight="bold"')
        for i in range(round(self.top / self.step) + 1):
            value = i * self.step
            yield line(left, self.y(value), right, self.y(value), "#dddddd")
            yield text(left - 6, self.y(value) + 4, f"{value:g}", "end")
        for x in self.xs:
            yield line(self.x(x), self.y(0), self.x(x), self.y(0) + 4, "#444444")
            yield text(self.x(x), self.y(0) + 18, f"{x:g}", size=10)
        yield text((left + right) / 2, HEIGHT - 10, self.x_name)
        yield text(left - 6, TOP - 10, self.y_name, "end")

    def curve(self, colour, at):
        middle = [(self.x(x), self.y(statistics.median(ys) / self.unit))
                  for x, ys in at]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in middle)
        yield (f'<polyline points="{path}" fill="none" stroke="{colour}" '
               'stroke-width="2"/>')
        for (x, ys), (px, py) in zip(at, middle):
            yield line(px, self.y(min(ys) / self.unit), px,
                       self.y(max(ys) / self.unit), colour)
            yield (f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}">'
                   f"<title>{x:g}: {statistics.median(ys) / self.unit:.4g} "
                   f"{self.y_name}</title></circle>")

    def draw(self):
        yield from self.axes()
        x = self.offset + LEFT
        for colour, (_, words, at) in zip(COLOURS, self.series):
            yield from self.curve(colour, at)
            yield line(x, 38, x + 18, 38, colour, 2)
            yield text(x + 24, 42, words, "start")
            x += 40 + 7 * len(words)


def svg(points):
    """@points: of each series, pairs of a scale and its rounds' samples."""
    specs = [spec for spec in PANELS
             if any(points.get(name) for name, _ in spec[4])]
    panels = [Panel(spec, points, i * WIDTH) for i, spec in enumerate(specs)]
    width = WIDTH * max(len(panels), 1)
    body = "\n".join(part for panel in panels for part in panel.draw())
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
            f'height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}" '
            'font-family="sans-serif" fill="#222222">\n'
            "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n"
            f'<rect width="{width}" height="{HEIGHT}" fill="#ffffff"/>\n'
            f"{body}\n</svg>\n")
