"""Fixture of a headless browser."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_MS = 20_000  # of a single operation on a busy machine


@dataclass
class Visit:
    """An open page with its console messages, errors, dialogs and requests."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Visitor:
    """Opener of pages, each in a separate browser context."""

    browser: Browser

    @contextmanager
    def opened(self, address: str | Path, **context_options: Any) -> Iterator[Visit]:
        """Open a file or an address, and close the page at the end."""
        context = self.browser.new_context(**context_options)
        context.set_default_timeout(TIMEOUT_MS)
        visit = Visit(context.new_page())
        page = visit.page
        page.on("console", lambda message: visit.complaints.append(message.text))
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        page.on("dialog", lambda dialog: visit.complaints.append(dialog.message))
        page.on("request", lambda request: visit.requests.append(request.url))
        page.goto(address.as_uri() if isinstance(address, Path) else address)
        try:
            yield visit
        finally:
            context.close()


@pytest.fixture(scope="session")
def visitor() -> Iterator[Visitor]:
    """Headless Chromium; tests are skipped if it is not installed."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip(f"no browser is installed ({', '.join(CHROMIUM)})")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield Visitor(browser)
        browser.close()
