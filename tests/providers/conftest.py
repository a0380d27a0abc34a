"""A provider of a test's own: answers given one after another over real TCP, and what it was asked."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from anyio import CancelScope, create_task_group, sleep
from starlette.applications import Starlette
from starlette.routing import Route

from blogworker.providers.wix.client import WixClient
from blogworker.settings import WixSettings

from .every_call import PROXIES
from .hostile import Hostile, listening
from .vendor import Vendor
from .wix_answers import SECRET, token


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


@pytest.fixture
async def wix(vendor: Vendor, patience_s: float) -> AsyncIterator[WixClient]:
    settings = WixSettings(
        app_id="app", app_secret=SECRET, base_url=vendor.url, timeout=patience_s, media_timeout=0.3,
        media_poll_interval=0.05, _env_file=None,
    )  # fmt: skip
    vendor.will(token(), at="/oauth2/token")
    async with WixClient(settings, connections=2) as client:
        yield client


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def hostile() -> AsyncIterator[Hostile]:
    async with listening() as server:
        yield server


@pytest.fixture
async def elsewhere() -> AsyncIterator[Hostile]:
    """The same host at another port: another origin."""
    async with listening() as server:
        yield server
