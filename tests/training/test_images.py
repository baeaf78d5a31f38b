"""Sample images, video, confusion matrix and t-SNE map: choice of samples, files, content."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from spike_zoo.media import load_image
from spike_zoo.tasks.evaluation import CaptionedImages, Evaluation, Labels, Origin
from spike_zoo.training.images import (
    ConfusionImage,
    FeatureMap,
    SampleImages,
    SampleVideo,
    tsne_embedding,
)

NAMES = ("no", "one", "two", "many")
TRUTH = torch.tensor([0, 0, 1, 1, 1, 2, 0])
PREDICTED = torch.tensor([0, 1, 1, 1, 2, 2, 3])


def _trainer(batches: int, **changes: Any) -> SimpleNamespace:
    counts = {"num_val_batches": [batches], "num_test_batches": [batches], "global_step": 40}
    state = {"is_global_zero": True, "sanity_checking": False, "testing": True, "loggers": []}
    return SimpleNamespace(**{**counts, **state, **changes})


def _evaluation(batch: int, *, has_truth: bool = True) -> Evaluation:
    """Return an evaluation of grey images; the ground truth is half as bright."""
    images = {"reconstruction": torch.full((1, 12, 16), batch / 20)}
    if has_truth:
        images["ground truth"] = torch.full((1, 12, 16), batch / 40)
    return Evaluation([CaptionedImages(Origin("street", batch), images, f"street-{batch}")])


def _run_test(folder: Path, batches: int, count: int, **changes: Any) -> None:
    callback: Any = SampleImages(folder, count)
    for batch in range(batches):
        callback.on_test_batch_end(
            _trainer(batches, **changes), None, _evaluation(batch), None, batch
        )


@pytest.mark.parametrize(
    ("batches", "count", "expected"),
    [(10, 4, [0, 3, 6, 9]), (2, 4, [0, 1]), (1, 4, [0]), (5, 1, [0]), (3, 2, [0, 2])],
)
def test_samples_are_spread_evenly_over_a_split(
    batches: int, count: int, expected: list[int], tmp_path: Path
) -> None:
    _run_test(tmp_path, batches, count)
    names = sorted(path.stem for path in (tmp_path / "reconstructions").iterdir())
    assert names == [f"street-{batch}" for batch in expected]
    strips = sorted(path.name for path in tmp_path.glob("test-*.png"))
    assert strips == [f"test-{number}.png" for number in range(len(expected))]


def test_a_test_sample_and_its_ground_truth_have_the_same_file_name(tmp_path: Path) -> None:
    _run_test(tmp_path, 10, 4)
    for kind, grey in (("reconstructions", 6 / 20), ("truths", 6 / 40)):
        image = load_image(tmp_path / kind / "street-6.png")
        assert image.shape == (1, 12, 16)
        assert image.mean() == pytest.approx(grey, abs=0.51 / 255)


def test_validation_writes_a_strip_per_step_and_the_sanity_check_writes_none(
    tmp_path: Path,
) -> None:
    callback: Any = SampleImages(tmp_path)
    first = _trainer(1, testing=False, sanity_checking=True)
    callback.on_validation_batch_end(first, None, _evaluation(0), None, 0)
    assert not list(tmp_path.iterdir())
    for step in (40, 80):
        trainer = _trainer(1, testing=False, global_step=step)
        callback.on_validation_batch_end(trainer, None, _evaluation(0), None, 0)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["val-0-step0000040.png", "val-0-step0000080.png"]


def test_other_processes_and_other_tasks_write_nothing(tmp_path: Path) -> None:
    _run_test(tmp_path, 2, 2, is_global_zero=False)
    callback: Any = SampleImages(tmp_path)
    # an output that is not an evaluation
    callback.on_test_batch_end(_trainer(1), None, torch.zeros(1), None, 0)
    callback.on_test_batch_end(_trainer(1), None, Evaluation([]), None, 0)
    assert not list(tmp_path.iterdir())


def test_a_sample_without_ground_truth_is_written_as_a_strip_only(tmp_path: Path) -> None:
    callback: Any = SampleImages(tmp_path)
    callback.on_test_batch_end(_trainer(1), None, _evaluation(0, has_truth=False), None, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["test-0.png"]


def _sample(name: str, plane: int) -> CaptionedImages:
    images = {"reconstruction": torch.rand(1, 16, 32), "ground truth": torch.rand(1, 16, 32)}
    return CaptionedImages(Origin(name, plane), images, f"{name}-{plane}")


def _sequence() -> list[CaptionedImages]:
    """Return seven images of one exposure next to its blurry image."""
    images = {"blurry": torch.rand(3, 16, 32), "sharp": torch.rand(3, 16, 32)}
    return [CaptionedImages(Origin("street", plane), images, "") for plane in range(7)]


@pytest.mark.parametrize(
    ("evaluations", "images"),
    [
        ([Evaluation([_sample("a", 0), _sample("a", 9)]), Evaluation([_sample("b", 0)])], 2),
        ([Evaluation([_sample("a", 0)], sequence=_sequence), Evaluation([_sample("a", 9)])], 7),
        ([Evaluation([_sample("a", 0)])], 0),
    ],
)
def test_the_video_shows_the_first_recording_or_one_exposure(
    evaluations: list[Evaluation], images: int, tmp_path: Path
) -> None:
    _test(SampleVideo(tmp_path), *evaluations)
    assert (tmp_path / "test.mp4").is_file() == bool(images), "a single image gives no video"
    if images:
        with av.open(tmp_path / "test.mp4") as container:
            widths = [frame.width for frame in container.decode(video=0)]
        assert len(widths) == images
        assert min(widths) >= 64, "two images side by side"


def _test(callback: Any, *evaluations: Any, **changes: Any) -> None:
    trainer = SimpleNamespace(
        **{"is_global_zero": True, "loggers": [], "global_step": 0, **changes}
    )
    callback.on_test_start(trainer, None)
    for number, evaluation in enumerate(evaluations):
        callback.on_test_batch_end(trainer, None, evaluation, None, number)
    callback.on_test_end(trainer, None)


def _evaluations(names: tuple[str, ...] = NAMES) -> list[Evaluation]:
    parts = [slice(0, 3), slice(3, 7)]
    return [Evaluation([], labels=Labels(TRUTH[part], PREDICTED[part], names)) for part in parts]


def _counts(folder: Path) -> list[list[str]]:
    with (folder / "confusion.csv").open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("names", [NAMES, ("no", "truth", "two", "two")])
def test_counts_equal_scikit_learn_with_the_truth_in_rows(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    _test(ConfusionImage(tmp_path), *_evaluations(names))
    head, *rows = _counts(tmp_path)
    assert head == ["truth", *names]
    assert [row[0] for row in rows] == list(names)
    expected = confusion_matrix(TRUTH, PREDICTED, labels=range(4)).tolist()
    assert [[int(count) for count in row[1:]] for row in rows] == expected
    assert load_image(tmp_path / "images" / "confusion.png").shape[0] == 3


def test_a_second_test_resets_the_counts(tmp_path: Path) -> None:
    callback = ConfusionImage(tmp_path)
    _test(callback, *_evaluations())
    _test(callback, _evaluations()[0])
    assert sum(int(count) for row in _counts(tmp_path)[1:] for count in row[1:]) == 3


def test_other_tasks_and_other_processes_write_nothing(tmp_path: Path) -> None:
    _test(ConfusionImage(tmp_path), Evaluation([]), torch.zeros(1), None)
    _test(ConfusionImage(tmp_path), *_evaluations(), is_global_zero=False)
    assert list(tmp_path.iterdir()) == []


def _features(samples: int) -> Tensor:
    """Return features of three distant clusters, in order."""
    noise = torch.randn(samples, 6, generator=torch.Generator().manual_seed(0))
    return noise + 20 * torch.nn.functional.one_hot(torch.arange(samples) % 3, 6)


def _map(folder: Path, features: Tensor | None, most: int = 2000, **changes: Any) -> list[str]:
    samples = 12 if features is None else len(features)
    parts = [slice(start, start + 5) for start in range(0, samples, 5)]
    truth = torch.arange(samples) % 3
    labels = [
        Labels(
            truth[part], truth[part], ("a", "b", "c"), None if features is None else features[part]
        )
        for part in parts
    ]
    _test(FeatureMap(folder, most), *(Evaluation([], labels=part) for part in labels), **changes)
    return sorted(path.name for path in folder.rglob("*.png"))


def test_similar_samples_are_close_and_the_map_is_deterministic() -> None:
    features = _features(60).numpy()
    points, classes = tsne_embedding(features), np.arange(60) % 3
    middles = np.stack([points[classes == label].mean(axis=0) for label in range(3)])
    nearest = np.linalg.norm(points[:, None] - middles, axis=2).argmin(axis=1)
    assert nearest.tolist() == classes.tolist()
    np.testing.assert_array_equal(tsne_embedding(features), points)


@pytest.mark.parametrize("shape", [(5, 1), (6, 3)])
def test_few_samples_and_single_or_equal_features_have_finite_positions(
    shape: tuple[int, int],
) -> None:
    assert np.isfinite(tsne_embedding(np.ones(shape, np.float32))).all()
    line = np.arange(shape[0], dtype=np.float32)[:, None].repeat(shape[1], axis=1)
    assert np.isfinite(tsne_embedding(line)).all()


def test_a_map_is_saved_for_more_samples_than_its_limit(tmp_path: Path) -> None:
    assert _map(tmp_path, _features(30), most=20) == ["tsne.png"]
    assert load_image(tmp_path / "images" / "tsne.png").shape[0] == 3


def test_no_features_too_few_samples_and_other_processes_give_no_map(tmp_path: Path) -> None:
    assert _map(tmp_path, None) == []
    assert _map(tmp_path, _features(4)) == []
    assert _map(tmp_path, _features(30), is_global_zero=False) == []


def test_features_that_are_not_finite_give_a_warning_and_no_map(tmp_path: Path) -> None:
    features = _features(30)
    features[7] = torch.nan
    with pytest.warns(UserWarning, match="tsne.png is left out: .* not finite"):
        assert _map(tmp_path, features) == []
