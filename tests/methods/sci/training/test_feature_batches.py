"""Tests of feature batches (crops, cache), affine augmentation and losses."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from spike_zoo.methods.sci.analysis.augmentation import apply_affine, sample_affine
from spike_zoo.methods.sci.analysis.fam import FAMOutput
from spike_zoo.methods.sci.features.motion_estimation import FACTORS
from spike_zoo.methods.sci.training.losses import (
    extraction_terms,
    flow_terms,
    reconstruction_terms,
)
from spike_zoo.methods.sci.training.stage_module import FeatureBatch, serves_whole_scenes
from spike_zoo.nn.flow import FLOW_WEIGHTS
from spike_zoo.nn.tensor_cache import TensorCache
from spike_zoo.nn.warp import warp
from tests.methods.sci.batches import reversed_batch, scene_batch
from tests.methods.sci.coding import small

SHIFT = (3, -2)  # pixels right and down in each image


def moving(batch: int = 3, images: int = 2, side: int = 48) -> FeatureBatch:
    """Return images that move by whole pixels, with their backward motion."""
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(batch, 3, side, side, generator=generator)
    right, down = SHIFT
    shifted = [first.roll((n * down, n * right), dims=(-2, -1)) for n in range(images)]
    features = torch.stack(shifted, dim=1)
    motion = torch.tensor([-float(right), -float(down)]).view(2, 1, 1)
    motions = motion.expand(batch, images, 2, side, side)
    return FeatureBatch(features, features.mean(dim=2, keepdim=True), motions)


def test_motion_is_cropped_and_rotated_with_the_features() -> None:
    scenes = moving()
    orientations: set[tuple[float, ...]] = set()
    for seed in range(10):
        features, images, motion = scenes.patch(32, torch.Generator().manual_seed(seed))
        assert motion is not None
        assert features.shape == (3, 2, 3, 32, 32)
        assert images.shape == (3, 2, 1, 32, 32)
        torch.testing.assert_close(images, features.mean(dim=2, keepdim=True))
        warped_feature = warp(features[:, 0], motion[:, 1])
        inner = ..., slice(4, -4), slice(4, -4)
        torch.testing.assert_close(warped_feature[inner], features[:, 1][inner], rtol=0, atol=1e-4)
        orientations |= {tuple(sample[1, :, 0, 0].tolist()) for sample in motion}
    assert len(orientations) == 8, "all rotations and flips occur"


def test_scenes_smaller_than_the_patch_are_rotated_without_cropping() -> None:
    scenes = moving(side=20)._replace(motion=None)
    patches = scenes.patch(64, torch.Generator().manual_seed(0))
    assert patches.features.shape == scenes.features.shape
    assert patches.motion is None
    for part, whole in zip(patches.features, scenes.features, strict=True):
        assert torch.equal(part.flatten().sort().values, whole.flatten().sort().values)


def test_scenes_too_low_for_a_square_patch_keep_their_orientation() -> None:
    whole = moving(batch=8)
    scenes = FeatureBatch(*(part[..., :24, :] for part in whole if part is not None))
    patches = scenes.patch(40, torch.Generator().manual_seed(0))
    assert patches.features.shape == (8, 2, 3, 24, 40)
    assert patches.motion is not None
    assert patches.motion.shape == (8, 2, 2, 24, 40)


def test_scenes_are_whole_without_crop_and_augmentation() -> None:
    assert serves_whole_scenes(SimpleNamespace(crop=None, augment=False))
    assert not serves_whole_scenes(SimpleNamespace(crop=64, augment=False))
    assert not serves_whole_scenes(SimpleNamespace(crop=None, augment=True))


def test_clean_features_are_images_scaled_to_the_contrast_of_each_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 1, 24, 24, generator=generator)
    slopes, offsets = torch.tensor([0.9, 1.1, 0.5]), torch.tensor([0.1, -0.05, 0.2])
    expected = images * slopes.view(3, 1, 1) + offsets.view(3, 1, 1)
    noise = 0.05 * torch.randn(expected.shape, generator=generator)
    clean = FeatureBatch(expected + noise, images, None).clean_features()
    assert clean.shape == expected.shape
    assert (clean - expected).abs().max() < 0.02
    flat = FeatureBatch(expected, torch.full_like(images, 0.5), None).clean_features()
    assert torch.isfinite(flat).all()


def test_features_of_each_window_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module, batch = small("motion").eval(), scene_batch(3)
    module._features = TensorCache(1.0)
    with torch.no_grad():
        expected = module.codec.features(batch["spikes"], batch["rate_scale"])
    feature = module.codec.feature
    windows: list[torch.Tensor] = []

    def counting_feature(window: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        windows.extend(window)
        return feature(window, scale)

    monkeypatch.setattr(module.codec, "feature", counting_feature)
    first = module.feature_scenes(batch).features
    assert len(windows) == 6
    torch.testing.assert_close(first, expected, rtol=1e-3, atol=1e-3)  # half precision
    assert torch.equal(module.feature_scenes(reversed_batch(batch)).features.flip(0), first)
    assert len(windows) == 6
    later = {**batch, "start": batch["start"] + 7}  # two of three windows are cached
    later["spikes"] = batch["spikes"].roll(-7, dims=1)
    assert torch.equal(module.feature_scenes(later).features[:, :2], first[:, 1:])
    assert len(windows) == 8


def smooth(*shape: int) -> torch.Tensor:
    """Return smooth images, which resampling does not blur."""
    coarse = torch.rand(*shape[:2], 5, 5, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, shape[2:], mode="bicubic", align_corners=False)


def test_affine_transforms_differ_between_samples_and_are_equal_for_frames_of_a_sample() -> None:
    images = smooth(1, 1, 24, 36).expand(4, 3, -1, -1)
    identity = sample_affine(4, 0.0, torch.Generator().manual_seed(0))
    torch.testing.assert_close(apply_affine(images, identity), images, rtol=0, atol=1e-5)
    distorted = apply_affine(images, sample_affine(4, 0.2, torch.Generator().manual_seed(0)))
    assert torch.equal(distorted[:, 0], distorted[:, 2])
    assert (distorted[0, 0] - distorted[1, 0]).abs().mean() > 0.02
    again = apply_affine(images, sample_affine(4, 0.2, torch.Generator().manual_seed(0)))
    assert torch.equal(distorted, again)


def test_rotation_of_non_square_images_keeps_angles_and_lengths() -> None:
    quarter = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    bar = torch.zeros(1, 1, 33, 65)
    bar[..., 16, 22:43] = 1.0  # 21 pixels wide
    rotated = apply_affine(bar, quarter)
    assert rotated[0, 0, 6:27, 32].min() > 0.9  # 21 pixels high
    assert rotated.sum() == torch.tensor(21.0)


def test_the_loss_of_a_feature_is_its_roughness_and_the_error_of_its_mean() -> None:
    columns = torch.arange(8.0).view(1, 1, 1, 8) / 8
    parabola = columns.square().expand(1, 3, 8, 8)  # its second difference is 2 / 64
    terms = extraction_terms(parabola, parabola[:, :1], smoothness_weight=0.5)
    assert terms["anchor"] == 0
    assert terms["lap1"] == pytest.approx(1 / 32)
    assert terms["lap2"] == pytest.approx(1 / 32**2)
    assert terms["total"] == pytest.approx(0.5 * (1 / 32 + 1 / 32**2))
    feature = torch.tensor([0.1, 0.3, 0.8]).view(1, 3, 1, 1).expand(1, 3, 6, 6)
    terms = extraction_terms(feature, torch.full((1, 1, 6, 6), 0.9), smoothness_weight=0.0)
    assert terms["total"] == pytest.approx(0.25), "the anchor is that of the mean over channels"


def test_the_flow_loss_is_weighted_by_level() -> None:
    truth = torch.zeros(1, 2, 32, 32)
    truth[:, 0] = 16.0
    motions = [torch.zeros(1, 2, 32 // factor, 32 // factor) for factor in FACTORS]
    current, reference = torch.rand(2, 1, 3, 32, 32)
    terms = flow_terms(motions, current, reference, truth, flow_loss_weight=0.5)
    expected = sum(FLOW_WEIGHTS[factor] * 16 / factor for factor in FACTORS)
    assert terms["true"] == pytest.approx(expected, rel=1e-4)
    photometric = (current - reference).square().mean()
    assert terms["total"] == pytest.approx(float(photometric + 0.5 * expected), rel=1e-4)
    alone = flow_terms(motions, current, reference, truth, flow_loss_weight=0.0)
    assert set(alone) == {"warp", "total"}
    assert alone["total"] == pytest.approx(float(photometric))


def test_preliminary_images_have_a_weight_of_a_tenth() -> None:
    image = torch.zeros(1, 1, 4, 4)
    output = FAMOutput(image + 0.5, image + 1.0, image + 2.0)
    terms = reconstruction_terms(output, image)
    assert terms["total"] == pytest.approx(0.25 + 0.1 * (1.0 + 4.0))
