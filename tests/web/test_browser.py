"""The dashboard in a real browser: live updates, keyboard, phones, themes, and nothing from elsewhere."""

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from .browsing import PAGES, needs_chromium, visit

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.fixture(scope="module")
def token(served: Any) -> str:
    return str(served.token("read", "operate"))


def fill(served: Any, jobs: int, sites: int) -> None:
    served.sql(
        "insert into blog_generations (instance_id, source_type, source_data) "
        "select 'shop-with-a-long-name-' || n %% %s, 'keyword', "
        "jsonb_build_object('keyword', 'a keyword of usual length, number ' || n) from generate_series(1, %s) as n",
        sites,
        jobs,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 420])
def test_every_page_fits_and_works_without_troubles(
    browser: Browser, served: Any, token: str, width: int, scheme: str
) -> None:
    fill(served, 60, 9)
    page, troubles = visit(browser, served, token, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for path in (*PAGES, "/jobs/1"):
        page.goto(f"{served.address}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.locator("h1").count() == 1, path
    assert troubles == []


def test_the_overview_changes_by_itself(browser: Browser, served: Any, token: str) -> None:
    page, troubles = visit(browser, served, token)
    waiting = served.sql("select count(*) from blog_generations where status = 'PENDING'")[0][0]
    card = page.locator(".card", has_text="Waiting").locator("strong")
    expect(card).to_have_text(f"{waiting:,}", timeout=15_000)

    fill(served, 1234, 3)

    expect(card).to_have_text(f"{waiting + 1234:,}", timeout=15_000)
    expect(page.locator(".live .words")).to_have_text("live")
    assert troubles == []


def test_a_click_into_a_table_does_not_stop_the_overview_nor_scroll_it_back(
    browser: Browser, served: Any, token: str
) -> None:
    served.sql(
        "insert into quotas (name, provider, requests_per_minute) values ('openai/wide', 'openai', 400) "
        "on conflict do nothing"
    )
    page, _ = visit(browser, served, token, viewport={"width": 420, "height": 900})
    table = page.get_by_role("region", name="Quotas")
    table.click(position={"x": 5, "y": 5})
    table.evaluate("region => { region.scrollLeft = 90; region.dataset.before = 'yes'; }")

    fill(served, 7, 1)

    expect(page.locator("[data-before]")).to_have_count(0, timeout=15_000)
    assert table.evaluate("region => region.scrollLeft") == 90


def test_a_job_is_cancelled_with_the_keyboard_alone(browser: Browser, served: Any, token: str) -> None:
    served.sql("insert into blog_generations (instance_id, source_type, source_id) values ('keys', 'keyword', 'k')")
    job_id = served.sql("select id from blog_generations where instance_id = 'keys'")[0][0]
    page, _ = visit(browser, served, token)
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{served.address}/jobs?site=keys")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "id":
            break
    page.keyboard.press("Space")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") == "cancel":
            break
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_have_text("1 job cancelled")
    assert page.url == f"{served.address}/jobs?site=keys&note=1+job+cancelled", "the filter is kept"
    assert served.sql("select status from blog_generations where id = %s", job_id) == [("CANCELLED",)]


def test_a_question_that_is_denied_changes_nothing(browser: Browser, served: Any, token: str) -> None:
    served.sql("insert into blog_generations (instance_id, source_type, source_id) values ('deny', 'keyword', 'k')")
    page, _ = visit(browser, served, token)
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.goto(f"{served.address}/jobs?site=deny")
    page.get_by_label("Select all").check()
    page.get_by_role("button", name="Cancel selected").click()

    assert served.sql("select status from blog_generations where instance_id = 'deny'") == [("PENDING",)]


def test_an_address_with_a_token_logs_in_and_forgets_it(browser: Browser, served: Any, token: str) -> None:
    page = browser.new_context().new_page()
    page.goto(f"{served.address}/login#{token}")
    page.wait_for_url(f"{served.address}/")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url(f"{served.address}/login")
    page.goto(f"{served.address}/jobs?site=a")
    assert page.url == f"{served.address}/login?next=%2Fjobs%3Fsite%3Da"


def test_pages_work_without_scripts(browser: Browser, served: Any, token: str) -> None:
    page, _ = visit(browser, served, token, java_script_enabled=False)
    expect(page.locator(".card").first).to_be_visible()
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.get_by_label("Site").fill("nowhere")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("No job matches")).to_be_visible()
