"""`POST /api/blog-generation`: the body of the previous system, its answers, and repeated requests."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

PATH = "/api/blog-generation"
BODY = {"sourceType": "keyword", "sourceId": "linen", "sourceData": {"keyword": "linen curtains"}}


def post(client: httpx.Client, body: Any = BODY, **headers: str) -> httpx.Response:
    return client.post(PATH, json=body, headers=headers)


def test_the_body_of_the_previous_system_is_accepted_from_the_token_of_a_site(served: Any) -> None:
    with served.client("intake", sites=("shop 1",)) as client:
        answered = post(client)

        assert answered.status_code == 202, answered.text
        job = answered.json()
        assert (job["status"], job["created"], job["place"]) == ("PENDING", True, 1)
        assert set(job) == {"id", "status", "created", "place", "expectedStart", "waitsFor"}
        assert answered.headers["location"] == f"{PATH}/{job['id']}"
        shown = client.get(answered.headers["location"]).json()
    assert shown["job"]["instanceId"] == "shop 1"
    assert shown["explanation"]["summary"].startswith("waits: ")


def test_a_job_remembers_the_token_that_added_it(served: Any) -> None:
    with served.client("intake", sites=("of a token",)) as client:
        post(client)
        client.post(f"{PATH}/batch", json={"jobs": [BODY]})

    ((name,),) = served.sql("select name from api_tokens where instance_ids = '{of a token}'")
    stored = served.sql("select added_by from blog_generations where instance_id = 'of a token'")
    assert [added_by.partition(" as ")[0] for (added_by,) in stored] == [f"token {name}"] * 2


def test_all_columns_of_a_job_can_be_given(served: Any, admin: httpx.Client) -> None:
    whole = BODY | {
        "instanceId": "shop 2",
        "priority": 3,
        "runAt": "2031-01-01T00:00:00Z",
        "publishAt": "2031-01-02T00:00:00+02:00",
        "maxAttempts": 2,
        "publishMode": "draft",
    }
    job = post(admin, whole).json()
    stored = served.sql(
        "select g.status, g.priority, g.max_attempts, g.publish_mode, extract(year from g.run_at)::int, "
        "s.publish_at is not null from blog_generations as g join scheduled_blogs as s on s.blog_generation_id = g.id "
        "where g.id = %s",
        job["id"],
    )
    assert stored == [("SCHEDULED", 3, 2, "draft", 2031, True)]


def test_a_repeated_key_adds_nothing(admin: httpx.Client) -> None:
    body = BODY | {"instanceId": "shop 3"}
    first = post(admin, body, **{"Idempotency-Key": "k 1"})
    again = post(admin, body, **{"Idempotency-Key": "k 1"})
    other_site = post(admin, body | {"instanceId": "shop 4"}, **{"Idempotency-Key": "k 1"})

    assert (first.status_code, again.status_code, other_site.status_code) == (202, 200, 202)
    assert first.json()["id"] == again.json()["id"] != other_site.json()["id"]
    assert not again.json()["created"]


def test_simultaneous_requests_with_one_key_add_one_job(served: Any, admin: httpx.Client) -> None:
    body = BODY | {"instanceId": "race"}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(admin, body, **{"Idempotency-Key": "one"}), range(64)))

    assert {answer.status_code for answer in answers} == {200, 202}
    assert sum(answer.status_code == 202 for answer in answers) == 1
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert served.sql("select count(*) from blog_generations where instance_id = 'race'") == [(1,)]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, ["sourceType"]),
        ({"sourceType": "song"}, ["sourceType"]),
        ({"sourceType": "keyword"}, ["instanceId", "keyword"]),
        (BODY | {"instanceId": "x" * 201}, ["instanceId"]),
        (BODY | {"instanceId": " "}, ["instanceId"]),
        (BODY | {"instanceId": "a\0b"}, ["instanceId"]),
        (BODY | {"instanceId": "s", "sourceData": []}, ["sourceData"]),
        (BODY | {"instanceId": "s", "sourceData": {"keyword": "k" * 201}}, ["keyword"]),
        (BODY | {"instanceId": "s", "sourceData": {"a": "\ud800"}}, [""]),
        (BODY | {"instanceId": "s", "priority": "3"}, ["priority"]),
        (BODY | {"instanceId": "s", "priority": 99_999}, ["priority"]),
        (BODY | {"instanceId": "s", "runAt": "2031-01-01T00:00:00"}, ["runAt", "time zone"]),
        (BODY | {"instanceId": "s", "runAt": "tomorrow"}, ["runAt"]),
        (BODY | {"instanceId": "s", "runAt": "2031-01-01T00:00:00+99:00"}, ["runAt: there is no such"]),
        (BODY | {"instanceId": "s", "runAt": "2031-02-30T00:00:00Z"}, ["runAt: there is no such"]),
        (BODY | {"instanceId": "s", "colour": "red"}, ["colour"]),
        (BODY | {"instanceId": "s", "sourceData": {"n": 10**400}}, ["1e308"]),
        ([], [""]),
        ("text", [""]),
        (None, [""]),
    ],
)
def test_each_fault_is_named(served: Any, admin: httpx.Client, body: Any, named: list[str]) -> None:
    before = served.sql("select count(*) from blog_generations")
    answered = admin.post(PATH, content=json.dumps(body), headers={"content-type": "application/json"})

    assert answered.status_code == 400, answered.text
    problem = answered.json()
    assert answered.headers["content-type"] == "application/problem+json"
    assert problem["errors"]
    assert all(any(name in fault for fault in problem["errors"]) for name in named), problem
    assert served.sql("select count(*) from blog_generations") == before


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"sourceType": NaN}', b"[" * 100_000, b'{"a":' * 50_000])
def test_what_is_no_json_is_refused(admin: httpx.Client, body: bytes) -> None:
    answered = admin.post(PATH, content=body, headers={"content-type": "application/json"})
    assert answered.status_code == 400, answered.text


def test_a_number_that_json_does_not_know_is_refused(admin: httpx.Client) -> None:
    body = b'{"instanceId": "s", "sourceType": "keyword", "sourceData": {"keyword": "k", "n": NaN}}'
    assert admin.post(PATH, content=body).status_code == 400


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"instanceId": "s", "instanceId": "t", "sourceType": "keyword"}', "instanceId"),
        (b'{"instanceId": "s", "sourceType": "keyword", "sourceData": {"keyword": "k", "keyword": "l"}}', "keyword"),
    ],
)
def test_a_key_that_is_given_twice_is_refused(served: Any, admin: httpx.Client, body: bytes, key: str) -> None:
    """Which of its values the client means is unknown."""
    before = served.sql("select count(*) from blog_generations")
    answered = admin.post(PATH, content=body)

    assert (answered.status_code, answered.json()["errors"]) == (400, [f"{key!r} is given twice"])
    assert served.sql("select count(*) from blog_generations") == before


def test_other_types_of_bodies_are_refused(admin: httpx.Client) -> None:
    assert admin.post(PATH, content=b"a=b", headers={"content-type": "text/plain"}).status_code == 415
    assert admin.post(PATH, data={"a": "b"}).status_code == 415


def test_a_large_body_is_refused_whether_or_not_its_size_is_declared(admin: httpx.Client) -> None:
    large = json.dumps(BODY | {"sourceData": {"keyword": "k", "x": "y" * 300_000}}).encode()
    declared = admin.post(PATH, content=large)
    streamed = admin.post(PATH, content=iter([large[:1000], large[1000:]]))

    assert declared.status_code == streamed.status_code == 413


def test_a_full_queue_is_refused_as_the_previous_system_does(served: Any, admin: httpx.Client) -> None:
    served.sql("insert into sites (instance_id, max_pending) values ('full', 1)")
    body = BODY | {"instanceId": "full"}
    assert post(admin, body).status_code == 202

    refused = post(admin, body)

    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 60
    problem = refused.json()
    assert {"error", "message", "queueSize", "estimatedWaitMinutes"} <= set(problem)
    assert problem["queueSize"] == 1
    assert problem["error"] == "Service busy"


def test_a_repeated_batch_is_accepted_although_its_site_is_full(served: Any, admin: httpx.Client) -> None:
    served.sql("insert into sites (instance_id, max_pending) values ('full twice', 2)")
    jobs = [BODY | {"instanceId": "full twice", "idempotencyKey": f"f{n}"} for n in range(2)]
    first, again = (admin.post(f"{PATH}/batch", json={"jobs": jobs}) for _ in range(2))
    more = admin.post(f"{PATH}/batch", json={"jobs": [*jobs, BODY | {"instanceId": "full twice"}]})

    assert (first.status_code, first.json()["created"], first.json()["known"]) == (202, 2, 0)
    assert (again.status_code, again.json()["created"], again.json()["known"]) == (202, 0, 2)
    assert first.json()["ids"] == again.json()["ids"]
    assert more.status_code == 503


@pytest.mark.parametrize(
    "time",
    ["2031-01-01", "2031-01-01T00:00:00", "2031-01-01 00:00:00Z", "2031-01-01T00:00Z", "20310101T000000Z", 1924992000,
     "1924992000", "2031-01-01T00:00:00+0200", "2031-13-01T00:00:00Z", "2031-01-01T00:00:00Z\n"],
)  # fmt: skip
def test_a_time_is_a_date_time_of_rfc_3339(admin: httpx.Client, time: Any) -> None:
    answered = post(admin, BODY | {"instanceId": "shop 2", "runAt": time})

    assert answered.status_code == 400
    assert any("runAt" in fault for fault in answered.json()["errors"])


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        ("update provider_health set state = 'open', reason = 'secret words' where provider = 'openai'",
         "a provider is unavailable"),
        ("insert into stage_pauses (stage, reason) values ('source', 'secret words')", "its stage is paused"),
        ("update fleet_budget set stopped_until = now() + interval '1 hour', stop_reason = 'secret words'",
         "a budget is used up"),
    ],
)  # fmt: skip
def test_the_token_of_a_site_is_not_told_what_concerns_all_sites(
    served: Any, admin: httpx.Client, cause: str, told: str
) -> None:
    """The reasons quote providers, budgets and notes of operators."""
    served.sql(
        "insert into workers (worker_id, name, host, pid, version, concurrency, lease_until) "
        "values (gen_random_uuid(), 'alive', 'h', 1, '1', 50, now() + interval '1 hour')"
    )
    served.sql(cause)
    try:
        with served.client("intake", sites=("told little",)) as client:
            added = post(client).json()
            shown = client.get(f"{PATH}/{added['id']}").json()["explanation"]
        whole = admin.get(f"{PATH}/{added['id']}").json()["explanation"]
    finally:
        served.sql("update provider_health set state = 'closed', reason = null, retry_at = null")
        served.sql("delete from stage_pauses")
        served.sql("delete from workers where name = 'alive'")
        served.sql("update fleet_budget set stopped_until = null, stop_reason = null")

    assert (added["waitsFor"], shown["summary"]) == (told, f"waits: {told}")
    assert "secret words" in whole["summary"]


def test_a_batch_is_answered_with_the_id_of_each_job_in_its_order(served: Any, admin: httpx.Client) -> None:
    """New jobs with and without a key, one from before, and a key that occurs twice."""
    (known,) = admin.post(f"{PATH}/batch", json={"jobs": [named("z", "known", "k1")]}).json()["ids"]
    jobs = [named("z", "plain"), named("b", "keyed", "k2"), named("z", "again", "k1"), named("a", "other")]
    jobs += [named("b", "twice", "k2"), *(named("a", f"more {n}") for n in range(600))]

    answered = admin.post(f"{PATH}/batch", json={"jobs": jobs}).json()

    ids = answered["ids"]
    stored = dict(served.sql("select id, source_id from blog_generations where id = any (%s)", ids))
    expected = ["plain", "keyed", "known", "other", "keyed", *(f"more {n}" for n in range(600))]
    assert [stored[job_id] for job_id in ids] == expected
    assert ids[2] == known
    assert (answered["created"], answered["known"]) == (603, 2)


def named(site: str, source: str, key: str | None = None) -> dict[str, Any]:
    return BODY | {"instanceId": f"ids {site}", "sourceId": source} | ({"idempotencyKey": key} if key else {})


def test_a_batch_is_added_as_a_whole_or_not_at_all(served: Any, admin: httpx.Client) -> None:
    jobs = [BODY | {"instanceId": "batch", "idempotencyKey": f"b{n}"} for n in range(200)]
    first = admin.post(f"{PATH}/batch", json={"jobs": jobs})
    again = admin.post(f"{PATH}/batch", json={"jobs": [*jobs, BODY | {"instanceId": "batch"}]})
    wrong = admin.post(f"{PATH}/batch", json={"jobs": [BODY | {"instanceId": "batch"}, {"sourceType": "keyword"}]})

    assert (first.status_code, first.json()["created"], first.json()["known"]) == (202, 200, 0)
    assert (again.json()["created"], again.json()["known"]) == (1, 200)
    assert wrong.status_code == 400
    assert all(fault.startswith("jobs.1") for fault in wrong.json()["errors"]), wrong.text
    assert served.sql("select count(*) from blog_generations where instance_id = 'batch'") == [(201,)]
    assert admin.post(f"{PATH}/batch", json={"jobs": []}).status_code == 400
    assert admin.post(f"{PATH}/batch", json={"jobs": [BODY] * 1001}).status_code == 400
