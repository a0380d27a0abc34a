"""What a careless or hostile client may send: nobody else waits for it, and nothing grows without a limit."""

import json
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest

from blogworker.ops.tokens import new_token
from blogworker.web.access import REFUSALS_A_MINUTE

from .conftest import serving

JOBS = "/api/blog-generation"
AT_ONCE = REFUSALS_A_MINUTE / 4  # wrong tokens, before they are slowed down


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def connection(served: Any, timeout: float = 120) -> socket.socket:
    address = urlsplit(served.address)
    return socket.create_connection((address.hostname, address.port), timeout=timeout)


@pytest.mark.parametrize(
    "make_body",
    [
        lambda: {"jobs": [{"sourceType": "keyword", "sourceId": "k", "sourceData": {"a": [0] * 2_000_000}}]},
        lambda: {"jobs": [{str(number): 0 for number in range(400_000)}]},
        lambda: {str(number): 0 for number in range(400_000)},
        lambda: {"jobs": [{}] * 1_000_000},
    ],
    ids=["many values", "many fields", "many fields outside", "many jobs"],
)
def test_a_large_batch_holds_up_nobody(served: Any, admin: httpx.Client, make_body: Callable[[], Any]) -> None:
    data = json.dumps(make_body(), separators=(",", ":")).encode()
    before = resident_mb(served.process.pid)
    with served.client() as other, ThreadPoolExecutor(1) as pool:
        answered = pool.submit(admin.post, f"{JOBS}/batch", content=data)
        waits = []
        while not answered.done():
            began = time.monotonic()
            assert other.get("/healthz").status_code == 200
            waits.append(time.monotonic() - began)
    assert answered.result().status_code == 400, answered.result().text[:300]
    assert max(waits) < 20, "it was 36 s"
    assert resident_mb(served.process.pid) - before < 700, "it was 1,300 MB"


def test_the_key_of_a_job_on_a_batch_is_refused(admin: httpx.Client) -> None:
    batch = {"jobs": [{"instanceId": "b", "sourceType": "keyword", "sourceId": "k"}]}
    answered = admin.post(f"{JOBS}/batch", json=batch, headers={"idempotency-key": "k"})
    assert answered.status_code == 400
    assert "idempotencyKey" in answered.text


def test_batches_with_the_same_keys_in_another_order_do_not_deadlock(served: Any, admin: httpx.Client) -> None:
    jobs = [
        {"instanceId": "order", "sourceType": "keyword", "sourceId": "k", "idempotencyKey": f"k{number:04}"}
        for number in range(1000)
    ]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda part: admin.post(f"{JOBS}/batch", json={"jobs": part}), (jobs, jobs[::-1])))
    assert [answer.status_code for answer in answers] == [202, 202], [answer.text for answer in answers]
    assert sum(answer.json()["created"] for answer in answers) == 1000


@pytest.mark.parametrize("keys", [["a", "b"], [""], ["x" * 201], ["é"], ["a\tb"]])
def test_an_unclear_key_is_refused(served: Any, admin: httpx.Client, keys: list[str]) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1")) for key in keys]
    body = {"instanceId": "s", "sourceType": "keyword", "sourceId": "k"}
    answered = admin.post(JOBS, json=body, headers=[*admin.headers.raw, *headers])
    assert answered.status_code == 400, answered.text


def test_a_number_with_thousands_of_digits_is_no_job(admin: httpx.Client) -> None:
    for path in (f"{JOBS}/{'9' * 5000}", f"{JOBS}/{'9' * 5000}/cancel", f"{JOBS}/{'9' * 20}"):
        answered = admin.request("POST" if path.endswith("cancel") else "GET", path)
        assert answered.status_code == 404
        assert answered.headers["content-type"] == "application/problem+json"


def test_wrong_tokens_are_slowed_down_and_hold_up_no_valid_one(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path) as served, served.client() as client:
        began, status, refused = time.monotonic(), 401, -1
        while status == 401:
            status = client.get("/api/quotas", headers={"authorization": f"Bearer {new_token()}"}).status_code
            refused += 1
        assert status == 429
        assert AT_ONCE <= refused <= AT_ONCE + 1 + (time.monotonic() - began) * REFUSALS_A_MINUTE / 60
        with served.client("read") as other:
            assert other.get("/api/quotas").status_code == 200


def test_silent_connections_do_not_use_up_the_files(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path, BLOGWORKER_HTTP_CONNECTIONS="50") as served, ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connection(served))
        _until(lambda: len(os.listdir(f"/proc/{served.process.pid}/fd")) < 100)
        stack.close()
        with served.client() as client:
            until = time.monotonic() + 20
            while True:
                with suppress(httpx.HTTPError):
                    assert client.get("/healthz").status_code == 200
                    break
                assert time.monotonic() < until


