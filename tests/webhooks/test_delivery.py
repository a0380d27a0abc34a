"""Deliveries over real TCP to receivers that are slow, broken, gone, busy, rude, or cut the connection."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from anyio import create_task_group, fail_after, sleep
from replicate.webhook import Webhooks, WebhookSigningSecret

from blogworker.db.pool import Database
from blogworker.webhook_settings import WebhookSettings
from blogworker.webhooks.deliverer import DAY_S, DEAD_S, LEASE_S, MOST_PER_ENDPOINT, Deliverer
from blogworker.webhooks.endpoints import resume_endpoint, secret_of

from .conftest import Psql
from .receiver import cut, drip, flood, never, receiving, status

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("promptly")]
DELIVERED = "select count(*) filter (where state = 'delivered') = count(*) from webhook_deliveries"


async def test_a_job_that_ended_arrives_signed(
    psql: Psql, database: Database, delivering: Any, hook_settings: WebhookSettings
) -> None:
    """The signature is checked by the library of another program."""
    async with receiving() as receiver:
        await psql.hook(receiver.url())
        job = await psql.job()
        await psql.fail(job)
        async with delivering():
            (got,) = await receiver.until(1)
            await psql.until(DELIVERED)

    secret = WebhookSigningSecret(key=await secret_of(database, hook_settings, "hook"))
    Webhooks.validate(headers=got.headers, body=got.body.decode(), secret=secret)
    with pytest.raises(ValueError, match="signature"):
        Webhooks.validate(headers=got.headers, body=got.body.decode() + " ", secret=secret)
    body = json.loads(got.body)
    assert (body["type"], body["data"]["job_id"], body["data"]["status"]) == ("job.failed", job, "FAILED")
    assert f"blogworker retry {job}" in body["data"]["error"]["remedy"]
    assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("first", "error"),
    [
        (status(500), "status 500"),
        (status(404), "status 404"),
        (status(400), "status 400"),
        (never, "no response within 0.3 s"),
        (drip, "no response within 0.3 s"),
        (cut, "RemoteProtocolError"),
        (status(500, "Content-Encoding: gzip", body=b"no gzip"), "status 500"),
        (status(302, "Location: http://169.254.169.254/latest"), "status 302: a redirect, which is not followed"),
    ],
    ids=["500", "404", "400", "never", "drip", "cut", "undecodable", "redirect"],
)
async def test_what_is_not_accepted_is_sent_again_with_the_same_id(
    psql: Psql, delivering: Any, hook_settings: WebhookSettings, first: Any, error: str
) -> None:
    impatient = hook_settings.model_copy(update={"timeout": 0.3})
    seen = "select count(*) = 1 from webhook_deliveries where last_error like %s and state = 'waiting'"
    async with receiving(first, first, status(204)) as receiver:
        await psql.hook(receiver.url())
        await psql.fail(await psql.job())
        async with delivering(impatient):
            async with create_task_group() as watching:
                watching.start_soon(psql.until, seen, f"%{error}%")
            await receiver.until(3)
            await psql.until(DELIVERED)

    assert len({each.message_id for each in receiver.received}) == 1
    assert len({each.body for each in receiver.received}) == 1
    assert await psql.value("select attempts = 3 and last_error is null from webhook_deliveries")
    assert await psql.value("select failures = 0 and failing_since is null from webhooks")


async def test_a_receiver_that_is_gone_is_told_nothing_more(psql: Psql, delivering: Any) -> None:
    async with receiving(status(410)) as receiver:
        await psql.hook(receiver.url())
        await psql.fail(await psql.job())
        async with delivering():
            await psql.until("select disabled_at is not null from webhooks")
            await psql.fail(await psql.job())
        assert len(receiver.received) == 1

    assert await psql.value("select disabled_reason from webhooks") == "it answered 410 Gone"
    assert await psql.value("select count(*) from webhook_deliveries") == 1


@pytest.mark.parametrize("code", [429, 503])
async def test_a_busy_receiver_names_the_wait(psql: Psql, delivering: Any, code: int) -> None:
    async with receiving(status(code, "Retry-After: 3600")) as receiver:
        await psql.hook(receiver.url())
        await psql.fail(await psql.job())
        async with delivering():
            await psql.until("select bool_and(attempts = 1 and leased_until is null) from webhook_deliveries")

    assert await psql.value("select retry_at > now() + interval '59 minutes' from webhooks")
    assert await psql.value("select due_at > now() + interval '59 minutes' from webhook_deliveries")
    assert len(receiver.received) == 1


async def test_a_slow_endpoint_delays_no_other(psql: Psql, delivering: Any) -> None:
    """Also one with a long backlog: the others take turns with it."""
    async with receiving() as receiver:
        receiver.by_path["/slow"] = never
        await psql.hook(receiver.url("/slow"), name="a-slow")
        await psql.fail(*[await psql.job() for _ in range(40)])
        await psql.hook(receiver.url("/quick"), name="quick")
        await psql.fail(await psql.job())
        async with delivering():
            with fail_after(5):
                while not receiver.of("/quick"):
                    await sleep(0.01)

        assert len(receiver.of("/slow")) <= MOST_PER_ENDPOINT


async def test_endpoints_take_turns(psql: Psql, database: Database, hook_settings: WebhookSettings) -> None:
    for name in "abc":
        await psql.hook("https://x.example.com", name=name)
    await psql.fail(*[await psql.job() for _ in range(10)])

    claimed = await Deliverer(database, hook_settings).claim(3)

    assert sorted(each.name for each in claimed) == ["a", "b", "c"]


async def test_a_failing_endpoint_gets_one_message_after_its_pause(
    psql: Psql, database: Database, hook_settings: WebhookSettings
) -> None:
    await psql.hook("https://x.example.com", failures=3, failing_since="2026-01-01Z")
    await psql.fail(*[await psql.job() for _ in range(10)])
    keeper = Deliverer(database, hook_settings)

    await psql.run("update webhooks set retry_at = now() + interval '1 minute'")
    assert await keeper.claim(32) == []
    await psql.run("update webhooks set retry_at = now()")
    assert len(await keeper.claim(32)) == 1
    assert await keeper.claim(32) == []
    await psql.run("update webhooks set failures = 0, failing_since = null")
    assert len(await keeper.claim(32)) == MOST_PER_ENDPOINT - 1


async def test_a_dead_endpoint_gets_one_call_at_a_time(psql: Psql, delivering: Any) -> None:
    """Whatever waits for it: 200 deliveries cost no more calls than one."""
    await psql.hook("http://127.0.0.1:1/closed")
    await psql.fail(*[await psql.job() for _ in range(200)])
    async with delivering():
        await psql.until("select failures >= 4 from webhooks")

    assert await psql.value("select sum(attempts) < 30 from webhook_deliveries")
    assert "ConnectError" in await psql.value("select last_error from webhooks")


@pytest.mark.parametrize(
    "accepted",
    [flood, status(200, body=b"x" * 2_000_000), status(200, "Content-Encoding: gzip", body=b"no gzip")],
    ids=["flood", "huge", "undecodable"],
)
async def test_what_was_accepted_is_not_sent_again_whatever_the_body(
    psql: Psql, delivering: Any, accepted: Any
) -> None:
    async with receiving(accepted) as receiver:
        await psql.hook(receiver.url())
        await psql.fail(await psql.job())
        async with delivering():
            await psql.until("select count(*) = 1 from webhook_deliveries where attempts > 0 and leased_until is null")

    assert await psql.value(DELIVERED)
    assert len(receiver.received) == 1


async def test_one_message_that_is_refused_holds_up_no_other(psql: Psql, delivering: Any) -> None:
    async with receiving(status(400), status(200)) as receiver:
        await psql.hook(receiver.url())
        for _ in range(3):
            await psql.fail(await psql.job())
        async with delivering():
            await psql.until(DELIVERED)

    assert await psql.value("select failures from webhooks") == 0


async def test_one_message_that_cannot_be_built_holds_up_no_other(psql: Psql, delivering: Any) -> None:
    """Its payload is not an object, as after a change by hand."""
    async with receiving() as receiver:
        await psql.hook(receiver.url())
        for _ in range(3):
            await psql.fail(await psql.job())
        await psql.run("update webhook_deliveries set payload = '[7]' where delivery_id = 1")
        left = "from webhook_deliveries where state <> 'delivered'"
        async with delivering():
            await psql.until(f"select count(*) = 1 and bool_and(attempts > 1 and leased_until is null) {left}")

    assert await psql.value(f"select last_error like 'the message cannot be built: %' {left}")
    assert await psql.value("select failures from webhooks") == 0


async def test_workers_share_the_deliveries(psql: Psql, database: Database, hook_settings: WebhookSettings) -> None:
    """Each is sent by one of them. Two that claim at the same instant may not see each other's leases."""
    busy = most = 0

    async def slowly(request: Any, stream: Any) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await sleep(0.01)
        busy -= 1
        await status(200)(request, stream)

    async with receiving(slowly) as receiver:
        await psql.hook(receiver.url())
        await psql.fail(*[await psql.job() for _ in range(60)])
        async with create_task_group() as keepers:
            for _ in range(4):
                keepers.start_soon(Deliverer(database, hook_settings).run)
            await psql.until(DELIVERED)
            keepers.cancel_scope.cancel()

    assert len(receiver.received) == len({each.message_id for each in receiver.received}) == 60
    assert most <= 2 * MOST_PER_ENDPOINT


