"""What each statement of a whole blog costs: how often it runs, and its time and write-ahead log."""

import re
from collections import defaultdict
from dataclasses import dataclass

from anyio import fail_after, sleep

from blogworker.bench.load.large_quotas import large_quotas, require_running
from blogworker.bench.pipeline import SITES, SLOWEST_S, START_S
from blogworker.bench.scratch import server
from blogworker.db.sql import prepared, statement_names

POLL_S = 0.5
RARE = 0.1  # calls per blog; what is called less often is shown as one line
RARELY, ALL = "called rarely", "all"
OTHER = ""  # settings of a session, and what the benchmark itself does
# What the server replaces in the text that it shows, and what it leaves out.
NORMALIZED = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\$\d+|\b(?:\d+(?:\.\d+)?(?:e\d+)?|true|false|null|epoch)\b|[\s,;()-]+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Cost:
    """The field names are the keys of the JSON output. All are per blog, except `ms_per_call`."""

    statement: str
    calls: float
    ms: float
    ms_per_call: float
    wal_kb: float


@dataclass(slots=True)
class _Total:
    calls: int = 0
    ms: float = 0.0
    wal_bytes: int = 0


async def measure(*, jobs: int, slots: int, speed: float) -> list[Cost]:
    """Make so many blogs with one worker. Return the statements by their time, the most expensive first, then the sum.

    Raises TimeoutError if the blogs are not DONE in time.
    """
    names = {_key(prepared(name).text.decode()): name for name in statement_names()}
    totals: defaultdict[str, _Total] = defaultdict(_Total)
    async with server() as dsn, large_quotas(dsn, slots=slots, speed=speed) as env:
        await env.database.execute("bench/add_statistics")
        await env.database.execute("bench/insert_round_robin", prefix="site", sites=SITES, jobs=jobs)
        await env.fleet.start("statements")
        with fail_after(START_S + SLOWEST_S * jobs):
            while (await env.database.one("bench/pipeline_state"))["ended"] < jobs:
                require_running(env.fleet, ["statements"])
                await sleep(POLL_S)
        for row in await env.database.rows("bench/costs"):
            name = names.get(_key(row["query"]), OTHER)
            if name == OTHER or name.startswith("bench/"):
                continue
            for total in (totals[name if row["calls"] >= RARE * jobs else RARELY], totals[ALL]):
                total.calls += row["calls"]
                total.ms += row["ms"]
                total.wal_bytes += row["wal_bytes"]
    whole = totals.pop(ALL)
    costs = [_cost(name, total, jobs) for name, total in sorted(totals.items(), key=lambda item: -item[1].ms)]
    return [*costs, _cost(ALL, whole, jobs)]


def _cost(name: str, total: _Total, jobs: int) -> Cost:
    return Cost(
        statement=name,
        calls=round(total.calls / jobs, 2),
        ms=round(total.ms / jobs, 2),
        ms_per_call=round(total.ms / total.calls, 2),
        wal_kb=round(total.wal_bytes / jobs / 1024, 2),
    )


def _key(query: str) -> str:
    """What a statement's own text and the text that the server shows have in common."""
    return NORMALIZED.sub(" ", query).casefold().replace(" ", "")
