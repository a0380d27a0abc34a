"""The description is true: answers match it, and requests that it allows or forbids are treated so (schemathesis).

`BLOGWORKER_HTTP_EXAMPLES=3000` sends up to so many requests per endpoint and mode. With `--junitxml` and
`-o junit_family=xunit1`, the property `requests` of each test says how many there were.
"""

import os
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from blogworker.web.app import ENDPOINTS
from blogworker.web.openapi import Endpoint, document

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
FEW = 10  # always the same ones; more are a search
INSIDE = re.compile(r"Traceback|psycopg|site-packages|\.py\b|select \w+|bw_[\w-]{8}|host=|dbname=", re.IGNORECASE)
EXAMPLES = int(os.environ.get("BLOGWORKER_HTTP_EXAMPLES", FEW))  # per endpoint and mode


def populate(served: Any) -> None:
    served.sql(
        "insert into blog_generations (instance_id, source_type, source_data, run_at) select 's' || n % 3, 'keyword', "
        "'{\"keyword\": \"k\"}', case when n = 1 then now() + interval '1 h' else now() end "
        "from generate_series(1, 30) as n"
    )
    served.sql("update blog_generations set status = 'FAILED', error = 'e' where id % 7 = 0")
    served.sql("update blog_generations set status = 'CANCELLED' where id % 11 = 0")
    served.sql(
        "insert into generation_errors (generation_id, attempt, stage, kind, message, retryable) "
        "select id, 1, 'ideas', 'Rejected', 'm', false from blog_generations where status = 'FAILED'"
    )
    served.sql(
        "insert into quotas (name, provider, requests_per_minute, tokens_per_minute) "
        "values ('openai/a', 'openai', 400, 1000), ('replicate/predictions', 'replicate', 600, null)"
    )
    served.sql("update provider_health set state = 'open', reason = 'r', opened_at = now() where provider = 'openai'")
    served.sql("update sites set paused_at = now(), pause_reason = 'p', budget_day_usd = 1, name = 'n' where ready")
    served.sql(
        "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until, stats) "
        "values (gen_random_uuid(), 'w', 'h', 1, '1', 50, now() + interval '1 h', '{}')"
    )
    served.sql(
        "insert into provider_usage (hour, provider, model, instance_id, requests, tokens_in, cost_usd) "
        "values (date_trunc('hour', now()), 'openai', 'm', 's0', 2, 300, 0.25)"
    )
    served.sql("insert into history values (date_trunc('minute', now()), 3, 1, 0, 30, 1, 2, 40, 60)")
    served.sql("insert into history_stages select minute, 'image', 3, 4, 5 from history")


@pytest.fixture(scope="module")
def populated(served: Any) -> Any:
    populate(served)
    return served


DESCRIBED = schemathesis.openapi.from_dict(document(ENDPOINTS))


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_the_interface_does_what_its_description_says(
    populated: Any,
    admin: httpx.Client,
    endpoint: Endpoint,
    mode: GenerationMode,
    record_property: Callable[[str, object], None],
) -> None:
    """No server error but 503, nothing of the inside in an answer, and a row for each job that was accepted."""
    operation = DESCRIBED[endpoint.path][endpoint.method]
    if mode is GenerationMode.NEGATIVE and endpoint.scope is None:
        pytest.skip("there is nothing that a request could get wrong")
    # A wrong value in a query may be sent as no value at all, which is right.
    checks = [*CHECKS, negative_data_rejection] if endpoint.body else CHECKS
    headers = {"authorization": admin.headers["authorization"]}
    jobs_before = jobs(populated)
    sent: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        derandomize=EXAMPLES == FEW,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        answered = case.call(base_url=populated.address, headers=headers, timeout=30)
        sent["requests"] += 1
        if endpoint.body and answered.status_code == 202:
            sent["accepted"] += answered.json().get("created", 1)
        assert answered.status_code < 500 or (answered.status_code == 503 and "retry-after" in answered.headers)
        if answered.status_code >= 400:
            assert not INSIDE.search(answered.text)
        case.validate_response(answered, checks=checks)

    check()

    record_property("requests", sent["requests"])
    assert jobs(populated) - jobs_before == sent["accepted"]


def jobs(served: Any) -> int:
    return int(served.sql("select count(*) from blog_generations")[0][0])


def test_the_description_is_served(admin: httpx.Client) -> None:
    served = admin.get("/openapi.json").json()
    assert served == document(ENDPOINTS)
    assert served["openapi"] == "3.1.0"
    for path, methods in served["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
