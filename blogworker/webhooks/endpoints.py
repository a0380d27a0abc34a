"""Endpoints: list, add, remove, pause, resume, test, and the secret of one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from blogworker.addresses import Origin, is_public, is_public_name, literal, web_address
from blogworker.db.pool import Database, Runner
from blogworker.errors import SettingsError
from blogworker.ops.audit import Action, record
from blogworker.ops.records import records
from blogworker.printable import typed
from blogworker.queue.validation import site_faults, site_text_faults
from blogworker.webhook_settings import WebhookSettings
from blogworker.webhooks.sending import Answer, Message, Sender, require_sendable
from blogworker.webhooks.signature import secrets_of, shown

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
COUNTED = 10_000  # deliveries
STOPS = ("paused_at", "pause_reason", "disabled_at", "disabled_reason", "waiting", "given_up")


class Event(StrEnum):
    DONE = "done"
    FAILED = "failed"
    ALERT = "alert"


class Format(StrEnum):
    JSON = "json"
    SLACK = "slack"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint. `url` None: the settings of the workers have it. Deliveries are counted up to 10,000."""

    webhook_id: UUID
    name: str
    url: str | None
    events: list[str]
    instance_ids: list[str] | None
    format: str
    created_at: datetime
    paused_at: datetime | None
    pause_reason: str | None
    disabled_at: datetime | None
    disabled_reason: str | None
    failures: int
    failing_since: datetime | None
    retry_at: datetime
    last_error: str | None
    waiting: int
    given_up: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Delivery:
    delivery_id: int
    message_id: UUID
    event: str
    job_id: int | None
    created_at: datetime
    state: str
    attempts: int
    due_at: datetime
    ended_at: datetime | None
    last_error: str | None


async def list_endpoints(database: Runner) -> list[Endpoint]:
    return records(Endpoint, await database.rows("ops/webhooks", most=COUNTED))


async def find_endpoint(database: Database, name: str) -> Endpoint:
    """Return an endpoint. Raises SettingsError if there is none with this name."""
    found = await list_endpoints(database)
    for each in found:
        if each.name == name:
            return each
    raise _unknown(name, [each.name for each in found])


async def list_deliveries(database: Database, name: str, *, most: int) -> list[Delivery]:
    """Return the newest deliveries of an endpoint. Raises SettingsError if there is none with this name."""
    await find_endpoint(database, name)
    return records(Delivery, await database.rows("ops/deliveries", name=name, most=most))


async def add_endpoint(
    database: Database,
    settings: WebhookSettings,
    name: str,
    *,
    url: str | None,
    events: Sequence[Event],
    instance_ids: Sequence[str] | None,
    form: Format,
) -> UUID:
    """Add an endpoint and return its id. Raises SettingsError for what no worker could send to."""
    faults = [fault for site in instance_ids or [] for fault in site_faults(site)]
    if NAME.fullmatch(name) is None:
        faults.append("the name of an endpoint has 1 to 40 letters, digits and . _ -")
    if url is None and form is Format.JSON and name not in settings.urls:
        faults.append(f"give its address with --url, or in BLOGWORKER_WEBHOOK_URLS as {name} if it is a secret")
    if instance_ids and Event.ALERT in events:
        faults.append("--event alert is about the whole fleet: add an endpoint of its own for it, without --site")
    if url is not None:
        faults += address_faults(url, form, loopback=settings.allow_loopback)
    if faults:
        raise SettingsError("\n".join(faults))
    async with database.transaction() as statements:
        created = await statements.maybe(
            "webhooks/create",
            name=name,
            url=url,
            events=sorted(set(events)),
            instance_ids=sorted(set(instance_ids)) if instance_ids else None,
            format=form,
        )
        if created is None:
            raise SettingsError(f"there is an endpoint {typed(name)} already: remove it, or choose another name")
        facts = {"url": url, "events": sorted(set(events)), "instance_ids": instance_ids, "format": form}
        await record(statements, Action.WEBHOOK_ADD, name, before=None, after=facts)
    found: UUID = created["webhook_id"]
    return found


