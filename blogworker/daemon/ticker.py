"""The one helper for periodic tasks."""

from collections.abc import Awaitable, Callable
from random import uniform

from anyio import sleep

from blogworker.db.messages import message_of
from blogworker.telemetry import get_logger

log = get_logger()


async def every(
    name: str,
    interval_s: float,
    tick: Callable[[], Awaitable[object]],
    *,
    fatal: tuple[type[Exception], ...] = (),
) -> None:
    """Call `tick` forever, every `interval_s` seconds with a jitter of 10 %.

    A tick that fails is called again. The first failure, a failure of another type and the recovery are logged.
    Cancellation and `fatal` errors are raised.
    """
    failing: str | None = None
    while True:
        try:
            await tick()
        except fatal:
            raise
        except Exception as error:
            if failing != (failing := type(error).__name__):
                log.warning("tick_failed", tick=name, error_type=failing, error=message_of(error))
        else:
            if failing is not None:
                log.info("tick_recovered", tick=name)
            failing = None
        await sleep(interval_s * uniform(0.9, 1.1))  # spread workers started together
