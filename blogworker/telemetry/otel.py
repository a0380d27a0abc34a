"""Exports the spans of a worker as OpenTelemetry traces, over OTLP/HTTP. Needs the extra `otel`.

One attempt is one trace. Its ids are computed from site, job and attempt, so each attempt links to the one before it
without storing anything, and the trace of an attempt can be found by its job. A worker that is killed sends what had
ended; the attempt itself has not, so its root span is missing, and the next attempt links to it.

A thread of the SDK sends batches from a bounded queue: when the receiver is slow, spans are dropped, and no job waits.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, set_span_in_context

from blogworker import __version__
from blogworker.redact import SECRETS
from blogworker.telemetry.log import get_logger
from blogworker.telemetry.tracing import ATTEMPT, ERROR, JOB, SITE, Kind, Span, Value
from blogworker.telemetry_settings import TracingSettings

FLUSH_S = 3.0  # that the end of the process waits for the receiver
LONGEST_TEXT = 200  # characters of one attribute
FIRST_ATTEMPT = 1

log = get_logger()


@contextmanager
def exporting(settings: TracingSettings, *, worker: str) -> Iterator["Traces"]:
    """Export what the block observes. At its end, send the rest, for FLUSH_S at most."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # our events say the same, once
    traces = Traces(_Reporting(OTLPSpanExporter(settings.url, headers=settings.sent_headers)), worker=worker)
    try:
        yield traces
    finally:
        traces.close()


class Traces:
    """An observer that keeps an SDK span beside each of ours."""

    def __init__(self, exporter: SpanExporter, *, worker: str) -> None:
        self._ids = _Ids()
        self._provider = TracerProvider(resource=_resource(worker), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("blogworker", __version__)

    def began(self, span: Span) -> None:
        parent, links = Context(), []
        if span.parent is not None and span.parent.exported is not None:
            parent = set_span_in_context(span.parent.exported, parent)
        elif span.kind is Kind.ATTEMPT:
            self._ids.next, links = ids_of(span), previous(span)
        kind = SpanKind.CLIENT if span.kind is Kind.CALL else SpanKind.INTERNAL
        found = {name: _shown(value) for name, value in span.attributes.items()}
        span.exported = self._tracer.start_span(
            span.name, parent, kind, attributes=found, links=links, start_time=span.began_ns
        )

    def ended(self, span: Span) -> None:
        exported = span.exported
        exported.set_attributes({name: _shown(value) for name, value in span.attributes.items()})
        for name, at_ns, attributes in span.events:
            exported.add_event(name, {key: _shown(value) for key, value in attributes.items()}, at_ns)
        if span.error is not None:
            exported.set_attribute(ERROR, span.error)
            exported.set_status(Status(StatusCode.ERROR))
        exported.end(span.began_ns + round(span.duration_s * 1e9))

    def waited(self, provider: str, seconds: float) -> None:
        """The span of the stage has this as an event."""

    def claimed(self, jobs: int, seconds: float) -> None:
        """A claim is of no job yet."""

    def sized(self, slots: int) -> None:
        """Slots are of no job."""

    def close(self) -> None:
        """Send what is left. A thread does, because a receiver that does not answer must not keep the process."""
        closing = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(FLUSH_S)


def _resource(worker: str) -> Resource:
    """Return what all spans have in common. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES may give another name."""
    found = Resource.create({"service.version": __version__, "service.instance.id": worker})
    if str(found.attributes.get("service.name")).startswith("unknown_service"):
        return found.merge(Resource({"service.name": "blogworker"}))
    return found


class _Ids(RandomIdGenerator):
    """Random ids, except for the next trace: an attempt has ids of its own."""

    def __init__(self) -> None:
        self.next: tuple[int, int] | None = None

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.next is None else self.next[0]

    def generate_span_id(self) -> int:
        chosen, self.next = self.next, None
        return super().generate_span_id() if chosen is None else chosen[1]


def trace_ids(site: str, job_id: int, attempt: int) -> tuple[int, int]:
    """Return the ids of the trace and of the root span of an attempt. Two databases have the same job of the same site
    only if one is a copy of the other."""
    digest = hashlib.sha256(f"{site}\0{job_id}\0{attempt}".encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


def ids_of(span: Span) -> tuple[int, int]:
    """Return the ids of an attempt's span."""
    return trace_ids(str(span.attributes[SITE]), int(span.attributes[JOB]), int(span.attributes[ATTEMPT]))


def previous(span: Span) -> list[Link]:
    """Return the link to the attempt before, if there was one."""
    number = int(span.attributes[ATTEMPT])
    if number <= FIRST_ATTEMPT:
        return []
    trace_id, span_id = trace_ids(str(span.attributes[SITE]), int(span.attributes[JOB]), number - 1)
    return [Link(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))]


class _Reporting(SpanExporter):
    """Logs when the receiver begins and ceases to fail, not each failure."""

    def __init__(self, exporter: OTLPSpanExporter) -> None:
        self._exporter = exporter
        self._fails = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if (fails := result is not SpanExportResult.SUCCESS) != self._fails:
            self._fails = fails
            if fails:
                log.warning("trace_export_failed", count=len(spans))
            else:
                log.info("trace_export_recovered")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


def _shown(value: Value) -> Value:
    return SECRETS.hide(value, shapes=False, words=False)[:LONGEST_TEXT] if isinstance(value, str) else value
