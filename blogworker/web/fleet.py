"""The fleet: status, sites, quotas, circuit breakers, costs, and the two routes of the previous system."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response

from blogworker.db.pool import Database
from blogworker.ops.audit import list_audit
from blogworker.ops.breakers import close_breaker, list_breakers
from blogworker.ops.costs import CostsRequest, Period, read_costs
from blogworker.ops.errors import list_errors
from blogworker.ops.history import LONGEST_S, MINUTE_S, read_history
from blogworker.ops.quotas import list_quotas
from blogworker.ops.records import QuotaUse
from blogworker.ops.sites import list_sites, pause_site, resume_site
from blogworker.ops.status import fleet_status
from blogworker.ops.tokens import Principal, Scope
from blogworker.web.access import caller, require_all_sites
from blogworker.web.answers import answer
from blogworker.web.jobs import BIGGEST_ID, path_text, query_of, whole_number
from blogworker.web.problems import bad_request

MOST_SITES, MOST_DAYS = 1_000, 400
MOST_MINUTES, MOST_STEPS = LONGEST_S // MINUTE_S, 1_440  # of the history
PAUSED = "paused through HTTP by {name}"


@dataclass(frozen=True, slots=True)
class LimiterStats:
    """The use of the quotas of one provider: the sums of all its models, and for tokens for all sites each quota."""

    queue_length: int
    requests_in_last_minute: int
    max_rpm: int
    rpm_usage_percent: float
    tokens_in_last_minute: int
    max_tpm: int
    tpm_usage_percent: float
    quotas: list[QuotaUse]


@dataclass(frozen=True, slots=True)
class Changed:
    """The site or the provider that was changed."""

    name: str
    state: str


async def status(request: Request) -> Response:
    """Show the queue, why jobs wait, workers, quotas, breakers and the busiest sites."""
    await reader(request)
    query_of(request)
    return answer(await fleet_status(request.app.state.database))


async def sites(request: Request) -> Response:
    """List sites, the busiest first."""
    await reader(request)
    most = whole_number(query_of(request, "limit"), "limit", low=1, high=MOST_SITES)
    return answer(await list_sites(request.app.state.database, most=most or 50))


async def pause(request: Request) -> Response:
    """Claim no job of a site until it is resumed."""
    principal = await caller(request, Scope.OPERATE)
    query_of(request)
    site = path_text(request, "instance_id")
    _require_site(principal, site)
    await pause_site(request.app.state.database, site, reason=PAUSED.format(name=principal.name))
    return answer(Changed(site, "paused"))


async def resume(request: Request) -> Response:
    """Claim jobs of a site again."""
    principal = await caller(request, Scope.OPERATE)
    query_of(request)
    site = path_text(request, "instance_id")
    _require_site(principal, site)
    await resume_site(request.app.state.database, site)
    return answer(Changed(site, "resumed"))


async def quotas(request: Request) -> Response:
    """List the quotas of the fleet."""
    await reader(request)
    query_of(request)
    return answer(await list_quotas(request.app.state.database))


async def breakers(request: Request) -> Response:
    """List the circuit breakers of the providers."""
    await reader(request)
    query_of(request)
    return answer(await list_breakers(request.app.state.database))


async def close(request: Request) -> Response:
    """Close the circuit breaker of a provider."""
    principal = await caller(request, Scope.OPERATE)
    require_all_sites(principal)
    query_of(request)
    closed = await close_breaker(request.app.state.database, path_text(request, "provider"))
    return answer(Changed(closed[0].provider, closed[0].state))


async def errors(request: Request) -> Response:
    """List why jobs failed in the last day, in groups."""
    await reader(request)
    query_of(request)
    return answer(await list_errors(request.app.state.database))


async def audit(request: Request) -> Response:
    """List who changed what, the newest first."""
    await reader(request)
    asked = query_of(request, "target", "cursor", "limit")
    found = await list_audit(
        request.app.state.database,
        target=asked.get("target"),
        before_id=whole_number(asked, "cursor", low=1, high=BIGGEST_ID),
        most=whole_number(asked, "limit", low=1, high=MOST_SITES) or 50,
    )
    return answer(found)


async def history(request: Request) -> Response:
    """Show throughput, failures, waits and durations of stages over time."""
    await reader(request)
    asked = query_of(request, "minutes", "step")
    minutes = whole_number(asked, "minutes", low=1, high=MOST_MINUTES) or 60
    step = whole_number(asked, "step", low=1, high=MOST_MINUTES) or max(5, -(-minutes // MOST_STEPS))
    if minutes > step * MOST_STEPS:
        raise bad_request(
            f"step: {minutes} minutes have more than {MOST_STEPS:,} steps: use {-(-minutes // MOST_STEPS)}"
        )
    database: Database = request.app.state.database
    return answer(await read_history(database, within_s=minutes * MINUTE_S, step_s=step * MINUTE_S, stage_steps=True))


async def costs(request: Request) -> Response:
    """Show what was spent, by model, time and site."""
    await reader(request)
    asked = query_of(request, "days", "by")
    days = whole_number(asked, "days", low=1, high=MOST_DAYS) or 31
    by = asked.get("by", "day")
    if by not in list(Period):
        raise bad_request(f"by: use {', '.join(Period)}")
    wanted = CostsRequest(site=None, days=days, by=Period(by), top=10)
    return answer(await read_costs(request.app.state.database, wanted, request.app.state.prices))


async def openai_limiter(request: Request) -> Response:
    """Answer `GET /api/rate-limiter/stats` as the previous system does."""
    return await _limiter(request, "openai")


async def replicate_limiter(request: Request) -> Response:
    """Answer `GET /api/replicate-rate-limiter/stats` as the previous system does."""
    return await _limiter(request, "replicate")


async def _limiter(request: Request, provider: str) -> Response:
    principal = await caller(request, Scope.INTAKE, Scope.READ)
    query_of(request)
    every = await list_quotas(request.app.state.database)
    found = stats_of([quota for quota in every if quota.provider.partition("@")[0] == provider])
    return answer(found if principal.instance_ids is None else replace(found, quotas=[]))


def stats_of(quotas: Sequence[QuotaUse]) -> LimiterStats:
    """Return the sums of the quotas of one provider."""
    requests, most_requests = sum(q.requests_in_last_minute for q in quotas), sum(q.max_requests or 0 for q in quotas)
    tokens, most_tokens = sum(q.tokens_in_last_minute or 0 for q in quotas), sum(q.max_tokens or 0 for q in quotas)
    return LimiterStats(
        queue_length=sum(q.queue_length for q in quotas),
        requests_in_last_minute=requests,
        max_rpm=most_requests,
        rpm_usage_percent=_percent(requests, most_requests),
        tokens_in_last_minute=tokens,
        max_tpm=most_tokens,
        tpm_usage_percent=_percent(tokens, most_tokens),
        quotas=list(quotas),
    )


def _percent(used: float, most: float) -> float:
    return round(100 * used / most, 1) if most else 0.0


async def reader(request: Request) -> Principal:
    """Return a caller who may see the whole fleet."""
    principal = await caller(request, Scope.READ)
    require_all_sites(principal)
    return principal


def _require_site(principal: Principal, site: str) -> None:
    if not principal.may_see(site):
        require_all_sites(principal)