def address_faults(url: str, form: Format, *, loopback: bool) -> list[str]:
    """Return why nothing can be sent to an address that is stored in the database."""
    if form is Format.SLACK:
        return ["an address of Slack is a secret: put it into BLOGWORKER_WEBHOOK_URLS of the workers, and omit --url"]
    try:
        origin = Origin.of(web_address(url))
    except ValueError as error:
        secret = "; an address with ? belongs in BLOGWORKER_WEBHOOK_URLS" if "?" in url else ""
        return [f"the address {error}{secret}"]
    if origin.loopback:
        hint = "the address is on this machine: set BLOGWORKER_WEBHOOK_ALLOW_LOOPBACK=true, here and for the workers"
        return [] if loopback else [hint]
    address = literal(origin.host)
    if not (is_public_name(origin.host) if address is None else is_public(address)):
        return [f"{origin} is not a public address"]
    return [] if origin.scheme == "https" else ["the address must begin with https://"]


async def remove_endpoint(database: Database, name: str) -> int:
    """Delete an endpoint. Return how many deliveries waited for it. Raises SettingsError if there is none."""
    async with database.transaction() as statements:
        removed = await statements.maybe("webhooks/remove", name=name)
        if removed is not None:
            facts = {each: removed[each] for each in ("url", "events", "format", "waiting")}
            await record(statements, Action.WEBHOOK_REMOVE, name, before=facts, after=None)
            waiting: int = removed["waiting"]
            return waiting
    raise await _missing(database, name)


async def pause_endpoint(database: Database, name: str, *, reason: str) -> None:
    """Send nothing to an endpoint until it is resumed. Raises SettingsError if there is none."""
    if faults := site_text_faults(reason=reason):
        raise SettingsError("\n".join(faults))
    async with database.transaction() as statements:
        before = await list_endpoints(statements)
        if await statements.maybe("webhooks/pause", name=name, reason=reason) is not None:
            old, new = _stops(before, name), _stops(await list_endpoints(statements), name)
            await record(statements, Action.WEBHOOK_PAUSE, name, before=old, after=new)
            return
    raise await _missing(database, name)


async def resume_endpoint(database: Database, name: str, *, given_up: bool) -> int:
    """Send to an endpoint again, at once. Return how many deliveries wait. Raises SettingsError if there is none."""
    async with database.transaction() as statements:
        before = await list_endpoints(statements)
        resumed = await statements.maybe("webhooks/resume", name=name, given_up=given_up)
        if resumed is not None:
            old, new = _stops(before, name), _stops(await list_endpoints(statements), name)
            await record(statements, Action.WEBHOOK_RESUME, name, before=old, after=new)
            again: int = resumed["again"]
            return again
    raise await _missing(database, name)


def _stops(found: Sequence[Endpoint], name: str) -> dict[str, object] | None:
    """Return what stops deliveries to an endpoint, and how many wait or were given up."""
    return next(
        ({each: getattr(endpoint, each) for each in STOPS} for endpoint in found if endpoint.name == name), None
    )


async def secret_of(database: Database, settings: WebhookSettings, name: str) -> str:
    """Return the secret with which the receiver checks signatures. Raises SettingsError without the key."""
    endpoint = await find_endpoint(database, name)
    if not (secrets := secrets_of(settings.key, endpoint.webhook_id)):
        raise SettingsError("BLOGWORKER_WEBHOOK_KEY is not set here: the secret is derived from it")
    return shown(secrets[0])


async def send_test(database: Database, settings: WebhookSettings, name: str) -> Answer:
    """Send a test message from this machine, now. Raises SettingsError if its settings do not suffice."""
    endpoint = await find_endpoint(database, name)
    require_sendable(settings, name=name, url=endpoint.url, form=endpoint.format)
    now = (await database.one("db/clock"))["now"]
    message = Message(
        delivery_id=0,
        attempt=1,
        message_id=uuid4(),
        event="test",
        payload={"webhook": name},
        created_at=now,
        sent_at=int(now.timestamp()),
        webhook_id=endpoint.webhook_id,
        name=name,
        url=endpoint.url,
        format=endpoint.format,
    )
    sender = Sender(settings)
    try:
        return await sender.send(message)
    finally:
        await sender.aclose()


async def _missing(database: Database, name: str) -> SettingsError:
    return _unknown(name, [each.name for each in await list_endpoints(database)])


def _unknown(name: str, known: Sequence[str]) -> SettingsError:
    return SettingsError(f"there is no endpoint {typed(name)}; known are {', '.join(known) or 'none'}")
