"""The faults that `edge` applies, the control API, start and stop."""

import json
import socket
from functools import partial

import anyio
import httpx2
import pytest

from blogworker.simulator import SimulatorOptions, running_simulator, serve
from blogworker.simulator.faults import FaultRegistry

from .conftest import Control, Site

pytestmark = pytest.mark.anyio

DRAFTS = "/blog/v3/draft-posts"


async def drafts_created(control: Control) -> int:
    return int((await control.stats())["wix"]["drafts_created"])


@pytest.mark.parametrize(("kind", "made"), [("reset_before", 0), ("reset_after", 1), ("no_answer", 1)])
async def test_a_call_without_an_answer_may_have_done_its_work(
    site: Site, control: Control, kind: str, made: int
) -> None:
    """The client cannot see the difference; the number of drafts shows it."""
    await control.fault(vendor="wix", operation="drafts.create", kind=kind, times=1, delay_s=0.05)

    with pytest.raises(httpx2.TransportError):
        await site.draft()

    assert await drafts_created(control) == made
    assert (await site.draft()).status_code == 200


async def test_the_headers_of_a_fault_override_those_of_the_provider(
    http: httpx2.AsyncClient, control: Control
) -> None:
    """A test can show an exhausted bucket without exhausting it."""
    headers = {"retry-after": "7", "x-ratelimit-remaining-tokens": "0"}
    await control.fault(vendor="openai", kind="status", status=429, headers=headers, body={})

    answer = await http.post("/openai/v1/responses", json={"model": "gpt-6-luna"}, headers={"Authorization": "k"})

    assert {name: answer.headers[name] for name in headers} == headers
    assert answer.headers["x-ratelimit-limit-tokens"] == "450000"


async def test_an_echo_fault_returns_the_credential_of_the_call(http: httpx2.AsyncClient, control: Control) -> None:
    """The token of a site is not known when the fault is added."""
    body, headers = {"error": [{"code": "bad {credential}"}]}, {"x-request-id": "{credential}"}
    await control.fault(vendor="openai", kind="echo", status=401, headers=headers, body=body)

    for key in ("k1", "k2"):
        answer = await http.post(
            "/openai/v1/responses", json={"model": "gpt-6-luna"}, headers={"Authorization": f"Bearer {key}"}
        )

        assert (answer.status_code, answer.headers["x-request-id"]) == (401, key)
        assert answer.json() == {"error": [{"code": f"bad {key}"}]}


async def test_a_client_can_time_out_when_there_is_no_answer(site: Site, control: Control) -> None:
    await control.fault(vendor="wix", operation="drafts.*", kind="no_answer", times=1, delay_s=60)

    with pytest.raises(httpx2.ReadTimeout):
        await site.call("GET", DRAFTS, timeout=0.05)

    assert (await site.call("GET", DRAFTS)).status_code == 200


async def test_a_body_can_be_slow_or_truncated_or_html(site: Site, control: Control) -> None:
    for kind in ("slow_body", "malformed", "html"):
        await control.fault(vendor="wix", operation="members.list", kind=kind, times=1, delay_s=0.05)

    slow, truncated, page = [await site.call("GET", "/members/v1/members") for _ in range(3)]

    assert slow.json()["members"]
    with pytest.raises(json.JSONDecodeError):
        truncated.json()
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")


async def test_a_fault_can_match_the_content_of_a_request(
    site: Site, http: httpx2.AsyncClient, control: Control
) -> None:
    await control.fault(vendor="wix", kind="status", status=503, operation="drafts.create", contains="unlucky")

    answers = [(await site.draft(title=title)).status_code for title in ("lucky", "unlucky one", "lucky again")]

    assert answers == [200, 503, 200]
    await http.delete("/__sim/faults")
    assert (await site.draft(title="unlucky one")).status_code == 200


async def test_invalid_faults_and_options_are_rejected(http: httpx2.AsyncClient) -> None:
    invalid = [
        {"vendor": "wix", "kind": "refusal"}, {"vendor": "acme", "kind": "html"}, {"kind": "html", "when": "now"}, {},
    ]  # fmt: skip

    assert [(await http.post("/__sim/faults", json=fault)).status_code for fault in invalid] == [400] * 4
    assert (await http.post("/__sim/options", json={"openai_rpm": "many"})).status_code == 400
    assert (await http.post("/__sim/options", json={"openai_rmp": 1})).status_code == 400


async def test_quotas_can_change_while_the_simulator_runs(site: Site, http: httpx2.AsyncClient) -> None:
    changed = await http.post("/__sim/options", json={"wix_rpm": 1})

    assert changed.json()["wix_rpm"] == 1.0
    assert "wix_secret" not in changed.json()
    assert [(await site.call("GET", DRAFTS)).status_code for _ in range(2)] == [200, 429]


async def test_the_log_has_each_request_and_no_secret(site: Site, control: Control) -> None:
    await site.draft(title="Logged")

    entries = await control.requests(operation="drafts.create")

    assert [(entry["site"], entry["status"], entry["title"]) for entry in entries] == [
        (site.instance_id, 200, "Logged")
    ]
    assert site.headers["Authorization"] not in str(await control.requests())


async def test_unknown_paths_are_answered_and_counted(http: httpx2.AsyncClient, control: Control) -> None:
    assert (await http.get("/openai/v1/models")).status_code == 404
    assert (await control.stats())["vendors"]["openai"]["statuses"] == {"404": 1}


def test_the_same_seed_gives_the_same_random_hits() -> None:
    def hits(seed: int) -> list[bool]:
        registry = FaultRegistry(seed)
        registry.add({"kind": "html", "probability": 0.5})
        return [registry.draw("wix", "drafts.get") is not None for _ in range(40)]

    assert hits(1) == hits(1) != hits(2)


async def test_a_stop_does_not_wait_for_slow_answers() -> None:
    """A slow answer must not delay the end of a test."""
    with anyio.fail_after(3):
        async with (
            httpx2.AsyncClient() as client,
            anyio.create_task_group() as tasks,
            running_simulator(SimulatorOptions(speed=0.05)) as url,
        ):
            tasks.start_soon(_send_request_that_gets_no_answer, client, url)
            while (await client.get(f"{url}/__sim/stats")).json()["in_flight"] == 0:
                await anyio.sleep(0.01)


async def _send_request_that_gets_no_answer(client: httpx2.AsyncClient, url: str) -> None:
    with pytest.raises(httpx2.TransportError):
        await client.post(
            f"{url}/openai/v1/responses",
            headers={"Authorization": "Bearer k"},
            json={"model": "gpt-6-luna", "input": "hello"},
            timeout=30,
        )


async def test_a_port_in_use_is_an_error_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        with pytest.raises(BaseExceptionGroup) as caught:
            async with anyio.create_task_group() as tasks:
                await tasks.start(partial(serve, SimulatorOptions(), port=taken.getsockname()[1]))

    assert caught.group_contains(OSError)
