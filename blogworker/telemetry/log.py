"""Structured logs: one event per line, JSON on standard output, colours on a terminal.

`EVENTS` is the table of all events and their keys; a key with a ? is only in some lines. A test compares it with the
source. `info` is normal operation, a `warning` recovers by itself, an `error` needs a person. A key has the same
meaning everywhere: worker_id, job_id, instance_id, attempt, stage, provider, model, duration_s, wait_s, tokens,
error_type, error. Lines of an attempt also have its job_id, instance_id and attempt. No line contains a secret.
"""

import logging
import re
import sys
import threading
import types
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
    "worker_replaced": "a worker of the same name had a live lease; it can write nothing any more: worker",
    "worker_stopped": "the process exits normally; attempts settled and released since its start: worker, settled, "
    "released",
    "drain_started": "a signal arrived, and no more jobs are claimed: signal, in_flight, drain_timeout_s",
    "drain_interrupted": "jobs in progress are released unfinished: in_flight",
    "settings_reloaded": "the settings were read again: changed (by setting, old -> new), needs_restart (in use "
    "after the next start)",
    "reload_failed": "the settings were read again and are wrong; none has changed: error",
    "reload_socket_refused": "`systemctl reload` cannot reach this worker, which continues: error",
    "worker_stalled": "a part of the worker hangs, so systemd will restart it: parts",
    "database_awaited": "the database cannot be used yet; the worker waits for it before it claims: error",
    "lease_lost": "the worker takes a new lease, or exits because another worker took its name: worker, error",
    "heartbeat": "every 30 s: the worker, the fleet and its quotas: worker, slots, in_flight, outcomes (since it "
    "started), blogs_per_s (of the fleet, in the last minute), pool, pending, ready_sites, oldest_wait_s, "
    "finished_last_minute, workers, oldest_xmin_age_s, spent_today_usd, budget_exhausted, open_breakers, quotas, "
    "sites_blocked",
    "jobs_claimed": "a claim found jobs; one line per second, the others at level debug: count, sites, duration_s",
    "job_settled": "an attempt ended; one line per attempt, for at most 50 DONE jobs per second: outcome, "
    "status, duration_s, title?, score? (of the post), tokens?, cost_usd?, stage?, error_type?, error?, unlogged? "
    "(jobs without a line since the last one)",
    "attempt_lost": "another worker held the job when the attempt ended, so nothing was written: duration_s",
    "stage_completed": "a stage stored its checkpoint; with its tokens and cost, and the defects found in the answer "
    "of a model: stage, duration_s, model?, tokens?, cost_usd?, defects?, score? (of the post, 0 to 100)",
    "checkpoint_ignored": "a checkpoint of an older version cannot be read, and its stage runs again: name, error",
    "post_truncated": "a post was larger than Wix accepts; its end was removed: size_before, size, blocks_removed",
    "model_replaced": "the provider does not know a model; the fallback was used: model, replacement",
    "picture_refused": "the provider refused to make a picture from a prompt: error, prompt",
    "author_replaced": "Wix does not know the author of a post; the site's owner is used instead: member_id",
    "cover_refused": "Wix refused to import a cover, so it is uploaded; or the upload, so the post has none: error",
    "cover_replaced": "Wix refused a draft because of its cover; it is sent again with another file, or none: media_id "
    "(of the new file), error",
    "post_url_omitted": "a post is published, but Wix did not return its address; its row has no url: error",
    "categories_skipped": "the categories of the site could not be read; its post is published without them: error",
    "tags_refused": "Wix refused the tags of a post; it is published without them: error",
    "jobs_rescued": "jobs of dead workers were taken back: workers (that lost them), count, failed",
    "lost_claims_released": "the answer to a claim was lost, so its jobs were released: count",
    "jobs_promoted": "scheduled jobs became due: count",
    "rows_recovered": "rows that were inserted without triggers (a restore) were added to the queue: sites, jobs",
    "restore_found": "the database has lost history, so jobs look for their work at the providers: since, reason",
    "lost_draft_found": "a job had made a draft or a post that the database had lost; it is used: draft_id, published",
    "budget_reached": "a budget is used up; claims of a site, or all, stop until there is room again: scope, error",
    "setting_ignored": "an unknown BLOGWORKER_ variable is set: name, meant (the most similar known one)",
    "model_unpriced": "a model has no price, so budgets do not count its cost: model",
    "site_paused": "a site cannot be served; one line per fleet: instance_id, error",
    "listen_connected": "the worker listens for notifications",
    "listen_suspended": "too many notifications; the worker polls until they stop: most_per_s, poll_s",
    "settle_failed": "the database refused an outcome permanently; the job will be released: job_id, error",
    "attempt_crashed": "an unexpected error ended an attempt; the job will be retried: exception",
    "tick_failed": "a periodic task started to fail, and is retried: tick, error_type, error",
    "tick_recovered": "the task works again: tick",
    "vacuum_blocked": "an old transaction prevents vacuum from cleaning the queue: transaction_age_s",
    "migration_applied": "a migration ran: version, name, duration_s",
    "migration_progressed": "a long statement of a migration runs: version, step (this statement), steps, progress",
    "migration_waited": "a migration did not get a lock and will be retried: version, name, error",
    "limiter_waited": "a call waited for its quota in its slot: quota, wait_s",
    "breaker_opened": "a circuit breaker opened; one line in the fleet: provider, reason, retry_in_s? (not by hand)",
    "breaker_probe_failed": "a probe failed; the next one comes later: provider, reason",
    "breaker_closed": "a circuit breaker closed; one line in the fleet: provider, open_s, by (probe or hand)",
    "refund_dropped": "the database permanently refused a refund of quota: quota, error_type, error",
    "database_lost": "the database cannot be reached; jobs in progress wait: error_type, error",
    "database_recovered": "the database can be reached again: duration_s",
    "schema_mismatch_found": "the database lacks what a statement needs; nothing is claimed: query, error_type, error",
    "schema_mismatch_ended": "the refused statements work again: duration_s",
    "newer_database_found": "a newer version has migrated the database, so this worker drains: error",
    "jobs_released": "jobs that waited too long for an incompatible database were requeued, no attempt used: count",
    "claim_failed": "a row makes every claim fail; the worker looks for the job at fault: error_type, error",
    "unclaimable_job_found": "a job makes every claim fail; it was ended, or its site was paused: job_id, instance_id, "
    "error",
    "site_skipped": "the database refuses a row of this site, so batches skip it for now: instance_id, error",
    "fork_server_died": "this worker cannot run suspects any more, so it drains, and systemd starts a new one: worker",
    "suspect_process_started": "a separate process runs the jobs that are suspected of killing workers: worker",
    "webhook_failed": "an endpoint does not accept deliveries; they wait. Once per failure: webhook, error",
    "webhook_recovered": "the endpoint accepts deliveries again: webhook",
    "webhook_disabled": "nothing is sent to an endpoint any more, until a person resumes it: webhook, error",
    "deliveries_expired": "deliveries were not accepted for a day: count",
    "tracing_skipped": "a receiver of traces is set, but cannot be used; the worker works without: error",
    "tracing_failed": "an unexpected error in what observes spans; the job goes on: exception",
    "trace_export_failed": "the receiver of traces refused spans or did not answer; one line until it does: count",
    "trace_export_recovered": "the receiver accepts traces again",
    "metrics_endpoint_started": "the worker's own metrics can be scraped: address",
    "metrics_endpoint_refused": "the port of the metrics cannot be opened; it is tried again: address, error",
    "alert_fired": "an alert began to fire: alert, subject, summary",
    "alert_resolved": "an alert ended: alert, subject, summary",
    "http_started": "the HTTP server accepts connections: address",
    "http_stopped": "the HTTP server exits normally",
    "request_answered": "a request was answered, at level debug: method, path, status, duration_s",
    "request_failed": "an unexpected error ended a request: error, exception",
    "suspect_process_ended": "that process ended, as no suspect is left: worker, exit_code",
}

LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}


KEY = re.compile(r"([a-z_]+)([?]?)(?: [(].*?[)])?(?:, |$)")


def keys_of(event: str) -> tuple[set[str], set[str]]:
    """Return the documented keys of an event: those in every line, and the optional ones."""
    _, colon, names = EVENTS[event].rpartition(": ")
    found = KEY.findall(names) if colon else []
    return {name for name, mark in found if not mark}, {name for name, mark in found if mark}


class Lines:
    """Writes to the current standard output."""

    def write(self, line: str) -> None:
        out = trusted(sys.stdout)
        out.write(f"{line}\n")
        out.flush()

    msg = log = debug = info = warn = warning = error = exception = critical = write


def configure(settings: LogSettings) -> None:
    """Set structlog up for the process. Called once, by `cli`."""
    console = settings.format == "console" or (settings.format == "auto" and sys.stdout.isatty())
    # Tracebacks have no local variables, because these contain keys, prompts and pictures.
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
            without_secrets,  # after exceptions are text, before anything is escaped
            *([in_one_line, _printable] if console else []),
            ForJournal(renderer) if is_journal(sys.stdout) else renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.level]),
        logger_factory=lambda *_: Lines(),
        cache_logger_on_first_use=False,
    )
    quiet_libraries()


def quiet_libraries() -> None:
    """Show only errors of the libraries on the terminal; our errors and events report the rest."""
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(WithoutSecrets(logging.BASIC_FORMAT))
    logging.basicConfig(handlers=[libraries], level=logging.ERROR)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # psycopg sets its own level; `database_lost` reports the same
    sys.unraisablehook = _unraisable
    threading.excepthook = _in_a_thread


class WithoutSecrets(logging.Formatter):
    """A formatter for the lines that libraries log."""

    def format(self, record: logging.LogRecord) -> str:
        text = SECRETS.hide(super().format(record))
        return marked(text, "error") if is_journal(sys.stderr) else text


def _unraisable(found: "sys.UnraisableHookArgs") -> None:
    """Ignore errors that psycopg cannot raise, as when a connection is closed during a statement."""
    if not found.exc_type.__module__.startswith("psycopg"):
        what = f"{found.err_msg or 'Exception ignored in'} {found.object!r}"
        _report(what, found.exc_type, found.exc_value, found.exc_traceback)


def _in_a_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is not SystemExit:
        _report("a thread ended", ended.exc_type, ended.exc_value, ended.exc_traceback)


def _report(
    what: str, kind: type[BaseException], error: BaseException | None, trace: types.TracebackType | None
) -> None:
    """Log an error like a library: on standard error, without secrets."""
    logging.getLogger("python").error(what, exc_info=(kind, error or kind(), trace))


class _Shown:
    """A value whose repr a terminal may show."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return printable(repr(self._value))


def _printable(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape hidden characters before the renderer adds colours."""
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
    """Hide secrets in every string of a line, at any depth."""
    cleaned: EventDict = SECRETS.hide_all(event)
    return cleaned


def get_logger() -> Any:
    return structlog.get_logger()
