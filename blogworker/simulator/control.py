"""The control API: statistics, faults, options, and all published posts.

GET    /__sim/stats                counters of each provider, duplicates, peaks
GET    /__sim/requests?limit=&vendor=&operation=&site=&model=
GET    /__sim/faults               POST adds one fault or a list; DELETE ?id= removes one, without id all
GET    /__sim/options              POST changes options
GET    /__sim/wix/posts?site=&content=false
GET    /__sim/wix/media/{id}       the bytes of an imported file
GET    /__sim/wix/products?site=   the products of a site's shop
"""

from dataclasses import asdict
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blogworker.simulator.openai import OpenAI
from blogworker.simulator.replicate import Replicate
from blogworker.simulator.wix import Wix
from blogworker.simulator.world import World

DEFAULT_LIMIT = 200


class Control:
    """The handlers under `/__sim`. They belong to no provider: tests, benchmarks and people use them."""

    def __init__(self, world: World, openai: OpenAI, replicate: Replicate, wix: Wix) -> None:
        self._world = world
        self._openai = openai
        self._replicate = replicate
        self._wix = wix

    def routes(self) -> list[Route]:
        return [
            Route("/stats", self.stats),
            Route("/requests", self.requests),
            Route("/faults", self.faults),
            Route("/faults", self.set_faults, methods=["POST"]),
            Route("/faults", self.clear_faults, methods=["DELETE"]),
            Route("/options", self.options),
            Route("/options", self.set_options, methods=["POST"]),
            Route("/wix/posts", self.posts),
            Route("/wix/media/{id}", self.media),
            Route("/wix/products", self.products),
        ]

    async def stats(self, request: Request) -> Response:
        world = self._world
        return JSONResponse(
            {
                "uptime_s": round(world.clock.now(), 3),
                "speed": world.clock.speed,
                "in_flight": world.calls_in_flight,
                "vendors": {name: counts.report() for name, counts in sorted(world.ledger.providers.items())},
                "faults_hit": dict(sorted(world.faults.hits.items())),
                "openai": self._openai.report(),
                "replicate": self._replicate.report(),
                "wix": self._wix.report(),
            }
        )

    async def requests(self, request: Request) -> Response:
        """The latest requests, newest last."""
        query = request.query_params
        wanted = {name: query[name] for name in ("vendor", "operation", "site", "model") if name in query}
        newest_first = (
            entry
            for entry in reversed(self._world.ledger.requests)
            if all(entry.get(name) == value for name, value in wanted.items())
        )
        limit = int(query.get("limit", DEFAULT_LIMIT))
        return JSONResponse({"requests": list(islice(newest_first, limit))[::-1]})

    async def faults(self, request: Request) -> Response:
        return JSONResponse({"faults": self._world.faults.as_json()})

    async def set_faults(self, request: Request) -> Response:
        try:
            body = await request.json()
            given = body if isinstance(body, list) else [body]
            faults = [self._world.faults.add(values) for values in given]
        except (ValueError, TypeError) as error:
            return _bad_request(error)
        return JSONResponse({"ids": [fault.id for fault in faults]}, 201)

    async def clear_faults(self, request: Request) -> Response:
        fault_id = request.query_params.get("id")
        return JSONResponse({"removed": self._world.faults.clear(int(fault_id) if fault_id else None)})

    async def options(self, request: Request) -> Response:
        return JSONResponse(self._options())

    async def set_options(self, request: Request) -> Response:
        try:
            self._world.configure(await request.json())
        except (ValueError, TypeError) as error:
            return _bad_request(error)
        return JSONResponse(self._options())

    def _options(self) -> dict[str, Any]:
        """All options except secrets."""
        hidden = ("openai_key", "replicate_token", "wix_secret")
        return {name: value for name, value in asdict(self._world.options).items() if name not in hidden}

    async def posts(self, request: Request) -> Response:
        entries = self._wix.posts(site=request.query_params.get("site", ""))
        if request.query_params.get("content") == "false":
            for entry in entries:
                del entry["richContent"]
        return JSONResponse({"posts": entries, "total": len(entries)})

    async def media(self, request: Request) -> Response:
        found = self._wix.state.picture(request.path_params["id"])
        if found is None:
            return JSONResponse({"message": "no such picture, or no longer kept"}, 404)
        media_type, data = found
        return Response(data, media_type=media_type, headers={"cache-control": "max-age=3600"})

    async def products(self, request: Request) -> Response:
        site = request.query_params.get("site")
        if not site:
            return JSONResponse({"message": "site is required"}, 400)
        return JSONResponse(self._wix.products(site))


def _bad_request(error: Exception) -> Response:
    return JSONResponse({"message": str(error)}, 400)
