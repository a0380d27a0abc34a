"""`blogworker status --watch`: a live view of the fleet on the terminal."""

import sys
from dataclasses import asdict

import anyio
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from blogworker.cli.output import console, emit_json, facts, heading, table
from blogworker.cli.quotas import quota_bars
from blogworker.cli.session import opened
from blogworker.cli.signals import until_signal
from blogworker.db.messages import message_of
from blogworker.db.pool import Database
from blogworker.db.retrying import is_transient
from blogworker.errors import DatabaseUnavailable
from blogworker.ops.pulse import MOST, Pulse, read_pulse
from blogworker.ops.shown import dollars, duration


def watch_fleet(every_s: float, *, as_json: bool) -> None:
    """Show the state until a signal. Without a terminal, print it again and again; as JSON, on one line."""
    anyio.run(until_signal, lambda: _emit(every_s) if as_json else _watch(every_s))


async def _emit(every_s: float) -> None:
    async with opened() as database:
        while True:
            found = await _pulse(database)
            emit_json({"error": found} if isinstance(found, str) else asdict(found))
            sys.stdout.flush()
            await anyio.sleep(every_s)


async def _watch(every_s: float) -> None:
    screen = console()
    async with opened() as database:
        if not sys.stdout.isatty():
            while True:
                screen.print(await _view(database))
                await anyio.sleep(every_s)
        with Live(console=screen, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                live.update(await _view(database), refresh=True)
                await anyio.sleep(every_s)


async def _view(database: Database) -> Group:
    """Return what is shown now."""
    found = await _pulse(database)
    if isinstance(found, str):
        return Group(heading("the database does not answer"), Text(found))
    return Group(*_parts(found))


async def _pulse(database: Database) -> Pulse | str:
    """Return the state, or the error while the database is away: that is shown, and is not the end."""
    try:
        return await read_pulse(database)
    except Exception as error:
        if not (is_transient(error) or isinstance(error, DatabaseUnavailable)):
            raise
        return message_of(error)


def _parts(pulse: Pulse) -> list[RenderableType]:
    queue, fleet = pulse.queue, pulse.fleet
    more = "+" if queue.pending >= MOST else ""
    wait = (
        "no site is in line" if queue.oldest_wait_s is None else f"the next jobs wait {duration(queue.oldest_wait_s)}"
    )
    ended = ", ".join(f"{row.last_minute:,} {row.status}" for row in pulse.ended) or "none"
    head = {
        "waiting": f"{queue.pending:,}{more}, {wait}",
        "running": f"{queue.processing:,} of {fleet.slots:,} slots, {queue.scheduled:,} scheduled",
        "ended": f"{ended} in the last minute",
        "sites": f"{queue.ready:,} in line, {queue.at_cap:,} at their cap, {queue.paused:,} paused",
        "workers": f"{fleet.alive:,} alive, {fleet.draining:,} draining, {fleet.lost:,} lost",
        "spent": f"{dollars(fleet.spent_day_usd)} today, {dollars(fleet.spent_month_usd)} this month"
        + (": the budget is used up" if fleet.budget_reached else ""),
    }
    head |= {f"stage {each.stage}": f"paused: {each.reason}" for each in pulse.paused}
    head |= {f"{each.provider}": f"circuit breaker {each.state}: {each.reason}" for each in pulse.open_breakers}
    served = [(each.instance_id, str(each.job_id), each.stage, each.since, each.worker) for each in pulse.running]
    return [
        facts(head),
        Text(),
        quota_bars(pulse.quotas),
        Text(),
        table("Served now", ["site", "job", "next stage", "since", "worker"], served),
    ]
