"""The seam of traces: what is exported, what is not, and that nothing is paid where nobody observes."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blogworker.daemon.observing import _traces
from blogworker.errors import RateLimited, SettingsError
from blogworker.redact import SECRETS
from blogworker.section import load_section
from blogworker.telemetry import tracing
from blogworker.telemetry.otel import exporting, trace_ids
from blogworker.telemetry.tracing import Kind, observed, span
from blogworker.telemetry_settings import MetricsSettings, TracingSettings
from tests.receiver import Receiver, receiving, values


@dataclass(frozen=True, slots=True)
class Claim:
    job_id: int = 7
    instance_id: str = "shop"
    attempt: int = 1


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """A thread that still retries uses the global random numbers, which no strategy of another test may see change."""
    yield
    for thread in threading.enumerate():
        if thread.name == "traces" or thread.name.startswith("OtelBatch"):
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        yield running


@contextmanager
def exported() -> Iterator[None]:
    """All that ends in the block has been sent at its end."""
    with exporting(load_section(TracingSettings), worker="w") as traces, observed(traces):
        yield


def test_a_wait_for_quota_is_an_event_of_its_stage_and_told_by_the_next_call(receiver: Receiver) -> None:
    with exported():
        tracing.begin_attempt(Claim())
        with tracing.stage("content", waits=lambda _: False):
            tracing.waited("openai", "openai/text", 0.05)  # the time of the database
            tracing.waited("openai", "openai/text", 1.5)
            with tracing.call("openai", "responses.create"):
                pass
            with tracing.call("openai", "responses.create"):
                pass
        tracing.end_attempt("done", "DONE")

    (stage,) = receiver.named("stage content")
    assert [(event.name, values(event.attributes)) for event in stage.events] == [
        ("quota_waited", {"blogworker.quota": "openai/text", "blogworker.wait_s": 1.5})
    ]
    waits = [
        values(call.attributes).get("blogworker.quota.wait_s") for call in receiver.named("openai responses.create")
    ]
    assert waits == [1.55, None]


def test_an_error_has_its_class_and_codes_and_not_its_text(receiver: Receiver) -> None:
    SECRETS.learn("req-hunter2hunter2")
    error = RateLimited(
        "the text of a post", provider="openai", status=429, code="busy", request_id="req-hunter2hunter2"
    )
    with exported(), pytest.raises(RateLimited), tracing.call("openai", "responses.create"):
        raise error

    (call,) = receiver.spans
    found = values(call.attributes)
    assert (found["error.type"], found["http.response.status_code"]) == ("RateLimited", 429)
    assert (found["blogworker.error.code"], found["blogworker.error.request_id"]) == ("busy", "[secret]")
    assert "the text of a post" not in str(receiver.requests)
    assert call.status.message == ""


def test_a_stage_that_only_waits_is_no_error(receiver: Receiver) -> None:
    waits = [pytest.raises(TimeoutError), tracing.stage("publish", waits=lambda e: isinstance(e, TimeoutError))]
    with exported(), waits[0], waits[1]:
        raise TimeoutError

    (stage,) = receiver.spans
    assert stage.status.code == 0
    assert values(stage.attributes)["blogworker.outcome"] == "wait"


def test_a_full_queue_drops_spans_and_nobody_waits(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver never answers: ten times what the queue holds is over in no time, and so is the end."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setattr("blogworker.telemetry.otel.FLUSH_S", 0.2)
    receiver.answers.clear()
    with exported():
        began = time.monotonic()
        for _ in range(1_000):
            with tracing.call("openai", "responses.create"):
                pass
        made_s = time.monotonic() - began
        assert receiver.connected.wait(10)
        ending = time.monotonic()

    assert made_s < 2
    assert time.monotonic() - ending < 2


def test_the_ids_of_an_attempt_follow_from_its_job() -> None:
    """Each attempt has a trace of its own, which anybody can compute."""
    assert trace_ids("shop", 7, 2) == trace_ids("shop", 7, 2)
    assert len({trace_ids(*job) for job in (("shop", 7, 1), ("shop", 7, 2), ("shop", 71, 2), ("shop7", 1, 2))}) == 4


@given(st.text(), st.integers(0), st.integers(0, 10_000))
def test_the_ids_are_valid_whatever_the_site_is_called(site: str, job_id: int, attempt: int) -> None:
    trace_id, span_id = trace_ids(site, job_id, attempt)

    assert 0 < trace_id < 2**128
    assert 0 < span_id < 2**64


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://t/x"},
            "https://t/x",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_where_traces_go(variables: dict[str, str], url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert load_section(TracingSettings).url == url


@pytest.mark.parametrize(
    ("section", "variable", "value"),
    [
        (MetricsSettings, "BLOGWORKER_METRICS_PORT", "70000"),
        (MetricsSettings, "BLOGWORKER_METRICS_HOST", "here"),
        (TracingSettings, "OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        (TracingSettings, "OTEL_EXPORTER_OTLP_HEADERS", "hunter2hunter2"),
        (TracingSettings, "OTEL_EXPORTER_OTLP_HEADERS", "=hunter2hunter2"),
        (TracingSettings, "OTEL_EXPORTER_OTLP_HEADERS", "a=hunter2%0Ahunter2"),
    ],
)
def test_a_wrong_setting_is_one_line(
    section: type[TracingSettings], variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=variable) as raised:
        load_section(section)

    assert len(str(raised.value).splitlines()) == 1
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("case", ["not installed", "another protocol"])
def test_traces_that_cannot_be_sent_are_one_warning(
    case: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A platform may set the variable for all of its programs, so the worker works on."""
    if case == "not installed":
        monkeypatch.delitem(sys.modules, "blogworker.telemetry.otel", raising=False)
        for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
            monkeypatch.setitem(sys.modules, name, None)
    else:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")

    with _traces(load_section(TracingSettings), "w"), tracing.call("openai", "responses.create"):
        pass

    (line,) = capsys.readouterr().out.splitlines()
    assert "tracing_skipped" in line
    assert ("pip install 'blogworker[otel]'" if case == "not installed" else "http/protobuf") in line
    assert receiver.requests == []


def test_a_worker_without_a_receiver_imports_nothing_of_opentelemetry() -> None:
    """The start of a worker, and the size of its memory, must not depend on what is off."""
    program = (
        "import sys, blogworker.daemon, blogworker.cli.run, blogworker.daemon.observing; "
        "print([name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'google', 'requests') "
        "or name in ('blogworker.daemon.endpoint', 'blogworker.daemon.meter', 'blogworker.telemetry.otel')])"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_a_span_that_nobody_observes_keeps_nothing() -> None:
    with span(Kind.STAGE, "stage", {}) as found:
        found.describe(model="m")
        tracing.describe_call(model="m")
        tracing.waited("openai", "q", 1.0)

    assert (found.attributes, found.events) == ({}, [])


def test_a_fault_of_an_observer_ends_no_job(capsys: pytest.CaptureFixture[str]) -> None:
    class Faulty:
        def began(self, *_: object) -> None:
            raise ZeroDivisionError

        ended = waited = claimed = sized = began

    with observed(Faulty()):
        tracing.begin_attempt(Claim())
        tracing.waited("openai", "q", 1.0)
        tracing.claimed(1, 0.1)
        tracing.sized(1)
        tracing.end_attempt("done", "DONE")

    lines = capsys.readouterr().out.splitlines()
    assert sum("[error" in line and "tracing_failed" in line for line in lines) == 5
