"""The application: the table of routes and what they share."""

from collections.abc import Iterable, Mapping

from anyio import CapacityLimiter, Event, Semaphore
from starlette.applications import Starlette
from starlette.convertors import IntegerConvertor, StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from blogworker.db.pool import Database
from blogworker.ops.audit import AuditEntry
from blogworker.ops.costs import Costs, Period
from blogworker.ops.errors import ErrorGroup
from blogworker.ops.history import History
from blogworker.ops.records import BreakerState, QuotaUse, SiteState
from blogworker.ops.status import FleetStatus
from blogworker.ops.tokens import Scope
from blogworker.queue.job import Stage, Status
from blogworker.spend.estimate import Prices
from blogworker.web import fleet, health, intake, jobs
from blogworker.web.access import Gatekeeper
from blogworker.web.dashboard import actions, pages, session
from blogworker.web.edge import Edge
from blogworker.web.openapi import Endpoint, Handler, Query, document
from blogworker.web.problems import on_error
from blogworker.web.shared import Shared

READY_S, METRICS_S = 1.0, 2.0  # how long these answers are shared

JOBS = intake.PREFIX
TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
AGE = {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(s|min|h|d)?\s*$", "maxLength": 30}
SITE = Query("site", TEXT, "only jobs of this site")
STATUS = Query("status", {"type": "string", "enum": [*Status]}, "only jobs with this status")
FILTERS = (
    STATUS,
    SITE,
    Query("text", TEXT, "only jobs with this in their title, source, error or site"),
    Query("stage", {"type": "string", "enum": [*Stage]}, "only jobs whose next stage is this"),
    Query("kind", TEXT, "only jobs whose last error is of this kind"),
    Query("within", AGE, "only jobs created within this time, such as 12h"),
    Query("olderThan", AGE, "only jobs created longer ago than this, such as 7d"),
)
CURSOR = Query("cursor", {"type": "integer", "minimum": 1, "maximum": jobs.BIGGEST_ID}, "`next` of the page before")
DAYS = Query("days", {"type": "integer", "minimum": 1, "maximum": fleet.MOST_DAYS}, "today and the days before it")
TARGET = Query("target", TEXT, "only changes of this")
MINUTES = Query("minutes", {"type": "integer", "minimum": 1, "maximum": fleet.MOST_MINUTES}, "the last so many; 60")
STEP = Query(
    "step",
    {"type": "integer", "minimum": 1, "maximum": fleet.MOST_MINUTES},
    f"add up so many minutes; 5. At most {fleet.MOST_STEPS:,} steps",
)
BY = Query("by", {"type": "string", "enum": [*Period]}, "add up by day or by month")


def _limit(most: int) -> Query:
    return Query("limit", {"type": "integer", "minimum": 1, "maximum": most}, "how many")


ENDPOINTS = (
    Endpoint("POST", JOBS, intake.add_job, intake.Accepted, Scope.INTAKE, intake.JobRequest, 202, also=(200,)),
    Endpoint("GET", JOBS, jobs.list_all, jobs.JobPage, Scope.READ, query=(*FILTERS, CURSOR, _limit(jobs.MOST))),
    Endpoint("POST", f"{JOBS}/batch", intake.add_batch, intake.BatchAccepted, Scope.INTAKE, intake.BatchRequest, 202),
    Endpoint("GET", f"{JOBS}/{{job_id}}", jobs.show, jobs.JobView, Scope.READ, problems=(404,)),
    Endpoint("POST", f"{JOBS}/{{job_id}}/cancel", jobs.cancel, jobs.Cancelled, Scope.OPERATE, problems=(404, 409)),
    Endpoint("POST", f"{JOBS}/{{job_id}}/retry", jobs.retry, jobs.Retried, Scope.OPERATE, problems=(404, 409)),
    Endpoint("GET", "/api/rate-limiter/stats", fleet.openai_limiter, fleet.LimiterStats, Scope.READ),
    Endpoint("GET", "/api/replicate-rate-limiter/stats", fleet.replicate_limiter, fleet.LimiterStats, Scope.READ),
    Endpoint("GET", "/api/status", fleet.status, FleetStatus, Scope.READ),
    Endpoint("GET", "/api/sites", fleet.sites, list[SiteState], Scope.READ, query=(_limit(fleet.MOST_SITES),)),
    Endpoint("POST", "/api/sites/{instance_id}/pause", fleet.pause, fleet.Changed, Scope.OPERATE, problems=(404, 409)),
    Endpoint(
        "POST", "/api/sites/{instance_id}/resume", fleet.resume, fleet.Changed, Scope.OPERATE, problems=(404, 409)
    ),
    Endpoint("GET", "/api/quotas", fleet.quotas, list[QuotaUse], Scope.READ),
    Endpoint("GET", "/api/breakers", fleet.breakers, list[BreakerState], Scope.READ),
    Endpoint("POST", "/api/breakers/{provider}/close", fleet.close, fleet.Changed, Scope.OPERATE, problems=(404, 409)),
    Endpoint("GET", "/api/errors", fleet.errors, list[ErrorGroup], Scope.READ),
    Endpoint(
        "GET",
        "/api/audit",
        fleet.audit,
        list[AuditEntry],
        Scope.READ,
        query=(TARGET, CURSOR, _limit(fleet.MOST_SITES)),
    ),
    Endpoint("GET", "/api/history", fleet.history, History, Scope.READ, query=(MINUTES, STEP)),
    Endpoint("GET", "/api/costs", fleet.costs, Costs, Scope.READ, query=(DAYS, BY)),
    Endpoint("GET", "/healthz", health.alive, health.Health, None),
    Endpoint("GET", "/readyz", health.ready, health.Health, None),
    Endpoint("GET", "/metrics", health.metrics, None, Scope.READ),
)
CONVERTERS = {"{job_id}": "{job_id:job}", "{instance_id}": "{instance_id:any}", "{provider}": "{provider:any}"}


class AnyText(StringConvertor):
    """A part of a path that may contain slashes and line breaks, as the id of a site may."""

    regex = r"[\s\S]+"


class JobId(IntegerConvertor):
    """The id of a job: at most as long as a bigint, so that its conversion costs nothing."""

    regex = "[0-9]{1,19}"


register_url_convertor("job", JobId())
register_url_convertor("any", AnyText())


def application(database: Database, *, rpm: int, queue_size_limit: int | None, prices: Prices) -> Starlette:
    """Return the application on an open database. `rpm`: requests per minute and token."""
    app = Starlette(
        routes=[
            *_routes(ENDPOINTS),
            Route("/openapi.json", _description),
            Mount("/static", StaticFiles(directory=session.FOLDER / "static")),
            *_pages(),
        ],
        middleware=[Middleware(Edge)],
        exception_handlers={HTTPException: on_error},
    )
    app.router.redirect_slashes = False
    app.state.database = database
    app.state.stopping = Event()
    app.state.gatekeeper = Gatekeeper(database, rpm=rpm)
    app.state.queue_size_limit = queue_size_limit
    app.state.prices = prices
    app.state.intake_turns = Semaphore(intake.TURNS)
    app.state.batch_turns = Semaphore(intake.BATCHES)
    app.state.parsers = CapacityLimiter(1)
    app.state.overviews = pages.overviews(database)
    app.state.readiness = Shared(lambda: health.check(database), fresh_s=READY_S)
    app.state.metrics = Shared(lambda: health.scrape(database), fresh_s=METRICS_S)
    return app


def _pages() -> list[Route]:
    """Return the pages of the dashboard, and the forms that they send."""
    read = {
        "/": pages.overview,
        "/events": pages.events,
        "/jobs": pages.jobs,
        "/jobs/{job_id:job}": pages.job,
        "/jobs/{job_id:job}/cover": pages.cover,
        "/sites": pages.sites,
        "/errors": pages.errors,
        "/providers": pages.providers,
        "/workers": pages.workers,
        "/costs": pages.costs,
        "/audit": pages.audit,
    }
    forms = {
        "/jobs/change": actions.change_jobs,
        "/sites/change": actions.change_site,
        "/stages/change": actions.change_stage,
        "/workers/change": actions.change_worker,
        "/errors/retry": actions.retry_kind,
        "/providers/close": actions.close,
        "/providers/unblock": actions.unblock,
    }
    return [
        *(Route(path, session.page(handler, Scope.READ)) for path, handler in read.items()),
        *(Route(path, session.action(handler), methods=["POST"]) for path, handler in forms.items()),
        Route("/login", session.login_page),
        Route("/login", session.login, methods=["POST"]),
        Route("/logout", session.logout, methods=["POST"]),
    ]


def _routes(endpoints: Iterable[Endpoint]) -> list[Route]:
    """Return one route per path, so that the answer to a wrong method lists all methods of the path."""
    by_path: dict[str, dict[str, Handler]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint.handler
    return [Route(_converted(path), _dispatcher(methods), methods=[*methods]) for path, methods in by_path.items()]


def _converted(path: str) -> str:
    for name, converter in CONVERTERS.items():
        path = path.replace(name, converter)
    return path


def _dispatcher(methods: Mapping[str, Handler]) -> Handler:
    async def endpoint(request: Request) -> Response:
        try:
            return await methods["GET" if request.method == "HEAD" else request.method](request)
        except Exception as error:
            return await on_error(request, error)

    return endpoint


async def _description(_: Request) -> Response:
    return JSONResponse(DESCRIPTION)


DESCRIPTION = document(ENDPOINTS)
