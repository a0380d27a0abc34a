"""The keepers that send messages: one evaluates the alert rules, one sends the deliveries in the outbox."""

from functools import partial

from anyio.abc import TaskGroup

from blogworker.alerts.evaluation import evaluate
from blogworker.daemon.ticker import every
from blogworker.db.pool import Database
from blogworker.webhook_settings import WebhookSettings
from blogworker.webhooks.deliverer import Deliverer

ALERTS_S = 15.0  # between two checks whether an evaluation is due
RESTART_S = 1.0  # until a deliverer that failed starts again


def start_messages(keepers: TaskGroup, database: Database, settings: WebhookSettings) -> None:
    keepers.start_soon(every, "alerts", ALERTS_S, partial(evaluate, database, remind_s=settings.reminder))
    keepers.start_soon(every, "webhooks", RESTART_S, Deliverer(database, settings).run)
