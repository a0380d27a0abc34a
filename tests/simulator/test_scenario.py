"""Scenario files: options, and faults with a start and an end."""

import os
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio import create_task_group, fail_after

from blogworker.simulator import SimulatorOptions, serve
from blogworker.simulator.faults import FaultRegistry
from blogworker.simulator.scenario import Scenario, ScenarioError, read_scenario

pytestmark = pytest.mark.anyio

SHIPPED = Path(__file__).parent / "scenarios" / "rough-morning.toml"


async def until(condition) -> None:
    with fail_after(5):
        while not condition():
            await anyio.sleep(0.01)


def written(folder: Path, text: str) -> Path:
    path = folder / "scenario.toml"
    path.write_text(text)
    return path


def kinds(registry: FaultRegistry) -> list[str]:
    return [fault["kind"] for fault in registry.as_json()]


async def test_faults_are_added_at_their_start_and_removed_at_their_end(tmp_path):
    scenario = read_scenario(
        written(
            tmp_path,
            '[[faults]]\nkind = "overloaded"\nvendor = "openai"\nafter_s = 0.05\nfor_s = 0.05\n'
            '[[faults]]\nkind = "html"\n',
        )
    )
    registry = FaultRegistry(1)

    async with create_task_group() as tasks:
        tasks.start_soon(scenario.run, registry)
        await until(lambda: kinds(registry) == ["html"])
        await until(lambda: kinds(registry) == ["html", "overloaded"])
        await until(lambda: kinds(registry) == ["html"])


async def test_a_server_applies_its_scenario(tmp_path):
    scenario = read_scenario(
        written(tmp_path, '[options]\nspeed = 7\n[[faults]]\nkind = "status"\nvendor = "wix"\nstatus = 503\n')
    )
    async with create_task_group() as tasks, httpx2.AsyncClient() as http:

        async def begin(*, task_status):
            await serve(SimulatorOptions().changed(scenario.options), scenario=scenario, task_status=task_status)

        url = await tasks.start(begin)
        answer = await http.post(f"{url}/wix/oauth2/token", json={})
        speed = (await http.get(f"{url}/__sim/options")).json()["speed"]
        tasks.cancel_scope.cancel()

    assert (answer.status_code, speed) == (503, 7)


async def test_the_shipped_scenario_can_be_read():
    scenario = read_scenario(SHIPPED)

    assert scenario.options["speed"] == 10
    assert len(scenario.faults) == 4
    assert isinstance(scenario, Scenario)


BAD = {
    "speed = ": "is not TOML",
    "[extras]\n": "unknown tables: extras; there are options and faults",
    "options = 3": "options must be a table",
    "[faults]\nkind = 'html'": r"faults must be tables: \[\[faults\]\]",
    "[options]\nspeedd = 3": "unknown options: speedd",
    "[options]\nspeed = 'fast'": "speed must look like 1.0",
    "[options]\nspeed = 0": "speed must be greater than zero",
    "[[faults]]\nvendor = 'wix'": "fault 1: a fault needs a kind",
    "[[faults]]\nkind = 'html'\n[[faults]]\nkind = 'nsfw'\nvendor = 'wix'": "fault 2: unknown kind for wix: nsfw",
    "[[faults]]\nkind = 'html'\nwhen = 3": "fault 1: unknown fault fields: when",
    "[[faults]]\nkind = 'html'\nafter_s = 'soon'": "fault 1: after_s must be a number of seconds, not 'soon'",
    "[[faults]]\nkind = 'html'\nfor_s = -1": "fault 1: for_s must be a number of seconds, not -1",
    "[[faults]]\nkind = 'html'\nprobability = '5 %'": "fault 1: probability cannot be '5 %'",
}


@pytest.mark.parametrize("text", BAD)
async def test_the_error_of_an_invalid_scenario_has_one_line(tmp_path, text):
    with pytest.raises(ScenarioError, match=BAD[text]) as raised:
        read_scenario(written(tmp_path, text))

    assert "\n" not in str(raised.value)


def test_the_command_rejects_an_invalid_scenario(tmp_path, forks):
    path = written(tmp_path, "[options]\nspeedd = 3")

    found = forks.run(("simulate", "--port", "0", "--scenario", str(path)), folder=tmp_path, environment=os.environ)

    assert found.code == 2
    assert found.err.strip().endswith(f"{path}: unknown options: speedd")
