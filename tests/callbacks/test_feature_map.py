"""A map of features: what is alike lies together, and a map there is only where it can be drawn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from spike_zoo.callbacks.feature_map import FeatureMap, embedded
from spike_zoo.media import load_picture
from spike_zoo.tasks import Evaluation, Labels

if TYPE_CHECKING:
    from pathlib import Path


def _features(samples: int) -> Tensor:
    """Three heaps of features, far from each other, one after the other."""
    noise = torch.randn(samples, 6, generator=torch.Generator().manual_seed(0))
    return noise + 20 * torch.nn.functional.one_hot(torch.arange(samples) % 3, 6)


def _test(folder: Path, features: Tensor | None, most: int = 2000, **changes: Any) -> list[str]:
    callback: Any = FeatureMap(folder, most)
    trainer = SimpleNamespace(
        **{"is_global_zero": True, "loggers": [], "global_step": 0, **changes}
    )
    callback.on_test_start(trainer, None)
    samples = 12 if features is None else len(features)
    truth = torch.arange(samples) % 3
    for start in range(0, samples, 5):
        part = slice(start, start + 5)
        kept = None if features is None else features[part]
        labels = Labels(truth[part], truth[part], ("a", "b", "c"), kept)
        callback.on_test_batch_end(trainer, None, Evaluation([], labels=labels), None, start)
    callback.on_test_end(trainer, None)
    return sorted(path.name for path in folder.rglob("*.png"))


def test_samples_that_are_alike_lie_together_and_the_map_repeats() -> None:
    features = _features(60).numpy()
    points, classes = embedded(features), np.arange(60) % 3
    middles = np.stack([points[classes == one].mean(axis=0) for one in range(3)])
    nearest = np.linalg.norm(points[:, None] - middles, axis=2).argmin(axis=1)
    assert nearest.tolist() == classes.tolist()
    np.testing.assert_array_equal(embedded(features), points)


@pytest.mark.parametrize("shape", [(5, 1), (6, 3)])
def test_few_samples_and_single_or_equal_features_have_places_too(shape: tuple[int, int]) -> None:
    assert np.isfinite(embedded(np.ones(shape, np.float32))).all()
    line = np.arange(shape[0], dtype=np.float32)[:, None].repeat(shape[1], axis=1)
    assert np.isfinite(embedded(line)).all()


def test_a_map_is_saved_of_many_samples_as_of_few(tmp_path: Path) -> None:
    assert _test(tmp_path, _features(30), most=20) == ["tsne.png"]
    assert load_picture(tmp_path / "images" / "tsne.png").shape[0] == 3


def test_no_features_too_few_samples_and_another_process_leave_nothing(tmp_path: Path) -> None:
    assert _test(tmp_path, None) == []
    assert _test(tmp_path, _features(4)) == []
    assert _test(tmp_path, _features(30), is_global_zero=False) == []


def test_a_run_that_diverged_has_no_map_and_is_told_so(tmp_path: Path) -> None:
    features = _features(30)
    features[7] = torch.nan
    with pytest.warns(UserWarning, match="tsne.png is left out: .* not finite"):
        assert _test(tmp_path, features) == []
