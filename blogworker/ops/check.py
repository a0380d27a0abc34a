"""Check: whether the fleet needs a person, for monitors that read an exit code."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from blogworker.ops.pulse import MOST, Pulse
from blogworker.ops.shown import duration
from blogworker.plurals import counted


class Level(IntEnum):
    """The exit codes that monitors know from plugins."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit. `most_failed`: jobs in the last hour."""

    most_waiting: int | None = None  # at most 10,000 can be counted
    longest_wait_s: float | None = 3_600.0
    most_failed: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    level: Level
    findings: list[str] = field(default_factory=list)  # the worst first
    summary: str = ""


def check(pulse: Pulse, limits: Limits) -> Verdict:
    """Compare the state of the fleet with the limits."""
    found = sorted(_findings(pulse, limits), key=lambda each: -each[0])
    level = max((each[0] for each in found), default=Level.OK)
    queue, fleet = pulse.queue, pulse.fleet
    summary = (
        f"{queue.pending:,} waiting, {queue.processing:,} running, {counted(fleet.alive, 'worker')} alive, "
        f"{sum(row.last_minute for row in pulse.ended):,} ended in the last minute"
    )
    return Verdict(level, [text for _, text in found], summary)


def _findings(pulse: Pulse, limits: Limits) -> list[tuple[Level, str]]:
    queue, fleet = pulse.queue, pulse.fleet
    failed = next((row.last_hour for row in pulse.ended if row.status == "FAILED"), 0)
    found: list[tuple[Level, str]] = []
    if not fleet.alive:
        found.append((Level.CRITICAL if queue.pending else Level.WARNING, "no worker is alive"))
    found += [
        (Level.CRITICAL, f"the circuit breaker of {each.provider} is open: {each.reason or 'no reason'}")
        for each in pulse.open_breakers
    ]
    found += [(Level.WARNING, f"stage {each.stage} is paused: {each.reason}") for each in pulse.paused]
    if fleet.budget_reached:
        found.append((Level.CRITICAL, "the budget is used up: no paid stage is claimed"))
    if limits.most_waiting is not None and queue.pending > limits.most_waiting:
        found.append((Level.WARNING, f"{_count(queue.pending)} jobs wait: more than {limits.most_waiting:,}"))
    wait_s = queue.oldest_wait_s
    if limits.longest_wait_s is not None and wait_s is not None and wait_s > limits.longest_wait_s:
        limit = duration(limits.longest_wait_s)
        found.append((Level.WARNING, f"the next jobs have waited for {duration(wait_s)}: longer than {limit}"))
    if limits.most_failed is not None and failed > limits.most_failed:
        found.append((Level.WARNING, f"{failed:,} jobs failed in the last hour: more than {limits.most_failed:,}"))
    found += [(Level.WARNING, text) for text in _webhooks(pulse)]
    if fleet.lost:
        found.append((Level.WARNING, f"{counted(fleet.lost, 'worker')} lost: not stopped, and no lease"))
    return found


def _webhooks(pulse: Pulse) -> Iterator[str]:
    now = pulse.webhooks
    if now.names:
        yield f"webhooks that fail or are disabled: {', '.join(now.names)}"
    if now.late and not now.names:
        yield f"{_count(now.late)} webhook deliveries wait: no worker has the key or the address that they need"
    if now.given_up:
        yield f"{_count(now.given_up)} webhook deliveries were given up: see `blogworker webhooks`"


def _count(number: int) -> str:
    return f"{number:,}" if number < MOST else f"at least {number:,}"
