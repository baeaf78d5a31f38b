"""Clips through bits and back, many at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from spike_zoo.errors import SpikeZooError
from spike_zoo.methods.sci.baselines.coded_clips import coded_clips
from spike_zoo.methods.sci.codec.decoded import analyses
from tests.methods.sci.codecs import lively_codec, recording

if TYPE_CHECKING:
    from spike_zoo.methods.sci import SCICodec


def test_clips_of_a_batch_are_coded_as_each_by_itself(codec: SCICodec) -> None:
    takes = [recording(41, seed) for seed in (3, 4)]
    spikes = torch.stack([torch.from_numpy(take[0:41]) for take in takes])
    found = coded_clips(codec, spikes, torch.tensor([0.6, 0.6]), 1)
    for number, take in enumerate(takes):
        data = codec.compress(take, quality=1, gop=5)
        # A batch's features differ in their last digits: a symbol may round elsewhere, and all
        # that follows it.
        assert found.n_bytes[number] == pytest.approx(len(data), rel=0.03)
        with torch.no_grad():
            wanted = dict(analyses(codec, [codec.decompress(data)]))[2]
        for part, one in zip(found.analysis, wanted, strict=True):
            own, other = part[number : number + 1], part[1 - number : 2 - number]
            assert (own - one).abs().mean() <= 0.3 * (other - one).abs().mean()


def test_a_codec_that_is_not_final_codes_no_clips() -> None:
    spikes = torch.zeros(1, 41, 16, 16)
    with pytest.raises(SpikeZooError, match="this codec is not final"):
        coded_clips(lively_codec(final=False), spikes, torch.tensor([0.6]), 0)
