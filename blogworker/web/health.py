"""Liveness, readiness and metrics."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from blogworker.db.grants import OPERATOR
from blogworker.db.pool import Database
from blogworker.db.readiness import require_ready
from blogworker.ops.exposition import CONTENT_TYPE, render
from blogworker.ops.metrics import read_metrics
from blogworker.web.fleet import reader
from blogworker.web.jobs import query_of


@dataclass(frozen=True, slots=True)
class Health:
    status: str


async def check(database: Database) -> None:
    """Raise DatabaseNotReady unless the database can be used."""
    async with database.connection() as connection:
        await require_ready(connection, needs=OPERATOR)


async def scrape(database: Database) -> str:
    return render(await read_metrics(database, top_sites=0))


async def alive(request: Request) -> Response:
    """Answer while the process runs, also without a database."""
    query_of(request)
    return JSONResponse({"status": "alive"})


async def ready(request: Request) -> Response:
    """Answer 200 when the database can be used. Otherwise the error becomes a 503."""
    query_of(request)
    await request.app.state.readiness.get()
    return JSONResponse({"status": "ready"})


async def metrics(request: Request) -> Response:
    """Answer with the metrics of the database in the text format of Prometheus."""
    await reader(request)
    query_of(request)
    return PlainTextResponse(await request.app.state.metrics.get(), headers={"content-type": CONTENT_TYPE})
