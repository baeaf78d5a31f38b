"""The records that are committed say nothing of the machine they were made on."""

from __future__ import annotations

import json

from tests.conftest import ROOT


def test_committed_records_name_checkpoints_from_where_the_project_lies() -> None:
    records = [*(ROOT / "experiments").rglob("*result.json")]
    assert len(records) > 100
    for path in records:
        named = json.loads(path.read_text(encoding="utf-8")).get("checkpoint")
        assert named is None or not named.startswith(("/", "~")), path
