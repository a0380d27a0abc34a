"""The dashboard: Grafana can load it, its SQL runs, and its PromQL names metrics that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import psycopg
import pytest
from jsonschema_rs import validator_for

from blogworker.daemon.meter import Meter
from blogworker.db.sql import sql_dir
from blogworker.ops.metrics import CATALOG

FILE = Path(str(sql_dir())) / "monitoring" / "grafana.json"
DASHBOARD = json.loads(FILE.read_text(encoding="utf-8"))
SEED = (FILE.parents[1] / "inspect" / "seed.sql").read_text(encoding="utf-8")
SCHEMAS = json.loads((Path(__file__).parent / "grafana_schema.json").read_text(encoding="utf-8"))
OF_HISTOGRAMS = re.compile(r"_(bucket|sum|count)$")
COLUMNS = 24


def panels(within: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, also those of collapsed rows."""
    for panel in within["panels"]:
        yield panel
        if panel["type"] == "row":
            yield from panels(panel)


PANELS = list(panels(DASHBOARD))
TARGETS = [target for panel in PANELS for target in panel.get("targets", [])]
EXPRESSIONS = [target["expr"] for target in TARGETS if "expr" in target]
STATEMENTS = [target["rawSql"] for target in TARGETS if "rawSql" in target]


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


def test_the_structure_is_what_grafana_loads() -> None:
    identifiers = [panel["id"] for panel in PANELS]
    sources = {variable["name"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "datasource"}

    assert DASHBOARD["schemaVersion"] >= 36
    assert DASHBOARD.get("id") is None  # else an import would replace another dashboard
    assert len(set(identifiers)) == len(identifiers) > 30
    assert {target["datasource"]["uid"].strip("${}") for target in TARGETS} == sources == {"prometheus", "postgres"}
    assert all(panel["title"] and (panel["type"] == "row" or panel["targets"]) for panel in PANELS)
    assert all(len({t["refId"] for t in p["targets"]}) == len(p["targets"]) for p in PANELS if "targets" in p)


def test_the_dashboard_follows_the_schema_that_grafana_publishes() -> None:
    """An unknown key, a value of another type, or a missing required one. No Grafana is needed for that."""
    faults = [
        f"{error.instance_path}: {error.message}"
        for error in validator_for(SCHEMAS["dashboard"]).iter_errors(DASHBOARD)
    ]

    assert faults == []


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel['id']}-{panel['title']}")
def test_the_options_of_a_panel_are_those_of_its_type(panel: dict[str, Any]) -> None:
    """The dashboard's schema allows any options. Grafana fills in what is missing, so nothing is required here."""
    for part, given in (("options", panel.get("options")), ("fields", custom_fields(panel))):
        if (schema := SCHEMAS.get(f"{panel['type']}.{part}")) is not None and given is not None:
            assert [error.message for error in validator_for(without_required(schema)).iter_errors(given)] == []


def custom_fields(panel: dict[str, Any]) -> Any:
    return panel.get("fieldConfig", {}).get("defaults", {}).get("custom")


def without_required(schema: Any) -> Any:
    match schema:
        case dict():
            return {key: without_required(value) for key, value in schema.items() if key != "required"}
        case list():
            return [without_required(value) for value in schema]
    return schema


def test_no_panel_overlaps_another_or_leaves_the_grid() -> None:
    assert [(a["title"], b["title"]) for a, b in combinations(PANELS, 2) if cells(a) & cells(b)] == []
    assert all(0 <= x < COLUMNS and y >= 0 for panel in PANELS for x, y in cells(panel))


def test_every_metric_has_a_panel_and_every_panel_names_metrics_that_exist() -> None:
    named = {name for expression in EXPRESSIONS for name in re.findall(r"\bblogworker_\w+", expression)}
    of_workers = {OF_HISTOGRAMS.sub("", name) for name in named if name.startswith("blogworker_worker_")}

    assert of_workers == {metric.name for metric in Meter().metrics()}
    assert {name for name in named if not name.startswith("blogworker_worker_")} == {m.name for m in CATALOG}
    assert len(EXPRESSIONS) > 25


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_every_expression_is_promql(tmp_path: Path) -> None:
    """Each becomes the expression of a recording rule, which promtool parses."""
    rules = [{"record": f"dashboard:{n}", "expr": expression} for n, expression in enumerate(EXPRESSIONS)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))

    ran = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, timeout=30)

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.splitlines()[0])
def test_every_statement_runs_on_a_migrated_database(module_url: str, statement: str) -> None:
    with psycopg.connect(module_url) as connection:
        assert connection.execute(statement.encode()).description


def test_the_queries_of_the_former_system_are_included_unchanged() -> None:
    """Those with a time. They read the whole table, so their row is collapsed and they run only when it is opened."""
    charts = [part.strip("\n") for part in SEED.split("\n\n") if "GROUP BY time" in part]
    (row,) = (panel for panel in PANELS if panel["type"] == "row" and panel["collapsed"])

    assert len(charts) == 3
    assert [panel["targets"][0]["rawSql"] for panel in row["panels"]] == charts
