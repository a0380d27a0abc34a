"""The live view: progress of each site, rate, cost, and use of the quota."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

RATE_WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters of the database at one time."""

    at_s: float
    done: int
    failed: int
    requests: int
    images: int
    tokens: int
    cost_usd: float


@dataclass(slots=True)
class Progress:
    """The samples of the last RATE_WINDOW_S seconds, and the rates between them."""

    total: int
    requests_per_minute: int  # quota of all text models together
    tokens_per_minute: int
    samples: deque[Sample] = field(default_factory=deque)

    def add(self, sample: Sample) -> None:
        self.samples.append(sample)
        while len(self.samples) > 2 and self.samples[0].at_s < sample.at_s - RATE_WINDOW_S:
            self.samples.popleft()

    def per_minute(self, fact: str) -> float:
        first, last = self.samples[0], self.samples[-1]
        elapsed_s = last.at_s - first.at_s
        return 0.0 if elapsed_s <= 0 else 60.0 * (getattr(last, fact) - getattr(first, fact)) / elapsed_s

    def line(self) -> str:
        """One line of text, for output without a terminal."""
        now = self.samples[-1]
        return (
            f"{now.at_s:5.0f} s  {now.done}/{self.total} done, {now.failed} failed, "
            f"{self.per_minute('done'):,.0f} posts/min, "
            f"simulated OpenAI {self.per_minute('requests'):,.0f} requests/min, "
            f"{self.per_minute('tokens'):,.0f} tokens/min"
        )

    def view(self, sites: Sequence[dict[str, Any]]) -> RenderableType:
        now = self.samples[-1]
        return Group(_headline(self, now), Text(), _site_table(sites), Text(), _quota_table(self))


def _headline(progress: Progress, now: Sample) -> Table:
    head = Table.grid(padding=(0, 2))
    failed = Text(f"{now.failed} failed", style="bold red" if now.failed else "dim")
    head.add_row(
        Text(f"{now.done}/{progress.total}", style="bold"),
        ProgressBar(total=progress.total, completed=now.done, width=40),
        failed,
        Text(f"{progress.per_minute('done'):,.0f} posts/min", style="cyan"),
        Text(f"${now.cost_usd:.3f} simulated", style="green"),
        Text(f"{now.at_s:.0f} s", style="dim"),
    )
    return head


def _site_table(sites: Sequence[dict[str, Any]]) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("site", "", "done", "running"):
        drawn.add_column(column, justify="right" if column in {"done", "running"} else "left")
    for site in sites[:20]:
        bar = ProgressBar(total=site["total"], completed=site["done"], width=30)
        running = Text("●" * min(site["processing"], 12), style="cyan")
        drawn.add_row(Text(site["name"]), bar, f"{site['done']}/{site['total']}", running)
    return drawn


def _quota_table(progress: Progress) -> Table:
    drawn = Table.grid(padding=(0, 2))
    for name, used, limit in (
        ("Simulated OpenAI requests/min", progress.per_minute("requests"), progress.requests_per_minute),
        ("Simulated OpenAI tokens/min", progress.per_minute("tokens"), progress.tokens_per_minute),
    ):
        share = min(1.0, used / limit)
        drawn.add_row(
            Text(name, style="dim"), ProgressBar(total=1.0, completed=share, width=30), f"{used:,.0f} of {limit:,}"
        )
    return drawn
