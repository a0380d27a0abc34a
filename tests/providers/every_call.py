"""One call of each kind of each provider's client, made to broken or malicious servers."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest
from anyio import create_task_group

from blogworker.errors import ProviderError
from blogworker.providers.openai import OpenAIClient
from blogworker.providers.replicate import ReplicateClient
from blogworker.providers.wix.client import WixClient
from blogworker.settings import OpenAISettings, ReplicateSettings, WixSettings

from .hostile import Behaviour, Hostile, answer, listening

SECRET = "hunter2-of-no-known-shape"  # noqa: S105
SITE = "site-1"
JPEG = b"\xff\xd8\xff\xe0" + b"picture" * 10
TOKEN = answer(b'{"access_token": "hunter2-of-no-known-shape", "expires_in": 14400}')
ASK: dict[str, Any] = {
    "model": "gpt-6-luna",
    "instructions": "Write.",
    "input": "x",
    "schema_name": "post",
    "schema": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    "max_output_tokens": 500,
}


@dataclass(frozen=True)
class Call:
    """One kind of call of one client."""

    client: type
    settings: type
    ask: Callable[[Any, str], Awaitable[object]]
    token_path: str | None = None  # where a token has to be had before the call can be met
    given: tuple[tuple[str, str], ...] = ()
    path: str = ""

    def opened(self, url: str, **changed: Any) -> AbstractAsyncContextManager[Any]:
        fields = {"base_url": f"{url}{self.path}", "timeout": 30, **dict(self.given), **changed, "_env_file": None}
        return self.client(self.settings(**fields), connections=2)


CALLS = {
    "openai": Call(
        OpenAIClient, OpenAISettings, lambda c, _: c.generate(**ASK), given=(("api_key", SECRET),), path="/v1"
    ),
    "replicate": Call(
        ReplicateClient,
        ReplicateSettings,
        lambda c, _: c.create("a mug", aspect_ratio="16:9"),
        given=(("api_token", SECRET),),
    ),
    "replicate page": Call(
        ReplicateClient, ReplicateSettings, lambda c, _: c.find("a mug", seeds=[1]), given=(("api_token", SECRET),)
    ),
    "replicate file": Call(
        ReplicateClient, ReplicateSettings, lambda c, url: c.download(f"{url}/a.jpg"), given=(("api_token", SECRET),)
    ),
    "wix token": Call(
        WixClient, WixSettings, lambda c, _: c.catalog(SITE), given=(("app_id", "app"), ("app_secret", SECRET))
    ),
    "wix": Call(
        WixClient,
        WixSettings,
        lambda c, _: c.create_draft(SITE, {"title": "Mugs"}),
        token_path="/oauth2/token",  # noqa: S106
        given=(("app_id", "app"), ("app_secret", SECRET)),
    ),
}
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
API_CALLS = [name for name in CALLS if name != "replicate file"]


@dataclass
class Ends:
    """How each kind of call ended, and what its server received."""

    errors: dict[str, ProviderError] = field(default_factory=dict)
    servers: dict[str, Hostile] = field(default_factory=dict)

    def kinds(self) -> set[type]:
        return {type(error) for error in self.errors.values()}


async def ends(behaviour: bytes | Behaviour, names: Iterable[str] = CALLS, *, calls: int = 1, **changed: Any) -> Ends:
    """Every kind of call, each to its own server with this behaviour, at the same time."""
    found = Ends()

    async def make(name: str) -> None:
        call = CALLS[name]
        async with listening() as server:
            found.servers[name] = server
            server.at["*"] = behaviour
            if call.token_path:
                server.at[call.token_path] = TOKEN
            async with call.opened(server.url, **changed) as client:
                for _ in range(calls):
                    try:
                        value = await call.ask(client, server.url)
                    except ProviderError as error:
                        found.errors[name] = error
                    else:
                        pytest.fail(f"{name}: {value!r}")

    async with create_task_group() as tasks:
        for name in names:
            tasks.start_soon(make, name)
    return found
