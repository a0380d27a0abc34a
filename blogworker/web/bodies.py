"""Bodies of requests: their size, the time that they may take, and their shape."""

from typing import TypeVar

from anyio import move_on_after
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from blogworker.web.problems import Problem, bad_request

MOST_BYTES = 256 * 1024  # source_data has at most 64 KiB, which escapes can make larger
MOST_BATCH_BYTES = 16 * 1024 * 1024
DISCARDED_BYTES = 4 * 1024 * 1024  # read and dropped before a refusal, so that the client gets it
BODY_S = 15.0
FAULTS_SHOWN = 50

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, *, most: int = MOST_BYTES) -> bytes:
    """Return the body. Raises Problem 413 if it is larger than `most` bytes, and 408 if it does not arrive in time."""
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
        raise Problem(413, f"the body has more than {most:,} bytes", headers={"Connection": "close"})
    return bytes(body)


async def read_json(request: Request, model: type[M], *, most: int = MOST_BYTES) -> M:
    """Return the JSON body as a model. Raises Problem 400 with every fault, and 415 for another content type."""
    declared = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if declared not in ("application/json", ""):
        raise Problem(415, f"the body must be application/json, not {declared!r:.100}")
    body = await read_body(request, most=most)
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        faults = [f"{_place(fault['loc'])}{fault['msg']}" for fault in found[:FAULTS_SHOWN]]
        raise bad_request(*faults) from None


def _place(path: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, path))[:100]}: " if path else ""
