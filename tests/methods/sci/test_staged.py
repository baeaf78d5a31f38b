"""What every stage says and begins with."""

from __future__ import annotations

import logging

import pytest

from spike_zoo.methods.sci import SCICodecModule


def test_the_log_says_of_every_part_whether_it_learns(caplog: pytest.LogCaptureFixture) -> None:
    widths = {"fem_width": 0.125, "codec_width": 0.125, "fam_width": 0.125}
    module = SCICodecModule("joint", lpips="off", **widths)  # type: ignore[arg-type]  # plain values
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        module.on_fit_start()
    synthesis = module.codec.get_submodule("intra.synthesis")
    weights = sum(one.numel() for one in synthesis.parameters())
    assert f"| intra.synthesis | {weights:,} | yes |" in caplog.text
    assert "| intra.entropy | " in caplog.text
    assert caplog.text.count(" | yes |") == len(module.row.learns)
    assert caplog.text.count(" | no |") == len(module.row.frozen)
