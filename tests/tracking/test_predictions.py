"""Predictions as files, whatever the task's answer is."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
import torch
from lightning import Trainer
from torch.utils.data import DataLoader

from spike_zoo.media import load_picture
from spike_zoo.methods.classical import TFIModule
from spike_zoo.methods.ssdm import BlurryInputModule
from spike_zoo.tasks import Origin, Predicted, TaskModule
from spike_zoo.testing import QUIET
from spike_zoo.tracking import PredictionFiles

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


class _Counts(TaskModule):
    """Answers how often a sample fires: as a grey image, or as a number."""

    def __init__(self, *, as_image: bool) -> None:
        super().__init__()
        self.as_image = as_image

    def origins(self, batch: Any) -> list[Origin]:
        return [Origin(name) for name in batch["name"]]

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return batch["spikes"].mean(dim=1, keepdim=True)

    def predicted(self, batch: Any, found: Any) -> Any:
        if self.as_image:
            return super().predicted(batch, found)
        rates = found.mean(dim=(1, 2, 3)).tolist()
        return [
            Predicted(one, values={"rate": rate})
            for one, rate in zip(self.origins(batch), rates, strict=True)
        ]


def _predict(module: TaskModule, folder: Path) -> None:
    samples = [{"name": f"take{n}", "spikes": torch.full((4, 8, 8), n / 4.0)} for n in range(3)]
    loader: Any = DataLoader(samples, batch_size=2)  # type: ignore[arg-type]  # map-style
    trainer = Trainer(callbacks=[PredictionFiles(folder)], logger=False, **QUIET)
    trainer.predict(module, loader, return_predictions=False)


def test_values_become_one_table_over_all_batches(tmp_path: Path) -> None:
    _predict(_Counts(as_image=False), tmp_path)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["take0", "take1", "take2"]
    assert [float(row["rate"]) for row in rows] == [0.0, 0.25, 0.5]
    assert not list(tmp_path.glob("*.png"))


def test_images_become_pictures_named_after_sample_and_number(tmp_path: Path) -> None:
    _predict(_Counts(as_image=True), tmp_path)
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == [f"take{n}-{n:06d}.png" for n in range(3)]
    assert abs(load_picture(tmp_path / "take2-000002.png").mean() - 0.5) < 1 / 255


def test_predictions_are_named_after_recording_and_plane(tmp_path: Path) -> None:
    batch = {"name": ["street", "alley"], "plane": torch.tensor([75, 8])}
    assert _predicted(tmp_path, TFIModule(), batch, None) == {
        "street-000075.png": pytest.approx(0.2, abs=0.51 / 255),
        "alley-000008.png": pytest.approx(0.6, abs=0.51 / 255),
    }


@pytest.mark.parametrize("indices", [None, [6, 7]])
def test_predictions_of_no_single_plane_are_numbered(
    indices: list[int] | None, tmp_path: Path
) -> None:
    batch = {"name": ["street", "street"]}
    found = _predicted(tmp_path, BlurryInputModule(), batch, indices)
    assert found.keys() == {"street-000006.png", "street-000007.png"}


def _predicted(
    folder: Path, module: TaskModule, batch: dict[str, Any], indices: list[int] | None
) -> dict[str, float]:
    """Return files and greys of two predictions, the batch after three of as many."""
    writer: Any = PredictionFiles(folder)
    found = torch.tensor([0.2, 0.6]).view(2, 1, 1, 1).expand(2, 1, 12, 16)
    writer.write_on_batch_end(None, module, found, indices, batch, 3, 0)
    return {path.name: float(load_picture(path).mean()) for path in folder.iterdir()}
