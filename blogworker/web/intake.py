"""Intake: add one job or a batch."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

from anyio import Semaphore, move_on_after
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response

from blogworker.db.pool import Database
from blogworker.ops.tokens import Principal, Scope
from blogworker.queue.enqueue import Enqueued, enqueue
from blogworker.queue.enqueue_batch import enqueue_batch
from blogworker.queue.validation import (
    IDEMPOTENCY_KEY_MAX,
    INSTANCE_ID_MAX,
    SMALLINT,
    SOURCE_ID_MAX,
    NewJob,
    PublishMode,
    SourceType,
    faults,
)
from blogworker.web.access import caller, site_of
from blogworker.web.answers import answer
from blogworker.web.bodies import MOST_BATCH_BYTES, read_json
from blogworker.web.problems import BUSY, RETRY_S, Problem, bad_request
from blogworker.web.visibility import reason_for

KEY = re.compile(rf"[ -~]{{1,{IDEMPOTENCY_KEY_MAX}}}")
RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
MOST_JOBS = 1_000  # of a batch
TURNS = 6  # requests that add jobs at the same time
BATCHES = 4
TURN_S = 30.0
FAULTS_SHOWN = 100
PREFIX = "/api/blog-generation"


def _rfc_3339(value: object) -> datetime:
    """Raises ValueError for anything but a date-time of RFC 3339: pydantic alone accepts short forms too."""
    if not isinstance(value, str) or RFC_3339.fullmatch(value) is None:
        raise ValueError(
            "write a date, a time and a time zone, as in 2026-12-01T08:00:00Z or 2026-12-01T08:00:00+01:00"
        )
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError("there is no such date, time or time zone") from None


Time = Annotated[datetime, BeforeValidator(_rfc_3339)]


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class JobRequest(Shape):
    """A job to add. `instanceId` may be left out by a token for one site."""

    instance_id: str | None = Field(None, max_length=INSTANCE_ID_MAX)
    source_type: SourceType
    source_id: str | None = Field(None, max_length=SOURCE_ID_MAX)
    source_data: dict[str, Any] = Field(default_factory=dict)
    priority: int = Field(0, ge=SMALLINT[0], le=SMALLINT[-1])
    run_at: Time | None = None
    publish_at: Time | None = None
    max_attempts: int | None = Field(None, ge=1, le=2**31 - 1)
    publish_mode: PublishMode | None = None


class BatchedJob(JobRequest):
    idempotency_key: str | None = Field(None, min_length=1, max_length=IDEMPOTENCY_KEY_MAX)


class BatchRequest(Shape):
    jobs: list[BatchedJob] = Field(min_length=1, max_length=MOST_JOBS)


class Accepted(Shape):
    """`created`: false if the same idempotency key was added before. `place`: among the waiting jobs of its site."""

    id: int
    status: str
    created: bool
    place: int | None
    expected_start: datetime | None
    waits_for: str | None


class BatchAccepted(Shape):
    """`known`: added before, with the same idempotency keys. `ids`: in the order of the jobs, also of known ones;
    null: such a job was deleted meanwhile."""

    created: int
    known: int
    ids: list[int | None]


async def add_job(request: Request) -> Response:
    """Add one job: 202. With the Idempotency-Key of an earlier job: 200 and that job."""
    principal = await caller(request, Scope.INTAKE)
    key = _key(request)
    wanted = await read_json(request, JobRequest)
    job = _job(wanted, principal, key)
    if reasons := _reasons(job):
        raise bad_request(*reasons)
    database: Database = request.app.state.database
    async with _turn(request.app.state.intake_turns):
        limit = request.app.state.queue_size_limit
        added = await enqueue(database, job, queue_size_limit=limit, added_by=_adder(principal))
    return answer(
        _accepted(added, principal), 202 if added.created else 200, headers={"Location": f"{PREFIX}/{added.job_id}"}
    )


def _key(request: Request) -> str | None:
    """Return the idempotency key. Raises Problem 400 if it is given twice or has other than visible characters."""
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1:
        raise bad_request("Idempotency-Key is given twice")
    if keys and KEY.fullmatch(keys[0]) is None:
        raise bad_request(f"Idempotency-Key: use 1 to {IDEMPOTENCY_KEY_MAX} characters of printable ASCII")
    return keys[0] if keys else None


async def add_batch(request: Request) -> Response:
    """Add all jobs of a batch or none."""
    principal = await caller(request, Scope.INTAKE)
    if "idempotency-key" in request.headers:
        raise bad_request("Idempotency-Key is for one job: give each job of a batch its idempotencyKey")
    async with _turn(request.app.state.batch_turns):  # so many bodies are in memory at once
        wanted = await read_json(request, BatchRequest, most=MOST_BATCH_BYTES)
        return await _add_batch(request, principal, wanted)


async def _add_batch(request: Request, principal: Principal, wanted: BatchRequest) -> Response:
    jobs = [_job(job, principal, job.idempotency_key) for job in wanted.jobs]
    reasons = [f"jobs.{index}: {reason}" for index, job in enumerate(jobs) for reason in _reasons(job)]
    if reasons:
        raise bad_request(*reasons[:FAULTS_SHOWN])
    database: Database = request.app.state.database
    async with _turn(request.app.state.intake_turns):
        limit = request.app.state.queue_size_limit
        found = await enqueue_batch(database, jobs, queue_size_limit=limit, added_by=_adder(principal))
    return answer({"created": found.created, "known": len(jobs) - found.created, "ids": found.ids}, 202)


@asynccontextmanager
async def _turn(turns: Semaphore) -> AsyncIterator[None]:
    """Wait for a turn, so that thousands of simultaneous requests do not time out at the pool. Raises Problem 503."""
    with move_on_after(TURN_S) as limit:
        await turns.acquire()
    if limit.cancelled_caught:
        raise Problem(
            503, "too many jobs are being added: try again", headers={"Retry-After": str(RETRY_S)}, error=BUSY
        )
    try:
        yield
    finally:
        turns.release()


def _adder(principal: Principal) -> str:
    return f"token {principal.name}"


def _reasons(job: NewJob) -> list[str]:
    return [f"instanceId: {reason}" if reason.startswith("instance_id") else reason for reason in faults(job)]


def _job(wanted: JobRequest, principal: Principal, key: str | None) -> NewJob:
    site = site_of(principal, wanted.instance_id)
    return NewJob(
        instance_id=site or "",
        source_type=wanted.source_type,
        source_id=wanted.source_id,
        source_data=wanted.source_data,
        priority=wanted.priority,
        run_at=wanted.run_at,
        publish_at=wanted.publish_at,
        idempotency_key=key,
        max_attempts=wanted.max_attempts,
        publish_mode=wanted.publish_mode,
    )


def _accepted(added: Enqueued, principal: Principal) -> dict[str, Any]:
    return {
        "id": added.job_id,
        "status": added.status,
        "created": added.created,
        "place": added.place,
        "expected_start": added.expected_start,
        "waits_for": reason_for(principal, added.waits_for),
    }
