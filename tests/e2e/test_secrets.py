"""No key and no token is ever written down: not in a log, not in a row, however the vendors fail."""

import re

import pytest

from .conftest import Queue, Start, Vendors, until

KEYS = {
    "OPENAI_API_KEY": "sk-proj-0penA1SecretOfThisTest",
    "REPLICATE_API_TOKEN": "r8_Repl1cateSecretOfThisTest",
    "WIX_APP_SECRET": "w1xSecret-OfThisTest-4711",
}
TOKEN = re.compile("OauthNG")  # every token of Wix begins so
TOLD = "Incorrect API key provided: {}. Authorization was: Bearer {}"  # as vendors like to repeat it


def stored(queue: Queue) -> dict[str, str]:
    """Every column of every table that can hold text, whole."""
    columns = queue.run(
        "select c.table_name, c.column_name from information_schema.columns as c join information_schema.tables as t "
        "using (table_schema, table_name) where c.table_schema = 'public' and t.table_type = 'BASE TABLE' "
        "and c.data_type in ('text', 'jsonb', 'json', 'character varying', 'ARRAY', 'bytea')"
    )
    found = {}
    for column in columns:
        table, name = column["table_name"], column["column_name"]
        shown = f"encode({name}, 'escape')" if (table, name) == ("blog_posts", "image") else f"{name}::text"
        found[f"{table}.{name}"] = str(queue.value(f"select coalesce(string_agg({shown}, ' '), '') from {table}"))
    return found


@pytest.mark.timeout(300)
def test_no_key_or_token_is_logged_or_stored(vendors: Vendors, queue: Queue, start: Start, site: str) -> None:
    """At debug level, with vendors that repeat our keys in their refusals, break off, redirect and time out."""
    openai, replicate, wix = KEYS.values()
    queue.add(site, *(f"topic {n}" for n in range(12)))
    for vendor, operation, key in (
        ("openai", "responses.create", openai),
        ("replicate", "predictions.create", replicate),
        ("wix", "oauth.token", wix),
    ):
        told = TOLD.format(key, key)
        body = {"error": {"message": told, "code": "x"}, "detail": told, "message": told, "error_description": told}
        common = {"vendor": vendor, "operation": operation, "times": 2}
        vendors.set("faults", **common, kind="status", status=500, body=body)
        vendors.set("faults", **common, kind="status", status=400 if vendor != "wix" else 503, body=body)
        vendors.set("faults", **common, kind="reset_after")
        vendors.set("faults", **common, kind="malformed")
    vendors.set("faults", kind="status", vendor="wix", operation="drafts.publish", status=401, times=1)

    worker = start(vendors, "--concurrency", "6", **KEYS)
    until(lambda: queue.count("status in ('DONE', 'FAILED')") == 12, within_s=120, of=queue.told)
    worker.kill()

    places = {"stdout": worker.log.read_text(), "stderr": worker.errors.read_text(), **stored(queue)}
    assert "error_type" in places["stdout"], "the run was not faulty"
    assert "[secret]" in places["generation_errors.message"] or "***" in places["generation_errors.message"]
    leaked = [(place, name) for place, text in places.items() for name, key in KEYS.items() if key in text]
    leaked += [(place, "token") for place, text in places.items() if TOKEN.search(text)]
    assert leaked == []
