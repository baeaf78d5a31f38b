"""Tests of the tensor operations for accelerators against the compiled CPU kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from spike_zoo.methods.classical import dispatch, tfi_video, tfp_video

if TYPE_CHECKING:
    from spike_zoo.methods.classical.plans import Missing

SPIKES = torch.rand(2, 40, 3, 17, generator=torch.Generator().manual_seed(3)) < 0.15


@pytest.mark.parametrize("missing", ["zero", "hold", "bound"])
@pytest.mark.parametrize("centers", [None, [31, 2]])
def test_tensor_operations_give_the_same_images_as_compiled_kernels(
    monkeypatch: pytest.MonkeyPatch, missing: Missing, centers: list[int] | None
) -> None:
    def pictures() -> list[torch.Tensor]:
        return [
            tfi_video(SPIKES, centers, 3, "backward", missing),
            tfi_video(SPIKES, centers, max_search=4),
            tfp_video(SPIKES, centers, 9),
        ]

    compiled = pictures()
    monkeypatch.setattr(dispatch, "is_compiled_for", lambda _: False)
    for composed, expected in zip(pictures(), compiled, strict=True):
        torch.testing.assert_close(composed, expected, rtol=1e-6, atol=1e-7)
