"""The heartbeat: one log line with the figures of the worker and the fleet."""

from collections.abc import Callable

from blogworker.daemon.worker import Worker
from blogworker.db.pool import Database
from blogworker.telemetry import get_logger

XMIN_HELD_S = 300.0  # a transaction this old prevents vacuum from cleaning the queue

log = get_logger()


class Heartbeat:
    def __init__(self, database: Database, worker: Worker, *, name: str, slots: Callable[[], int]) -> None:
        self._database = database
        self._worker = worker
        self._name = name
        self._slots = slots
        self._xmin_held = False

    async def beat(self) -> None:
        fleet = await self._database.one("ops/heartbeat")
        log.info(
            "heartbeat",
            worker=self._name,
            slots=self._slots(),
            in_flight=self._worker.slots_used,
            outcomes=dict(self._worker.ended.outcomes),
            blogs_per_s=round(fleet["finished_last_minute"] / 60, 2),
            pool=self._database.stats(),
            **fleet,
        )
        is_held = (fleet["oldest_xmin_age_s"] or 0) > XMIN_HELD_S
        if is_held and not self._xmin_held:
            log.warning("vacuum_blocked", transaction_age_s=round(fleet["oldest_xmin_age_s"]))
        self._xmin_held = is_held
