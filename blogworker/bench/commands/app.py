"""The group `bench` with all its commands. The command line imports this module when `bench` is used."""

import typer

from blogworker.bench.commands.burst import burst
from blogworker.bench.commands.failover import failover
from blogworker.bench.commands.fairness import fairness
from blogworker.bench.commands.faults import faults
from blogworker.bench.commands.growth import growth
from blogworker.bench.commands.headline import headline
from blogworker.bench.commands.http import http
from blogworker.bench.commands.latency import io, pickup
from blogworker.bench.commands.outage import outage
from blogworker.bench.commands.pipeline import memory, pipeline, statements
from blogworker.bench.commands.queue import claim, enqueue, queue, recovery, settle, sustained
from blogworker.bench.commands.quota import limiter, quota
from blogworker.bench.commands.storm import chaos, storm

app = typer.Typer(rich_markup_mode=None)
for command in (
    claim,
    queue,
    enqueue,
    settle,
    sustained,
    growth,
    recovery,
    pipeline,
    statements,
    pickup,
    io,
    memory,
    http,
    burst,
    fairness,
    quota,
    limiter,
    headline,
    outage,
    faults,
    chaos,
    storm,
    failover,
):
    app.command()(command)
