"""Structured logs: one event a line, JSON to standard output, colours on a terminal.

`EVENTS` is the table of all events; a test walks the source and fails on any other. `info` is the story, `warning`
healed by itself, `error` wants a person. Keys mean the same everywhere: worker_id, job_id, instance_id, attempt, stage,
provider, model, duration_s, wait_s, tokens, error_type, error.
"""

import logging
import sys
from typing import Any

import structlog

from blogworker.settings import LogSettings

EVENTS = {
    "worker_started": "a worker holds a lease and claims jobs: worker, version, concurrency",
    "worker_replaced": "a worker of the same name had a live lease; it is fenced out now",
    "worker_stopped": "the process ends in good order: settled, released",
    "drain_started": "a signal came: nothing more is claimed: signal, in_flight, drain_timeout_s",
    "drain_cut_short": "held jobs are released unfinished: in_flight",
    "lease_extended_late": "an extension failed; jobs stop by themselves when the lease ends: error",
    "lease_lost": "the lease ended, or the name was taken over; the process ends",
    "heartbeat": "every 30 s: slots, queue, oldest wait, rate, quota, counts since start",
    "jobs_claimed": "a claim found jobs: count, sites, duration_s",
    "job_settled": "the one line an attempt: outcome, status, stage, duration_s, error_type, error",
    "attempt_lost": "an attempt was no longer ours when it wrote: nothing was written",
    "stage_completed": "a stage stored its checkpoint: stage, duration_s, model, tokens",
    "jobs_rescued": "jobs of dead workers were taken back: count, failed",
    "jobs_promoted": "scheduled jobs became due: count",
    "site_paused": "a site cannot be served: instance_id, error",
    "listen_connected": "notifications wake this worker",
    "listen_lost": "the LISTEN connection broke; polling serves meanwhile: error",
    "claim_failed": "a claim could not be made: error",
    "settle_failed": "outcomes could not be stored yet; they are kept and sent again: error",
    "tick_failed": "a periodic act failed and will be tried again: tick, error",
    "migration_applied": "a migration ran: version, name, duration_s",
    "database_reconnecting": "a pooled connection broke and is being replaced",
}

LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}


def configure(settings: LogSettings) -> None:
    """Set structlog up for the process. Called once, by `cli`."""
    console = settings.format == "console" or (settings.format == "auto" and sys.stdout.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if console else [structlog.processors.dict_tracebacks]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.level]),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)


def get_logger() -> Any:
    return structlog.get_logger()
