"""The only loop helper: call an act again and again."""

from collections.abc import Awaitable, Callable
from random import uniform

from anyio import sleep

from blogworker.db.words import in_words
from blogworker.telemetry import get_logger

log = get_logger()


async def every(
    name: str,
    interval_s: float,
    tick: Callable[[], Awaitable[object]],
    *,
    fatal: tuple[type[Exception], ...] = (),
) -> None:
    """Call `tick` forever. A failing tick is tried again, and logged when it begins to fail, fails otherwise than
    before, or works again; cancellation and `fatal` errors pass through."""
    failing: str | None = None
    while True:
        try:
            await tick()
        except fatal:
            raise
        except Exception as error:
            if failing != (failing := type(error).__name__):
                log.warning("tick_failed", tick=name, error_type=failing, error=in_words(error))
        else:
            if failing is not None:
                log.info("tick_recovered", tick=name)
            failing = None
        await sleep(interval_s * uniform(0.9, 1.1))  # spread workers started together
