"""Bodies of requests: their size, the time that they may take, and their shape."""

import json
from typing import TypeVar

from anyio import move_on_after
from anyio.to_thread import run_sync
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from blogworker.queue.validation import RepeatedKey, without_repeats
from blogworker.web.problems import Problem, bad_request

MOST_BYTES = 256 * 1024  # source_data has at most 64 KiB, which escapes can make larger
MOST_BATCH_BYTES = 8 * 1024 * 1024
MOST_KEYS = 50  # of the body and of each job in it: a model reports every unknown one, which takes long
DISCARDED_BYTES = 4 * 1024 * 1024  # read and dropped before a refusal, so that the client gets it
BODY_S = 15.0
FAULTS_SHOWN = 50

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, *, most: int = MOST_BYTES) -> bytes:
    """Return the body. Raises Problem 413 if it is larger than `most` bytes, and 408 if it does not arrive in time."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > most + DISCARDED_BYTES):
        raise _too_large(most)
    body = bytearray()
    received = 0
    with move_on_after(BODY_S) as limit:
        try:
            async for part in request.stream():
                received += len(part)
                if received <= most:
                    body += part
                elif received > most + DISCARDED_BYTES:
                    break  # a client that is still sending may not see the answer
        except ClientDisconnect:
            raise Problem(408, "the connection was closed before the whole body arrived") from None
    if limit.cancelled_caught:
        raise Problem(408, f"the body did not arrive within {BODY_S:.0f} s", headers={"Connection": "close"})
    if received > most:
        raise _too_large(most)
    return bytes(body)


def _too_large(most: int) -> Problem:
    return Problem(413, f"the body has more than {most:,} bytes", headers={"Connection": "close"})


async def read_json(request: Request, model: type[M], *, most: int = MOST_BYTES) -> M:
    """Return the JSON body as a model. Raises Problem 400 with every fault, and 415 for another content type."""
    declared = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if declared not in ("application/json", ""):
        raise Problem(415, f"the body must be application/json, not {declared!r:.100}")
    body = await read_body(request, most=most)
    if len(body) <= MOST_BYTES:
        return _parsed(body, model)
    return await run_sync(_parsed, body, model, limiter=request.app.state.parsers)


def _parsed(body: bytes, model: type[M]) -> M:
    try:
        _require_few_keys(from_json(body))
        json.loads(body, object_pairs_hook=without_repeats, parse_int=str, parse_float=str)
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        raise bad_request(*(_place(fault["loc"]) + _words(fault["msg"]) for fault in found[:FAULTS_SHOWN])) from None
    except RepeatedKey as error:
        raise bad_request(str(error)) from None
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {str(error)[:200]}") from None


def _require_few_keys(body: object) -> None:
    jobs = body.get("jobs") if isinstance(body, dict) else None
    for part in (body, *(jobs if isinstance(jobs, list) else ())):
        if isinstance(part, dict) and len(part) > MOST_KEYS:
            raise bad_request(f"an object of the body has {len(part):,} fields, which cannot all be known")


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")  # which pydantic puts before a message of ours


def _place(path: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, path))[:100]}: " if path else ""
