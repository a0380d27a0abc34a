"""The keeper that sends what waits in the outbox. Every worker has one; they share the deliveries by leases.

A message is sent outside of any transaction. If the worker dies between the answer and its record, or the record fails,
the lease ends and another worker sends the message again, with the same id. So a message arrives at least once.
"""

from time import monotonic

from anyio import create_task_group, move_on_after, sleep

from blogworker.backoff import backoff_s
from blogworker.db.pool import Database
from blogworker.queue.notify import Flag
from blogworker.telemetry import get_logger
from blogworker.webhook_settings import WebhookSettings
from blogworker.webhooks.sending import Answer, Message, Sender

MOST_AT_ONCE = 32  # messages that one worker sends at the same time
MOST_PER_ENDPOINT = 8  # messages that all workers send to one endpoint at the same time
LEASE_S = 60.0  # longer than the longest timeout of a call
POLL_S = 1.0
UNUSED_POLL_S = 10.0  # while there is no endpoint
UPKEEP_S = 60.0
GATHER_S = 0.02  # between a finished delivery and the next claim, so that one claim serves several
FIRST_RETRY_S, LONGEST_RETRY_S = 5.0, 3_600.0
FIRST_REST_S, LONGEST_REST_S = 2.0, 600.0  # after a failure, nothing is sent to the endpoint for this time
DAY_S = 86_400.0
DEAD_S = 5 * DAY_S  # an endpoint that fails for this time is disabled
KEEP_DELIVERED_S, KEEP_GIVEN_UP_S = DAY_S, 7 * DAY_S
BATCH = 5_000

log = get_logger()


class Deliverer:
    """Sends deliveries until it is cancelled."""

    def __init__(self, database: Database, settings: WebhookSettings) -> None:
        self._database = database
        self._settings = settings
        self._sender = Sender(settings)
        self._finished = Flag()
        self._in_flight = 0
        self._upkeep_due = 0.0

    async def run(self) -> None:
        """Claim and send for ever. Raises what the database raises; what was claimed is sent again later."""
        self._in_flight = 0
        try:
            async with create_task_group() as sending:
                while True:
                    if not await self._in_use():
                        await sleep(UNUSED_POLL_S)
                        continue
                    for message in await self.claim(MOST_AT_ONCE - self._in_flight):
                        self._in_flight += 1
                        sending.start_soon(self._deliver, message)
                    with move_on_after(POLL_S):
                        await self._finished.wait_and_clear()
                        await sleep(GATHER_S)
        except ExceptionGroup as group:
            raise group.exceptions[0] from group  # the tasks fail together, when the database is unavailable
        finally:
            with move_on_after(1, shield=True):  # a connection that is not closed would be reported as leaked
                await self._sender.aclose()

    async def claim(self, most: int) -> list[Message]:
        """Lease deliveries that are due and that this worker's settings allow it to send."""
        if most <= 0:
            return []
        rows = await self._database.rows(
            "webhooks/claim",
            most=most,
            in_flight=MOST_PER_ENDPOINT,
            lease_s=LEASE_S,
            named=list(self._settings.urls),
            signs=self._settings.key is not None,
        )
        return [Message(**row) for row in rows]

    async def deliver(self, message: Message) -> Answer:
        """Send one message and record what became of it."""
        answer = await self._sender.send(message)
        if answer.error is None:
            recovered = await self._database.maybe("webhooks/record_delivered", delivery_id=message.delivery_id)
            if recovered is not None:
                log.info("webhook_recovered", webhook=message.name)
            return answer
        if answer.gone:
            reason = "it answered 410 Gone"
            if await self._database.maybe("webhooks/disable", webhook_id=message.webhook_id, reason=reason):
                log.error("webhook_disabled", webhook=message.name, error=reason)
        await self._record_failed(message, answer)
        return answer

    async def upkeep(self) -> None:
        """Give up and delete what is old."""
        found = await self._database.one(
            "webhooks/upkeep",
            batch=BATCH,
            dead_s=DEAD_S,
            keep_delivered_s=KEEP_DELIVERED_S,
            keep_given_up_s=KEEP_GIVEN_UP_S,
        )
        if found["given_up"]:
            log.error("deliveries_expired", count=found["given_up"])
        for name in found["disabled"]:
            log.error("webhook_disabled", webhook=name, error="it failed for five days")

    async def _in_use(self) -> bool:
        """Return whether there is an endpoint. Asks the database once a minute, without an endpoint more often."""
        if self._upkeep_due <= monotonic():
            exists = (await self._database.one("webhooks/exist"))["found"]
            if not exists:
                return False
            await self.upkeep()
            self._upkeep_due = monotonic() + UPKEEP_S
        return True

    async def _deliver(self, message: Message) -> None:
        try:
            await self.deliver(message)
        finally:
            self._in_flight -= 1
            self._finished.set()

    async def _record_failed(self, message: Message, answer: Answer) -> None:
        recorded = await self._database.maybe(
            "webhooks/record_failed",
            delivery_id=message.delivery_id,
            attempt=message.attempt,
            error=(answer.error or "")[:1000],
            delay_s=backoff_s(message.attempt, base_s=FIRST_RETRY_S, cap_s=LONGEST_RETRY_S),
            rest_s=backoff_s(1, base_s=FIRST_REST_S, cap_s=LONGEST_REST_S) if answer.blames_endpoint else None,
            longest_rest_s=LONGEST_REST_S,
            wait_s=answer.wait_s,
        )
        if recorded is None:
            return
        if recorded["failures"] == 1:
            log.warning("webhook_failed", webhook=message.name, error=answer.error)
        if recorded["state"] == "given_up":
            log.error("deliveries_expired", count=1)
