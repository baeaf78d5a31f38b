"""Tables of metrics per image, and files of predictions."""

from __future__ import annotations

import csv
import hashlib
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from spike_zoo.cli.main import main
from spike_zoo.media import load_image
from spike_zoo.methods.ssdm import BlurryInputModule
from spike_zoo.tasks import TaskModule, base
from spike_zoo.tasks.evaluation import Origin, SamplePrediction
from spike_zoo.testing import QUIET, tiny_archive
from spike_zoo.training.evaluation import PredictionFiles, image_set_digest
from spike_zoo.training.result import RunResult

IMAGES = st.lists(
    st.tuples(st.sampled_from(["street", "alley", "a-1"]), st.integers(0, 9)), unique=True
)


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


def test_images_become_images_named_after_sample_and_number(tmp_path: Path) -> None:
    _predict(_Counts(as_image=True), tmp_path)
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == [f"take{n}-{n:06d}.png" for n in range(3)]
    assert abs(load_image(tmp_path / "take2-000002.png").mean() - 0.5) < 1 / 255


@pytest.mark.parametrize("indices", [None, [6, 7]])
def test_predictions_without_a_plane_are_numbered(
    indices: list[int] | None, tmp_path: Path
) -> None:
    writer: Any = PredictionFiles(tmp_path)
    images, batch = torch.full((2, 1, 12, 16), 0.5), {"name": ["../street", "../street"]}
    for number in range(1 if indices else 4):
        writer.write_on_batch_end(None, BlurryInputModule(), images, indices, batch, number, 0)
    files = sorted(path.name for path in tmp_path.iterdir())
    first = 6 if indices else 0
    assert files == [f"_street-{number:06d}.png" for number in range(first, 8)]


def test_a_sample_may_have_several_images(tmp_path: Path) -> None:
    """Lightning counts samples, which are scenes here; each scene has two planes."""

    class Scenes(TaskModule):
        def origins(self, batch: Any) -> list[Origin]:
            return [Origin(name, plane) for name in ("street", "alley") for plane in (6, 13)]

    writer, images = PredictionFiles(tmp_path), torch.full((4, 1, 12, 16), 0.5)
    writer.write_on_batch_end(cast("Any", None), Scenes(), images, [0, 1], {}, 0, 0)
    assert sorted(path.stem for path in tmp_path.iterdir()) == [
        *("alley-000006", "alley-000013", "street-000006", "street-000013")
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


def test_a_test_writes_a_row_per_image_and_their_means_equal_its_metrics(tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "tiny.h5", planes=201, height=32, width=48, stride=20)
    arguments = ["--config=classical/tfi9", f"--data.archive={archive}", f"--run_dir={tmp_path}"]
    arguments += ["--data.eval_batch_size=2", "--trainer.enable_progress_bar=false"]
    assert main(["test", *arguments]) == 0
    with (tmp_path / "test" / "per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    result = RunResult.read(tmp_path / "test")
    for name in ("psnr", "ssim"):
        mean = sum(float(row[name]) for row in rows) / len(rows)
        assert mean == pytest.approx(result.metrics[f"test/{name}"], rel=1e-6)
    assert len({(row["name"], row["plane"]) for row in rows}) == len(rows) > 2
    assert all(float(row["rate_scale"]) > 0 for row in rows)


def test_the_digest_equals_the_sha256_of_a_sorted_text_list() -> None:
    content = b"alley\t7\nstreet\t40"  # name, tabulator, plane; sorted
    assert image_set_digest([("street", 40), ("alley", "7")]) == hashlib.sha256(content).hexdigest()


@given(images=IMAGES, others=IMAGES, seed=st.integers(0, 9))
def test_digests_of_images_are_equal_if_the_images_are_equal_in_any_order(
    images: list[tuple[str, int]], others: list[tuple[str, int]], seed: int
) -> None:
    shuffled = random.Random(seed).sample(images, len(images))
    assert image_set_digest(shuffled) == image_set_digest(images)
    is_same = set(images) == set(others)
    assert (image_set_digest(images) == image_set_digest(others)) is is_same
