"""Replicate: predictions and their output files.

The provider's own faults: failed (with `message`), nsfw, aborted, canceled, stuck (never starts), cold (a long cold
start), early_output (output while processing), no_output, no_credit (402), low_credit (429 with retry_after), gone (the
files are deleted at once).
"""

import math
from collections import OrderedDict, defaultdict
from dataclasses import replace
from typing import Any

import anyio
from anyio.to_thread import run_sync
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blogworker.simulator import pictures, predictions
from blogworker.simulator.buckets import Bucket, Limit
from blogworker.simulator.edge import ApiError, Call, Endpoint, Provider
from blogworker.simulator.predictions import Prediction
from blogworker.simulator.replicate_requests import (
    ImageModel,
    check_input,
    find_model,
    parse_cancel_after,
    parse_prefer,
    problem,
)
from blogworker.simulator.world import World

MOST_PREDICTIONS = 20_000  # older ones are deleted
MOST_CACHED_PICTURES = 200  # older ones are drawn again; the result is the same
PAGE = 100
NEVER_STARTS_S = 86_400.0
LOW_CREDIT = Limit(6, burst=1 / 6)
MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}


class Replicate(Provider):
    """The state: predictions, and two rate limit buckets per token."""

    name = "replicate"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._random = world.random("replicate")
        self._predictions: OrderedDict[str, Prediction] = OrderedDict()
        self._creates: defaultdict[str, Bucket] = defaultdict(Bucket)
        self._reads: defaultdict[str, Bucket] = defaultdict(Bucket)
        self._picture_cache: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._draw_slots = anyio.CapacityLimiter(2)

    def routes(self) -> list[Route]:
        def route(path: str, operation: str, handler: Any, *methods: str) -> Route:
            return Route(path, Endpoint(self, operation, handler), methods=list(methods))

        model_path = "/v1/models/{owner}/{name}/predictions"
        return [
            route("/v1/predictions", "predictions.list", self.list_predictions, "GET"),
            route("/v1/predictions", "predictions.create", self.create_by_version, "POST"),
            route("/v1/predictions/{id}", "predictions.get", self.get, "GET"),
            route("/v1/predictions/{id}/cancel", "predictions.cancel", self.cancel, "POST"),
            route(model_path, "predictions.create", self.create_for_model, "POST"),
            route("/files/{id}/{file}", "files.get", self.download, "GET", "HEAD"),
            route("/v1/webhooks/default/secret", "webhooks.secret", self.webhook_secret, "GET"),
        ]

    def identify(self, call: Call) -> None:
        parts = call.request.path_params
        if "owner" in parts:
            call.model = f"{parts['owner']}/{parts['name']}"
        elif isinstance(call.json, dict) and isinstance(call.json.get("version"), str):
            call.model = call.json["version"].partition(":")[0]

    def admit(self, call: Call) -> None:
        token, known = call.bearer(), self.world.options.replicate_token
        if call.operation == "files.get" and not self.world.options.replicate_files_need_token:
            return
        if not token or (known and token != known):
            raise problem(401, "Unauthenticated", "You did not pass a valid authentication token")
        if call.operation == "files.get":
            return
        if call.has_fault("no_credit"):
            detail = "You have insufficient credit to run this model. Go to https://replicate.com/account/billing."
            raise problem(402, "Insufficient credit", detail)
        if call.has_fault("low_credit"):
            raise self._low_credit(5)
        self._charge(call, token)

    def _charge(self, call: Call, token: str) -> None:
        options, now = self.world.options, self.world.clock.now()
        creating = call.operation == "predictions.create"
        quota = options.replicate_rpm if creating else options.replicate_read_rpm
        limit = Limit(self.world.per_minute(quota), options.replicate_burst)
        bucket = self._creates[token] if creating else self._reads[token]
        if creating and options.replicate_low_credit:
            limit = replace(LOW_CREDIT, per_minute=self.world.per_minute(6))
        wait_s = bucket.wait_s(1, limit, now)
        if wait_s > 0 and creating and options.replicate_low_credit:
            raise self._low_credit(max(1, math.ceil(wait_s)))
        if wait_s > 0:
            raise self.rate_limit_error(call, wait_s)
        bucket.take(1, limit, now)
        if creating:
            self.world.ledger.meter("replicate/creates", 1, now)

    def rate_limit_error(self, call: Call, retry_after_s: float | None) -> ApiError:
        seconds = max(1, math.ceil(retry_after_s if retry_after_s is not None else 30))
        detail = f"Request was throttled. Your rate limit resets in ~{seconds}s."
        body: dict[str, Any] = {"detail": detail}
        if self._random.random() < 0.5:
            body |= {"status": 429, "retry_after": seconds}
        return ApiError(429, body)

    def _low_credit(self, seconds: int) -> ApiError:
        rate = round(self.world.per_minute(LOW_CREDIT.per_minute))
        detail = (
            f"Request was throttled. Your rate limit for creating predictions is reduced to {rate} requests per minute "
            "with a burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in "
            f"~{seconds}s."
        )
        return ApiError(429, {"detail": detail, "status": 429, "retry_after": seconds})

    def error_body(self, status: int) -> Any:
        title = "Internal Server Error" if status >= 500 else "Bad Request"
        return {"title": title, "detail": "Something went wrong.", "status": status}

    async def create_for_model(self, call: Call) -> Response:
        return await self._create(call, find_model(call.model))

    async def create_by_version(self, call: Call) -> Response:
        name = call.json.get("version") if isinstance(call.json, dict) else None
        if not isinstance(name, str):
            raise problem(422, "Input validation failed", "- version: version is required")
        return await self._create(call, find_model(name))

    async def _create(self, call: Call, model: ImageModel) -> Response:
        if not isinstance(call.json, dict):
            raise problem(400, "Bad Request", "The request body is not valid JSON.")
        given = check_input(model, call.json.get("input"))
        wait_s = parse_prefer(call.request.headers.get("prefer"))
        deadline_s = parse_cancel_after(call.request.headers.get("cancel-after"))
        prediction = self._new_prediction(call, model, given)
        call.log_fields["cancel_after"] = call.request.headers.get("cancel-after", "")
        if deadline_s is not None:
            prediction.deadline = min(prediction.deadline, prediction.created + deadline_s)
        if wait_s:
            await anyio.sleep(max(0.0, min(wait_s, prediction.ended_at() - prediction.created)))
        done = prediction.status(self.world.clock.now()) in predictions.TERMINAL
        return self._prediction_response(call, prediction, status=201 if done or not wait_s else 202)

    def _new_prediction(self, call: Call, model: ImageModel, given: dict[str, Any]) -> Prediction:
        """Create and store a prediction; a fault of the call decides its outcome."""
        clock, random, options = self.world.clock, self._random, self.world.options
        now = clock.now()
        kind = call.fault.kind if call.fault else ""
        cold = kind == "cold" or random.random() < options.replicate_cold
        queued = random.uniform(20.0, 60.0) if cold else random.uniform(0.05, 0.4)
        starts = now + clock.latency(NEVER_STARTS_S if kind == "stuck" else queued)
        ends = starts + clock.latency(random.uniform(model.fastest_s, model.slowest_s))
        prediction = Prediction(
            id=predictions.new_id(random),
            model=model.name,
            input=given,
            created=now,
            starts=starts,
            ends=ends,
            final_status="succeeded",
            outputs=1 if model.is_pro else given.get("num_outputs", 1),
            extension=given.get("output_format", "webp"),
            single_url=model.is_pro,
            retention_s=clock.real_seconds(options.replicate_retention_s),
            early_output=kind == "early_output",
            no_output=kind == "no_output",
            seed=given.get("seed") or random.getrandbits(31),
        )
        self._set_outcome(prediction, kind, call.fault.message if call.fault else "")
        self._predictions[prediction.id] = prediction
        while len(self._predictions) > MOST_PREDICTIONS:
            self._predictions.popitem(last=False)
        self.world.ledger.count("replicate.predictions")
        call.log_fields |= {"prediction": prediction.id, "prompt": given["prompt"][:80]}
        return prediction

    def _set_outcome(self, prediction: Prediction, kind: str, message: str) -> None:
        match kind:
            case "failed":
                prediction.final_status, prediction.error = "failed", message or predictions.CUDA
            case "nsfw":
                prediction.final_status, prediction.error = "failed", predictions.NSFW
            case "canceled":
                prediction.final_status = "canceled"
            case "aborted":
                prediction.deadline = prediction.starts
            case "gone":
                prediction.retention_s = 0.0

    async def get(self, call: Call) -> Response:
        return self._prediction_response(call, self._find(call))

    async def cancel(self, call: Call) -> Response:
        prediction = self._find(call)
        prediction.cancel(self.world.clock.now())
        return self._prediction_response(call, prediction)

    async def list_predictions(self, call: Call) -> Response:
        """One page, newest first. The cursor is the number of predictions before the page."""
        cursor = call.request.query_params.get("cursor", "0")
        first = int(cursor) if cursor.isdigit() else 0
        origin, now = _origin(call), self.world.clock.now()
        ordered = list(reversed(self._predictions.values()))[first : first + PAGE + 1]
        results = [
            predictions.prediction_json(p, now=now, origin=origin, iso=self.world.clock.iso) for p in ordered[:PAGE]
        ]
        url = f"{origin}/replicate/v1/predictions?cursor="
        return JSONResponse(
            {
                "next": f"{url}{first + PAGE}" if len(ordered) > PAGE else None,
                "previous": f"{url}{max(0, first - PAGE)}" if first else None,
                "results": results,
            }
        )

    async def download(self, call: Call) -> Response:
        """One output file. It is drawn at the first request."""
        prediction = self._predictions.get(call.request.path_params["id"])
        index = _file_index(prediction, call.request.path_params["file"]) if prediction else None
        if prediction is None or index is None or not prediction.has_files(self.world.clock.now()):
            raise problem(404, "Not Found", "The requested file could not be found.")
        data = await self._picture(prediction, index)
        if call.request.method == "GET":
            self.world.ledger.count("replicate.downloads")
        headers = {"cache-control": "public, max-age=3600", "accept-ranges": "bytes"}
        return Response(data, headers=headers, media_type=MEDIA_TYPES[prediction.extension])

    async def _picture(self, prediction: Prediction, index: int) -> bytes:
        key = (prediction.id, index)
        if key not in self._picture_cache:
            request = pictures.PictureRequest.from_input(prediction.input, variant=index, seed=prediction.seed)
            self._picture_cache[key] = await run_sync(pictures.draw, request, limiter=self._draw_slots)
            self.world.ledger.count("replicate.images")
            while len(self._picture_cache) > MOST_CACHED_PICTURES:
                self._picture_cache.popitem(last=False)
        return self._picture_cache[key]

    async def webhook_secret(self, call: Call) -> Response:
        return JSONResponse({"key": "whsec_c2ltdWxhdGVkLXNlY3JldC1ub3QtcmVhbA=="})

    def _find(self, call: Call) -> Prediction:
        prediction = self._predictions.get(call.request.path_params["id"])
        if prediction is None:
            raise problem(404, "Not Found", "The requested resource could not be found.")
        return prediction

    def _prediction_response(self, call: Call, prediction: Prediction, status: int = 200) -> Response:
        now = self.world.clock.now()
        shown = predictions.prediction_json(prediction, now=now, origin=_origin(call), iso=self.world.clock.iso)
        call.log_fields |= {"prediction": prediction.id, "prediction_status": shown["status"]}
        return JSONResponse(shown, status)

    def report(self) -> dict[str, Any]:
        counters, now = self.world.ledger.counters, self.world.clock.now()
        statuses: defaultdict[str, int] = defaultdict(int)
        for prediction in self._predictions.values():
            statuses[prediction.status(now)] += 1
        return {
            "predictions": counters["replicate.predictions"],
            "statuses": dict(sorted(statuses.items())),
            "images": counters["replicate.images"],
            "downloads": counters["replicate.downloads"],
            "limit_creates_per_minute": self.world.per_minute(self.world.options.replicate_rpm),
            "peak_creates_per_minute": self.world.ledger.peak("replicate/creates"),
        }


def _origin(call: Call) -> str:
    return f"{call.request.url.scheme}://{call.request.headers.get('host', '127.0.0.1')}"


def _file_index(prediction: Prediction, file: str) -> int | None:
    names = [f"out-{index}.{prediction.extension}" for index in range(prediction.outputs)]
    return names.index(file) if file in names else None
