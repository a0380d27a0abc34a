"""A vendor of a test's own: answers given one after another over real TCP, and what it was asked."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from anyio import CancelScope, create_task_group, sleep
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass
class Answer:
    """One answer. `silent`: the request is taken and never answered."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False

    def response(self) -> Response:
        if isinstance(self.body, bytes | str):
            return Response(self.body, self.status, self.headers)
        return JSONResponse(self.body, self.status, self.headers)


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Vendor:
    """Gives its answers in order, the last one for ever. `at` keeps answers for one path."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    at: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def will(self, *answers: Answer, at: str | None = None) -> None:
        if at is None:
            self.answers = list(answers)
        else:
            self.at[at] = list(answers)

    def paths(self) -> list[str]:
        return [f"{asked.method} {asked.path}" for asked in self.asked]

    async def endpoint(self, request: Request) -> Response:
        raw = await request.body()
        try:
            body = json.loads(raw)
        except ValueError:
            body = raw
        self.asked.append(Asked(request.method, request.url.path, dict(request.headers), body))
        queue = self.at.get(request.url.path, self.answers)
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if answer.silent:
            await request.receive()  # comes when the client has gone
        return answer.response()


class QuietServer(uvicorn.Server):
    """Leaves signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    found = Vendor()
    methods = ["GET", "POST", "PUT"]
    app = Starlette(routes=[Route("/{path:path}", found.endpoint, methods=methods)])
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", http="h11", timeout_graceful_shutdown=1)
    server = QuietServer(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        found.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with create_task_group() as tasks:
            tasks.start_soon(_serve, server, listener)
            while not server.started:
                await sleep(0.01)
            yield found
            server.should_exit = True


@pytest.fixture
def patience_s(request: pytest.FixtureRequest) -> float:
    """How long a call waits: half a minute, as machines are busy, but where silence is the point."""
    return 1.0 if request.node.get_closest_marker("silence") else 30.0


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    with CancelScope(shield=True):  # uvicorn closes its connections only when it may end by itself
        await server.serve(sockets=[listener])
