"""Tests of intervals and counts: threads, and tensor operations against the compiled kernels."""

import pytest
import torch

from spike_zoo.methods.classical import intervals, kernels, tfi_video, tfp_video

SPIKES = torch.rand(2, 40, 3, 17, generator=torch.Generator().manual_seed(3)) < 0.15


def images() -> list[torch.Tensor]:
    return [
        tfi_video(SPIKES, [31, 2], 3, "backward"),
        tfi_video(SPIKES, None, 5, missing="bound"),
        tfi_video(SPIKES),
        tfp_video(SPIKES, [31, 2], 9),
    ]


def test_tensor_operations_give_the_same_images_as_compiled_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled = images()
    monkeypatch.setattr(intervals, "is_compiled_for", lambda _: False)
    for composed, expected in zip(images(), compiled, strict=True):
        torch.testing.assert_close(composed, expected, rtol=1e-6, atol=1e-7)


def test_images_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    single_threaded = images()
    monkeypatch.setattr(kernels, "MIN_PARALLEL_PIXELS", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert all(map(torch.equal, images(), single_threaded))


def test_an_error_in_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(top: int, bottom: int) -> None:
        if bottom == 5:
            raise ArithmeticError(f"rows {top}..{bottom}")

    monkeypatch.setattr(kernels, "MIN_PARALLEL_PIXELS", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(ArithmeticError, match=r"rows 2\.\.5"):
        kernels.over_rows(kernel, 5, 1)
