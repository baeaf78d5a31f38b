"""Tests of the methods of a report: loading, settings, names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spike_zoo.errors import MissingFileError, UsageError
from spike_zoo.reports.methods import called, explanations, loaded

if TYPE_CHECKING:
    from pathlib import Path


def test_settings_follow_a_name() -> None:
    plain, averaged = loaded(["tfi", "tfi:average=9"], device="cpu", trust=False)
    assert (plain.name, averaged.name) == ("tfi", "tfi:average=9")
    assert averaged.module.hparams["average"] == 9  # type: ignore[attr-defined]
    assert plain.module.hparams["average"] == 1  # type: ignore[attr-defined]


def test_by_default_methods_that_take_seconds_come_last_and_have_one_picture() -> None:
    by_default = loaded([], device="cpu", trust=False)
    assert {"tfi", "stir-small", "sci-small"} <= {one.name for one in by_default}
    *fast, slow = by_default
    assert (slow.name, slow.has_one_picture) == ("stir", True)
    assert "tfi-aligned" in {one.name for one in fast}
    assert not any(one.has_one_picture for one in fast)
    named = ["stir", "tfp"]
    assert not any(one.has_one_picture for one in loaded(named, device="cpu", trust=False))
    limited = loaded(named, device="cpu", trust=False, limits_slow=True)
    assert [(one.name, one.has_one_picture) for one in limited] == [("tfp", False), ("stir", True)]


def test_only_the_methods_of_a_page_are_explained() -> None:
    (tfi,) = explanations(["tfi:average=9", "mine, best"])
    assert tfi.startswith("TFI (texture from interval)")
    assert [text.split()[0] for text in explanations(["tfp", "tfi9"])] == ["TFP", "TFI"]
    assert explanations(["stir-small"]) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("tfi:depth=9", "there is no setting 'depth' to change"),
        ("tfi:average=much", "settings are whole numbers"),
        ("tfi:average=0", "average"),
    ],
)
def test_settings_that_are_not_valid_are_rejected(wanted: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"--methods {wanted}: .*{said}"):
        loaded([wanted], device="cpu", trust=False)


def test_what_is_no_method_is_rejected() -> None:
    with pytest.raises(MissingFileError, match="neither a file nor a shipped method"):
        loaded(["nothing"], device="cpu", trust=False)
    with pytest.raises(UsageError, match="does not make pictures"):
        loaded(["ssdm-student"], device="cpu", trust=False)


def test_a_checkpoint_is_called_after_its_run(tmp_path: Path) -> None:
    checkpoint = tmp_path / "mine" / "checkpoints" / "best.ckpt"
    assert called(str(checkpoint)) == "mine, best"
    assert called("stir-small") == "stir-small"
