"""`blogworker enqueue --dry-run`: what would be enqueued, what it would cost, how long it would take."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import anyio
import typer
from rich.text import Text

from blogworker.cli.output import complain, console, duration, emit_json, facts, table
from blogworker.cli.session import opened
from blogworker.cli.sources import Checked
from blogworker.db.grants import PRODUCER
from blogworker.db.pool import Database, Row
from blogworker.errors import DatabaseAway, DatabaseUnready, QueueFull
from blogworker.queue.newblog import NewBlog
from blogworker.queue.survey import Survey, room, survey
from blogworker.section import load_section
from blogworker.settings import OpenAISettings, ReplicateSettings, has_database

if TYPE_CHECKING:
    from blogworker.stages.estimate import Estimate, Use


@dataclass(frozen=True, slots=True)
class Foresight:
    """All that can be known without writing. `outlook` is None where there is no database to ask."""

    survey: Survey
    estimate: "Estimate"
    outlook: Row | None = None
    refusal: QueueFull | None = None

    @property
    def minutes_behind_waiting(self) -> float | None:
        """Of quota, for what waits and for these, as if the others were like these."""
        if self.outlook is None or not self.survey.new:
            return None
        return self.estimate.minutes * (1 + int(self.outlook["waiting"]) / self.survey.new)

    @property
    def minutes_at_pace(self) -> float | None:
        """For the same, as fast as blogs were ended lately."""
        if self.outlook is None or not self.outlook["a_minute"]:
            return None
        return float((self.outlook["waiting"] + self.survey.new) / self.outlook["a_minute"])


def foresee(blogs: Iterable[NewBlog], found: Checked, *, limit: int | None, as_json: bool) -> None:
    """Say it; exit 75 when the queue would refuse them now. Postgres itself is told to let nothing be written."""
    seen = anyio.run(_look, blogs, found, limit)
    if as_json:
        emit_json(_machine(seen, found))
    else:
        _tell(seen, found)
    if seen.refusal is not None:
        complain(f"would be refused now: {seen.refusal}")
        raise typer.Exit(os.EX_TEMPFAIL)


async def _look(blogs: Iterable[NewBlog], found: Checked, limit: int | None) -> Foresight:
    reachable = has_database()
    if not reachable:
        complain("DATABASE_URL is not set: what was enqueued before, the queue and real averages are not known")
    else:
        try:
            async with opened() as database:
                return await _ask(database, blogs, found, limit)
        except DatabaseUnready as error:  # when it was opened: no blog was taken from the files yet
            complain(f"{error}; continuing without the database")
            reachable = not isinstance(error, DatabaseAway)
    surveyed = await survey(None, blogs)
    refusal = await _refusal_of_producer(found.counts or surveyed.sites, limit) if reachable else None
    return Foresight(surveyed, _estimate(surveyed, [], []), refusal=refusal)


async def _ask(database: Database, blogs: Iterable[NewBlog], found: Checked, limit: int | None) -> Foresight:
    from blogworker.stages.estimate import DAYS, LATEST

    async with database.transaction() as statements:
        await statements.execute("db/read_only")
        surveyed = await survey(statements, blogs)
        usage = await statements.rows("stages/usage", days=DAYS, most=LATEST)
        quotas = await statements.rows("ops/quotas", name=None, every=False)
        outlook = await statements.one("queue/outlook")
    refusal = None
    try:
        refusal = await room(database, found.counts or surveyed.sites, queue_size_limit=limit)
    except DatabaseUnready as error:
        complain(str(error))
    return Foresight(surveyed, _estimate(surveyed, usage, quotas), outlook, refusal)


async def _refusal_of_producer(counts: Counter[str], limit: int | None) -> QueueFull | None:
    """A producer may read nothing, and yet ask for room."""
    try:
        async with opened(PRODUCER) as database:
            return await room(database, counts, queue_size_limit=limit)
    except DatabaseUnready:
        return None


def _estimate(surveyed: Survey, usage: list[Row], quotas: list[Row]) -> "Estimate":
    from blogworker.stages.estimate import estimate  # with the stages come the vendors' SDKs

    openai, replicate = load_section(OpenAISettings), load_section(ReplicateSettings)
    return estimate(surveyed.kinds, usage, quotas, openai=openai, replicate=replicate)


def _machine(seen: Foresight, found: Checked) -> dict[str, Any]:
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
        "waiting": seen.outlook and seen.outlook["waiting"],
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


def _tell(seen: Foresight, found: Checked) -> None:
    surveyed, told = seen.survey, seen.estimate
    lines: dict[str, object] = {
        "would be enqueued": f"{surveyed.new:,} blogs for {len(surveyed.sites):,} sites",
        "enqueued before": "not known" if seen.outlook is None else f"{surveyed.known:,}",
        "repeated in the file": f"{surveyed.repeated + found.skipped['repeated']:,}",
        "cost": f"{_usd(told.usd)} likely, {_usd(told.usd_at_most)} at most",
        "time": f"at least {_minutes(told.minutes)} of quota{_of(told.narrowest)}",
    }
    if seen.outlook is not None:
        lines["waiting before them"] = f"{seen.outlook['waiting']:,}{_behind(seen)}"
        lines["at the present pace"] = _pace(seen)
    columns = ["source", "blogs", "stage", "model", "calls", "tokens", "cost", "at most", "estimated from"]
    console().print(table("Each blog", columns, map(_row, told.uses)))
    console().print()
    console().print(facts(lines))
    for line in found.told():
        console().print(Text(line))
    console().print(Text("nothing was enqueued"))


def _row(use: "Use") -> tuple[object, ...]:
    basis = f"{use.seen:,} finished blogs ({use.seen_of})" if use.seen else "the reservation of a call"
    tokens = f"{use.tokens:,.0f}" if use.tokens else None
    costs = (_usd(use.usd, digits=4), _usd(use.usd_at_most, digits=4))
    return use.source_type, use.blogs, use.stage, use.model, f"{use.calls:.2f}", tokens, *costs, basis


def _usd(cost: float | None, *, digits: int = 2) -> str:
    return "unknown (a model has no price)" if cost is None else f"${cost:,.{digits}f}"


def _minutes(minutes: float) -> str:
    return duration(60 * minutes)


def _of(narrowest: str | None) -> str:
    return f" ({narrowest})" if narrowest else ""


def _behind(seen: Foresight) -> str:
    together = seen.minutes_behind_waiting
    return "" if together is None else f", so {_minutes(together)} of quota if they are alike"


def _pace(seen: Foresight) -> str:
    pace = seen.minutes_at_pace
    if seen.outlook is None or pace is None:
        return "no blog ended in the last ten minutes"
    return f"{_minutes(pace)} ({seen.outlook['a_minute']:,.1f} blogs a minute over the last ten)"
