"""Charts as SVG: coordinates only. Colours are classes of the style sheet, so they follow the theme."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor, log10

from blogworker.ops.history import History, HistoryStep
from blogworker.ops.shown import duration

WIDTH, HEIGHT = 720, 150
LEFT, BOTTOM, TOP = 54, 20, 10
GRID = 3  # lines above zero


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    width: float
    y: float
    height: float
    kind: str  # the class: done or failed
    note: str  # shown when it is pointed at


@dataclass(frozen=True, slots=True)
class Label:
    text: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Chart:
    """`table`: the same figures for those who cannot see the picture."""

    title: str
    bars: list[Bar]
    lines: list[tuple[str, str]]  # class, points
    rows: list[Label]  # of the vertical axis
    columns: list[Label]  # of the horizontal axis
    summary: str
    width: int = WIDTH
    height: int = HEIGHT


def throughput(found: History, *, now: datetime) -> Chart:
    """Return jobs that ended per step."""
    slots = _slots(found, now)
    top = _round_up(max((step.done + step.failed for _, step in slots if step), default=0))
    scale = _plot_height() / top
    bars = []
    for index, (began, step) in enumerate(slots):
        if step is None:
            continue
        x, width = _x(index, len(slots)), _step(len(slots))
        note = f"{began:%H:%M} UTC: {step.done:,} done, {step.failed:,} failed"
        failed, done = step.failed * scale, step.done * scale
        floor_y = HEIGHT - BOTTOM
        if step.done:
            bars.append(Bar(x, width, floor_y - done, done, "done", note))
        if step.failed:
            bars.append(Bar(x, width, floor_y - done - failed, failed, "failed", note))
    done, failed = sum(s.done for s in found.steps), sum(s.failed for s in found.steps)
    return Chart(
        "Jobs ended",
        bars,
        [],
        _rows(top, lambda value: f"{value:,.0f}"),
        _columns(slots, found),
        f"{done:,} done, {failed:,} failed",
    )


def waits(found: History, *, now: datetime) -> Chart:
    """Return how long jobs waited, the median and the 95th percentile."""
    slots = _slots(found, now)
    top = _round_up(max((step.wait_p95_s or 0 for _, step in slots if step), default=0))
    lines = [
        (kind, _points([None if step is None else getattr(step, name) for _, step in slots], top))
        for kind, name in (("p95", "wait_p95_s"), ("p50", "wait_p50_s"))
    ]
    known = [step.wait_p95_s for step in found.steps if step.wait_p95_s is not None]
    summary = f"longest p95: {duration(max(known))}" if known else "no wait was measured"
    return Chart("Wait", [], lines, _rows(top, duration), _columns(slots, found), summary)


def _slots(found: History, now: datetime) -> list[tuple[datetime, HistoryStep | None]]:
    """Return every step of the time, also those without a row."""
    step = timedelta(seconds=found.step_s)
    last = datetime.fromtimestamp(floor(now.timestamp() / found.step_s) * found.step_s, tz=now.tzinfo)
    known = {each.began: each for each in found.steps}
    number = found.within_s // found.step_s
    return [(began := last - step * (number - 1 - index), known.get(began)) for index in range(number)]


def _points(values: Sequence[float | None], top: float) -> str:
    """Return the points of a line. Steps without a value are skipped."""
    scale = _plot_height() / top
    width = _step(len(values))
    points = [
        (_x(index, len(values)) + width / 2, HEIGHT - BOTTOM - value * scale)
        for index, value in enumerate(values)
        if value is not None
    ]
    if len(points) == 1:  # a line needs two
        points = [(points[0][0] - width / 2, points[0][1]), (points[0][0] + width / 2, points[0][1])]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _plot_height() -> float:
    return float(HEIGHT - BOTTOM - TOP)


def _step(slots: int) -> float:
    return round((WIDTH - LEFT) / slots * 0.8, 2)


def _x(index: int, slots: int) -> float:
    return round(LEFT + index * (WIDTH - LEFT) / slots, 2)


def _round_up(value: float) -> float:
    """Return a round number that is not smaller."""
    if value <= 0:
        return 1.0
    size = 10 ** floor(log10(value))
    return float(next(factor * size for factor in (1, 1.5, 2, 3, 5, 7.5, 10) if factor * size >= value))


def _rows(top: float, text: Callable[[float], str]) -> list[Label]:
    """Return the labels of the axis. Those that are too close to differ have one label, at the lowest of them."""
    values = {text(value): value for value in (top * part / GRID for part in range(GRID, -1, -1))}
    return [
        Label(label, LEFT - 6, round(HEIGHT - BOTTOM - value / top * _plot_height(), 1))
        for label, value in sorted(values.items(), key=lambda item: item[1])
    ]


def _columns(slots: Sequence[tuple[datetime, HistoryStep | None]], found: History) -> list[Label]:
    every = ceil(len(slots) / 6)
    return [
        Label(f"{began:%H:%M}", round(_x(index, len(slots)), 1), HEIGHT - 4)
        for index, (began, _) in enumerate(slots)
        if index % every == 0
    ]