async def test_a_delivery_that_was_sent_and_not_recorded_is_sent_again(
    psql: Psql, database: Database, hook_settings: WebhookSettings
) -> None:
    """The worker died in between. Its lease protects the delivery meanwhile."""
    async with receiving() as receiver:
        await psql.hook(receiver.url())
        await psql.fail(await psql.job())
        keeper = Deliverer(database, hook_settings)
        (message,) = await keeper.claim(10)
        await keeper._sender.send(message)
        assert await keeper.claim(10) == []
        await psql.run("update webhook_deliveries set leased_until = now(), due_at = now()")
        (again,) = await keeper.claim(10)
        await keeper.deliver(again)
        await keeper._sender.aclose()

    assert [each.message_id for each in receiver.received] == [str(message.message_id)] * 2
    assert await psql.value(DELIVERED)
    assert WebhookSettings.model_fields["timeout"].metadata[1].le < LEASE_S


async def test_a_late_failure_of_a_former_worker_changes_nothing(
    psql: Psql, database: Database, hook_settings: WebhookSettings
) -> None:
    async with receiving(status(500), status(200)) as receiver:
        await psql.hook(receiver.url())
        await psql.fail(await psql.job())
        keeper = Deliverer(database, hook_settings)
        (late,) = await keeper.claim(10)
        await psql.run("update webhook_deliveries set leased_until = now(), due_at = now()")
        (again,) = await keeper.claim(10)
        await keeper.deliver(late)

        assert await psql.value("select failures from webhooks") == 0
        assert await psql.value("select leased_until > now() from webhook_deliveries")
        await keeper.deliver(again)
        await keeper._sender.aclose()
    assert await psql.value(DELIVERED)


