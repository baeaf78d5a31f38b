"""The page of the method shows the table that the code reads."""

from __future__ import annotations

import re

from spike_zoo.methods.sci.training.stage_table import as_table
from tests.conftest import ROOT

PAGE = ROOT / "spike_zoo" / "methods" / "sci" / "README.md"


def test_the_page_shows_the_schedule_of_the_code() -> None:
    found = re.search(
        r"<!-- stages -->\n(.*?)\n<!-- end of stages -->", PAGE.read_text("utf-8"), re.DOTALL
    )
    assert found is not None
    assert found[1] == as_table()
