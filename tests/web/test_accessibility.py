"""axe finds no violation on any page of the dashboard: empty or full, light or dark, on a desk or a phone."""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import Databases

from .browsing import PAGES, needs_chromium, visit
from .conftest import Served, job, serving

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
FOUND = """
async () => (await axe.run()).violations.map(
    (v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html.slice(0, 200)).slice(0, 3).join(" | ")}`
)
"""
FULL = """
insert into workers (worker_id, name, host, pid, version, concurrency, in_flight, lease_until, draining, stats) values
    ('00000000-0000-0000-0000-000000000001', 'host-1', 'host', 1, '1', 50, 2, now() + interval '1 h', false, '{}'),
    ('00000000-0000-0000-0000-000000000002', 'host-2', 'host', 2, '1', 50, 0, now() + interval '1 h', true, '{}'),
    ('00000000-0000-0000-0000-000000000003', 'host-3', 'host', 3, '1', 50, 0, now() - interval '1 h', false, '{}');
insert into blog_generations (instance_id, source_type, source_data)
select 'shop-with-a-long-name-' || n % 6, 'keyword', jsonb_build_object('keyword', 'a keyword of usual length ' || n)
from generate_series(1, 60) as n;
update blog_generations
set status = 'PROCESSING', attempt = 1, worker_id = '00000000-0000-0000-0000-000000000001'
where id <= 20;
insert into generation_stages
    (generation_id, stage, output, model, tokens_in, tokens_out, cost_usd, duration_s, attempt)
select n, s, '{"title": "Mugs"}', 'gpt-6.1-terra', 900, 300, 0.01, 3.5, 1
from generate_series(1, 20) as n, unnest(array['source', 'ideas', 'content']) as s;
insert into generation_errors (generation_id, attempt, stage, kind, message, provider, request_id, retryable)
select n, 1, 'image', k, 'The provider said: no, and a very long text follows here, as providers write it', 'openai',
    'req_123', k = 'Unavailable'
from generate_series(1, 10) as n, unnest(array['Rejected', 'Unavailable']) as k;
update blog_generations set status = 'FAILED', error = 'The provider said no' where id <= 5;
insert into blog_posts
    (generation_id, instance_id, title, slug, excerpt, markdown, html, seo_title, seo_description, word_count,
    image_alt)
select id, instance_id, 'Mugs', 'mugs-' || id, 'About mugs.',
    E'# Mugs\n\nText with a [link](https://example.com).\n\n## More\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |',
    'h', 't', 'd', 900, 'A mug'
from blog_generations
where id between 6 and 10;
update blog_generations set status = 'DONE' where id between 6 and 10;
update blog_generations set status = 'CANCELLED' where id = 60;
insert into quotas (name, provider, requests_per_minute, tokens_per_minute, blocked_until, slowed) values
    ('openai/gpt-6-luna', 'openai', 400, 400000, now() + interval '1 h', 1),
    ('openai/gpt-6.1-terra', 'openai', 400, 400000, 'epoch', 0.5),
    ('replicate/predictions', 'replicate', 600, null, 'epoch', 1);
update provider_health
set state = 'open', reason = 'Incorrect API key', misconfigured = true, openings = 1, opened_at = now(),
    retry_at = now() + interval '1 minute'
where provider = 'openai';
update provider_health
set state = 'half_open', reason = 'HTTP 503', opened_at = now(), openings = 1, probe = gen_random_uuid(),
    probe_until = now() + interval '1 minute'
where provider = 'replicate';
update sites set paused_at = now(), pause_reason = 'the owner asked', own_budget_day_usd = 5, name = 'A shop'
where instance_id ~ '1$';
insert into stage_pauses (stage, reason) values ('publish', 'Wix maintenance');
insert into provider_usage
    (hour, provider, model, instance_id, requests, tokens_in, tokens_out, cost_usd, wasted, wasted_usd)
select
    date_trunc('hour', now()) - make_interval(days => n), 'openai', 'gpt-6.1-terra', 'shop-with-a-long-name-1', 9,
    9000, 3000, 1.5, 1, 0.2
from generate_series(0, 9) as n;
update fleet_budget set day_usd = 5;
update fleet_budget set stopped_until = now() + interval '1 h', stop_reason = 'The budget of today is used up';
insert into audit (actor, via, action, target, before, after)
values ('alice', 'http', 'site.pause', 'shop-with-a-long-name-1', '{"paused": false}', '{"paused": true}');
"""

pytestmark = [pytest.mark.proof, needs_chromium]


@pytest.fixture(scope="module", params=["empty", "full"])
def shown(
    request: pytest.FixtureRequest, databases: Databases, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with databases.copy(template) as url, serving(url, tmp_path_factory.mktemp("serve")) as running:
        if request.param == "full":
            running.sql(FULL)
        else:
            job(running, "shop")
            running.sql("update blog_generations set status = 'CANCELLED'")
        yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 420])
def test_axe_finds_no_violation(browser: Browser, shown: Served, width: int, scheme: str) -> None:
    options: dict[str, Any] = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    page, _ = visit(browser, shown, shown.token("read", "operate"), **options)
    paths = [*PAGES, "/jobs/1", "/jobs/6", "/jobs/11", "/jobs?text=nothing+has+this", "/sites?note=done", "/jobs/99999"]
    found = {path: violations(page, f"{shown.address}{path}") for path in paths}
    page.context.clear_cookies()
    found["/login"] = violations(page, f"{shown.address}/login")

    assert {path: each for path, each in found.items() if each} == {}


def violations(page: Page, address: str) -> list[str]:
    page.goto(address)
    page.evaluate(AXE)
    return list(page.evaluate(FOUND))


def test_axe_finds_what_is_wrong(browser: Browser) -> None:
    """The check itself works."""
    page = browser.new_page()
    page.set_content("<img src=x><input><p style='color:#eee;background:#fff'>pale</p>")
    page.evaluate(AXE)

    assert {line.partition(":")[0] for line in page.evaluate(FOUND)} >= {"image-alt", "label", "color-contrast"}