async def test_a_paused_endpoint_gets_what_happened_when_it_is_resumed(psql: Psql, delivering: Any) -> None:
    async with receiving() as receiver:
        await psql.hook(receiver.url(), paused_at="2026-01-01Z", pause_reason="r")
        await psql.hook(receiver.url("/other"), name="other")
        await psql.fail(await psql.job())
        async with delivering():
            await receiver.until(1)
            assert receiver.of("/hook") == []
            await psql.run("update webhooks set paused_at = null, pause_reason = null")
            await receiver.until(2)


async def test_old_deliveries_are_given_up_visibly_and_ended_ones_deleted(
    psql: Psql, database: Database, hook_settings: WebhookSettings
) -> None:
    await psql.hook(None)
    jobs = [await psql.job() for _ in range(5)]
    await psql.fail(*jobs)
    for job, state, age in zip(
        jobs, ["waiting", "waiting", "delivered", "given_up", "given_up"], [1.1, 0.9, 1.1, 7.1, 6.9], strict=True
    ):
        await psql.run(
            "update webhook_deliveries set state = %s, expires_at = now() + interval '1 day' - %s * interval '1 day', "
            "ended_at = case when %s <> 'waiting' then now() - %s * interval '1 day' end where job_id = %s",
            state,
            age,
            state,
            age,
            job,
        )
    await psql.run(
        "insert into webhook_deliveries (webhook_id, message_id, event, payload) values "
        "(gen_random_uuid(), gen_random_uuid(), 'alert', '{}')"
    )

    await Deliverer(database, hook_settings).upkeep()

    left = {each["job_id"]: each["state"] for each in await psql.deliveries()}
    assert left == {jobs[0]: "given_up", jobs[1]: "waiting", jobs[4]: "given_up"}
    assert DAY_S < DEAD_S


