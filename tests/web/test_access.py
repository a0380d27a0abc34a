"""Who may do what: tokens, scopes, sites, expiry, revocation, rates."""

import os
import subprocess
import sys
import time
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from blogworker.ops.tokens import is_well_formed, new_token
from blogworker.web.access import LOOKUPS_A_MINUTE, REFUSALS_A_MINUTE, Gatekeeper
from blogworker.web.problems import Problem

from .conftest import serving

JOBS = "/api/blog-generation"
BODY = {"sourceType": "keyword", "sourceData": {"keyword": "k"}}
# The endpoints, and which of intake, read and operate may call each.
DEEDS = {
    ("POST", JOBS): "I",
    ("POST", f"{JOBS}/batch"): "I",
    ("GET", JOBS): "IR",
    ("GET", f"{JOBS}/1"): "IR",
    ("POST", f"{JOBS}/1/cancel"): "O",
    ("POST", f"{JOBS}/1/retry"): "O",
    ("GET", "/api/rate-limiter/stats"): "IR",
    ("GET", "/api/replicate-rate-limiter/stats"): "IR",
    ("GET", "/api/status"): "R",
    ("GET", "/api/sites"): "R",
    ("POST", "/api/sites/s/pause"): "O",
    ("POST", "/api/sites/s/resume"): "O",
    ("GET", "/api/quotas"): "R",
    ("GET", "/api/breakers"): "R",
    ("POST", "/api/breakers/openai/close"): "O",
    ("GET", "/api/errors"): "R",
    ("GET", "/api/history"): "R",
    ("GET", "/api/costs"): "R",
    ("GET", "/api/audit"): "R",
    ("GET", "/metrics"): "R",
}
SCOPES = {"I": "intake", "R": "read", "O": "operate"}


def test_every_endpoint_that_needs_a_token_is_in_the_table(admin: httpx.Client) -> None:
    described = {
        (method.upper(), path.replace("{job_id}", "1").replace("{instance_id}", "s").replace("{provider}", "openai"))
        for path, methods in admin.get("/openapi.json").json()["paths"].items()
        for method, operation in methods.items()
        if operation["security"]
    }
    assert described == set(DEEDS)


@pytest.mark.parametrize("letter", SCOPES)
def test_a_scope_allows_what_the_table_says_and_nothing_else(served: Any, letter: str) -> None:
    with served.client(SCOPES[letter]) as client:
        refused = {deed for deed in DEEDS if client.request(*deed).status_code == 403}
    assert refused == {deed for deed, scopes in DEEDS.items() if letter not in scopes}


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer x",
        "Basic dXNlcjpwYXNz",
        "Bearer TOKEN",
        "Token TOKEN",
        "Bearer TOKEN TOKEN",
        "Bearer bw_" + "a" * 49,
        "Bearer \xe9",
    ],
)
def test_no_endpoint_answers_a_wrong_token(served: Any, header: str | None) -> None:
    token = new_token()  # well formed, but nobody's
    headers = {} if header is None else {"authorization": header.replace("TOKEN", token).encode("latin-1")}
    with httpx.Client(base_url=served.address, trust_env=False) as client:
        for method, path in list(DEEDS)[:6]:
            answered = client.request(method, path, headers=headers)
            assert answered.status_code in (401, 429), (path, answered.text)
            if answered.status_code == 401:
                assert "Bearer" in answered.headers["www-authenticate"]
            assert token not in answered.text


def test_a_token_of_a_site_sees_and_adds_only_its_jobs(served: Any, admin: httpx.Client) -> None:
    others = admin.post(JOBS, json=BODY | {"instanceId": "theirs"}).json()["id"]
    with served.client("intake", "read", "operate", sites=("mine",)) as client:
        own = client.post(JOBS, json=BODY).json()["id"]

        assert client.post(JOBS, json=BODY | {"instanceId": "theirs"}).status_code == 403
        assert client.get(f"{JOBS}/{others}").status_code == 404
        assert client.post(f"{JOBS}/{others}/cancel").status_code == 404
        assert client.get(JOBS, params={"site": "theirs"}).status_code == 403
        assert [job["id"] for job in client.get(JOBS).json()["jobs"]] == [own]
        assert client.get(f"{JOBS}/{own}").status_code == 200
        assert client.post("/api/sites/theirs/pause").status_code == 403
        for path in ("/api/status", "/api/sites", "/api/errors", "/api/costs", "/metrics", "/api/quotas"):
            assert client.get(path).status_code == 403, path


def test_a_token_of_two_sites_has_to_say_which(served: Any) -> None:
    with served.client("intake", sites=("one", "two")) as client:
        assert client.post(JOBS, json=BODY).status_code == 400
        assert client.post(JOBS, json=BODY | {"instanceId": "two"}).status_code == 202
        assert client.get(JOBS).status_code == 400
        assert client.get(JOBS, params={"site": "one"}).json() == {"jobs": [], "next": None}


def test_a_revoked_and_an_expired_token_are_refused(served: Any) -> None:
    token = served.token("read")
    expired = served.token("read", expires="1h")
    served.sql("update api_tokens set expires_at = now() where expires_at is not null")
    with httpx.Client(base_url=served.address, trust_env=False) as client:

        def status(with_token: str) -> int:
            return client.get("/api/quotas", headers={"authorization": f"Bearer {with_token}"}).status_code

        assert status(expired) == 401
        assert status(token) == 200
        served.sql("update api_tokens set revoked_at = now() where revoked_at is null and scopes = array['read']")
        until = time.monotonic() + 10  # a server remembers a token for two seconds
        while status(token) != 401:
            assert time.monotonic() < until


