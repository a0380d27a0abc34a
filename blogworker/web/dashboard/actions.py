"""Forms that change something. Each calls the operation that the command line calls, and returns to its page."""

from starlette.requests import Request
from starlette.responses import Response

from blogworker.errors import SettingsError
from blogworker.ops.breakers import close_breaker
from blogworker.ops.errors import DAY_S
from blogworker.ops.jobs import cancel_jobs, list_jobs, searched_to
from blogworker.ops.pauses import pause_stages, resume_stages
from blogworker.ops.quotas import unblock_quota
from blogworker.ops.retry import Choice, plan_retry, retry_jobs
from blogworker.ops.shown import dollars
from blogworker.ops.sites import SiteChanges, check_site, pause_site, resume_site, set_site
from blogworker.ops.tokens import Principal
from blogworker.ops.workers import quiet_worker, resume_worker
from blogworker.plurals import counted
from blogworker.queue.job import Stage
from blogworker.web.dashboard.filters import BEFORE, FIELDS, fields_of, filter_of
from blogworker.web.dashboard.session import Form, back
from blogworker.web.jobs import BIGGEST_ID

MOST_CHANGED = 500  # jobs by one click; the commands change any number
ALL = "-all"  # of the jobs that match
LIGHTEST, HEAVIEST = 0.001, 1_000.0  # weight of a site


async def change_jobs(request: Request, _: Principal, form: Form) -> Response:
    """Retry or cancel the chosen jobs, or all that match the filter."""
    action = form.one("do")
    matching = action.endswith(ALL)
    ids, note = await _matching(request) if matching else (_chosen(form), "")
    match action.removesuffix(ALL):
        case "cancel" | "retry" if not ids:
            done = "no job matches" if matching else "no job is selected"
        case "cancel":
            done = await _cancel(request, ids)
        case "retry":
            done = await _retry(request, Choice(job_ids=ids))
        case _:
            raise SettingsError("unknown action")
    return back(request, done + note, default="/jobs")


async def _cancel(request: Request, ids: list[int]) -> str:
    cancelled = await cancel_jobs(request.app.state.database, ids)
    others = len(ids) - len(cancelled)
    return f"{counted(len(cancelled), 'job')} cancelled" + (f", {others:,} had ended" if others else "")


def _chosen(form: Form) -> list[int]:
    ids = [int(text) for text in form.every("id") if text.isascii() and text.isdecimal() and len(text) < 20]
    return [job_id for job_id in dict.fromkeys(ids) if 0 < job_id <= BIGGEST_ID]


async def _matching(request: Request) -> tuple[list[int], str]:
    """Return the jobs that match the filter in the address, and a note if older ones were not searched.

    Raises SettingsError without a filter, for a value that does not exist, and for more jobs than one click may change.
    """
    given = request.query_params.get
    fields = fields_of(given) | {BEFORE: ""}
    if unknown := [name for name in FIELDS if given(name, "").strip() and not fields[name]]:
        raise SettingsError(f"there is no such {unknown[0]}: choose one from the list")
    if not any(fields.values()):
        raise SettingsError("filter the jobs first")
    wanted, database = filter_of(fields), request.app.state.database
    found = await list_jobs(database, wanted, most=MOST_CHANGED + 1)
    if len(found) > MOST_CHANGED:
        raise SettingsError(
            f"more than {MOST_CHANGED} jobs match: narrow the filter, or use `blogworker retry` or `blogworker cancel`"
        )
    oldest = await searched_to(database, wanted) if wanted.is_search else None
    return [job.id for job in found], f"; jobs older than {oldest} were not searched" if oldest else ""


async def retry_kind(request: Request, _: Principal, form: Form) -> Response:
    """Retry the jobs of one kind of error that the page lists."""
    choice = Choice(kinds=[form.one("kind")], younger_than_s=DAY_S)
    return back(request, await _retry(request, choice), default="/errors")


async def _retry(request: Request, choice: Choice) -> str:
    plan = await plan_retry(request.app.state.database, choice, request.app.state.prices)
    if len(plan.jobs) > MOST_CHANGED:
        raise SettingsError(
            f"{len(plan.jobs):,} jobs: retry so many with `blogworker retry`, which shows the cost first"
        )
    retried = await retry_jobs(request.app.state.database, plan) if plan.jobs else []
    cost = "" if plan.usd_at_most is None else f", {dollars(round(plan.usd_at_most, 4))} at most"
    refused = "; ".join(f"{job_id}: {reason}" for job_id, reason in sorted(plan.refused.items())[:3])
    return f"{counted(len(retried), 'job')} retried{cost}" + (f". Not retried: {refused}" if refused else "")


async def change_site(request: Request, principal: Principal, form: Form) -> Response:
    """Pause or resume a site, or change its weight."""
    database = request.app.state.database
    site = form.one("site")
    match form.one("do"):
        case "pause":
            reason = form.one("reason").strip() or f"paused by {principal.name}"
            await pause_site(database, site, reason=reason)
            done = f"site {site} is paused"
        case "resume":
            await resume_site(database, site)
            done = f"site {site} is resumed"
        case "weight":
            changes = SiteChanges(weight=_weight(form.one("weight")))
            check_site(site, changes)
            await set_site(database, site, changes)
            done = f"the weight of site {site} is {changes.weight:g}"
        case _:
            raise SettingsError("unknown action")
    return back(request, done, default="/sites")


async def change_worker(request: Request, principal: Principal, form: Form) -> Response:
    """Let a worker claim nothing, or claim again."""
    name = form.one("name")
    match form.one("do"):
        case "resume":
            await resume_worker(request.app.state.database, name)
            done = f"worker {name} claims again"
        case "quiet":
            await quiet_worker(request.app.state.database, name, reason=f"set by {principal.name}")
            done = f"worker {name} claims nothing now"
        case _:
            raise SettingsError("unknown action")
    return back(request, done, default="/workers")


async def change_stage(request: Request, principal: Principal, form: Form) -> Response:
    """Pause or resume a stage for all sites."""
    stage = form.one("stage")
    if stage not in list(Stage):
        raise SettingsError("there is no such stage")
    match form.one("do"):
        case "resume":
            await resume_stages(request.app.state.database, [Stage(stage)])
            done = f"stage {stage} is resumed"
        case "pause":
            await pause_stages(request.app.state.database, [Stage(stage)], reason=f"paused by {principal.name}")
            done = f"stage {stage} is paused"
        case _:
            raise SettingsError("unknown action")
    return back(request, done, default="/workers")


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not LIGHTEST <= weight <= HEAVIEST:
        raise SettingsError(f"the weight is a number from {LIGHTEST} to {HEAVIEST:,.0f}")
    return weight


async def close(request: Request, _: Principal, form: Form) -> Response:
    provider = form.one("provider")
    await close_breaker(request.app.state.database, provider)
    return back(request, f"the circuit breaker of {provider} is closed", default="/providers")


async def unblock(request: Request, _: Principal, form: Form) -> Response:
    name = form.one("name")
    await unblock_quota(request.app.state.database, name)
    return back(request, f"{name} is not blocked any more", default="/providers")
