"""Chromium, and visits to the dashboard with it."""

import shutil
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGES = ("/", "/jobs", "/sites", "/errors", "/providers", "/workers", "/costs", "/audit")

needs_chromium = pytest.mark.skipif(PATH is None, reason="no Chromium is installed (Debian: apt-get install chromium)")


def visit(browser: Browser, served: Any, token: str, **options: Any) -> tuple[Page, list[str]]:
    """A page that is logged in, and what went wrong on it: errors of scripts, blocked and foreign requests."""
    page = browser.new_context(**options).new_page()
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith(served.address) else troubles.append(sent.url))
    page.goto(f"{served.address}/login")
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{served.address}/")
    return page, troubles
