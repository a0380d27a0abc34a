"""What each page reads and shows."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from anyio import move_on_after
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from blogworker.db.pool import Database
from blogworker.ops.audit import change_of, list_audit
from blogworker.ops.breakers import list_breakers
from blogworker.ops.cost_records import Spending
from blogworker.ops.costs import CostsRequest, Period, read_costs, read_spending
from blogworker.ops.errors import ErrorGroup, list_errors, remedy
from blogworker.ops.explain import explain_job
from blogworker.ops.history import read_history
from blogworker.ops.jobs import find_job, list_jobs, searched_to, show_job
from blogworker.ops.pauses import list_pauses
from blogworker.ops.pulse import MOST, read_pulse
from blogworker.ops.quotas import list_quotas
from blogworker.ops.records import JobSummary, SiteState, WaitingReason
from blogworker.ops.sites import list_sites, search_sites
from blogworker.ops.status import list_waiting, list_workers
from blogworker.ops.tokens import Principal
from blogworker.post import render as post_text
from blogworker.queue.job import Status
from blogworker.web.access import visitor
from blogworker.web.dashboard.charts import throughput, waits
from blogworker.web.dashboard.filters import AGES, DAY_S, FIELDS, HOUR_S, STAGES, fields_of, filter_of, storable
from blogworker.web.dashboard.session import hidden, render, show
from blogworker.web.jobs import BIGGEST_ID
from blogworker.web.problems import Problem
from blogworker.web.shared import Shared

SLOW_S = 10.0
SLOW_SHARE = 0.005  # of the time
LIVE_S = 2.0  # how often the overview changes
STEPS = {"hour": (HOUR_S, 60), "day": (DAY_S, 900)}
MOST_JOBS, MOST_SITES, MOST_ERRORS, MOST_AUDIT = 50, 200, 5, 200
PICTURES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
}


@dataclass(frozen=True, slots=True)
class Slow:
    """What is read less often, because it may read every waiting job."""

    read_at: datetime
    waiting: list[WaitingReason]
    sites: list[SiteState]
    errors: list[ErrorGroup]
    spending: Spending


async def read_slow(database: Database) -> Slow:
    return Slow(
        datetime.now(UTC),
        await list_waiting(database),
        await list_sites(database, most=8),
        await list_errors(database, within_s=DAY_S, most=MOST_ERRORS),
        await read_spending(database),
    )


async def read_overview(database: Database, slow: Shared[Slow], span: str) -> str:
    """Return the live part of the first page as HTML."""
    within_s, step_s = STEPS[span]
    history = await read_history(database, within_s=within_s, step_s=step_s)
    now = datetime.now(UTC)
    return render(
        "live.html",
        pulse=await read_pulse(database),
        slow=await slow.get(),
        history=history,
        charts=[throughput(history, now=now), waits(history, now=now)],
        counted_to=MOST,
    )


def _span(request: Request) -> str:
    asked = request.query_params.get("span", "hour")
    return asked if asked in STEPS else "hour"


def overviews(database: Database) -> dict[str, Shared[str]]:
    """Return the live part of the first page for each time span, shared by all visitors."""
    slow = Shared(partial(read_slow, database), fresh_s=SLOW_S, share=SLOW_SHARE)
    return {span: Shared(partial(read_overview, database, slow, span), fresh_s=LIVE_S) for span in STEPS}


async def overview(request: Request, principal: Principal) -> Response:
    span = _span(request)
    live = await request.app.state.overviews[span].get()
    return show(request, principal, "overview.html", live=live, span=span, spans=list(STEPS))


async def events(request: Request, principal: Principal) -> Response:
    """Stream the overview to a browser, each time that it changes. All browsers share what is read."""
    shared = request.app.state.overviews[_span(request)]
    stopping = request.app.state.stopping

    async def stream() -> AsyncIterator[str]:
        before = None
        yield "retry: 5000\n\n"
        while not stopping.is_set():
            try:
                if await visitor(request) is None:  # the token was revoked or has expired
                    return
                live = await shared.get()
                event, data = ("overview", live) if live != before else ("same", "")
                before = live
            except Exception:
                event, data = "away", ""
            lines = "".join(f"data: {line}\n" for line in data.split("\n"))
            yield f"event: {event}\n{lines}\n"
            with move_on_after(LIVE_S):
                await stopping.wait()

    return StreamingResponse(stream(), media_type="text/event-stream")


async def jobs(request: Request, principal: Principal) -> Response:
    asked = fields_of(request.query_params.get)
    wanted = filter_of(asked)
    database: Database = request.app.state.database
    found = await list_jobs(database, wanted, most=MOST_JOBS)
    more = found[-1].id if len(found) == MOST_JOBS else None
    if more is None and wanted.is_search:
        more = await searched_to(database, wanted)
    return show(
        request,
        principal,
        "jobs.html",
        jobs=found,
        asked=asked,
        filtered={name: asked[name] for name in FIELDS if asked[name]},
        statuses=list(Status),
        stages=STAGES,
        ages=AGES,
        more=more,
    )


async def job(request: Request, principal: Principal) -> Response:
    job_id: int = request.path_params["job_id"]
    database: Database = request.app.state.database
    summary = await find_job(database, job_id) if 0 < job_id <= BIGGEST_ID else None
    details = None if summary is None else await show_job(database, job_id)
    explanation = None if details is None else await explain_job(database, job_id)
    if summary is None or details is None or explanation is None:
        raise Problem(404, f"there is no job {job_id}")
    body = None if details.post is None else post_text.html(hidden(str(details.post["markdown"] or "")))
    return show(
        request,
        principal,
        "job.html",
        job=summary,
        details=details,
        explanation=explanation,
        body=body,
        events=timeline(job_id, details.checkpoints, details.errors),
        running_since=running_since(summary, details.checkpoints),
        cost=sum(float(saved["cost_usd"] or 0) for saved in details.checkpoints),
    )


def timeline(
    job_id: int, checkpoints: list[dict[str, object]], errors: list[dict[str, object]]
) -> list[dict[str, object]]:
    """Return checkpoints, and errors with what to do about each, in the order in which they happened."""
    events: list[dict[str, object]] = [{"is_error": False, **saved} for saved in checkpoints]
    events += [{"is_error": True, "remedy": remedy(str(each["kind"]), job_id), **each} for each in errors]
    return sorted(events, key=lambda event: str(event["created_at"]))


def running_since(job: JobSummary, checkpoints: list[dict[str, object]]) -> str | None:
    """Return since when the job's present stage runs: the claim or the last checkpoint of this attempt. None: it does
    not run."""
    if job.status != Status.PROCESSING or job.claimed_at is None:
        return None
    saved = [str(each["created_at"]) for each in checkpoints if each["attempt"] == job.attempt]
    return max([job.claimed_at.isoformat(), *saved])


async def cover(request: Request, _: Principal) -> Response:
    """Answer with the picture of a post. Only types that browsers show as pictures."""
    job_id: int = request.path_params["job_id"]
    found = None
    if 0 < job_id <= BIGGEST_ID:
        found = await request.app.state.database.maybe("stages/load_image", job_id=job_id)
    data = bytes(found["image"]) if found is not None and found["image"] is not None else b""
    kind = next((name for magic, name in PICTURES.items() if data.startswith(magic)), None)
    if kind is None:
        raise Problem(404, "the post has no picture here")
    return Response(data, media_type=kind, headers={"cache-control": "private, max-age=300"})


async def sites(request: Request, principal: Principal) -> Response:
    text = request.query_params.get("text", "").strip().replace("\0", "")
    paused = request.query_params.get("paused") == "1"
    found = await search_sites(request.app.state.database, text=text or None, paused=paused, most=MOST_SITES)
    return show(request, principal, "sites.html", sites=found, text=text, paused=paused, most=MOST_SITES)


async def errors(request: Request, principal: Principal) -> Response:
    found = await list_errors(request.app.state.database)
    return show(request, principal, "errors.html", errors=found)


async def providers(request: Request, principal: Principal) -> Response:
    database: Database = request.app.state.database
    quotas, breakers = await list_quotas(database), await list_breakers(database)
    return show(request, principal, "providers.html", quotas=quotas, breakers=breakers)


async def workers(request: Request, principal: Principal) -> Response:
    database: Database = request.app.state.database
    paused = {each.stage: each for each in await list_pauses(database)}
    found = await list_workers(database)
    return show(request, principal, "workers.html", workers=found, stages=STAGES, paused=paused)


async def costs(request: Request, principal: Principal) -> Response:
    wanted = CostsRequest(site=None, days=31, by=Period.DAY, top=20)
    found = await read_costs(request.app.state.database, wanted, request.app.state.prices)
    return show(request, principal, "costs.html", costs=found)


async def audit(request: Request, principal: Principal) -> Response:
    asked = {name: storable(request.query_params.get(name, "")) for name in ("target", "actor")}
    found = await list_audit(
        request.app.state.database, target=asked["target"] or None, actor=asked["actor"] or None, most=MOST_AUDIT
    )
    return show(request, principal, "audit.html", entries=found, asked=asked, change=change_of)
