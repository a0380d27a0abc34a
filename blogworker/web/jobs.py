"""Jobs: list, read, cancel, retry."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from blogworker.db.pool import Database
from blogworker.errors import SettingsError
from blogworker.ops.age import seconds
from blogworker.ops.explain import Explanation, explain_job
from blogworker.ops.jobs import JobFilter, cancel_jobs, find_job, list_jobs, searched_to
from blogworker.ops.records import JobSummary
from blogworker.ops.retry import Choice, plan_retry, retry_jobs
from blogworker.ops.tokens import Principal, Scope
from blogworker.queue.job import Stage, Status
from blogworker.web.access import caller, site_of
from blogworker.web.answers import answer
from blogworker.web.problems import Problem, bad_request
from blogworker.web.visibility import explanation_for

E = TypeVar("E", bound=StrEnum)
USUAL, MOST = 50, 500  # jobs in a list
BIGGEST_ID = 2**63 - 1
MOST_VALUE = 200  # characters of a parameter


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs, newest first. `next`: the cursor of the next page; None: there is none. A page of a search may have fewer
    jobs than there are places, or none, and still have a next one."""

    jobs: list[JobSummary]
    next: int | None


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, and why it is where it is."""

    job: JobSummary
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`status`: CANCELLED, or PROCESSING while its worker stops it."""

    id: int
    status: str


@dataclass(frozen=True, slots=True)
class Retried:
    """What the retry costs, in USD; None: a model has no price."""

    id: int
    usd: float | None
    usd_at_most: float | None


async def list_all(request: Request) -> Response:
    """List jobs, newest first. A token for some sites sees only their jobs."""
    principal = await caller(request, Scope.INTAKE, Scope.READ)
    asked = query_of(request, "status", "site", "text", "stage", "kind", "within", "olderThan", "cursor", "limit")
    most = whole_number(asked, "limit", low=1, high=MOST) or USUAL
    wanted = JobFilter(
        status=_one_of(Status, asked, "status"),
        instance_id=site_of(principal, asked.get("site")),
        text=asked.get("text") or None,
        stage=_one_of(Stage, asked, "stage"),
        kind=asked.get("kind") or None,
        within_s=_age(asked, "within"),
        older_than_s=_age(asked, "olderThan"),
        before=whole_number(asked, "cursor", low=1, high=BIGGEST_ID),
    )
    database: Database = request.app.state.database
    found = await list_jobs(database, wanted, most=most)
    if len(found) == most:
        return answer(JobPage(found, found[-1].id))
    return answer(JobPage(found, await searched_to(database, wanted) if wanted.is_search else None))


async def show(request: Request) -> Response:
    """Show a job: its state, its post, and why it waits or failed."""
    principal = await caller(request, Scope.INTAKE, Scope.READ)
    query_of(request)
    return answer(await view_of(request.app.state.database, principal, request.path_params["job_id"]))


async def cancel(request: Request) -> Response:
    """Cancel a job that has not ended."""
    found = await _own(request, await caller(request, Scope.OPERATE))
    status = (await cancel_jobs(request.app.state.database, [found.id])).get(found.id)
    if status is None:
        raise Problem(409, f"job {found.id} has ended: it is {found.status}")
    return answer(Cancelled(found.id, status))


async def retry(request: Request) -> Response:
    """Put an ended job back into the queue. It continues from its last checkpoint."""
    found = await _own(request, await caller(request, Scope.OPERATE))
    database: Database = request.app.state.database
    plan = await plan_retry(database, Choice(job_ids=[found.id]), request.app.state.prices)
    if reason := plan.refused.get(found.id):
        raise Problem(409, f"job {found.id} is not retried: {reason}")
    if found.id not in await retry_jobs(database, plan):
        raise Problem(409, f"job {found.id} is not retried: it is locked by another transaction; try again")
    return answer(Retried(found.id, plan.usd, plan.usd_at_most))


async def view_of(database: Database, principal: Principal, job_id: int) -> JobView:
    """Return a job with its explanation. Raises Problem 404 if the caller may not see it, or it does not exist."""
    found = await _seen(database, principal, job_id)
    explanation = await explain_job(database, job_id)
    if explanation is None:  # it was deleted in between
        raise _unknown(job_id)
    return JobView(found, explanation_for(principal, explanation))


async def _own(request: Request, principal: Principal) -> JobSummary:
    query_of(request)
    return await _seen(request.app.state.database, principal, request.path_params["job_id"])


async def _seen(database: Database, principal: Principal, job_id: int) -> JobSummary:
    found = await find_job(database, job_id) if 0 < job_id <= BIGGEST_ID else None
    if found is None or not principal.may_see(found.instance_id):
        raise _unknown(job_id)
    return found


def _unknown(job_id: int) -> Problem:
    return Problem(404, f"there is no job {job_id}")


def _one_of(kind: type[E], asked: dict[str, str], name: str) -> E | None:
    text = asked.get(name)
    if text is None:
        return None
    if text not in list(kind):
        raise bad_request(f"{name}: use {', '.join(kind)}")
    return kind(text)


def _age(asked: dict[str, str], name: str) -> float | None:
    text = asked.get(name)
    try:
        return None if text is None else seconds(text)
    except SettingsError as error:
        raise bad_request(f"{name}: {error}") from None


def whole_number(asked: dict[str, str], name: str, *, low: int, high: int) -> int | None:
    """Return a parameter of the query as a number; None if it is not given. Raises Problem 400."""
    text = asked.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        raise bad_request(f"{name}: use a whole number from {low} to {high}")
    return int(text)


def query_of(request: Request, *known: str) -> dict[str, str]:
    """Return the parameters of the query. Raises Problem 400 for unknown, repeated and unstorable ones."""
    asked: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise bad_request(f"unknown parameter {name!r:.60}; known are {', '.join(known) or 'none'}")
        if name in asked:
            raise bad_request(f"{name} is given twice")
        asked[name] = _storable(name, value)
    return asked


def path_text(request: Request, name: str) -> str:
    """Return a text in the path. Raises Problem 400 for one that cannot be stored."""
    return _storable(name, request.path_params[name])


def _storable(name: str, value: str) -> str:
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value) or "\ufffd" in value:
        raise bad_request(f"{name} holds a character that cannot be stored")
    if len(value) > MOST_VALUE:
        raise bad_request(f"{name} has more than {MOST_VALUE} characters")
    return value
