"""Tests of demosaicking and reconstruction in colour."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning import Trainer

import spike_zoo
from spike_zoo.archive import build_archive
from spike_zoo.checkpoints.published import weightless_names
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.errors import ConfigError, UsageError
from spike_zoo.methods.classical import ColourAlignedTFI, ColourModule, ColourTFI
from spike_zoo.methods.classical.colour import FilledColour
from spike_zoo.methods.classical.demosaicking import Demosaicking, demosaicked, luminance
from spike_zoo.methods.classical.methods import ClassicalMethod
from spike_zoo.metrics import psnr
from spike_zoo.simulation import SceneSpec, SpikeCamera, simulate_take
from spike_zoo.spikes import SpikeRecording
from spike_zoo.spikes.cfa import LAYOUTS, Cfa, cfa_masks
from tests.helpers.streams import random_spikes

COLOURS = weightless_names(in_colour=True)
#: Coefficients of Malvar, He and Cutler, times 8, by (colour of the pixel, interpolated colour,
#: whether the interpolated colour's samples are in its row).
MALVAR: dict[str, dict[tuple[int, int], float]] = {
    "green": {(0, 0): 4, (0, 1): 2, (1, 0): 2, (0, 2): -1, (2, 0): -1},
    "row": {(0, 0): 5, (0, 1): 4, (1, 0): 0, (1, 1): -1, (0, 2): -1, (2, 0): 0.5},
    "column": {(0, 0): 5, (0, 1): 0, (1, 0): 4, (1, 1): -1, (0, 2): 0.5, (2, 0): -1},
    "other": {(0, 0): 6, (1, 1): 2, (0, 2): -1.5, (2, 0): -1.5},
}


def _loaded(name: str) -> ClassicalMethod:
    method = spike_zoo.load(name)
    assert isinstance(method, ClassicalMethod)
    return method


def _colour_take(cfa: Cfa = "RGGB", speed: float = 0.3, planes: int = 121) -> spike_zoo.Take:
    spec = SceneSpec(
        planes=planes, height=64, width=72, seed=3, background="photo:astronaut", speed=speed
    )
    return simulate_take(replace(spec, rate_scale=0.6), margin=60, cfa=cfa)


def _mosaic(colours: torch.Tensor, cfa: Cfa) -> torch.Tensor:
    masks = torch.from_numpy(cfa_masks(cfa, *colours.shape[-2:]))
    return (colours * masks).sum(dim=-3)


@pytest.mark.parametrize("cfa", LAYOUTS)
def test_demosaicking_has_the_published_coefficients(cfa: Cfa) -> None:
    mosaic = torch.rand(1, 9, 11)
    masks = cfa_masks(cfa, 9, 11)
    actual = demosaicked(mosaic, cfa)[0]
    for y, x in [(3, 3), (3, 4), (4, 3), (4, 4)]:
        sampled = int(masks[:, y, x].argmax())
        for channel in range(3):
            if channel == sampled:
                assert actual[channel, y, x] == mosaic[0, y, x]
                continue
            kind = "green" if channel == 1 else "other"
            if sampled == 1:
                kind = "row" if masks[channel, y, x + 1] else "column"
            expected = sum(
                weight * mosaic[0, y + sign_y * down, x + sign_x * right]
                for (down, right), weight in MALVAR[kind].items()
                for sign_y in ((-1, 1) if down else (1,))
                for sign_x in ((-1, 1) if right else (1,))
            )
            assert float(actual[channel, y, x]) == pytest.approx(float(expected) / 8, abs=1e-5)


@given(
    cfa=st.sampled_from(LAYOUTS),
    method=st.sampled_from(["malvar", "bilinear"]),
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
)
def test_constant_colours_and_grey_ramps_are_exact_inside(
    cfa: Cfa, method: Demosaicking, size: tuple[int, int]
) -> None:
    colours = torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1).expand(3, *size)
    if method == "bilinear":  # malvar takes differences between colours for detail
        actual = demosaicked(_mosaic(colours, cfa)[None], cfa, method)[0]
        torch.testing.assert_close(actual, colours, atol=1e-6, rtol=0)
    ramp = torch.linspace(0, 1, size[1]).expand(3, *size)
    actual = demosaicked(_mosaic(ramp, cfa)[None], cfa, method)[0]
    torch.testing.assert_close(actual[..., 2:-2], ramp[..., 2:-2], atol=1e-6, rtol=0)


@given(cfa=st.sampled_from(LAYOUTS), height=st.integers(2, 7), width=st.integers(2, 7))
def test_luminance_has_the_same_weights_at_every_pixel(cfa: Cfa, height: int, width: int) -> None:
    colours = torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1).expand(3, height, width)
    actual = luminance(_mosaic(colours, cfa)[None])
    torch.testing.assert_close(actual, torch.full_like(actual, 0.25 * 0.2 + 0.25 + 0.25 * 0.9))


@pytest.mark.parametrize("method", COLOURS)
@pytest.mark.parametrize("cfa", LAYOUTS[:2])
def test_red_and_blue_light_are_reconstructed_in_their_channels(method: str, cfa: Cfa) -> None:
    light = np.zeros((81, 3, 24, 30), np.float32)
    light[:, 0, :, :15] = 0.8  # red on the left, blue on the right
    light[:, 2, :, 15:] = 0.8
    camera = SpikeCamera(gain=0.6, generator=np.random.default_rng(0))
    mosaics = (light * cfa_masks(cfa, 24, 30)).sum(axis=1)
    recording = camera.record([mosaics])
    recording.cfa = cfa
    image = _loaded(method).reconstruct(recording, 40, rate_scale=0.6)[0]
    left, right = image[:, 4:-4, 4:11].mean(dim=(1, 2)), image[:, 4:-4, 19:-4].mean(dim=(1, 2))
    assert left.argmax() == 0
    assert right.argmax() == 2
    assert float(left[0]) == pytest.approx(0.8, abs=0.05)
    assert float(left[1:].max()) < 0.05
    assert float(right[:2].max()) < 0.05


@pytest.mark.parametrize("method", COLOURS)
@pytest.mark.parametrize("size", [(24, 30), (25, 31)])
def test_a_uniform_scene_has_no_dark_pixels(method: str, size: tuple[int, int]) -> None:
    light = np.full((81, *size), 0.5, np.float32)
    recording = SpikeCamera(gain=0.6, generator=np.random.default_rng(0)).record([light])
    recording.cfa = "RGGB"
    image = _loaded(method).reconstruct(recording, 40, rate_scale=0.6)[0]
    assert image.min() > 0.35  # intervals of 3 and 4 planes are 0.56 and 0.42
    assert image.mean(dim=(1, 2)).tolist() == pytest.approx([0.5, 0.5, 0.5], abs=0.01)


def test_a_grey_scene_gives_the_same_spikes_as_a_grey_camera() -> None:
    spec = SceneSpec(planes=61, height=16, width=24, seed=1, background="photo:coins")
    grey, bayer = simulate_take(spec, margin=20), simulate_take(spec, margin=20, cfa="GBRG")
    assert bayer.images is not None
    assert bayer.images.std(axis=-1).max() == 0
    assert (bayer.recording.packed == grey.recording.packed).mean() > 0.99  # rounding of weights


def test_aligned_colour_has_higher_psnr_than_its_parts() -> None:
    take = _colour_take()
    assert take.images is not None
    truth = torch.from_numpy(take.images[0]).permute(2, 0, 1)[None].float() / 255

    def quality(method: ClassicalMethod) -> float:
        return float(psnr(method.reconstruct(take.recording, 60), truth))

    aligned = quality(ColourAlignedTFI())
    assert aligned > quality(ColourAlignedTFI(unblurs=False)) + 0.3
    assert aligned > quality(ColourTFI(average=9)) + 2
    assert aligned > quality(FilledColour()) + 2


def test_trainer_test_measures_colour_and_rejects_grey_data(tmp_path: Path) -> None:
    archive = build_archive(tmp_path / "colour.h5", {"a": _colour_take}, splits={"test": ["a"]})
    trainer = Trainer(logger=False, enable_progress_bar=False, accelerator="cpu")
    module = ColourModule("tfi", {"average": 9}, clip_length=121, lpips="off")
    data = ReconstructionDataModule(str(archive), clip_length=121, colour=True)
    (metrics,) = trainer.test(module, data, verbose=False)
    take = _colour_take()
    assert take.images is not None
    truth = torch.from_numpy(take.images[:1]).permute(0, 3, 1, 2).float() / 255
    image = ColourTFI(average=9).reconstruct(take.recording, 60)
    assert metrics["test/psnr"] == pytest.approx(float(psnr(image, truth)), abs=0.05)
    grey = ReconstructionDataModule(str(archive), clip_length=121)
    must_be = pytest.raises(ConfigError, match=r"data\.init_args\.colour: must be true")
    with must_be, pytest.warns(UserWarning, match="1 of 1 recordings .* colour filters"):
        trainer.test(module, grey, verbose=False)


def test_a_wrong_or_missing_cfa_is_rejected() -> None:
    with pytest.raises(UsageError, match="cfa must be RGGB, BGGR, GRBG or GBRG, got 'RGB'"):
        SpikeRecording.from_planes(random_spikes(5, 8, 8), cfa="RGB")
    recording = SpikeRecording.from_planes(random_spikes(81, 16, 16), rate_scale=0.5)
    with pytest.raises(UsageError, match="--cfa RGGB, BGGR, GRBG or GBRG"):
        _loaded("tfi-colour").reconstruct(recording, 40)


@pytest.mark.parametrize("method", COLOURS)
@pytest.mark.parametrize(("height", "width"), [(63, 71), (3, 5)])
def test_odd_sizes_give_nearly_the_same_images_as_even_sizes(
    method: str, height: int, width: int
) -> None:
    planes = _colour_take(planes=121).recording.read()
    odd = SpikeRecording.from_planes(planes[:, :height, :width], rate_scale=0.6, cfa="RGGB")
    (image,) = _loaded(method).reconstruct(odd, 60)
    assert image.shape == (3, height, width)
    assert image.isfinite().all()
    if height > 8:
        even = SpikeRecording.from_planes(planes, rate_scale=0.6, cfa="RGGB")
        (even_image,) = _loaded(method).reconstruct(even, 60)
        inside = (..., slice(height - 8), slice(width - 8))
        assert float((image - even_image[..., :height, :width])[inside].abs().mean()) < 0.02


@pytest.mark.parametrize("method", COLOURS)
def test_a_recording_that_is_too_small_to_demosaick_is_rejected(method: str) -> None:
    small = SpikeRecording.from_planes(random_spikes(81, 2, 9), rate_scale=0.5, cfa="RGGB")
    with pytest.raises(
        UsageError, match=r"2 x 9 pixels is too small for colour: .* at least 3 x 3"
    ):
        list(_loaded(method).reconstruct(small, [40]))


def test_compiled_kernels_equal_torch_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    take = _colour_take(speed=0.8)
    fast = ColourAlignedTFI().reconstruct(take.recording, 60)
    from spike_zoo.methods.classical import alignment, deblurring, intervals

    for module in (alignment, deblurring, intervals):
        monkeypatch.setattr(module, "is_compiled_for", lambda device: False)
    slow = ColourAlignedTFI().reconstruct(take.recording, 60)
    torch.testing.assert_close(fast, slow, atol=2e-3, rtol=0)
