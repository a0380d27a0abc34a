"""No key and no token is ever written down: not in a log, not in a row, not on a terminal, however the vendors fail."""

import json
import subprocess
import sys
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from psycopg.conninfo import make_conninfo

from blogworker.redact import forms
from tests.forks import Forks

from .conftest import Queue, Start, Vendors, bare_environment, until

KEYS = {  # of no known prefix, and with all that a pattern, a shell, a log or an address would stumble over
    "OPENAI_API_KEY": "Zq$(.*)\"'%2F+[9]{x}|^~\\k-0penA1",
    "REPLICATE_API_TOKEN": "repl1cate.of;this?test&one=two",
    "WIX_APP_SECRET": "w1xSecret-OfThisTest-4711",
}
PASSWORD = "p%ss w'rd/of@this:test"  # noqa: S105
TOKEN = "OauthNG"  # every token of the simulated Wix begins so  # noqa: S105
CREDENTIAL = "{credential}"  # the simulator puts in its place what the call was authorized by
COMMANDS = [["list"], ["show", "1", "--json"], ["breakers", "--json"]]
SECRETS = {*KEYS.values(), PASSWORD}


def stored(queue: Queue) -> dict[str, str]:
    """Every column of every table, as text; what is binary as well."""
    columns = queue.run(
        "select c.table_schema || '.' || quote_ident(c.table_name) as place, quote_ident(c.column_name) as name, "
        "c.data_type from information_schema.columns as c join information_schema.tables as t "
        "using (table_schema, table_name) where t.table_type = 'BASE TABLE' "
        "and c.table_schema not in ('pg_catalog', 'information_schema')"
    )
    found = {}
    for column in columns:
        place, name = column["place"], column["name"]
        shown = f"encode({name}, 'escape')" if column["data_type"] == "bytea" else f"{name}::text"
        found[f"{place}.{name}"] = str(queue.value(f"select coalesce(string_agg({shown}, E'\\n'), '') from {place}"))
    return found


def leaks(places: dict[str, str]) -> list[tuple[str, str]]:
    """Where which secret stands, in whatever form."""
    known = [(form, secret) for secret in SECRETS for form in forms(secret)]
    found = [(place, secret) for place, text in places.items() for form, secret in known if form in text]
    return found + [(place, TOKEN) for place, text in places.items() if TOKEN in text]


def echoes(key: str) -> list[dict[str, Any]]:
    """Faults that repeat what was sent, in the words and fields of any vendor."""
    told = f"Incorrect API key provided: {CREDENTIAL}. Authorization was: Bearer {CREDENTIAL}"
    named = {"message": told, "type": CREDENTIAL, "code": CREDENTIAL, "param": CREDENTIAL}
    encoded = f"{quote(key)} {b64encode(b'user:' + key.encode()).decode()} {json.dumps({'key': key})!r} {escape(key)}"
    wix = {"applicationError": {"code": CREDENTIAL, "description": told}}
    headers = {"x-request-id": CREDENTIAL, "x-wix-request-id": CREDENTIAL, "retry-after": CREDENTIAL}
    return [
        {"status": 400, "body": {"error": named, "detail": told, "message": told, "details": wix}, "headers": headers},
        {"status": 400, "body": {"error": {"message": encoded}, "detail": encoded, "message": encoded}},
        {"status": 502, "body": f"<html>{CREDENTIAL}</html>", "headers": {"content-type": "text/html"}},
    ]


def on_the_terminal(forks: Forks, folder: Path, dsn: str) -> dict[str, str]:
    """What an operator sees who has no keys."""
    environment = bare_environment(folder) | {"DATABASE_URL": dsn}
    shown = {}
    for command in COMMANDS:
        ended = forks.run(tuple(command), folder=folder, environment=environment)
        assert ended.code == 0, ended.err
        shown[" ".join(command)] = ended.out + ended.err
    return shown


@pytest.mark.timeout(150)
def test_no_key_or_token_is_logged_stored_or_shown(
    vendors: Vendors, queue: Queue, start: Start, site: str, database_url: str, tmp_path: Path, forks: Forks
) -> None:
    """At debug level, with vendors that repeat our keys wherever they can, break off, redirect and time out."""
    openai, replicate, wix = KEYS.values()
    removed = str(uuid4())  # its token is refused when its shop is read: it is paused, with what Wix says as the reason
    for vendor, operations, key in (
        ("openai", ["responses.create"] * 3, openai),
        ("replicate", ["predictions.create"] * 3, replicate),
        ("wix", ["drafts.create", "drafts.create", "drafts.publish"], "its token, which nobody knows"),
    ):
        for operation, fault in zip(operations, echoes(key), strict=True):
            vendors.set("faults", vendor=vendor, operation=operation, kind="echo", times=1, **fault)
    vendors.set("faults", vendor="wix", operation="oauth.token", site=removed, kind="echo", **echoes(wix)[0])
    queue.add(site, *(f"topic {n}" for n in range(10)))
    queue.run("select enqueue_blog(%s, 'product', 'mug-1', '{}')", removed)

    worker = start(vendors, "--concurrency", "12", **KEYS, PGPASSWORD=PASSWORD)
    until(lambda: queue.count("status in ('DONE', 'FAILED')") == 10, within_s=120, of=queue.told)
    until(lambda: queue.value("select count(pause_reason) from sites") == 1, of=queue.told)
    vendors.set("faults", vendor="openai", kind="echo", **(echoes(openai)[0] | {"status": 401}))
    queue.add(site, "refused")
    until(lambda: queue.value("select count(reason) from provider_health where state <> 'closed'") == 1, of=queue.told)
    worker.kill()

    places = {"stdout": worker.log.read_text(), "stderr": worker.errors.read_text(), **stored(queue)}
    assert "error_type" in places["stdout"], "the run was not faulty"
    columns = [f"generation_errors.{name}" for name in ("message", "code", "request_id")]
    for column in (*columns, "blog_generations.error", "sites.pause_reason", "provider_health.reason"):
        assert "[secret]" in places[f"public.{column}"], column
    places |= on_the_terminal(forks, tmp_path, database_url)
    assert leaks(places) == []


def test_an_error_on_the_terminal_shows_no_secret(tmp_path: Path) -> None:
    """Neither in its one line, nor in the traceback of one that nobody foresaw."""
    dsn = make_conninfo(host=f"/nowhere/{PASSWORD}", user="shop", password=PASSWORD, dbname="blog")
    environment = bare_environment(tmp_path) | {"DATABASE_URL": dsn, **KEYS}
    crash = (
        "import os\n"
        "from blogworker.cli import app\n"
        "def run(): raise ValueError(*os.environ.values())\n"
        "app._run = run\n"
        "app.main()\n"
    )

    shown = {}
    for name, arguments in {"status": ["-m", "blogworker", "status"], "crash": ["-c", crash]}.items():
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode != 0
        shown[name] = ended.stdout + ended.stderr

    assert "cannot connect to Postgres" in shown["status"]
    assert "Traceback" in shown["crash"]
    assert "[secret]" in shown["crash"]
    assert leaks(shown) == []
