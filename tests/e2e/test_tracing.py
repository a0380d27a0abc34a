"""Traces of real workers, received over TCP and decoded: what a blog looks like, and what a bad receiver costs."""

import signal
import socket
import time
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.receiver import Receiver, receiving, values

from .conftest import Queue, Start, Vendors, until

KEYS = {
    "OPENAI_API_KEY": "sk-hunter2hunter2",
    "REPLICATE_API_TOKEN": "r8_hunter2hunter2",
    "WIX_APP_SECRET": "hunter2hunter2",
}
STAGES = ["source", "ideas", "content", "image", "publish"]
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100"}  # milliseconds between two batches
FLUSH_S = 3.0  # `blogworker/telemetry/otel.py`
TOPIC = "ember-glazed stoneware"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def to(receiver: Receiver) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **SOON}


def hits(vendors: Vendors) -> int:
    """How many calls the faults have met."""
    return sum(fault["hits"] for fault in vendors.get("faults")["faults"])


def of(span: Span) -> dict[str, object]:
    return values(span.attributes)


def test_a_blog_is_one_trace_with_its_stages_and_calls(
    vendors: Vendors, queue: Queue, start: Start, site: str, receiver: Receiver
) -> None:
    """Attempt, stages and calls are nested, and say what they cost. Nothing of the post and no key is in them."""
    (job_id,) = queue.add(site, TOPIC)

    worker = start(
        vendors, "--until-empty", "--name", "traced", OTEL_EXPORTER_OTLP_HEADERS="x-team=blogs", **KEYS, **to(receiver)
    )

    assert worker.ended() == 0, worker.said()
    (root,) = receiver.named("attempt")
    by_id = {span.span_id: span for span in receiver.spans}
    assert root.parent_span_id == b""
    assert {span.trace_id for span in receiver.spans} == {root.trace_id}
    assert (
        of(root).items()
        >= {
            "blogworker.job.id": job_id,
            "blogworker.site": site,
            "blogworker.attempt": 1,
            "blogworker.outcome": "done",
            "blogworker.status": "DONE",
        }.items()
    )
    assert of(root)["blogworker.cost_usd"] > 0
    stages = sorted(
        (s for s in receiver.spans if s.parent_span_id == root.span_id), key=lambda s: s.start_time_unix_nano
    )
    assert [of(stage)["blogworker.stage"] for stage in stages if stage.kind == Span.SPAN_KIND_INTERNAL] == STAGES
    calls = [span for span in receiver.spans if span.kind == Span.SPAN_KIND_CLIENT]
    assert {by_id[call.parent_span_id].name for call in calls} == {f"stage {name}" for name in STAGES[1:]}
    assert {of(call)["blogworker.provider"] for call in calls} == {"openai", "replicate", "wix"}
    texts = receiver.named("openai responses.create")
    assert [of(call)["gen_ai.request.model"] for call in texts] == ["gpt-6-luna", "gpt-6.1-terra"]
    assert all(of(call)["gen_ai.usage.output_tokens"] > 0 and of(call)["blogworker.cost_usd"] > 0 for call in texts)
    assert all(of(call)["http.response.status_code"] in (200, 201) for call in calls)
    for span in receiver.spans:
        parent = by_id.get(span.parent_span_id, span)
        assert parent.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= parent.end_time_unix_nano + 50_000_000  # two clocks: an end is a duration
    assert receiver.resource().items() >= {"service.name": "blogworker", "service.instance.id": "traced"}.items()
    assert receiver.headers[0]["path"] == "/v1/traces"
    assert receiver.headers[0]["x-team"] == "blogs"
    sent = str(receiver.requests)
    (post,) = queue.run("select title, slug from blog_posts")
    assert not [word for word in (TOPIC, post["title"], post["slug"], "hunter2", "Bearer") if word in sent]
    assert "{id}" in sent
    assert worker.errors.read_text() == ""


def test_a_failed_call_is_an_error_and_the_next_attempt_links_to_it(
    vendors: Vendors, queue: Queue, start: Start, site: str, receiver: Receiver
) -> None:
    (job_id,) = queue.add(site, TOPIC)
    vendors.set("faults", kind="status", operation="responses.create", status=500, times=1)

    worker = start(vendors, "--until-empty", **to(receiver))

    assert worker.ended() == 0, worker.said()
    first, second = sorted(receiver.named("attempt"), key=lambda span: of(span)["blogworker.attempt"])
    (failed,) = [span for span in receiver.named("openai responses.create") if span.trace_id == first.trace_id]
    assert of(failed).items() >= {"http.response.status_code": 500, "error.type": "Unavailable"}.items()
    assert failed.status.code == first.status.code == Status.STATUS_CODE_ERROR
    assert of(first)["blogworker.outcome"] == "retry"
    assert of(first)["blogworker.stage"] == "ideas"
    assert [event.name for event in first.events] == ["retry_scheduled"]
    assert first.trace_id != second.trace_id
    assert [(link.trace_id, link.span_id) for link in second.links] == [(first.trace_id, first.span_id)]
    assert of(second)["blogworker.outcome"] == "done"
    assert second.status.code == Status.STATUS_CODE_UNSET
    assert of(second)["blogworker.job.id"] == job_id


@pytest.mark.parametrize("state", ["down", "silent"])
def test_a_bad_receiver_costs_a_job_nothing(
    state: str, vendors: Vendors, queue: Queue, start: Start, site: str, receiver: Receiver
) -> None:
    """Nothing listens, or what listens never answers: the blog is published, and the worker ends soon."""
    queue.add(site, TOPIC)
    receiver.answers.clear()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    url = nobody if state == "down" else receiver.url

    worker = start(vendors, "--until-empty", OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_TIMEOUT="1", **SOON)
    until(lambda: worker.events("worker_stopped"), of=worker.said)
    stopped_at = time.monotonic()

    assert worker.ended() == 0, worker.said()
    assert time.monotonic() - stopped_at < FLUSH_S + 3.0
    assert queue.jobs("status", "failures") == [("DONE", 0)]
    assert len(worker.events("trace_export_failed")) == 1
    assert worker.errors.read_text() == ""


def test_a_killed_attempt_has_sent_its_stages_and_the_next_one_links_to_it(
    vendors: Vendors, queue: Queue, start: Start, site: str, receiver: Receiver
) -> None:
    queue.add(site, TOPIC)
    vendors.set("faults", kind="latency", operation="predictions.get", delay_s=60.0, times=1)
    first = start(vendors, "--name", "one", BLOGWORKER_LEASE="3", **to(receiver))
    until(lambda: receiver.named("stage content") and hits(vendors), of=first.said)

    first.tell(signal.SIGKILL)
    first.ended()
    killed = {span.trace_id for span in receiver.spans}
    second = start(vendors, "--name", "one", "--until-empty", **to(receiver))

    assert second.ended() == 0, second.said()
    roots = receiver.named("attempt")
    assert {link.trace_id for root in roots for link in root.links} >= killed
    assert killed.isdisjoint(root.trace_id for root in roots)
    assert of(roots[-1])["blogworker.outcome"] == "done"