def test_the_database_has_no_token_only_hashes(served: Any) -> None:
    token = served.token("read")
    rows = served.sql("select t::text from api_tokens as t")
    assert not any(token[3:20] in row for (row,) in rows)


def test_the_use_of_a_token_is_noted(served: Any, admin: httpx.Client) -> None:
    assert admin.get("/api/quotas").status_code == 200
    assert served.sql("select count(*) from api_tokens where used_at > now() - interval '5 minutes'")[0][0] >= 1


def test_a_token_may_call_only_so_often(database_url: str, tmp_path: Any) -> None:
    with serving(database_url, tmp_path, BLOGWORKER_HTTP_RPM="8") as served, served.client("read") as client:
        answers = [client.get("/api/quotas") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) in range(1, 9)


class Tokens:
    """A database in which every token is valid, or none."""

    def __init__(self, *, valid: bool) -> None:
        self.valid = valid
        self.lookups = 0

    async def maybe(self, name: str, **_: object) -> dict[str, object] | None:
        self.lookups += 1
        await anyio.lowlevel.checkpoint()
        facts = {"token_id": self.lookups, "name": "n", "scopes": ["read"], "instance_ids": None, "expires_in_s": None}
        return facts if self.valid else None

    async def execute(self, *_: object, **__: object) -> None:
        """Note the use."""


def test_wrong_tokens_of_one_address_cost_few_lookups() -> None:
    database = Tokens(valid=False)
    later = time.monotonic() + 1_000  # its clock stands still, so that it allows no more while this runs
    keeper = Gatekeeper(database, rpm=600, clock=lambda: later)  # type: ignore[arg-type]

    async def statuses() -> list[int]:
        found = []
        for _ in range(1_000):
            with pytest.raises(Problem) as refused:
                await keeper.principal(new_token(), address="192.0.2.1")
            found.append(refused.value.status)
        return found

    found = anyio.run(statuses)

    assert found.count(401) == REFUSALS_A_MINUTE / 4
    assert set(found) == {401, 429}
    assert database.lookups == LOOKUPS_A_MINUTE / 4


def test_many_valid_tokens_of_one_address_are_let_in() -> None:
    """Behind a proxy all callers have the same address."""
    database = Tokens(valid=True)
    keeper = Gatekeeper(database, rpm=600)  # type: ignore[arg-type]

    async def enter() -> None:
        tokens = [new_token() for _ in range(1_000)]
        for token in tokens:
            await keeper.principal(token, address="192.0.2.1")

    anyio.run(enter)

    assert database.lookups == 1_000


@pytest.mark.parametrize(("tokens", "lookups"), [(1, 1), (1_000, 1_000)])
def test_simultaneous_requests_with_valid_tokens_are_let_in(tokens: int, lookups: int) -> None:
    """A lookup counted until its answer came: of 5,000 simultaneous requests with one token hundreds got 429."""
    database = Tokens(valid=True)
    keeper = Gatekeeper(database, rpm=600_000)  # type: ignore[arg-type]
    known = [new_token() for _ in range(tokens)]

    async def enter() -> None:
        async with anyio.create_task_group() as tasks:
            for n in range(5_000):
                tasks.start_soon(partial(keeper.principal, known[n % tokens], address="192.0.2.1"))

    anyio.run(enter)

    assert database.lookups == lookups


def test_simultaneous_requests_with_a_wrong_token_are_all_refused() -> None:
    database = Tokens(valid=False)
    later = time.monotonic() + 1_000  # its clock stands still, so that it allows no more while this runs
    keeper = Gatekeeper(database, rpm=600, clock=lambda: later)  # type: ignore[arg-type]
    wrong, refused = new_token(), list[int]()

    async def enter() -> None:
        try:
            await keeper.principal(wrong, address="192.0.2.1")
        except Problem as problem:
            refused.append(problem.status)

    async def all_enter() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(1_000):
                tasks.start_soon(enter)

    anyio.run(all_enter)

    assert len(refused) == 1_000
    assert refused.count(401) == REFUSALS_A_MINUTE / 4
    assert database.lookups == LOOKUPS_A_MINUTE / 4


def test_typing_errors_in_a_token_are_seen_without_the_database() -> None:
    token = new_token()
    wrong = [token[:place] + ("x" if token[place] != "x" else "y") + token[place + 1 :] for place in range(3, 52)]

    assert is_well_formed(token)
    assert not any(map(is_well_formed, [*wrong, token[:-1], token + "a", "", "bw_"]))


def test_tokens_are_listed_made_and_revoked_by_commands(database_url: str, tmp_path: Any) -> None:
    uninstalled = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}  # a checkout's own code

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "blogworker", "tokens", *arguments],
            env={"DATABASE_URL": database_url, "PATH": "", "COLUMNS": "200"} | uninstalled,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    made = run("create", "shop backend", "--scope", "intake", "--site", "shop", "--expires", "90d")
    assert is_well_formed(made.stdout.strip()), made.stderr
    assert run("create", "shop backend", "--scope", "intake").returncode == 2
    assert run("create", "a\x1b[31m", "--scope", "intake").returncode == 2
    assert run("create", "b", "--scope", "all").returncode == 2
    assert run("create", "b").returncode == 2
    for lifetime in ("0", "0d", "0.5s"):
        refused = run("create", "c", "--scope", "read", "--expires", lifetime)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1), refused.stderr
    listed = run().stdout
    assert "shop backend" in listed
    assert "valid" in listed
    assert run("revoke", "shop backend").returncode == 0
    assert run("revoke", "shop backend").returncode == 2
    assert run("create", "shop backend", "--scope", "read").returncode == 0, "the name is free again"
    assert "hash" not in run("--json").stdout
