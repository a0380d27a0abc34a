"""Errors as application/problem+json (RFC 9457).

Every body has type, title, status and detail; `error` and `message` repeat title and detail under the names that the
clients of the previous system read. While the queue accepts no more, `error` is "Service busy", as there. A 400 also
has `errors`, one text per fault.
"""

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from blogworker.db.messages import message_of
from blogworker.db.retrying import is_transient
from blogworker.errors import (
    BlogworkerError,
    DatabaseNotReady,
    InvalidInput,
    NotFound,
    QueueFull,
    SettingsError,
    WrongState,
)
from blogworker.redact import SECRETS
from blogworker.telemetry import get_logger

RETRY_S = 5  # after an outage of the database
BUSY = "Service busy"  # the `error` of a 503 because of too many jobs, as the previous system words it
log = get_logger()


class Problem(Exception):
    """An answer that is an error. `members`: further members of the body."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


def bad_request(*faults: str) -> Problem:
    return Problem(400, "; ".join(faults), errors=list(faults))


def response_of(problem: Problem) -> Response:
    title = HTTPStatus(problem.status).phrase
    detail = SECRETS.hide(problem.detail, shapes=False)
    body = {"type": "about:blank", "title": title, "status": problem.status, "detail": detail}
    members = SECRETS.hide_all(problem.members, shapes=False)
    return JSONResponse(
        body | {"error": title, "message": detail} | members,
        problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


def problem_of(error: Exception) -> Problem:
    """Return what an error of the operations or of the database means to a caller."""
    match error:
        case Problem():
            return error
        case HTTPException():
            return Problem(error.status_code, error.detail, headers=error.headers)
        case QueueFull():
            return Problem(
                503,
                str(error),
                headers={"Retry-After": str(ceil(error.retry_after_s))},
                error=BUSY,
                queueSize=error.queue_size,
                estimatedWaitMinutes=error.estimated_wait_minutes,
            )
        case InvalidInput():
            return bad_request(*(fault.reason for fault in error.faults))
        case DatabaseNotReady():
            return _unavailable(str(error))
        case NotFound():
            return Problem(404, str(error))
        case WrongState():
            return Problem(409, str(error))
        case SettingsError():
            return bad_request(*str(error).split("\n"))
        case BlogworkerError():
            return Problem(409, str(error))
        case psycopg.errors.DataError() | psycopg.errors.IntegrityError():
            return bad_request(message_of(error))
        case TimeoutError():
            return _unavailable("the database does not answer: try again")
        case psycopg.Error() | PoolTimeout():
            return _unavailable("the database is unavailable: try again", known=is_transient(error), error=error)
        case _:
            log.exception("request_failed", error=type(error).__name__)
            return Problem(500, "an unexpected error; it is in the log of the server")


def _unavailable(detail: str, *, known: bool = True, error: Exception | None = None) -> Problem:
    if not known:
        log.exception("request_failed", error=type(error).__name__)
    return Problem(503, detail, headers={"Retry-After": str(RETRY_S)})


async def on_error(_: Request, error: Exception) -> Response:
    return response_of(problem_of(error))
