"""The application: three vendors side by side, and the control room under `/__sim`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx2
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from blogworker.simulator.control import Control
from blogworker.simulator.edge import Vendor
from blogworker.simulator.openai import OpenAI
from blogworker.simulator.options import SimulatorOptions
from blogworker.simulator.replicate import Replicate
from blogworker.simulator.scenario import Scenario
from blogworker.simulator.wix import Wix
from blogworker.simulator.world import World

FETCHES_AT_ONCE = 64


def create_app(options: SimulatorOptions | None = None, *, scenario: Scenario | None = None) -> Starlette:
    """The simulator as an ASGI application; `app.state.world` is its shared state. `scenario`: its faults only."""
    world = World(options or SimulatorOptions())
    openai, replicate, wix = OpenAI(world), Replicate(world), Wix(world)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        limits = httpx2.Limits(max_connections=FETCHES_AT_ONCE, max_keepalive_connections=FETCHES_AT_ONCE)
        async with (
            httpx2.AsyncClient(limits=limits, timeout=None, trust_env=False) as world.client,
            anyio.create_task_group() as world.background,
        ):
            if scenario is not None:
                world.background.start_soon(scenario.play, world.faults)
            yield
            world.background.cancel_scope.cancel()

    app = Starlette(
        routes=[
            _mount("/openai/v1", openai, openai.routes()),
            _mount("/replicate", replicate, replicate.routes()),
            _mount("/wix", wix, wix.routes()),
            Mount("/__sim", routes=Control(world, openai, replicate, wix).routes()),
        ],
        lifespan=lifespan,
    )
    app.state.world = world
    return app


def _mount(prefix: str, vendor: Vendor, routes: list[Route]) -> Mount:
    """Calls that meet no route are counted and answered in the vendor's own manner."""
    return Mount(prefix, routes=[*routes, Mount("/", app=_Unknown(vendor))])


class _Unknown:
    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        entry = {"vendor": self._vendor.name, "operation": "unknown", "status": 404}
        self._vendor.world.ledger.record(entry | {"path": scope["path"], "method": scope.get("method", "")})
        response: Response = JSONResponse(self._vendor.failure(404), 404)
        await response(scope, receive, send)
