"""Commands for developers are apart from the operator's, and cost them nothing."""

import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from blogworker.plurals import counted


def test_the_help_lists_commands_for_developers_last(offline: Any) -> None:
    """An operator reads the first list; `bench` needs no production database."""
    parts = offline("--help").out.split("Commands:\n")[1].split("For developers:\n")

    operators, developers = ([line.split()[0] for line in part.splitlines() if line.strip()] for part in parts)
    assert developers == ["simulate", "demo", "bench"]
    assert {"run", "enqueue", "status", "sites", "costs"} <= set(operators)
    assert not {"simulate", "demo", "bench"} & set(operators)


def test_only_bench_imports_the_bench() -> None:
    """Every other command would wait for imports that it does not use."""
    code = (
        "import sys; from blogworker.cli.app import command; command().main(['list', '--help'], standalone_mode=False);"
        "assert not [name for name in sys.modules if name.startswith('blogworker.bench')], 'imported'"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")


def test_bench_lists_its_commands_and_refuses_others(offline: Any) -> None:
    listed, unknown, twice = (
        offline("bench", *args) for args in (("--help",), ("nothing",), ("claim", "--jobs", "1000", "--jobs", "2000"))
    )

    assert {"claim", "fairness", "quota", "chaos"} <= set(listed.out.split())
    assert (unknown.code, "No such command 'nothing'" in unknown.err) == (2, True)
    assert (twice.code, "--jobs was given 2 times" in twice.err) == (2, True)


@given(st.integers(0, 10**9), st.sampled_from(["job", "site", "finished job"]))
def test_a_number_agrees_with_its_noun(number: int, noun: str) -> None:
    """`1 jobs for 1 sites` was printed."""
    assert counted(number, noun).endswith("s") == (number != 1)
    assert int(counted(number, noun).split()[0].replace(",", "")) == number
