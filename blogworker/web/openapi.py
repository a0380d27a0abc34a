"""The description of the interface as OpenAPI 3.1, made from the table of routes and the types of the answers."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import getdoc
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from blogworker import __version__
from blogworker.ops.tokens import Scope
from blogworker.queue.validation import IDEMPOTENCY_KEY_MAX
from blogworker.web.answers import schema_of

Handler = Callable[[Request], Awaitable[Response]]
PARAMETER = re.compile(r"\{(\w+)\}")
BIGGEST_ID = 2**63 - 1
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "error", "message"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "error": {"type": "string", "description": "the same as title; `Service busy` if too many jobs wait"},
        "message": {"type": "string", "description": "the same as detail"},
        "errors": {"type": "array", "items": {"type": "string"}, "description": "of a 400: one text per fault"},
        "queueSize": {"type": "integer", "description": "of a 503 because the queue is full: waiting jobs"},
        "estimatedWaitMinutes": {"type": "integer"},
    },
}
RESPONSES = {
    "400": "a fault of the request; `errors` has one text per fault",
    "401": "no valid token",
    "403": "the token lacks the scope, or is for other sites",
    "404": "it does not exist, or the token may not see it",
    "408": "the body did not arrive in time",
    "409": "it is in another state",
    "413": "the body is too large",
    "415": "the body is not application/json",
    "429": "too many requests; see Retry-After",
    "503": "the queue is full, or the database is unavailable; see Retry-After",
}


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of the query."""

    name: str
    schema: Mapping[str, Any]
    description: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. `answers`: the type of the answer; None: text. `scope`: None: no token is needed."""

    method: str
    path: str
    handler: Handler
    answers: Any
    scope: Scope | None
    body: type[BaseModel] | None = None
    status: int = 200
    query: tuple[Query, ...] = ()
    problems: tuple[int, ...] = ()
    also: tuple[int, ...] = ()  # other statuses of success


def document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "blogworker",
            "version": __version__,
            "description": "Adds blog jobs, and shows what becomes of them. Errors are application/problem+json.",
        },
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "made by `blogworker tokens create`"}
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    summary = (getdoc(endpoint.handler) or "").split("\n\n")[0].replace("\n", " ")
    problems = {400, 503, *endpoint.problems}
    problems |= {401, 403, 429} if endpoint.scope else set()
    problems |= {408, 413, 415} if endpoint.body else set()
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": summary,
        "parameters": [*map(_path_parameter, PARAMETER.findall(endpoint.path)), *map(_query_parameter, endpoint.query)],
        "responses": {
            **{str(status): _success(endpoint) for status in (endpoint.status, *endpoint.also)},
            **{str(status): _problem(status) for status in sorted(problems)},
        },
        "security": [{"token": []}] if endpoint.scope else [],
    }
    if endpoint.body is not None:
        schema = endpoint.body.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _without_definitions(schema)}},
        }
    if endpoint.method == "POST" and endpoint.body is not None and endpoint.also:
        key = {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX, "pattern": "^[!-~]([ -~]*[!-~])?$"}
        operation["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": key,
                "description": "A repeated request with the same key and site adds nothing.",
            }
        )
    return operation


def _without_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with its definitions in place: each is used once."""
    definitions = schema.pop("$defs", {})

    def resolved(part: Any) -> Any:
        if isinstance(part, list):
            return [resolved(item) for item in part]
        if not isinstance(part, dict):
            return part
        if reference := part.get("$ref"):
            return resolved(definitions[reference.rsplit("/", 1)[1]])
        return {key: resolved(value) for key, value in part.items()}

    found: dict[str, Any] = resolved(schema)
    return found


def _path_parameter(name: str) -> dict[str, Any]:
    schema = (
        {"type": "integer", "minimum": 1, "maximum": BIGGEST_ID}
        if name == "job_id"
        else {"type": "string", "minLength": 1, "maxLength": 200}
    )
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameter(query: Query) -> dict[str, Any]:
    return {"name": query.name, "in": "query", "schema": dict(query.schema), "description": query.description}


def _success(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.answers is None:
        return {"description": "text", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"description": "done", "content": {"application/json": {"schema": _schema(endpoint.answers)}}}


def _schema(answers: Any) -> dict[str, Any]:
    if isinstance(answers, type) and issubclass(answers, BaseModel):
        return _without_definitions(answers.model_json_schema(mode="serialization"))
    return schema_of(answers)


def _problem(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": RESPONSES[str(status)],
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        found["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return found
