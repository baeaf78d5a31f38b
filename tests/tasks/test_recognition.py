"""Recognition module: metrics, images, predictions and checks of the data."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from torch import Tensor

from spike_zoo.data import ClassificationDataModule
from spike_zoo.errors import ConfigError
from spike_zoo.spikes import SpikeRecording
from spike_zoo.tasks import ClassificationModule
from spike_zoo.tasks.batch import LabelledBatch
from spike_zoo.tasks.evaluation import MeasuredImage, Origin
from spike_zoo.testing import QUIET, labelled_archive, training_loss
from tests.helpers.modules import StripesModule

LENGTH = 4
NAMES = ("no", "one", "two", "three")


class Counts(ClassificationModule):
    """Method that predicts the spike count of the first pixel, three times as likely as others."""

    clip_length = LENGTH

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        fired = spikes[:, :, 0, 0].sum(dim=1).long()
        logits = torch.nn.functional.one_hot(fired, self.classes) * np.log(3.0)
        return logits / rate_scale[:, None]


def _batch(*fired: int) -> LabelledBatch:
    """Return clips of class 0, 1, 2, ... with given spike counts of the first pixel."""
    spikes = torch.zeros(len(fired), LENGTH, 5, 8)
    for clip, count in zip(spikes, fired, strict=True):
        clip[:count, 0, 0] = 1
    return {
        "spikes": spikes,
        "label": torch.arange(len(fired)),
        "rate_scale": torch.ones(len(fired)),
        "plane": torch.tensor([7 + n for n in range(len(fired))]),
        "name": [f"take{n}" for n in range(len(fired))],
    }


def _module(**options: Any) -> Counts:
    module = Counts(classes=4, **options)
    module.setup("test")
    return module


def test_every_clip_has_metrics_and_labels_under_its_name() -> None:
    evaluation = _module(label_names=NAMES).test_step(_batch(0, 3, 2), 0)
    assert evaluation.values["accuracy"].tolist() == [1, 0, 1]
    # three times as likely as each of the three others: 1/2, and 1/6 for each other
    assert evaluation.values["truth_probability"].tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 2])
    assert evaluation.measured[1] == MeasuredImage(Origin("take1", 8), 8, 1.0)
    labels = evaluation.labels
    assert labels is not None
    assert (labels.truth.tolist(), labels.predicted.tolist()) == ([0, 1, 2], [0, 3, 2])
    assert (tuple(labels.names), labels.features) == (NAMES, None)


def test_features_are_computed_only_in_tests() -> None:
    module: Any = StripesModule()
    module.setup("test")
    batch = {**_batch(0, 1), "spikes": torch.rand(2, 9, 8, 8)}
    assert module.test_step(batch, 0).labels.features.shape == (2, 8)
    assert module.validation_step(batch, 0).labels.features is None


def test_the_first_clip_is_shown_with_its_predicted_class() -> None:
    (sample,) = _module(label_names=NAMES).test_step(_batch(3, 1), 0).samples
    assert sample.caption == "take0, plane 7: three (50 %), truth no"
    assert sample.stem == "take0-plane7"
    ((caption, image),) = sample.images.items()
    assert caption == "three (50 %), truth no"
    assert image.shape == (150, 240), "5x8 pixels, each 30x30"
    assert image[:30, :30].unique().item() == pytest.approx(3 / 4)
    assert image[30:].max() == 0


def test_a_prediction_names_the_best_three_classes() -> None:
    module = _module()
    batch = _batch(2, 1)
    first, second = module.evaluator.sample_predictions(batch, module.predict_step(batch, 0))
    assert first.origin == Origin("take0", 7)
    assert first.values["label"] == 2
    assert first.values["label_name"] == "2", "classes without names have their number"
    assert first.values["probability"] == pytest.approx(1 / 2)
    assert second.values["second_probability"] == pytest.approx(1 / 6, abs=1e-6)
    names = {str(second.values[key]) for key in ("label_name", "second_name", "third_name")}
    assert len(names) == 3
    two = Counts(classes=2)
    (only,) = two.evaluator.sample_predictions(_batch(1), two.predict_step(_batch(1), 0))
    assert list(only.values)[-2:] == ["second_name", "second_probability"], (
        "there is no third class"
    )


def test_a_training_step_is_the_cross_entropy() -> None:
    loss = training_loss(_module(), _batch(0, 3))
    assert loss.item() == pytest.approx((np.log(2) + np.log(6)) / 2)
    spread = training_loss(_module(label_smoothing=0.4), _batch(0, 3)).item()
    others = (np.log(2) + 3 * np.log(6)) / 4  # of all classes, the same for both clips
    assert spread == pytest.approx(0.6 * loss.item() + 0.4 * others)


def test_a_class_out_of_range_is_rejected_with_the_name_of_the_recording() -> None:
    batch = _batch(0, 1)
    for label in (-1, 4):
        batch["label"][1] = label
        message = rf"'take1' is of class {label}, Counts has 4 classes, 0\.\.3; set model"
        with pytest.raises(ConfigError, match=message):
            _module().test_step(batch, 0)
        with pytest.raises(ConfigError, match=message):
            training_loss(_module(), batch)


def test_data_are_checked_before_computation() -> None:
    module = _module(label_names=NAMES)
    foreign_data: Any = SimpleNamespace()
    module.check_data(foreign_data, "fit")  # these are checked batch by batch
    data: Any = SimpleNamespace(clip_length=LENGTH, labels=lambda: {1: "a"}, label_names=())
    module.check_data(data, "fit")
    assert module.label_names == NAMES
    data.label_names = ("no", "two", "one", "three")
    with pytest.raises(ConfigError, match=r"label_names: no, one, .* are no, two, one, three"):
        module.check_data(data, "fit")
    data.labels = lambda: {1: "a", 7: "street"}
    with pytest.raises(ConfigError, match="'street' is of class 7"):
        module.check_data(data, "fit")
    data.clip_length = 9
    with pytest.raises(ConfigError, match=r"clip_length: the clips have 9 .* takes 4; set it to 4"):
        module.check_data(data, "fit")


def test_wrong_numbers_of_names_single_classes_and_full_smoothing_are_rejected() -> None:
    with pytest.raises(ConfigError, match="label_names: 2 names for 4 classes"):
        Counts(classes=4, label_names=("a", "b"))
    with pytest.raises(ConfigError, match="classes: at least 2, got 1"):
        Counts(classes=1)
    with pytest.raises(ConfigError, match="label_smoothing: from 0 to less than 1, got 1"):
        Counts(classes=4, label_smoothing=1.0)


def _recording(*fired: int, rate_scale: float | None = 1.0) -> SpikeRecording:
    """Return a recording of pairs of planes with given spike counts of the first pixel."""
    spikes = np.zeros((2 * len(fired), 5, 11), bool)
    for pair, count in enumerate(fired):
        spikes[2 * pair : 2 * pair + count, 0, 0] = True
    return SpikeRecording.from_planes(spikes, rate_scale=rate_scale)


def test_the_class_of_a_recording_is_that_of_the_mean_logits_of_its_clips() -> None:
    module = Counts(classes=4)
    assert module.classify(_recording(1, 2)).tolist() == pytest.approx([1 / 6] * 3 + [1 / 2])
    # clips of 2 + 1 and 1 + 2 and 2 + 0 spikes: logits of class 3 twice, of class 2 once
    probabilities = module.classify(_recording(2, 1, 2, 0))
    weights = torch.tensor([1, 1, 3 ** (1 / 3), 3 ** (2 / 3)])
    torch.testing.assert_close(probabilities, weights / weights.sum())
    assert probabilities.dtype == torch.float32


def test_the_rate_scale_is_taken_from_the_recording_unless_given_as_argument() -> None:
    module = Counts(classes=4)
    half = module.classify(_recording(1, 2, rate_scale=0.5))
    assert half[3].item() == pytest.approx(9 / 12), "logits are divided by the rate scale"
    torch.testing.assert_close(
        module.classify(_recording(1, 2, rate_scale=0.5), rate_scale=1.0),
        module.classify(_recording(1, 2)),
    )
    with pytest.warns(UserWarning, match="1 is assumed.* dark .*--rate-scale R") as caught:
        module.classify(_recording(1, 2, rate_scale=None))
    assert len(caught) == 1


def test_classify_restores_the_training_mode() -> None:
    module = StripesModule().train()
    module.classify(SpikeRecording.from_planes(np.ones((9, 8, 8), bool), rate_scale=1.0))
    assert module.training
    assert module.edges.training


def test_stripes_are_learned_and_every_metric_is_logged(tmp_path: Path) -> None:
    archive = labelled_archive(tmp_path / "stripes.h5", 9)  # two of three classes
    data = ClassificationDataModule(str(archive), 9, batch_size=4, seed=0)
    torch.manual_seed(0)
    module = StripesModule(classes=3)
    trainer = Trainer(
        max_epochs=40, logger=False, enable_checkpointing=False, check_val_every_n_epoch=40, **QUIET
    )
    trainer.fit(module, data)
    logged = {**trainer.callback_metrics}
    trainer.test(module, data, verbose=False)
    splits: dict[str, dict[str, float]] = {"train": {}, "val": {}, "test": {}}
    for name, value in {**logged, **trainer.callback_metrics}.items():
        split, _, metric = name.partition("/")
        splits[split][metric] = float(value)
    assert splits["train"].keys() == {"total", "accuracy"}
    assert splits["val"] == {"accuracy": 1, "precision": 1, "recall": 1, "f1": 1}
    names = ("precision", "recall", "f1")
    per_class = {f"{name}_{n}": float(n < 2) for name in names for n in range(3)}
    assert splits["test"] == splits["val"] | per_class, "class 2 is in no recording"
