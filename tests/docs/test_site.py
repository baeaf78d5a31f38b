"""Links between pages of the web site, and tables on the pages of methods."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

CONF: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "conf.py"))
PAGES = sorted(
    page
    for pattern in CONF["include_patterns"]
    for page in ROOT.glob(pattern.replace("**", "**/*"))
    if page.suffix == ".md"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_linked_pages_are_on_the_site(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+\.md)[^)]*\)", page.read_text(encoding="utf-8"))
    linked = {
        ROOT / link[1:] if link[0] == "/" else (page.parent / link).resolve() for link in links
    }
    assert linked <= set(PAGES)


@pytest.mark.parametrize("method", ["classical", "stir", "plain", "ssdm", "sci"])
def test_the_page_of_a_method_ends_with_all_its_tables(method: str) -> None:
    page_text = CONF["with_tables"](f"spike_zoo/methods/{method}/README", "Text.")
    for table in (ROOT / "experiments" / method / "results").glob("*.md"):
        assert f"/{table.relative_to(ROOT).as_posix()}\n" in page_text
