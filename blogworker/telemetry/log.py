"""Structured logs: one event a line, JSON to standard output, colours on a terminal.

`EVENTS` is the table of all events and their keys, with a ? those that only some lines have; a test walks the source
and fails on any other. `info` is the story, `warning` healed by itself, `error` wants a person. Keys mean the same
everywhere: worker_id, job_id, instance_id, attempt, stage, provider, model, duration_s, wait_s, tokens, error_type,
error. What an attempt logs has its job_id, instance_id and attempt besides. No line shows a secret.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from blogworker.printable import printable, printable_lines
from blogworker.redact import SECRETS
from blogworker.settings import LogSettings
from blogworker.telemetry.console import in_one_line
from blogworker.telemetry.journal import ForJournal, is_journal, marked
from blogworker.telemetry.streams import coloured, trusted

EVENTS = {
    "worker_started": "a worker holds a lease and claims jobs: worker, worker_id, version, concurrency",
    "worker_replaced": "a worker of the same name had a live lease; it is fenced out now: worker",
    "worker_stopped": "the process ends in good order; since its start, attempts that ended and those that were "
    "released: worker, settled, released",
    "drain_started": "a signal came: nothing more is claimed: signal, in_flight, drain_timeout_s",
    "drain_cut_short": "held jobs are released unfinished: in_flight",
    "lease_lost": "a new lease is begun, or the name was taken over and the process ends: worker, error",
    "heartbeat": "every 30 s, the worker, the fleet and its quotas: worker, slots, in_flight, outcomes (since it "
    "started), pool, pending, ready_sites, oldest_wait_s, finished_last_minute, workers, xmin_held_s, spent_today_usd, "
    "budget_shut, left_alone, quotas, sites_blocked",
    "jobs_claimed": "a claim found jobs: count, sites, duration_s",
    "job_settled": "the one line an attempt; tokens and cost_usd are its own: outcome, status, duration_s, title?, "
    "tokens?, cost_usd?, stage?, error_type?, error?",
    "attempt_lost": "an attempt was no longer ours when it wrote: nothing was written: duration_s",
    "stage_completed": "a stage stored its checkpoint; with what it paid for: stage, duration_s, model?, tokens?, "
    "cost_usd?",
    "checkpoint_ignored": "what an older version left of a blog is not understood, and is made again: name, error",
    "post_shortened": "a post was larger than Wix takes, its end was left out: size_before, size, blocks_left_out",
    "model_replaced": "the vendor does not know a model; the fallback was used: model, replacement",
    "picture_refused": "the vendor will not draw from what it was given: error, prompt",
    "author_replaced": "Wix does not know the author of a post; the site's owner takes its place: member_id",
    "post_unlisted": "a post is published, and Wix does not tell where; its row has no url: error",
    "tags_refused": "the site's blog would not have a post's tags; it is published without: error",
    "jobs_rescued": "jobs of dead workers were taken back: workers (whose they were), count, failed",
    "strays_released": "jobs held without knowing were handed back: a claim's answer was lost: count",
    "jobs_promoted": "jobs whose time came joined the line: count",
    "rows_recovered": "rows that were inserted without firing the triggers (a restore) were put in line: sites, jobs",
    "budget_reached": "a site is paused, or all claims are shut out, until there is room again: scope, error",
    "setting_ignored": "a BLOGWORKER_ variable is set that no worker reads: name, meant (the one closest to it)",
    "model_unpriced": "a model has no price: what it costs is not counted, and no budget holds it: model",
    "site_paused": "a site cannot be served, once in the fleet: instance_id, error",
    "listen_connected": "notifications wake this worker",
    "listen_flooded": "too many notifications came, none is read for now; until they end it polls: most_per_s, poll_s",
    "settle_failed": "the database refused an outcome for good; the job will be handed back: job_id, error",
    "attempt_crashed": "an error nobody foresaw ended an attempt; the job will be tried again: exception",
    "tick_failed": "a periodic act began to fail and is tried again: tick, error_type, error",
    "tick_recovered": "it works again: tick",
    "vacuum_held_back": "a transaction this old keeps vacuum from cleaning the queue: held_s",
    "migration_applied": "a migration ran: version, name, duration_s",
    "migration_waited": "a migration met a lock of somebody else's, gave way, and will try again: version, name, error",
    "limiter_waited": "a call waited for its quota in its slot: quota, wait_s",
    "breaker_opened": "a provider is left alone, once in the fleet: provider, reason, retry_in_s? (not by hand)",
    "breaker_probe_failed": "the one call let through failed too, the next comes later: provider, reason",
    "breaker_closed": "the provider is used again, once in the fleet; by a probe, or by hand: provider, open_s, by",
    "refund_dropped": "the database refused for good what calls gave back of a quota: quota, error_type, error",
    "database_lost": "the database cannot be used; what is in hand waits: error_type, error",
    "database_back": "it can be used again: duration_s",
    "misfit_found": "the database lacks what a statement needs; nothing is claimed: query, error_type, error",
    "misfit_ended": "statements get through again: duration_s",
    "newer_database_found": "a newer version has migrated the database, and this one does not fit: it drains: error",
    "jobs_released": "jobs that wait for a database that does not fit are released, without using an attempt: count",
    "claim_failed": "a claim met data that stops it; the job at fault is looked for: error_type, error",
    "job_condemned": "a job that stops every claim is FAILED, or its site paused: job_id, instance_id, error",
    "suspects_started": "a process of its own runs the jobs that are suspected of killing workers: worker",
    "suspects_ended": "no suspect is left for it: worker, exit_code",
}

LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}


KEY = re.compile(r"([a-z_]+)([?]?)(?: [(].*?[)])?(?:, |$)")


def keys_of(event: str) -> tuple[set[str], set[str]]:
    """The documented keys of an event: those that each line has, and those that it may have."""
    _, colon, names = EVENTS[event].rpartition(": ")
    found = KEY.findall(names) if colon else []
    return {name for name, mark in found if not mark}, {name for name, mark in found if mark}


class Lines:
    """Writes to what standard output is at the time."""

    def write(self, line: str) -> None:
        out = trusted(sys.stdout)
        out.write(f"{line}\n")
        out.flush()

    msg = log = debug = info = warn = warning = error = exception = critical = write


def configure(settings: LogSettings) -> None:
    """Set structlog up for the process. Called once, by `cli`."""
    console = settings.format == "console" or (settings.format == "auto" and sys.stdout.isatty())
    # Tracebacks without local variables: those hold keys, prompts and pictures.
    frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    traceback_text = structlog.dev.plain_traceback
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=coloured(sys.stdout), exception_formatter=traceback_text)
        if console
        else structlog.processors.JSONRenderer(default=str)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if console else structlog.processors.ExceptionRenderer(frames),
            without_secrets,  # after exceptions became text, before anything is escaped
            *([in_one_line, _printable] if console else []),
            ForJournal(renderer) if is_journal(sys.stdout) else renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.level]),
        logger_factory=lambda *_: Lines(),
        cache_logger_on_first_use=False,
    )
    quiet_libraries()


def quiet_libraries() -> None:
    """Keep what libraries say off the terminal: what goes wrong is an error or an event of ours, in our words."""
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(WithoutSecrets(logging.BASIC_FORMAT))
    logging.basicConfig(handlers=[libraries], level=logging.ERROR)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it sets its own; `database_lost` says what it would
    sys.unraisablehook = _unraisable


class WithoutSecrets(logging.Formatter):
    """For what libraries log by themselves."""

    def format(self, record: logging.LogRecord) -> str:
        text = SECRETS.hide(super().format(record))
        return marked(text, "error") if is_journal(sys.stderr) else text


def _unraisable(found: "sys.UnraisableHookArgs") -> None:
    """A connection that is closed while a statement is on its way has no more to say."""
    if not found.exc_type.__module__.startswith("psycopg"):
        sys.__unraisablehook__(found)


class _Shown:
    """A value whose repr a terminal may show."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return printable(repr(self._value))


def _printable(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hidden characters become escapes before the renderer adds its colours."""
    return {printable(key): _shown(key, value) for key, value in event.items()}


def _shown(key: str, value: Any) -> Any:
    match value:
        case str() if key in ("stack", "exception"):
            return printable_lines(value)
        case str():
            return value if printable(value) == value else _Shown(value)
        case _:
            return value if key == "exc_info" else _Shown(value)


def without_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Each string of a line cleaned, at any depth."""
    cleaned: EventDict = SECRETS.hide_all(event)
    return cleaned


def get_logger() -> Any:
    return structlog.get_logger()
