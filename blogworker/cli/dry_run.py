"""`blogworker enqueue --dry-run`: what would be enqueued, its cost and how long it would take."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import anyio
import typer
from rich.text import Text

from blogworker.cli.output import complain, console, emit_json, facts, table
from blogworker.cli.session import opened
from blogworker.cli.sources import Checked
from blogworker.db.grants import PRODUCER
from blogworker.errors import DatabaseNotReady, DatabaseUnavailable, QueueFull
from blogworker.ops.forecast import Forecast, forecast, forecast_without_database
from blogworker.ops.shown import duration
from blogworker.plurals import counted
from blogworker.queue.survey import room
from blogworker.queue.validation import NewJob
from blogworker.section import load_section
from blogworker.settings import OpenAISettings, ReplicateSettings, has_database
from blogworker.spend.estimate import Prices

if TYPE_CHECKING:
    from blogworker.spend.estimate import Use


def dry_run(jobs: Iterable[NewJob], found: Checked, *, limit: int | None, as_json: bool) -> None:
    """Print the forecast; exit 75 if the queue would refuse the jobs now. The transaction is read-only."""
    seen = anyio.run(_forecast, jobs, found, limit)
    if as_json:
        emit_json(_json(seen, found))
    else:
        _show(seen, found)
    if seen.refusal is not None:
        complain(f"would be refused now: {seen.refusal}")
        raise typer.Exit(os.EX_TEMPFAIL)


async def _forecast(jobs: Iterable[NewJob], found: Checked, limit: int | None) -> Forecast:
    prices = Prices(load_section(OpenAISettings), load_section(ReplicateSettings))
    reachable = has_database()
    if not reachable:
        complain(
            "DATABASE_URL is not set: without a database, jobs enqueued before, the queue and real averages are unknown"
        )
    else:
        try:
            async with opened() as database:
                seen = await forecast(database, jobs, counts=found.counts, limit=limit, prices=prices)
        except DatabaseNotReady as error:  # raised while the database is opened, before a row is read from the files
            complain(f"{error}; continuing without the database")
            reachable = not isinstance(error, DatabaseUnavailable)
        else:
            if seen.room_unknown is not None:
                complain(seen.room_unknown)
            return seen
    seen = await forecast_without_database(jobs, prices=prices)
    refusal = await _refusal_of_producer(found.counts or seen.survey.sites, limit) if reachable else None
    return replace(seen, refusal=refusal)


async def _refusal_of_producer(counts: Counter[str], limit: int | None) -> QueueFull | None:
    """Ask for room as a producer does: this role may not read tables."""
    try:
        async with opened(PRODUCER) as database:
            return await room(database, counts, queue_size_limit=limit)
    except DatabaseNotReady:
        return None


def _json(seen: Forecast, found: Checked) -> dict[str, Any]:
    surveyed, full = seen.survey, seen.refusal
    return {
        "dry_run": True,
        "new": surveyed.new,
        "by_source": dict(surveyed.kinds),
        "known": None if seen.outlook is None else surveyed.known,
        "repeated": surveyed.repeated,
        "sites": len(surveyed.sites),
        "skipped": found.skipped.total(),
        "skipped_by": dict(found.skipped),
        "bad": found.bad,
        "waiting": seen.outlook and seen.outlook.waiting,
        "refusal": full
        and {
            "message": str(full),
            "queueSize": full.queue_size,
            "limit": full.limit,
            "estimatedWaitMinutes": full.estimated_wait_minutes,
        },
        "uses": [asdict(use) for use in seen.estimate.uses],
        "usd": seen.estimate.usd,
        "usd_at_most": seen.estimate.usd_at_most,
        "minutes_of_quota": seen.estimate.minutes,
        "narrowest": seen.estimate.narrowest,
        "minutes_behind_waiting": seen.minutes_behind_waiting,
        "minutes_at_pace": seen.minutes_at_pace,
    }


def _show(seen: Forecast, found: Checked) -> None:
    surveyed, estimate = seen.survey, seen.estimate
    lines: dict[str, object] = {
        "would be enqueued": f"{counted(surveyed.new, 'job')} for {counted(len(surveyed.sites), 'site')}",
        "enqueued before": "unknown" if seen.outlook is None else f"{surveyed.known:,}",
        "repeated in the file": f"{surveyed.repeated + found.skipped['repeated']:,}",
        "cost": f"{_usd(estimate.usd)} likely, {_usd(estimate.usd_at_most)} at most",
        "time": f"at least {_minutes(estimate.minutes)} of quota{_of(estimate.narrowest)}",
    }
    if seen.outlook is not None:
        lines["waiting before them"] = f"{seen.outlook.waiting:,}{_behind(seen)}"
        lines["at the current rate"] = _pace(seen)
    columns = ["source", "jobs", "stage", "model", "calls", "tokens", "cost", "at most", "estimated from"]
    console().print(table("Each job", columns, map(_row, estimate.uses)))
    console().print()
    console().print(facts(lines))
    for line in found.skipped_lines():
        console().print(Text(line))
    console().print(Text("nothing was enqueued"))


def _row(use: "Use") -> tuple[object, ...]:
    basis = f"{counted(use.seen, 'finished job')} ({use.seen_of})" if use.seen else "the reservation of a call"
    tokens = f"{use.tokens:,.0f}" if use.tokens else None
    costs = (_usd(use.usd, digits=4), _usd(use.usd_at_most, digits=4))
    return use.source_type, use.jobs, use.stage, use.model, f"{use.calls:.2f}", tokens, *costs, basis


def _usd(cost: float | None, *, digits: int = 2) -> str:
    return "unknown (a model has no price)" if cost is None else f"${cost:,.{digits}f}"


def _minutes(minutes: float) -> str:
    return duration(60 * minutes)


def _of(narrowest: str | None) -> str:
    return f" ({narrowest})" if narrowest else ""


def _behind(seen: Forecast) -> str:
    together = seen.minutes_behind_waiting
    return "" if together is None else f", so {_minutes(together)} of quota for both, if they are like these"


def _pace(seen: Forecast) -> str:
    pace = seen.minutes_at_pace
    if seen.outlook is None or pace is None:
        return "no job ended in the last ten minutes"
    return f"{_minutes(pace)} ({seen.outlook.a_minute:,.1f} jobs per minute over the last ten)"
