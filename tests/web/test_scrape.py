"""A real Prometheus scrapes `/metrics` of a real server as the page on monitoring says, and evaluates our rules."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from blogworker.alerts.rules import PROMETHEUS_ONLY, RULES
from blogworker.db.sql import sql_dir

from .conftest import job

FOLDER = Path(str(sql_dir())) / "monitoring"
TOKEN_FILE = "/etc/prometheus/blogworker.token"  # noqa: S105 - a path
WITHIN_S = 60.0
T = TypeVar("T")
pytestmark = [
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed (Debian: prometheus)"),
    pytest.mark.timeout(120),
]


@pytest.fixture
def configuration(served: Any, tmp_path: Path) -> Path:
    """The file of the page, with the token and the address of the server, and with our rules."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (block,) = (
        found for found in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL) if TOKEN_FILE in found
    )
    token = tmp_path / "token"
    token.write_text(served.token("read") + "\n")  # as the command prints it
    file = tmp_path / "prometheus.yml"
    file.write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{FOLDER / 'alerts.yml'}']\n"
        + block.replace(TOKEN_FILE, str(token)).replace("127.0.0.1:8080", served.address.removeprefix("http://"))
    )
    return file


@contextmanager
def prometheus(configuration: Path) -> Iterator[Callable[[str], Any]]:
    """Run Prometheus for the block. Yields a function that asks its API."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder = configuration.parent
    command = ["prometheus", f"--config.file={configuration}", f"--web.listen-address={address}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--storage.tsdb.path={folder / 'data'}"], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        with httpx.Client(base_url=f"http://{address}/api/v1", trust_env=False) as client:
            yield lambda path: client.get(path).raise_for_status().json()["data"]
    finally:
        process.terminate()
        process.wait(WITHIN_S)


def until(found: Callable[[], T | None], *, log: Path) -> T:
    """Repeat until there is something, while Prometheus starts and scrapes."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        try:
            if (something := found()) is not None:
                return something
        except httpx.HTTPError:  # it does not listen yet, or is not ready
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-3000:])


def evaluated(ask: Callable[[str], Any]) -> list[str] | None:
    """The names of all rules; None while one of them has not been evaluated."""
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
    return [rule["name"] for rule in rules] if all(rule["health"] == "ok" for rule in rules) else None


def state_of(ask: Callable[[str], Any], alert: str) -> str | None:
    """The state of an alert; None while its condition does not hold."""
    return next((each["state"] for each in ask("alerts")["alerts"] if each["labels"]["alertname"] == alert), None)


def value(ask: Callable[[str], Any], query: str) -> float | None:
    """The value of an expression that gives one series; None: it gives none yet."""
    found = ask(f"query?query={query}")["result"]
    return float(found[0]["value"][1]) if found else None


def test_promtool_accepts_the_configuration(configuration: Path) -> None:
    ran = subprocess.run(["promtool", "check", "config", configuration], capture_output=True, text=True, timeout=30)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_prometheus_scrapes_with_a_token_and_evaluates_the_alert_rules(served: Any, configuration: Path) -> None:
    """A job waits and no worker is alive: the rule for that holds, and all others can be evaluated."""
    for nth in range(3):
        job(served, "scraped", idempotency_key=f"scraped {nth}")
    ((pending,),) = served.sql("select count(*) from blog_generations where status = 'PENDING'")

    with prometheus(configuration) as ask:
        log = configuration.parent / "log"
        jobs = until(lambda: value(ask, 'blogworker_jobs{status="PENDING"}'), log=log)
        state = until(lambda: state_of(ask, "BlogworkerNoWorkers"), log=log)
        rules = until(lambda: evaluated(ask), log=log)
        assert value(ask, 'up{job="blogworker"}') == 1

    assert jobs == pending >= 3
    assert state == "pending", "it fires after two minutes"
    assert rules == [*(rule.name for rule in RULES), *PROMETHEUS_ONLY]


def test_a_revoked_token_shows_as_a_target_that_is_down(served: Any, configuration: Path) -> None:
    served.sql("update api_tokens set revoked_at = now() where revoked_at is null")

    with prometheus(configuration) as ask:
        log = configuration.parent / "log"
        (target,) = until(
            lambda: [each for each in ask("targets")["activeTargets"] if each["health"] == "down"] or None, log=log
        )
        assert value(ask, "blogworker_jobs") is None

    assert "401" in target["lastError"]
