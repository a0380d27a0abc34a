"""Draws the figures of runs as an SVG picture: one panel per figure, one bar per run.

Figures with the same unit, which is the end of their name, have the same scale. The picture has no background and only
colours of middle brightness, so that it can be read on light and on dark pages.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from blogworker.printable import printable

WIDTH = 960  # this and the following: pixels
BARS_HEIGHT = 110
BAR_WIDTH, BAR_STEP = 44, 56
PANEL_MIN_WIDTH, PANEL_HEIGHT = 160, 170
HEADING_HEIGHT, LEGEND_HEIGHT, LEGEND_MIN_WIDTH, LEGEND_GAP = 34, 20, 60, 40
LABEL_GAP = 4
LETTER_WIDTH = 7  # of the widest usual font
GREY = "#808890"
COLOURS = ("#4a86cf", "#d9822b", "#3f9b6c", "#b3609f", "#8a7d3a", "#5f8f99")
UNIT = re.compile(r"(?:per_\w+|[^_ ]+)$")


@dataclass(frozen=True, slots=True)
class Chart:
    """Some runs and their figures. Values that are no numbers are not drawn, and negative ones have no bar."""

    title: str
    runs: Sequence[Mapping[str, object]]
    by: Sequence[str]  # the keys whose values name a run; empty: there is only one, without a name

    @property
    def names(self) -> list[str]:
        return [", ".join(_text(run[key]) for key in self.by) for run in self.runs]

    @property
    def figures(self) -> dict[str, list[float | None]]:
        """Return the value of each run by figure; None where a run has none. A figure of several values is several."""
        flat = [_flat({key: value for key, value in run.items() if key not in self.by}) for run in self.runs]
        return {name: [run.get(name) for run in flat] for name in dict.fromkeys(name for run in flat for name in run)}


def save(path: Path, charts: Sequence[Chart]) -> None:
    path.write_text(drawn(charts), encoding="utf-8")


def drawn(charts: Sequence[Chart]) -> str:
    """Return the picture, with the charts below each other."""
    picture = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "font-family": "sans-serif", "font-size": "11"})
    top = 0
    for chart in charts:
        top = _draw_panels(picture, chart, _draw_legend(picture, chart, top))
    width = max([WIDTH, *(_panel_width(chart) for chart in charts)])
    picture.attrib |= {"width": str(width), "height": str(top), "viewBox": f"0 0 {width} {top}"}
    indent(picture)
    return tostring(picture, encoding="unicode") + "\n"


def _draw_legend(picture: Element, chart: Chart, top: int) -> int:
    """Draw the title and the names of the runs from `top` down. Return where they end."""
    _label(picture, 0, top + 20, chart.title).set("font-size", "14")
    top += HEADING_HEIGHT
    if not chart.by:
        return top
    width = LEGEND_GAP + max(LEGEND_MIN_WIDTH, *(LETTER_WIDTH * len(name) for name in chart.names))
    per_line = max(1, WIDTH // width)
    for n, name in enumerate(chart.names):
        x, y = n % per_line * width, top + n // per_line * LEGEND_HEIGHT
        _rectangle(picture, x, y, 12, 12, _colour(n)).set("class", "legend")
        _label(picture, x + 18, y + 10, name)
    return top + ceil(len(chart.runs) / per_line) * LEGEND_HEIGHT


def _draw_panels(picture: Element, chart: Chart, top: int) -> int:
    """Draw the figures from `top` down. Return where they end."""
    figures, width = chart.figures, _panel_width(chart)
    per_line = max(1, WIDTH // width)
    most: dict[str, float] = {}
    for name, values in figures.items():
        most[_unit(name)] = max([most.get(_unit(name), 0.0), *(value for value in values if value is not None)])
    for n, (name, values) in enumerate(figures.items()):
        panel = SubElement(picture, "g", {"class": "panel", "data-figure": printable(name)})
        left, upper = n % per_line * width, top + n // per_line * PANEL_HEIGHT
        _label(panel, left, upper + 24, name)
        bars = list(zip(chart.names, values, strict=True))
        _draw_bars(panel, left, upper + PANEL_HEIGHT - LABEL_GAP, bars, scale=most[_unit(name)])
    return top + ceil(len(figures) / per_line) * PANEL_HEIGHT


def _panel_width(chart: Chart) -> int:
    longest = max((len(name) for name in chart.figures), default=0)
    return max(PANEL_MIN_WIDTH, (len(chart.runs) + 1) * BAR_STEP, (longest + 2) * LETTER_WIDTH)


def _draw_bars(
    panel: Element, left: int, bottom: int, bars: Sequence[tuple[str, float | None]], *, scale: float
) -> None:
    """Draw the bars of one figure on a line at `bottom`. `bars`: run and value; `scale`: the value of a full bar."""
    for n, (run, value) in enumerate(bars):
        x, height = left + n * BAR_STEP, round(BARS_HEIGHT * max(0.0, value or 0.0) / (scale or 1.0), 2)
        bar = _rectangle(panel, x, bottom - height, BAR_WIDTH, height, _colour(n))
        bar.set("class", "bar")
        SubElement(bar, "title").text = printable(f"{run}: {_text(value)}")
        _label(panel, x + BAR_WIDTH / 2, bottom - height - LABEL_GAP, _text(value)).set("text-anchor", "middle")
    _rectangle(panel, left, bottom, len(bars) * BAR_STEP, 1, GREY).set("class", "base")


def _rectangle(parent: Element, x: float, y: float, width: float, height: float, colour: str) -> Element:
    places = {"x": x, "y": round(y, 2), "width": width, "height": height}
    return SubElement(parent, "rect", {name: str(place) for name, place in places.items()} | {"fill": colour})


def _label(parent: Element, x: float, y: float, text: str) -> Element:
    label = SubElement(parent, "text", {"x": str(x), "y": str(round(y, 2)), "fill": GREY})
    label.text = printable(text)  # XML cannot contain control characters, not even escaped
    return label


def _flat(run: Mapping[str, object]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in run.items():
        if isinstance(value, Mapping):
            found |= {f"{part} {name}": each for part, each in _flat(value).items()}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    return found


def _unit(name: str) -> str:
    found = UNIT.search(name)
    return found[0] if found else name


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
        case _:
            return str(value)


def _colour(run: int) -> str:
    return COLOURS[run % len(COLOURS)]
