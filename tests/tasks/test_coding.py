"""Coding evaluator: logged metrics, rate-distortion curves and per-image tables of a test."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning import Trainer
from torch import Tensor

from spike_zoo.data import ReconstructionDataModule, SceneDataModule
from spike_zoo.errors import ConfigError
from spike_zoo.tasks import MethodModule
from spike_zoo.tasks.evaluators.coding import CodedScene, CodingEvaluator, CompressedRecording
from spike_zoo.testing import QUIET, tiny_archive
from spike_zoo.training.cost import CostMeter
from spike_zoo.training.evaluation import PerImageMetrics
from spike_zoo.training.images import SampleImages, SampleVideo
from spike_zoo.training.result import Cost

HEIGHT, WIDTH, PLANES, STRIDE = 24, 32, 61, 20


class RoundingCodec(MethodModule):
    """Codec that quantises the true images, with rate and error in closed form."""

    def __init__(self) -> None:
        super().__init__(CodingEvaluator(("2 bits", "4 bits", "6 bits")))

    def prepared(self, scene: CodedScene) -> CodedScene:
        return scene

    def compress(self, prepared: CodedScene, point: int) -> CompressedRecording:
        steps = 4 ** (point + 1)
        quantised = (prepared.images * steps).floor().clamp(max=steps - 1)
        n_bytes = (2 * point + 2) * quantised.numel() // 8 + len(prepared.name)
        return CompressedRecording(n_bytes, (quantised + 0.5) / steps)

    def decompress(self, coded: CompressedRecording, scene: CodedScene) -> Tensor:
        images: Tensor = coded.content
        return images


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("scenes") / "tiny.h5"
    return str(tiny_archive(path, planes=PLANES, height=HEIGHT, width=WIDTH, stride=STRIDE))


class CodedTest(NamedTuple):
    """A test of a codec with its logged metrics, files and costs."""

    module: RoundingCodec
    metrics: dict[str, float]
    folder: Path
    costs: dict[str, Cost]


def run_test(module: RoundingCodec, archive: str, folder: Path) -> CodedTest:
    """Test a module with the callbacks of a run."""
    images, meter = folder / "images", CostMeter()
    callbacks = [PerImageMetrics(folder), SampleImages(images), SampleVideo(images), meter]
    trainer = Trainer(logger=False, callbacks=callbacks, **QUIET)
    (metrics,) = trainer.test(module, data_of(archive), verbose=False)
    return CodedTest(module, dict(metrics), folder, meter.costs)


def data_of(archive: str) -> SceneDataModule:
    return SceneDataModule(archive, clip_length=13, full_sequence_splits=["test"], workers=0)


@pytest.fixture(scope="module")
def scenes(archive: str) -> list[Any]:
    data = data_of(archive)
    data.setup("test")
    return [data.on_after_batch_transfer(batch, 0) for batch in data.test_dataloader()]


@pytest.fixture(scope="module")
def run(archive: str, tmp_path_factory: pytest.TempPathFactory) -> CodedTest:
    return run_test(RoundingCodec(), archive, tmp_path_factory.mktemp("run"))


def test_rate_and_quality_of_every_rate_point_equal_closed_forms(
    run: CodedTest, scenes: list[Any]
) -> None:
    truth = torch.cat([images for batch in scenes for images in batch["images"]])
    for n in range(3):
        steps = 4 ** (n + 1)
        quantised = ((truth * steps).floor().clamp(max=steps - 1) + 0.5) / steps
        errors = (quantised - truth).square().mean(dim=(1, 2, 3))
        decibels = float((-10 * errors.log10()).mean())
        assert run.metrics[f"test/psnr_q{n}"] == pytest.approx(decibels, abs=1e-3)
        rates = [
            8 * ((2 * n + 2) * images.numel() // 8 + len(name)) / spikes.numel()
            for batch in scenes
            for name, images, spikes in zip(
                batch["name"], batch["images"], batch["spikes"], strict=True
            )
        ]
        expected = sum(rates) / len(rates)
        assert run.metrics[f"test/bpp_q{n}"] == pytest.approx(expected, rel=1e-6)
    for metric in ("psnr", "ssim"):
        points = run.module.curves[f"rate_distortion/{metric}"]
        logged = [(f"test/bpp_q{n}", f"test/{metric}_q{n}") for n in range(3)]
        for point, names in zip(points, logged, strict=True):
            assert point == pytest.approx([run.metrics[name] for name in names])


def test_quality_is_measured_in_single_precision_within_autocast(scenes: list[Any]) -> None:
    batch, values = scenes[0], []
    for is_mixed in (False, True):
        module: Any = RoundingCodec()
        module.setup("test")
        with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
            metrics = module.evaluate(batch, "test", 0).values
        values.append(metrics)
    for name, expected in values[0].items():
        torch.testing.assert_close(values[1][name], expected, msg=name)


def test_every_image_is_listed_in_the_file_with_the_rate_of_its_recording(
    run: CodedTest, scenes: list[Any]
) -> None:
    with (run.folder / "per_image.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == sum(len(images) for batch in scenes for images in batch["images"]) > 1
    mean = sum(float(line["psnr_q1"]) for line in lines) / len(lines)
    assert mean == pytest.approx(run.metrics["test/psnr_q1"], abs=1e-4)
    rates_of_recordings = {(line["name"], line["bpp_q2"]) for line in lines}
    assert len(rates_of_recordings) == len({line["name"] for line in lines})
    assert sorted(run.folder.rglob("*.png"))
    assert (run.folder / "images" / "test.mp4").is_file()


def test_costs_of_compression_and_decompression_are_measured_per_image(run: CodedTest) -> None:
    assert set(run.costs) == {"forward", "compress", "decompress"}
    assert run.costs["forward"].size == (HEIGHT, WIDTH)


def test_clips_are_rejected_with_the_required_datamodule(archive: str) -> None:
    module = RoundingCodec()
    trainer = Trainer(logger=False, **QUIET)
    clips = ReconstructionDataModule(archive, clip_length=13, workers=0)
    with pytest.raises(
        ConfigError, match=r"SceneDataModule with init_args.full_sequence_splits: \[test\]"
    ):
        trainer.test(module, clips, verbose=False)
    scenes = SceneDataModule(archive, clip_length=13, full_sequence_splits=["test"], workers=0)
    with pytest.raises(ConfigError, match=r"full_sequence_splits: \[val, test\]"):
        module.check_data(scenes, "fit")


def test_predictions_are_images(scenes: list[Any]) -> None:
    batch = scenes[0]
    module = RoundingCodec()
    images = module.predict_step(batch, 0)
    predicted = module.evaluator.sample_predictions(batch, images)
    assert [image.origin.plane for image in predicted] == batch["planes"].flatten().tolist()
