"""Backward warping against closed forms and the border rule."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spike_zoo.nn.warp import sampling_grid, warp
from tests.helpers.processes import run_python


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(2, 12), width=st.integers(2, 12), right=st.integers(-3, 3),
    down=st.integers(-3, 3),
)  # fmt: skip
def test_whole_pixel_flow_moves_pixels_and_repeats_the_border(
    height: int, width: int, right: int, down: int
) -> None:
    image = torch.rand(1, 2, height, width, dtype=torch.float64)
    flow = torch.tensor([right, down], dtype=torch.float64).view(1, 2, 1, 1)
    rows = (torch.arange(height) + down).clamp(0, height - 1)
    columns = (torch.arange(width) + right).clamp(0, width - 1)
    warped = warp(image, flow.expand(1, 2, height, width))
    torch.testing.assert_close(warped, image[:, :, rows][..., columns], rtol=0.0, atol=1e-5)


def test_a_ramp_is_interpolated_at_fractions_of_a_pixel() -> None:
    ramp = torch.arange(16.0).expand(1, 1, 8, 16)
    flow = torch.zeros(1, 2, 8, 16)
    flow[:, 0] = 0.25
    torch.testing.assert_close(warp(ramp, flow)[..., :15], ramp[..., :15] + 0.25)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_features_are_sampled_in_single_precision(dtype: torch.dtype) -> None:
    features = torch.rand(1, 3, 4, 1280).to(dtype)
    flow = torch.zeros(1, 2, 4, 1280, dtype=dtype)
    warped = warp(features, flow)
    assert sampling_grid(flow).dtype == torch.float32
    assert warped.dtype == dtype
    torch.testing.assert_close(warped, features, rtol=0.0, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 7), (7, 1), (1, 1)])
def test_a_single_row_or_column_does_not_change(size: tuple[int, int]) -> None:
    image = torch.rand(1, 1, *size)
    torch.testing.assert_close(warp(image, torch.zeros(1, 2, *size)), image)


def test_a_flow_that_is_not_finite_does_not_crash_the_process() -> None:
    code = """
import torch
from spike_zoo.nn.warp import warp
for value, pixels in ("nan", slice(5, 6)), ("nan", slice(None)), ("inf", slice(None)):
    features = torch.rand(1, 8, 32, 32, requires_grad=True)
    flow = torch.zeros(1, 2, 32, 32)
    flow[..., pixels, pixels] = float(value)
    flow.requires_grad_(True)
    warped = warp(features, flow)
    warped.sum().backward()
    print(bool(torch.isfinite(warped).all() and torch.isfinite(features.grad).all()), flush=True)
"""
    process = run_python(code)
    assert (process.returncode, process.stdout.split()) == (0, ["True"] * 3), process.stderr


def test_gradient_of_the_flow_is_the_slope_of_the_ramp() -> None:
    ramp = torch.arange(16.0).expand(1, 1, 8, 16) * 3.0
    flow = torch.full((1, 2, 8, 16), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(warp(ramp, flow)[..., :15].sum(), flow)
    torch.testing.assert_close(gradient[0, 0, :, :15], torch.full((8, 15), 3.0))
