"""Who observes the spans of a worker: traces and its own metrics, where the settings want them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from anyio import create_task_group

from blogworker.daemon.isolation import Role
from blogworker.settings import Settings
from blogworker.telemetry import get_logger
from blogworker.telemetry.tracing import observed
from blogworker.telemetry_settings import PROTOCOL, TracingSettings

log = get_logger()


@asynccontextmanager
async def observing(settings: Settings, role: Role) -> AsyncIterator[None]:
    """Observe what the block does. The process of suspects has no endpoint: its worker has the port."""
    async with create_task_group() as tasks:
        with _traces(settings.tracing, settings.worker.name):
            if settings.metrics.port is None or role.suspects:
                yield
            else:
                from blogworker.daemon.endpoint import Endpoint
                from blogworker.daemon.meter import Meter
                from blogworker.ops.exposition import render

                meter = Meter()
                endpoint = Endpoint(lambda: render(meter.metrics()))
                tasks.start_soon(endpoint.serve, str(settings.metrics.host), settings.metrics.port)
                with observed(meter):
                    yield
        tasks.cancel_scope.cancel()


@contextmanager
def _traces(settings: TracingSettings, worker: str) -> Iterator[None]:
    """Export traces, if a receiver is set and the extra is installed. What sets the variable may be the platform, so
    a worker that cannot use it works on."""
    if settings.url is None:
        yield
        return
    if settings.protocol != PROTOCOL:
        log.warning("tracing_skipped", error=f"OTEL_EXPORTER_OTLP_PROTOCOL: {PROTOCOL} is the only protocol here")
        yield
        return
    try:
        from blogworker.telemetry.otel import exporting
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("blogworker"):
            raise
        log.warning("tracing_skipped", error=f"{error.name} is not installed: pip install 'blogworker[otel]'")
        yield
        return
    with exporting(settings, worker=worker) as traces, observed(traces):
        yield
