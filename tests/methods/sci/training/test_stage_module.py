"""What every stage says and begins with."""

from __future__ import annotations

import logging

import pytest

from tests.methods.sci.coding import stage_module


def test_the_log_says_how_much_of_every_part_learns(caplog: pytest.LogCaptureFixture) -> None:
    widths = {"fem_width": 0.125, "codec_width": 0.125, "fam_width": 0.125}
    module = stage_module("joint", lpips="off", **widths)
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        module.on_fit_start()
    intra = module.codec.get_submodule("intra")
    synthesis = module.codec.get_submodule("intra.synthesis")  # all that learns of it
    every, learning = (sum(one.numel() for one in part.parameters()) for part in (intra, synthesis))
    assert f"| intra | {every:,} | {learning:,} |" in caplog.text
    fem = sum(one.numel() for one in module.codec.fem.parameters())
    assert f"| fem | {fem:,} | 0 |" in caplog.text
