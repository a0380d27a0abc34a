"""A worker's own metrics, scraped over TCP from a real process, as Prometheus does."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx2

from blogworker import __version__

from .conftest import Program, Queue, Start, Vendors, until


def scrape(worker: Program) -> str:
    answer = httpx2.get(worker.logged("metrics_endpoint_started")["address"], timeout=10)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def values(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {
        name.removeprefix("blogworker_worker_"): float(value)
        for name, _, value in (line.rpartition(" ") for line in lines)
    }


def test_a_worker_shows_what_it_has_measured(vendors: Vendors, queue: Queue, start: Start, site: str) -> None:
    queue.add(site, *(f"topic {n}" for n in range(3)))
    vendors.set("faults", kind="status", operation="responses.create", status=500, times=1)

    worker = start(vendors, "--concurrency", "4", "--metrics-port", "0")
    until(queue.queue_is_empty, of=queue.told)
    found = until(lambda: (seen := values(scrape(worker))).get("in_flight") == 0 and seen, of=worker.said)
    text = scrape(worker)

    assert found[f'info{{version="{__version__}"}}'] == 1
    assert found["slots"] == 4
    assert found['attempts_total{outcome="done"}'] == 3
    assert found['attempts_total{outcome="retry"}'] == 1
    assert found["claimed_jobs_total"] == 4
    assert found["claim_duration_seconds_count"] >= 2
    assert found['call_errors_total{provider="openai",operation="responses.create",kind="Unavailable"}'] == 1
    for stage in ("source", "ideas", "content", "image", "publish"):
        labels = f'{{stage="{stage}"'
        assert found[f"stage_duration_seconds_count{labels}}}"] == 3
        assert found[f'stage_duration_seconds_bucket{labels},le="+Inf"}}'] == 3
        assert 0 <= found[f"stage_duration_seconds_sum{labels}}}"] < 60
    providers = set(re.findall(r'call_duration_seconds_count\{provider="(\w+)"', text))
    assert providers == {"openai", "replicate", "wix"}
    assert found['quota_wait_seconds_count{provider="openai"}'] >= 6
    assert site not in text
    series: dict[str, list[float]] = {}
    for name, value in found.items():
        if "_bucket{" in name:
            series.setdefault(re.sub(r',?le="[^"]*"', "", name), []).append(value)
    assert len(series) > 10
    assert all(counts == sorted(counts) for counts in series.values())
    if shutil.which("promtool") is not None:
        ran = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
        assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_without_the_setting_nothing_listens(vendors: Vendors, start: Start) -> None:
    worker = start(vendors)
    worker.logged("worker_started")

    assert listening(worker.process.pid) == []


def listening(pid: int) -> list[Any]:
    """Sockets of a process that accept connections of TCP."""
    inodes = {
        match[1]
        for file in Path(f"/proc/{pid}/fd").iterdir()
        if (match := re.match(r"socket:\[(\d+)\]", str(file.readlink() if file.is_symlink() else "")))
    }
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return [row for row in rows if row[3] == "0A" and row[9] in inodes]