async def test_what_was_given_up_can_be_sent_again(psql: Psql, database: Database, delivering: Any) -> None:
    """As the same message: the receiver may know it."""
    async with receiving() as receiver:
        await psql.hook(receiver.url(), disabled_at="2026-01-01Z", disabled_reason="r")
        await psql.run(
            "insert into webhook_deliveries "
            "(webhook_id, message_id, event, payload, state, ended_at, expires_at, created_at) "
            "select webhook_id, gen_random_uuid(), 'alert', '{\"alerts\": []}', 'given_up', now(), now(), "
            "'2026-01-01Z' from webhooks"
        )
        assert await resume_endpoint(database, "hook", given_up=False) == 0
        assert await resume_endpoint(database, "hook", given_up=True) == 1
        async with delivering():
            (got,) = await receiver.until(1)
            await psql.until(DELIVERED)

    assert json.loads(got.body)["timestamp"] == "2026-01-01T00:00:00+00:00"
    assert await psql.value("select message_id::text from webhook_deliveries") == got.message_id


async def test_what_is_left_of_a_removed_endpoint_is_deleted(psql: Psql, delivering: Any) -> None:
    await psql.hook("https://x.example.com")
    await psql.fail(await psql.job())
    await psql.run("delete from webhooks")
    async with delivering():
        await psql.until("select count(*) = 0 from webhook_deliveries")


async def test_an_endpoint_that_fails_for_days_is_disabled(
    psql: Psql, database: Database, hook_settings: WebhookSettings
) -> None:
    await psql.hook("https://x.example.com", failures=9, failing_since="2020-01-01Z", last_error="status 500")
    keeper = Deliverer(database, hook_settings)

    await keeper.upkeep()

    assert await psql.value("select disabled_reason from webhooks") == "failed for five days: status 500"


async def test_a_failing_delivery_of_yesterday_is_given_up(psql: Psql, delivering: Any) -> None:
    async with receiving(status(500)) as receiver:
        await psql.hook(receiver.url())
        await psql.fail(await psql.job())
        async with delivering():
            await receiver.until(1)
            await psql.run("update webhook_deliveries set expires_at = now()")
            await psql.until("select bool_and(state = 'given_up' and ended_at is not null) from webhook_deliveries")


async def test_a_worker_without_the_key_leaves_signed_deliveries_to_others(
    psql: Psql, database: Database, hook_settings: WebhookSettings
) -> None:
    """And one without an address leaves those; a worker that has both sends all."""
    async with receiving() as receiver:
        await psql.hook(receiver.url())
        await psql.hook(None, name="chat", format="slack")
        await psql.fail(await psql.job())
        without = WebhookSettings(allow_loopback=True, _env_file=None)
        assert await Deliverer(database, without).claim(10) == []
        chat = WebhookSettings(urls={"chat": receiver.url("/chat?k=v")}, allow_loopback=True, _env_file=None)
        keeper = Deliverer(database, chat)
        (message,) = await keeper.claim(10)
        await keeper.deliver(message)
        await keeper._sender.aclose()

    (got,) = receiver.received
    assert (got.path, message.name) == ("/chat?k=v", "chat")
    assert "blocks" in json.loads(got.body)
    assert "webhook-signature" not in got.headers


async def test_two_keys_make_two_signatures(
    psql: Psql, database: Database, hook_settings: WebhookSettings, delivering: Callable[..., Any]
) -> None:
    """While a key is replaced, receivers with the old and with the new secret accept each delivery."""
    from pydantic import SecretStr

    assert hook_settings.key is not None
    old = hook_settings.key.get_secret_value()
    both = hook_settings.model_copy(update={"key": SecretStr("n" * 40 + "," + old)})
    new = hook_settings.model_copy(update={"key": SecretStr("n" * 40)})
    async with receiving() as receiver:
        await psql.hook(receiver.url())
        await psql.fail(await psql.job())
        async with delivering(both):
            (got,) = await receiver.until(1)

    for each in (hook_settings, new):
        secret = WebhookSigningSecret(key=await secret_of(database, each, "hook"))
        Webhooks.validate(headers=got.headers, body=got.body.decode(), secret=secret)
