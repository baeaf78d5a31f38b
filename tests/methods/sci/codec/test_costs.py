"""What a frame costs at either side, against the budgets' own counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from spike_zoo.methods.sci.codec.costs import coding_calls
from tests.methods.sci.codecs import features_of, recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from spike_zoo.methods.sci import SCICodec


def flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return counter.get_total_flops()


def refined(codec: SCICodec) -> object:
    assert codec.fmvr is not None
    return codec.fmvr(torch.zeros(1, 2, 64, 64), torch.zeros(1, 3, 64, 64))


def test_either_side_of_a_frame_is_what_it_has_to_compute(codec: SCICodec) -> None:
    source = recording(13)
    window = torch.from_numpy(source[0:13])[None]
    jobs = coding_calls(codec, window, torch.tensor([0.6]))
    sides = ("encode", "loop", "decode")
    assert set(jobs) == {f"{side}_{kind}" for side in sides for kind in ("intra", "inter")}
    assert {job.size for job in jobs.values()} == {tuple(window.shape[-2:])}
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
    for kind in ("intra", "inter"):  # whoever closes the loop decodes all but the picture
        both = flops(jobs[f"encode_{kind}"]) + flops(jobs[f"decode_{kind}"])
        seen = fam + (kind == "inter") * flops(lambda: refined(codec))
        assert flops(jobs[f"loop_{kind}"]) == pytest.approx(both - seen)
