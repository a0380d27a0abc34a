"""The ASGI application: the three providers, and the control API under `/__sim`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx2
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from blogworker.simulator.control import Control
from blogworker.simulator.edge import Provider
from blogworker.simulator.openai import OpenAI
from blogworker.simulator.options import SimulatorOptions
from blogworker.simulator.replicate import Replicate
from blogworker.simulator.scenario import Scenario
from blogworker.simulator.wix import Wix
from blogworker.simulator.world import World

MAX_CONNECTIONS = 64


def create_app(options: SimulatorOptions | None = None, *, scenario: Scenario | None = None) -> Starlette:
    """Return the simulator as an ASGI application. `app.state.world` is its shared state.

    Of `scenario`, only the faults are applied; its options are part of `options`.
    """
    world = World(options or SimulatorOptions())
    openai, replicate, wix = OpenAI(world), Replicate(world), Wix(world)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        limits = httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS)
        async with (
            httpx2.AsyncClient(limits=limits, timeout=None, trust_env=False) as world.client,
            anyio.create_task_group() as world.background,
        ):
            if scenario is not None:
                world.background.start_soon(scenario.run, world.faults)
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


def _mount(prefix: str, provider: Provider, routes: list[Route]) -> Mount:
    """Mount the routes of a provider. A path without a route is counted, and answered with the provider's 404."""
    return Mount(prefix, routes=[*routes, Mount("/", app=_UnknownRoute(provider))])


class _UnknownRoute:
    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        entry = {"vendor": self._provider.name, "operation": "unknown", "status": 404}
        self._provider.world.ledger.record(entry | {"path": scope["path"], "method": scope.get("method", "")})
        response: Response = JSONResponse(self._provider.error_body(404), 404)
        await response(scope, receive, send)
