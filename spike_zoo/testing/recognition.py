"""Tests that every method of recognition passes: inherit them beside the method's."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import torch
from lightning import Trainer, seed_everything

from spike_zoo.callbacks.predictions import PredictionFiles
from spike_zoo.data import ClassificationDataModule
from spike_zoo.testing.patterns import labelled_archive, labelled_take
from spike_zoo.testing.testers import QUIET, BatchTester

if TYPE_CHECKING:
    from pathlib import Path


class ClassificationTester(BatchTester):
    """What every method of recognition must do, learned or not."""

    def test_takes_any_height_and_width(self) -> None:
        """Clips of odd size get probabilities: none below 0, together 1."""
        seed_everything(0)
        module = self.make_module()
        for height, width in ((16, 16), (37, 51), (50, 33)):
            found = self.outputs(module, self.make_batch(height, width))
            assert found.shape == (2, module.classes)
            assert found.min() >= 0
            torch.testing.assert_close(found.sum(dim=1), torch.ones(2))

    def test_classifies_a_recording(self) -> None:
        """A recording of one clip is what its batch is; a longer one has probabilities too."""
        seed_everything(0)
        module = self.make_module()
        size = self.height, self.width
        recording = labelled_take(1, module.clip_length, *size, classes=module.classes).recording
        wanted = self.outputs(module, self.make_batch())[1]
        torch.testing.assert_close(module.classify(recording), wanted, rtol=1e-4, atol=1e-5)
        longer = labelled_take(1, 2 * module.clip_length + 3, *size).recording
        found = module.classify(longer)
        assert found.shape == (module.classes,)
        torch.testing.assert_close(found.sum(), torch.ones(()))

    def test_predictions_are_rows_of_a_table(self, tmp_path: Path) -> None:
        """Every clip has a row with its class and how likely that is."""
        seed_everything(0)
        module = self.make_module()
        archive = labelled_archive(
            tmp_path / "labelled.h5",
            module.clip_length,
            self.height,
            self.width,
            classes=module.classes,
        )
        data = ClassificationDataModule(str(archive), module.clip_length, eval_batch_size=2)
        trainer = Trainer(callbacks=[PredictionFiles(tmp_path)], logger=False, **QUIET)
        trainer.predict(module, data, return_predictions=False)
        with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["name"] for row in rows] == ["test-0", "test-1"]
        for row in rows:
            assert row["label_name"] == module.name_of(int(row["label"]))
            assert float(row["second_probability"]) <= float(row["probability"]) <= 1
