"""A browser without a window, for what only a browser shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
LONGEST = 20_000  # milliseconds that a busy machine takes for anything


@dataclass
class Visit:
    """A page that a browser has opened, with all that it complained about or asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Visitor:
    """Opens pages, each in a browser of its own size and colours."""

    browser: Browser

    @contextmanager
    def opened(self, address: str | Path, **look: Any) -> Iterator[Visit]:
        """Open a file or an address until all of a page is drawn, and close it at the end."""
        context = self.browser.new_context(**look)
        context.set_default_timeout(LONGEST)
        visit = Visit(context.new_page())
        page = visit.page
        page.on("console", lambda said: visit.complaints.append(said.text))
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
    """A headless Chromium; tests that need one are skipped without one."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip(f"no browser is installed ({', '.join(CHROMIUM)})")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield Visitor(browser)
        browser.close()
