"""The alert rules: they fire when they should, name what exists, and say what to do next."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from blogworker.db.pool import Database
from blogworker.db.sql import sql_dir
from blogworker.ops.exposition import CONTENT_TYPE, render
from blogworker.ops.metrics import CATALOG, read_metrics
from tests.pages import anchors, parse

FOLDER = Path(str(sql_dir())) / "monitoring"
RULES = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
ALERTS = {block.partition("\n")[0]: block for block in RULES.split("- alert: ")[1:]}
LIMIT_S = 90
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: blogworker
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")


@promtool
@pytest.mark.parametrize("words", [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]])
def test_promtool_accepts_the_rules_and_their_tests(words: list[str]) -> None:
    ran = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, timeout=LIMIT_S)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_test() -> None:
    tested = (FOLDER / "alerts_test.yml").read_text(encoding="utf-8")

    assert set(ALERTS) - set(re.findall(r"alertname: (\w+)", tested)) == set()
    assert len(ALERTS) == 14


def test_the_rules_name_metrics_that_exist() -> None:
    assert set(re.findall(r"\bblogworker_\w+", RULES)) - {metric.name for metric in CATALOG} == set()


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_happened_what_to_type_next_and_where_to_read_on(alert: str) -> None:
    block = ALERTS[alert]
    (following,) = re.findall(r'description: ".*\. Next: (.*)"', block)
    (page, anchor) = re.findall(r"runbook: (\S+)#(\S+)", block)[0]

    assert re.search(r"severity: (?:warning|critical)\n", block)
    assert re.search(r'summary: ".+\."\n', block)
    assert anchor in anchors(FOLDER.parent.parent / page)
    if following.startswith("blogworker "):
        parse(following.split()[1:])
    else:
        assert following.startswith(("systemctl status ", "select ")), following


@contextmanager
def served(text: str) -> Iterator[int]:
    """Serve the text as a scrape on a port of this machine."""

    class Scrape(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Scrape) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def scraping(port: int, folder: Path) -> Iterator[str]:
    """Run a Prometheus that scrapes the port. Yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(rules=FOLDER / "alerts.yml", port=port))
    words = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    with (folder / "log").open("wb") as log, subprocess.Popen(["prometheus", *words], stderr=log) as process:
        try:
            yield f"http://{address}/api/v1"
        finally:
            process.terminate()
            process.wait(LIMIT_S)


def answer(url: str) -> Any:
    """The data of an answer; None while Prometheus starts."""
    try:
        with urlopen(url, timeout=LIMIT_S) as response:  # noqa: S310 - an address of our own
            return json.load(response)["data"]
    except OSError:
        return None


def instant(api: str, expression: str) -> list[Any]:
    """The result of an expression once it has one, or after the limit."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if (data := answer(f"{api}/query?query={quote(expression)}")) and data["result"]:
            return list(data["result"])
        time.sleep(0.2)
    return []


@prometheus
@pytest.mark.slow
@pytest.mark.anyio
async def test_a_prometheus_scrapes_every_metric_and_evaluates_the_alerts(database: Database, tmp_path: Path) -> None:
    """An open breaker is pending at once and fires after two minutes."""
    await database.rows("queue/create_sites", instance_ids=["s"])
    metrics = await read_metrics(database)
    text = render(metrics).replace('provider="wix",state="open"} 0', 'provider="wix",state="open"} 1')

    with served(text) as port, scraping(port, tmp_path) as api:
        (alert,) = instant(api, 'ALERTS{alertname="BlogworkerBreakerOpen"}')
        (target,) = answer(f"{api}/targets")["activeTargets"]
        counts = {metric.name: instant(api, f"count({metric.name})") for metric in metrics if metric.samples}
        rules = [rule for group in answer(f"{api}/rules")["groups"] for rule in group["rules"]]

    assert (alert["metric"]["provider"], alert["metric"]["alertstate"]) == ("wix", "pending")
    assert (target["health"], target["lastError"]) == ("up", "")
    found = {name: int(result[0]["value"][1]) for name, result in counts.items()}
    assert found == {metric.name: len(metric.samples) for metric in metrics if metric.samples}
    assert {rule["name"] for rule in rules} == set(ALERTS)
    assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []
