"""`blogworker autoscale`, with a systemctl that records what it is asked for."""

import re
import socket
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from blogworker.db.sql import sql_dir
from blogworker.ops.metrics import CATALOG
from blogworker.ops.units import Change, Units, change_to

from .conftest import Cli, Rows

SYSTEMCTL = """#!/bin/sh
printf '%s\\n' "$*" >> {folder}/asked
case "$1" in
list-units) cat {folder}/units ;;
start) test ! -e {folder}/refuses || {{ echo 'Failed to start: Access denied' >&2; exit 4; }} ;;
esac
"""
LISTED = "list-units --all --plain --no-legend --no-pager blogworker@*.service blogworker.target"
TARGET = "blogworker.target loaded active active blogworker, all workers of this machine\n"
BURST = (
    "insert into blog_generations (instance_id, source_type, source_id) "
    "select 's', 'keyword', 'k' || n from generate_series(1, 2500) as n"
)


class Systemd:
    """A folder with a systemctl that shows these units and writes down what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "systemctl"
        program.write_text(SYSTEMCTL.format(folder=folder))
        program.chmod(0o755)

    def shows(self, *units: str, target: str = TARGET) -> None:
        lines = "".join(f"blogworker@{unit} blogworker {unit.partition('.')[0]}\n" for unit in units)
        (self.folder / "units").write_text(lines + target)
        (self.folder / "asked").write_text("")

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().splitlines()


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    return Systemd(tmp_path)


def running(*numbers: int) -> list[str]:
    return [f"{number}.service loaded active running" for number in numbers]


def test_without_apply_only_the_decision_is_printed(cli: Cli, sql: Rows) -> None:
    sql(BURST)

    ran = cli("autoscale", "--min", "1", "--max", "8")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "5 workers (now 0): 2,500 jobs could start, 0 of 0 slots are busy\n"
    found = cli("autoscale", "--min", "1", "--max", "3", "--json").json
    assert (found["workers"], found["target"], found["wanted"], found["start"]) == (0, 3, 5, [])
    assert found["facts"]["claimable"] == 2_500
    assert sql("select count(*) from scalings") == [(0,)]


def test_apply_starts_the_lowest_free_numbers_and_stops_the_highest(cli: Cli, sql: Rows, systemd: Systemd) -> None:
    sql(BURST)
    path = {"PATH": f"{systemd.folder}:/usr/bin:/bin"}
    systemd.shows(*running(1, 4), "2.service loaded deactivating stop-sigterm", "blue.service loaded active running")

    ran = cli("autoscale", "--min", "1", "--max", "8", "--apply", **path)

    assert (ran.code, ran.err) == (0, "")
    assert "5 workers (now 2)" in ran.out
    assert "; started 3, 5, 6" in ran.out
    names = "blogworker@3.service blogworker@5.service blogworker@6.service"
    assert systemd.asked == [LISTED, f"start --no-block {names}"]
    assert sql("select host, workers, wanted, target from scalings") == [(socket.gethostname(), 2, 5, 5)]

    systemd.shows(*running(1, 3, 4, 5, 6, 7))
    sql("delete from blog_generations")
    assert cli("autoscale", "--min", "1", "--max", "8", "--apply", **path).code == 0
    assert systemd.asked == [LISTED]  # the need has to stay low first
    sql("update scalings set wanted = 2, at = at - interval '9 minutes'")
    ran = cli("autoscale", "--min", "1", "--max", "8", "--apply", **path)
    assert systemd.asked[-1] == "stop --no-block " + " ".join(f"blogworker@{n}.service" for n in (7, 6, 5, 4))
    assert "2 workers (now 6)" in ran.out


def test_nothing_is_started_that_a_person_has_stopped_or_that_fails(cli: Cli, sql: Rows, systemd: Systemd) -> None:
    sql(BURST)
    path = {"PATH": f"{systemd.folder}:/usr/bin:/bin"}
    systemd.shows(target="")
    stopped = cli("autoscale", "--min", "1", "--max", "8", "--apply", **path)
    assert (stopped.code, systemd.asked) == (0, [LISTED])
    assert "blogworker.target is stopped, so none is started" in stopped.out

    systemd.shows(*running(1), "2.service loaded failed failed")
    failed = cli("autoscale", "--min", "1", "--max", "8", "--apply", **path)
    assert (failed.code, systemd.asked) == (1, [LISTED])
    assert failed.complaints == ["blogworker: blogworker@2.service has failed: journalctl -u blogworker@2 -n 50"]

    systemd.shows()
    (systemd.folder / "refuses").touch()
    refused = cli("autoscale", "--min", "1", "--max", "8", "--apply", **path)
    assert (refused.code, refused.complaints) == (1, ["blogworker: systemctl start: Failed to start: Access denied"])
    assert sql("select count(*) from scalings where target > workers") == [(0,)]


def test_a_quiet_worker_is_replaced_and_left_alone(cli: Cli, sql: Rows, systemd: Systemd) -> None:
    host = socket.gethostname()
    path = {"PATH": f"{systemd.folder}:/usr/bin:/bin"}
    sql(
        "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until) "
        "values (gen_random_uuid(), %s, %s, 1, '1', 50, now() + interval '1 hour')",
        f"{host}/1",
        host,
    )
    sql("insert into quiet_workers (name, reason) values (%s, 'r')", f"{host}/1")
    systemd.shows(*running(1))

    assert "1 worker (now 0)" in cli("autoscale", "--min", "1", "--max", "8").out
    assert "1 worker (now 0)" in cli("autoscale", "--min", "1", "--max", "8", "--apply", **path).out
    assert systemd.asked == [LISTED, "start --no-block blogworker@2.service"]

    systemd.shows(*running(1, 2))
    assert cli("autoscale", "--min", "0", "--max", "1", "--apply", **path).code == 0
    assert systemd.asked == [LISTED]


def test_what_cannot_be_done_is_said_in_one_line(cli: Cli) -> None:
    for words, complaint in (
        (["--min", "3", "--max", "2"], "--min is at most --max"),
        (["--apply"], "systemctl is not installed: --apply needs systemd"),
    ):
        ran = cli("autoscale", *words, PATH="/none")
        assert (ran.code in (1, 2), len(ran.complaints)) == (True, 1)
        assert complaint in ran.err


def test_a_worker_that_drains_or_has_failed_keeps_its_number() -> None:
    units = Units(wanted=True, running=(2, 5), stopping=(1,), failed=(3,))

    assert change_to(4, units) == Change(start=(4, 6))
    assert change_to(2, units) == Change()
    assert change_to(1, units) == Change(stop=(5,))
    assert change_to(0, units) == Change(stop=(5, 2))


# The examples for Kubernetes ----------------------------------------------------------------------------------------

FOLDER = Path(str(sql_dir())) / "monitoring"


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def test_the_query_of_keda_gives_one_number(database_url: str) -> None:
    """KEDA takes the first column of the first row, as a number."""
    authentication, scaled = documents("keda.yml")
    spec = scaled["spec"]
    (trigger,) = spec["triggers"]

    with psycopg.connect(database_url) as connection:
        rows = connection.execute(trigger["metadata"]["query"].encode()).fetchall()

    assert [len(row) for row in rows] == [1]
    assert float(rows[0][0]) == 0
    assert (trigger["type"], trigger["metadata"]["targetQueryValue"]) == ("postgresql", "1")
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert spec["minReplicaCount"] <= spec["maxReplicaCount"]


def test_the_autoscaler_of_kubernetes_names_the_metric() -> None:
    (scaler,) = documents("hpa.yml")
    text = (FOLDER / "hpa.yml").read_text(encoding="utf-8")

    assert (scaler["apiVersion"], scaler["kind"]) == ("autoscaling/v2", "HorizontalPodAutoscaler")
    assert set(re.findall(r"blogworker_\w+", text)) <= {metric.name for metric in CATALOG}
    (metric,) = scaler["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == "blogworker_workers_wanted"
