"""The simulated Replicate, called with the official client and with plain HTTP."""

import io
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest
import replicate
from PIL import Image

from .conftest import Control

pytestmark = pytest.mark.anyio

SCHNELL = "/replicate/v1/models/black-forest-labs/flux-schnell/predictions"
PRO = "/replicate/v1/models/black-forest-labs/flux-1.1-pro/predictions"
INPUT = {"prompt": "a candle on a shelf", "aspect_ratio": "16:9", "output_format": "jpg"}
TOKEN = {"Authorization": "Bearer token"}


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[replicate.Client]:
    found = replicate.Client("token", base_url=f"{base_url}/replicate")
    yield found
    await found._async_client.aclose()


async def create(
    http: httpx2.AsyncClient, path: str = SCHNELL, headers: dict[str, str] | None = None, **given: Any
) -> Any:
    return await http.post(path, headers=TOKEN | (headers or {}), json={"input": INPUT | given})


async def finished(http: httpx2.AsyncClient, prediction: dict[str, Any]) -> dict[str, Any]:
    with anyio.fail_after(5):
        while prediction["status"] in ("starting", "processing"):
            await anyio.sleep(0.005)
            prediction = (await http.get(f"/replicate/v1/predictions/{prediction['id']}", headers=TOKEN)).json()
    return prediction


async def test_a_prediction_becomes_a_picture(client: replicate.Client) -> None:
    prediction = await client.models.predictions.async_create(
        model=("black-forest-labs", "flux-schnell"), input=INPUT | {"num_outputs": 2}
    )
    with anyio.fail_after(5):
        while prediction.status not in ("succeeded", "failed"):
            await anyio.sleep(0.005)
            prediction = await client.predictions.async_get(prediction.id)

    assert prediction.version == "hidden"
    assert len(prediction.output) == 2
    async with httpx2.AsyncClient() as plain:
        head, one, two = await plain.head(prediction.output[0]), *[await plain.get(url) for url in prediction.output]
    assert head.headers["content-type"] == one.headers["content-type"] == "image/jpeg"
    assert int(head.headers["content-length"]) == len(one.content)
    assert one.content != two.content
    assert Image.open(io.BytesIO(one.content)).size == (1024, 576)


async def test_async_run_gives_urls(client: replicate.Client, http: httpx2.AsyncClient) -> None:
    """The client creates file objects for https URLs only; the simulator's are http."""
    urls = await client.async_run("black-forest-labs/flux-schnell", input=INPUT)

    assert (await http.get(urls[0])).content[:2] == b"\xff\xd8"


async def test_prefer_wait_blocks_until_the_end_and_the_pro_model_gives_one_url(http: httpx2.AsyncClient) -> None:
    answer = await create(http, PRO, {"Prefer": "wait=5"})

    assert answer.status_code == 201
    assert answer.json()["status"] == "succeeded"
    assert answer.json()["output"].endswith("out-0.jpg")
    assert answer.json()["metrics"]["predict_time"] > 0


async def test_a_wait_that_is_too_short_returns_an_unfinished_prediction(
    http: httpx2.AsyncClient, control: Control
) -> None:
    await control.fault(vendor="replicate", kind="stuck", times=1)

    answer = await create(http, headers={"Prefer": "wait=1"})

    assert (answer.status_code, answer.json()["status"]) == (202, "starting")


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("nsfw", "failed", "NSFW content detected. Try running it again, or try a different prompt."),
        ("failed", "failed", "CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("aborted", "aborted", None),
        ("canceled", "canceled", None),
    ],
)
async def test_a_fault_decides_how_a_prediction_ends(
    http: httpx2.AsyncClient, control: Control, kind: str, status: str, error: str | None
) -> None:
    await control.fault(vendor="replicate", kind=kind, times=1)

    ended = await finished(http, (await create(http)).json())

    assert (ended["status"], ended["error"], ended["output"]) == (status, error, None)


async def test_output_can_come_before_the_end(http: httpx2.AsyncClient, control: Control) -> None:
    await control.fault(vendor="replicate", kind="early_output", times=1)
    prediction = (await create(http)).json()
    with anyio.fail_after(5):
        while prediction["status"] == "starting":
            prediction = (await http.get(f"/replicate/v1/predictions/{prediction['id']}", headers=TOKEN)).json()

    assert prediction["output"]


async def test_cancel_and_the_deadline_end_a_prediction(http: httpx2.AsyncClient, control: Control) -> None:
    await control.fault(vendor="replicate", kind="stuck")
    prediction = (await create(http, headers={"Cancel-After": "1h30m"})).json()

    canceled = await http.post(f"/replicate/v1/predictions/{prediction['id']}/cancel", headers=TOKEN)

    assert prediction["deadline"]
    assert canceled.json()["status"] == "canceled"
    assert (await create(http, headers={"Cancel-After": "2s"})).status_code == 422


@pytest.mark.parametrize(
    "wrong",
    [{"aspect_ratio": "7:3"}, {"num_outputs": 9}, {"output_format": "gif"}, {"prompt": 3}, {"num_inference_steps": 40}],
)
async def test_an_invalid_input_is_rejected_with_the_name_of_the_field(
    http: httpx2.AsyncClient, wrong: dict[str, Any]
) -> None:
    answer = await create(http, **wrong)

    assert answer.status_code == 422
    assert f"input.{next(iter(wrong))}" in answer.json()["detail"]


@pytest.mark.parametrize("options", [{"replicate_retention_s": 0.0}])
async def test_files_are_deleted_after_the_retention_time(http: httpx2.AsyncClient) -> None:
    ended = await finished(http, (await create(http)).json())

    assert ended["data_removed"] is True
    assert ended["output"] is None
    assert (await http.get(f"/replicate/files/{ended['id']}/out-0.jpg")).status_code == 404


async def test_unknown_models_and_missing_tokens_are_rejected(http: httpx2.AsyncClient) -> None:
    unknown = await create(http, "/replicate/v1/models/nobody/nothing/predictions")
    nameless = await http.post(SCHNELL, json={"input": INPUT})

    assert (unknown.status_code, nameless.status_code) == (404, 401)


@pytest.mark.parametrize("options", [{"replicate_rpm": 60, "replicate_burst": 0.05}])
async def test_the_message_of_an_exceeded_quota_has_the_wait(http: httpx2.AsyncClient) -> None:
    statuses = [(await create(http)).status_code for _ in range(3)]
    refused = await create(http)

    assert statuses == [201, 201, 201]
    assert refused.status_code == 429
    assert "Your rate limit resets in ~1s." in refused.json()["detail"]


async def test_credit_faults_have_their_own_bodies(http: httpx2.AsyncClient, control: Control) -> None:
    await control.fault(vendor="replicate", kind="no_credit", times=1)
    await control.fault(vendor="replicate", kind="low_credit", times=1)

    no_credit, low_credit = await create(http), await create(http)

    assert no_credit.status_code == 402
    assert (low_credit.status_code, low_credit.json()["retry_after"]) == (429, 5)


async def test_the_list_shows_the_newest_first(http: httpx2.AsyncClient) -> None:
    ids = [(await create(http)).json()["id"] for _ in range(3)]

    listed = (await http.get("/replicate/v1/predictions", headers=TOKEN)).json()

    assert [entry["id"] for entry in listed["results"]] == ids[::-1]
    assert listed["next"] is None
