"""Files of predictions: images and tables."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from spike_zoo.media import load_picture
from spike_zoo.methods.ssdm import BlurryInputModule
from spike_zoo.tasks import Origin, SamplePrediction, TaskModule, base
from spike_zoo.testing import QUIET
from spike_zoo.training.predictions import PredictionFiles


class _Counts(TaskModule):
    """Predict the mean spike count of a sample as a grey image or as a number."""

    def __init__(self, *, as_image: bool) -> None:
        super().__init__()
        self.as_image = as_image

    def origins(self, batch: Any) -> list[Origin]:
        return [Origin(name) for name in batch["name"]]

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return batch["spikes"].mean(dim=1, keepdim=True)

    def sample_predictions(self, batch: Any, prediction: Any) -> Any:
        if self.as_image:
            return super().sample_predictions(batch, prediction)
        rates = prediction.mean(dim=(1, 2, 3)).tolist()
        return [
            SamplePrediction(origin, values={"rate": rate})
            for origin, rate in zip(self.origins(batch), rates, strict=True)
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


@pytest.mark.parametrize("indices", [None, [6, 7]])
def test_predictions_without_a_plane_are_numbered(
    indices: list[int] | None, tmp_path: Path
) -> None:
    batch = {"name": ["street", "street"]}
    files = _write_predictions(
        tmp_path, BlurryInputModule(), batch, indices, batches=1 if indices else 4
    )
    first = 6 if indices else 0
    assert sorted(files) == [f"street-{number:06d}.png" for number in range(first, 8)]


def test_a_sample_may_have_several_images(tmp_path: Path) -> None:
    """Lightning counts samples, which are scenes here; each scene has two planes."""

    class Scenes(TaskModule):
        def origins(self, batch: Any) -> list[Origin]:
            return [
                Origin("street", 6),
                Origin("street", 13),
                Origin("alley", 6),
                Origin("alley", 13),
            ]

    writer, images = PredictionFiles(tmp_path), torch.full((4, 1, 12, 16), 0.5)
    writer.write_on_batch_end(cast("Any", None), Scenes(), images, [0, 1], {}, 0, 0)
    assert sorted(path.stem for path in tmp_path.iterdir()) == [
        *("alley-000006", "alley-000013", "street-000006", "street-000013"),
    ]


def test_the_table_contains_the_predictions_of_all_processes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes get two of three samples each: the sampler repeats the first one."""
    shares = ["take0", "take2"], ["take1", "take0"]
    writers, module = [PredictionFiles(tmp_path) for _ in shares], _Counts(as_image=False)
    for writer, names in zip(writers, shares, strict=True):
        batch = {"name": names, "spikes": torch.ones(2, 4, 8, 8)}
        predictions = module.predict_step(batch, 0)
        writer.write_on_batch_end(cast("Any", None), module, predictions, [0, 1], batch, 0, 0)

    def gather(into: list[Any], own: list[Any]) -> None:
        into[:] = [[*writer._rows] for writer in writers]
        assert own in into

    world = {"is_available": lambda: True, "is_initialized": lambda: True}
    collectives = {"get_world_size": lambda: 2, "all_gather_object": gather}
    monkeypatch.setattr(base, "dist", SimpleNamespace(**world, **collectives))
    for rank, writer in enumerate(writers):
        trainer: Any = SimpleNamespace(is_global_zero=rank == 0)
        writer.on_predict_end(trainer, module)
    with (tmp_path / "predictions.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["take0", "take1", "take2"]


def _write_predictions(
    folder: Path,
    module: TaskModule,
    batch: dict[str, Any],
    indices: list[int] | None,
    batches: int = 1,
) -> dict[str, float]:
    """Write two predictions per batch; return the mean grey value of each file."""
    writer: Any = PredictionFiles(folder)
    predictions = torch.tensor([0.2, 0.6]).view(2, 1, 1, 1).expand(2, 1, 12, 16)
    for number in range(batches):
        writer.write_on_batch_end(None, module, predictions, indices, batch, number, 0)
    return {path.name: float(load_picture(path).mean()) for path in folder.iterdir()}