def test_a_hanging_database_does_not_hang_readiness(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path) as served, served.client() as client:
        assert client.get("/readyz").status_code == 200
        with psycopg.connect(database_url) as holder:
            holder.execute("lock table pg_catalog.pg_proc, blogworker_migrations in access exclusive mode")
            began = time.monotonic()
            with ThreadPoolExecutor(4) as pool:
                until = time.monotonic() + 60
                answers = [200]
                while 200 in answers and time.monotonic() < until:  # an answer is shared for a second
                    answers = list(pool.map(lambda _: client.get("/readyz").status_code, range(4)))
            assert set(answers) == {503}
            assert time.monotonic() - began < 40, "it was 60 s for each"


def test_requests_that_wait_for_a_lock_leave_connections_for_others(served: Any, admin: httpx.Client) -> None:
    body = {"instanceId": "locked", "sourceType": "keyword", "sourceId": "k"}
    with psycopg.connect(served.database_url) as holder, ThreadPoolExecutor(40) as pool:
        holder.execute("lock table blog_generations in access exclusive mode")
        waiting = [pool.submit(admin.post, JOBS, json=body) for _ in range(40)]
        for _ in range(5):
            assert admin.get("/api/breakers").status_code == 200
        holder.rollback()
        assert {answer.result().status_code for answer in waiting} == {202}
    assert served.sql("select count(*) from blog_generations where instance_id = 'locked'") == [(40,)]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_a_client_does_not_wait_for_is_not_read_but_it_is_stored(
    served: Any, admin: httpx.Client, method: str
) -> None:
    """The statements of readers who have left would keep connections from the others."""
    site = f"left {uuid4()}"
    body = json.dumps({"instanceId": site, "sourceType": "keyword", "sourceId": "k"}) if method == "POST" else ""
    head = f"{method} {JOBS} HTTP/1.1\r\nhost: s\r\nauthorization: {admin.headers['authorization']}\r\n"
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    with psycopg.connect(served.database_url) as holder:
        holder.execute("lock table blog_generations in access exclusive mode")
        with connection(served) as leaving:
            leaving.sendall(f"{head}\r\n{body}".encode())
            _until(lambda: served_waits(holder))
        if method == "GET":
            _until(lambda: not served_waits(holder))
        else:
            for _ in range(3):  # by then the server has seen that the client left
                assert admin.get("/api/breakers").status_code == 200
            assert served_waits(holder)
    if method == "POST":
        _until(lambda: served.sql("select count(*) from blog_generations where instance_id = %s", site) == [(1,)])
    assert admin.get("/api/breakers").status_code == 200


def test_lost_connections_of_the_pool_are_replaced_before_they_are_used(served: Any, admin: httpx.Client) -> None:
    for _ in range(3):
        served.sql(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity "
            "where application_name = 'blogworker serve' and datname = current_database()"
        )
        answers = [admin.get("/api/breakers") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200] * 4, answers[0].text


def test_a_request_that_the_end_of_the_server_cuts_off_may_be_repeated(database_url: str, tmp_path: Path) -> None:
    with (
        serving(database_url, tmp_path) as served,
        served.client("intake") as client,
        psycopg.connect(database_url) as holder,
        ThreadPoolExecutor(1) as pool,
    ):
        holder.execute("lock table blog_generations in access exclusive mode")
        body = {"instanceId": "s", "sourceType": "keyword", "sourceId": "k"}
        answered = pool.submit(client.post, JOBS, json=body)
        _until(lambda: served_waits(holder))
        served.process.terminate()
        answer = answered.result()
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"


def served_waits(holder: "psycopg.Connection[Any]") -> bool:
    found = holder.execute(
        "select count(*) from pg_locks where not granted and relation = 'blog_generations'::regclass"
    ).fetchone()
    return bool(found and found[0])


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until


@pytest.mark.slow
def test_bytes_that_are_no_request_do_not_keep_a_connection(served: Any) -> None:
    """A dripping client lives as long as a silent one."""
    with connection(served) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        while b"alive" not in answer:
            answer += slow.recv(4096)
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        began = time.monotonic()
        with suppress(ConnectionError):
            assert slow.recv(4096) == b""
        assert time.monotonic() - began < 60


def test_the_stats_of_the_fleet_are_sums_for_a_token_of_a_site(served: Any) -> None:
    served.sql("insert into quotas (name, provider, requests_per_minute) values ('openai/m', 'openai', 40)")
    with served.client("intake", sites=("one",)) as client:
        found = client.get("/api/rate-limiter/stats").json()
    assert found["quotas"] == []
    assert found["maxRPM"] == 40
