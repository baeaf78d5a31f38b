"""What a frame costs at either side, against the budgets' own counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.methods.sci.costs import coding_jobs
from tests.methods.sci.codecs import features_of, recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from spike_zoo.methods.sci import SCICodec


def flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return counter.get_total_flops()


def test_either_side_of_a_frame_is_what_it_has_to_compute(codec: SCICodec) -> None:
    source = recording(13)
    window = torch.from_numpy(source[0:13])[None]
    jobs = coding_jobs(codec, window, torch.tensor([0.6]))
    assert set(jobs) == {"encode_intra", "encode_inter", "decode_intra", "decode_inter"}
    (feature,) = features_of(codec, source)
    padded = torch.nn.functional.pad(feature, (8, 8, 12, 12))
    assert codec.coding is not None
    analysis = codec.coding.intra.analysis
    fem = flops(lambda: codec.feature(window, torch.tensor([0.6])))
    latent = flops(lambda: analysis.hyper(analysis(padded)))
    assert flops(jobs["encode_intra"]) == pytest.approx(fem + latent)
    assert flops(jobs["encode_inter"]) > flops(jobs["encode_intra"]) * 0.5
    assert codec.fam is not None
    fam = flops(lambda: codec.fam(torch.zeros(1, 5, 3, 64, 64), torch.zeros(1, 4, 2, 64, 64)))  # type: ignore[misc]  # there is one
    assert min(flops(jobs["decode_intra"]), flops(jobs["decode_inter"])) > fam
