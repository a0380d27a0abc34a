"""The endpoint of a worker's metrics: what it answers, and what a bad client cannot do."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from anyio import EndOfStream, connect_tcp, create_task_group, fail_after
from hypothesis import given
from hypothesis import strategies as st

from blogworker.daemon import endpoint
from blogworker.daemon.endpoint import MOST_CLIENTS, Endpoint
from blogworker.daemon.meter import MOST_SERIES, Meter
from blogworker.db.sql import sql_dir
from blogworker.errors import RateLimited
from blogworker.ops.exposition import Kind as MetricKind
from blogworker.ops.exposition import Metric, render
from blogworker.telemetry import tracing
from blogworker.telemetry.otel import trace_ids
from blogworker.telemetry.tracing import Kind, observed

pytestmark = pytest.mark.anyio
TEXT = "m 1\n"
PAGE = (Path(str(sql_dir())) / "monitoring" / "README.md").read_text(encoding="utf-8")


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(endpoint, "LIMIT_S", 1.0)
    started: list[str] = []
    monkeypatch.setattr(endpoint.log, "info", lambda _, address: started.append(address), raising=False)
    async with create_task_group() as tasks:
        tasks.start_soon(Endpoint(lambda: TEXT).serve, "127.0.0.1", 0)
        with fail_after(10):
            while not started:
                await endpoint.sleep(0.01)
        yield int(started[0].rpartition(":")[2].removesuffix("/metrics"))
        tasks.cancel_scope.cancel()


async def test_a_port_that_is_taken_is_opened_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restarted worker may meet its predecessor. It works meanwhile, and says so once."""
    monkeypatch.setattr(endpoint, "RETRY_S", 0.01)
    said: list[str] = []
    for level in ("info", "warning"):
        monkeypatch.setattr(endpoint.log, level, lambda event, **_: said.append(event), raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with create_task_group() as tasks:
            tasks.start_soon(Endpoint(lambda: TEXT).serve, "127.0.0.1", port)
            await endpoint.sleep(0.1)
            assert said == ["metrics_endpoint_refused"]

            taken.close()

            with fail_after(10):
                while len(said) < 2:
                    await endpoint.sleep(0.01)
            assert TEXT.encode() in await answer(port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            tasks.cancel_scope.cancel()
    assert said == ["metrics_endpoint_refused", "metrics_endpoint_started"]


async def answer(port: int, request: bytes) -> bytes:
    """All that the endpoint sends until it closes."""
    got = b""
    with fail_after(10):
        async with await connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request)
            try:
                while True:
                    got += await stream.receive()
            except (EndOfStream, OSError):
                return got


async def test_get_and_head_of_one_path(port: int) -> None:
    head, _, body = (await answer(port, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body.decode() == TEXT
    head, _, body = (await answer(port, b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n")).partition(b"\r\n\r\n")
    assert b"content-length: 4" in head.lower()
    assert body == b""


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /metrics/../x HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nx", 405),
        ("DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("GET /metrics HTTP/1.1\r\n\r\n", 400),
        ("rubbish\r\n\r\n", 400),
        ("GET /metrics HTTP/1.1\r\nHost: a\r\nX: " + "a" * 20_000, 431),
    ],
)
async def test_anything_else_is_refused(port: int, request_head: str, status: int) -> None:
    assert (await answer(port, request_head.encode())).startswith(f"HTTP/1.1 {status}".encode())


async def test_a_client_that_sends_half_a_request_is_cut_off(port: int) -> None:
    began = time.monotonic()

    assert await answer(port, b"GET /metrics HT") == b""

    assert time.monotonic() - began < 5


async def test_one_client_more_than_are_served_is_closed_at_once(port: int) -> None:
    """Silent clients hold no more than their share for LIMIT_S. Then others are served again."""
    whole = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    began = time.monotonic()
    async with create_task_group() as tasks:
        for _ in range(MOST_CLIENTS):
            tasks.start_soon(answer, port, b"GET")
        await endpoint.sleep(0.2)
        refused, refused_s = await answer(port, whole), time.monotonic() - began

    assert (refused, refused_s < 1.0) == (b"", True)
    assert TEXT.encode() in await answer(port, whole)


@given(st.lists(st.tuples(st.text(), st.text(), st.floats(0, 1e6)), max_size=30))
def test_whatever_calls_are_named_the_text_can_be_read(calls: list[tuple[str, str, float]]) -> None:
    meter = Meter()
    with observed(meter):
        for provider, operation, seconds in calls:
            with tracing.call(provider, operation):
                meter.waited(provider, seconds)

    for line in render(meter.metrics()).splitlines():
        assert (
            line.startswith("#")
            or line.rpartition(" ")[2].replace(".", "").replace("e-", "").replace("e+", "").isdigit()
        )


def test_the_number_of_series_is_bounded() -> None:
    meter = Meter()
    with observed(meter):
        for n in range(MOST_SERIES + 50):
            with tracing.span(Kind.CALL, "c", {tracing.PROVIDER: "p", tracing.OPERATION: str(n)}):
                pass

    (calls,) = (metric for metric in meter.metrics() if metric.name.endswith("call_duration_seconds"))
    counts = {sample.labels["operation"]: sample.value for sample in calls.samples if sample.suffix == "_count"}
    assert len(counts) == MOST_SERIES + 1
    assert counts["other"] == 50


def every_metric() -> list[Metric]:
    """The metrics of a worker, each with a sample of all its labels."""
    meter = Meter()
    claim = SimpleNamespace(job_id=1, instance_id="shop", attempt=1)
    with observed(meter):
        tracing.begin_attempt(claim)
        with pytest.raises(RateLimited), tracing.call("openai", "responses.create"):
            raise RateLimited("no", provider="openai")
        with tracing.stage("content", waits=lambda _: False):
            tracing.waited("openai", "openai/text", 1.0)
        tracing.claimed(1, 0.1)
        tracing.end_attempt("done", "DONE")
    return meter.metrics()


def test_names_follow_the_conventions_of_prometheus() -> None:
    for metric in every_metric():
        assert re.fullmatch(r"blogworker_worker_[a-z][a-z_]*[a-z]", metric.name), metric.name
        assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER), metric.name
        assert metric.name.endswith("_seconds") == (metric.kind is MetricKind.HISTOGRAM), metric.name
        assert metric.help.endswith("."), metric.name
        assert "shop" not in str(metric), metric.name


def test_the_table_of_metrics_is_complete() -> None:
    table = re.findall(r"^\| `(blogworker_worker_\w+)` \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE)

    labels = [
        ", ".join(
            name for name in dict.fromkeys(name for each in metric.samples for name in each.labels) if name != "le"
        )
        for metric in every_metric()
    ]
    assert table == [(m.name, names, m.help) for m, names in zip(every_metric(), labels, strict=True)]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_accepts_the_scrape_configuration_of_the_page(tmp_path: Path) -> None:
    (block,) = (
        block for block in re.findall(r"^```yaml\n(# prometheus\.yml\n.*?)^```", PAGE, re.M | re.S) if "946" in block
    )
    file = tmp_path / "prometheus.yml"
    file.write_text(block)

    ran = subprocess.run(["promtool", "check", "config", file], capture_output=True, text=True, timeout=30)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_trace_id_of_the_page_is_the_one_that_is_sent() -> None:
    """A person computes it with printf and sha256sum."""
    (command,) = re.findall(r"^\$ (printf .*)$", PAGE, re.MULTILINE)

    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)

    assert ran.stdout.strip() == f"{trace_ids('SITE', 4711, 1)[0]:032x}"
