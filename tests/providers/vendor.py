"""A provider of a test's own: answers given one after another over real TCP, and the requests it received."""

import json
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


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
    query: str = ""


@dataclass
class Vendor:
    """Gives its answers in order and repeats the last one. `at` has answers for one path."""

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
        self.asked.append(Asked(request.method, request.url.path, dict(request.headers), body, request.url.query))
        queue = self.at.get(request.url.path, self.answers)
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if answer.silent:
            await request.receive()  # comes when the client has gone
        return answer.response()
