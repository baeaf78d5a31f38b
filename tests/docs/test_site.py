"""The web site has every page that another of its pages names."""

from __future__ import annotations

import re
import runpy
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

CONF: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "conf.py"))
PAGES = sorted(
    page
    for pattern in CONF["include_patterns"]
    for page in ROOT.glob(pattern.replace("**", "**/*"))
    if page.suffix == ".md"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_linked_page_is_on_the_site_too(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+\.md)[^)]*\)", page.read_text(encoding="utf-8"))
    named = {
        ROOT / link[1:] if link[0] == "/" else (page.parent / link).resolve() for link in links
    }
    assert named <= set(PAGES)


@pytest.mark.parametrize("method", ["classical", "stir", "plain", "ssdm", "sci"])
def test_a_methods_page_ends_with_all_its_tables(method: str) -> None:
    shown = CONF["with_tables"](f"spike_zoo/methods/{method}/README", "Its text.")
    for table in (ROOT / "experiments" / method / "results").glob("*.md"):
        assert f"/{table.relative_to(ROOT).as_posix()}\n" in shown
