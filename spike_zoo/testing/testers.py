"""Tests that every method passes: inherit them, say how the module is made, and run pytest."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.optim.lr_scheduler import LambdaLR

from spike_zoo.callbacks.predictions import PredictionFiles
from spike_zoo.checkpoints.loading import load
from spike_zoo.data import (
    ClassificationDataModule,
    DeblurDataModule,
    ReconstructionDataModule,
)
from spike_zoo.metrics import psnr
from spike_zoo.tasks import ClassificationModule, DeblurModule, ReconstructionModule, TaskModule
from spike_zoo.testing.exposures import MARGIN, exposed_take, exposure_archive, exposure_batch
from spike_zoo.testing.patterns import (
    clip_batch,
    labelled_archive,
    labelled_batch,
    labelled_take,
    pattern_take,
    tiny_archive,
)

if TYPE_CHECKING:
    from lightning import LightningDataModule
    from torch import Tensor


QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class CheckpointTester:
    """What every method must do, whatever its task, learned or not.

    A subclass of this in a test file defines :meth:`make_module`, and :meth:`make_batch` where its
    task is not of this package.

    Attributes:
        height: Rows of the planes that it is shown.
        width: Columns of them.
    """

    height = 40
    width = 48

    def make_module(self) -> Any:  # noqa: ANN401  (a TaskModule; which one, the subclass knows)
        """Return a small module, the same at every call after the same seed."""
        raise NotImplementedError

    def make_batch(self, height: int | None = None, width: int | None = None) -> Any:  # noqa: ANN401  (the task's batch)
        """Return a batch of two samples, drifting patterns, of what the module's task takes.

        Those of a task of recognition are of the first two.
        """
        module, size = self.make_module(), (height or self.height, width or self.width)
        if isinstance(module, DeblurModule):
            return exposure_batch(*(exposed_take(seed, *size) for seed in (0, 1)))
        if isinstance(module, ClassificationModule):
            return labelled_batch(module.clip_length, *size, classes=module.classes)
        return clip_batch(module.clip_length, *size)

    def outputs(self, module: TaskModule, batch: Any) -> Tensor:  # noqa: ANN401  (the task's batch)
        """Return what the module predicts of a batch, in evaluation mode."""
        with torch.inference_mode():
            return module.eval().predict_step(batch, 0)

    def test_loads_from_its_checkpoint_alone(self, tmp_path: Path) -> None:
        """A checkpoint made without the command line rebuilds the module."""
        seed_everything(0)
        module = self.make_module()
        batch = self.make_batch()
        before = self.outputs(module, batch)
        trainer = Trainer(logger=False, enable_checkpointing=False, **QUIET)
        trainer.strategy.connect(module)
        trainer.save_checkpoint(tmp_path / "module.ckpt")
        loaded: Any = load(tmp_path / "module.ckpt", trust=True)  # its author runs this
        assert type(loaded) is type(module)
        torch.testing.assert_close(self.outputs(loaded, batch), before)


class BatchTester(CheckpointTester):
    """What every method that predicts sample by sample must do."""

    def run(self, module: Any, batch: Any) -> Tensor:  # noqa: ANN401  (the task's)
        """Return one output for each sample of a batch, in evaluation mode."""
        return self.outputs(module, batch)

    def test_samples_of_a_batch_do_not_know_each_other(self) -> None:
        """What is predicted of a sample is the same alone and in a batch."""
        seed_everything(0)
        module, batch = self.make_module(), self.make_batch()
        alone = {name: value[1:] for name, value in batch.items()}
        together = self.run(module, batch)
        torch.testing.assert_close(self.run(module, alone), together[1:], rtol=1e-4, atol=1e-5)


class ReconstructionTester(BatchTester):
    """What every method that makes pictures of spikes must do, learned or not."""

    def run(self, module: Any, batch: Any) -> Tensor:  # noqa: ANN401  (the task's)
        """Return the reconstructions of a batch of clips in evaluation mode."""
        with torch.inference_mode():
            return module.eval()(batch["spikes"], batch["rate_scale"])

    def test_takes_any_height_and_width(self) -> None:
        """A clip of odd size gives an image of that size in [0, 1]."""
        seed_everything(0)
        module = self.make_module()
        for height, width in ((16, 16), (37, 51), (50, 33)):
            image = self.run(module, self.make_batch(height, width))
            assert image.shape == (2, 1, height, width)
            assert 0 <= image.min() <= image.max() <= 1

    def test_reconstructs_planes_of_a_recording(self) -> None:
        """Pictures of a recording, its first and last plane too, one by one or together."""
        seed_everything(0)
        module = self.make_module()
        recording = pattern_take(3, planes=module.clip_length + 20).recording
        centers = [0, 7, len(recording) - 1]
        images = module.reconstruct(recording, centers)
        assert images.shape == (3, 1, *recording.shape[1:])
        assert images.dtype == torch.float32
        streamed = torch.stack(list(module.reconstruct_stream(recording, centers)))
        torch.testing.assert_close(images, streamed)


class DeblurTester(BatchTester):
    """What every method that deblurs by spikes must do, learned or not."""

    height = 16
    width = 24

    def test_deblurs_at_the_size_of_the_blurry_image(self) -> None:
        """Sharp images of each exposure have the size of its blurry one and lie in [0, 1]."""
        seed_everything(0)
        module = self.make_module()
        for height, width in ((8, 8), (12, 20)):
            batch = self.make_batch(height, width)
            start, stop = batch["exposure"][0].tolist()
            with torch.inference_mode():
                images = module.eval().images_at(
                    batch["blur"], batch["spikes"], [start, stop - 1], (start, stop)
                )
            assert images.shape == (2, *batch["blur"].shape)
            assert 0 <= images.min() <= images.max() <= 1

    def test_deblurs_planes_of_a_recording(self) -> None:
        """Sharp images of a recording, one by one or together, are those of its batch."""
        seed_everything(0)
        module = self.make_module()
        take = exposed_take(3, self.height, self.width)
        batch = exposure_batch(take)
        span = MARGIN, len(take.recording) - MARGIN
        centers = [span[0], sum(span) // 2, span[1] - 1]
        images = module.deblur(batch["blur"][0], take.recording, centers, exposure=span)
        assert images.shape == (3, *batch["blur"].shape[1:])
        assert images.dtype == torch.float32
        with torch.inference_mode():
            wanted = module.eval().images_at(batch["blur"], batch["spikes"], centers, span)
        torch.testing.assert_close(images, wanted[:, 0], rtol=1e-4, atol=1e-5)


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


class MethodTester(CheckpointTester):
    """What every method that learns must do, whatever its task.

    Inherit it beside the task's: ``class TestMine(ReconstructionTester, MethodTester)``.

    Attributes:
        overfit_steps: Steps in which one batch must be learned.
        overfit_psnr: PSNR in dB that a method which reconstructs must then reach on it.
        steps_before_gradients: Steps before every parameter must have a gradient: layers that
            begin as zeros keep it from those before them.
        parts_at_rest: Beginnings of names of parameters that are not meant to learn.
    """

    overfit_steps = 60
    overfit_psnr = 20.0
    steps_before_gradients = 3
    parts_at_rest: tuple[str, ...] = ()

    def make_data(self, module: TaskModule, folder: Path) -> LightningDataModule:
        """Return data of the module's task to train on: two batches are an epoch.

        Args:
            module: The module.
            folder: For the archive.
        """
        archive = folder / "tiny.h5"
        options: dict[str, Any] = {"batch_size": 2, "seed": 0}
        if isinstance(module, DeblurModule):
            if not archive.exists():
                exposure_archive(archive)
            return DeblurDataModule(str(archive), crop=16, **options)
        if isinstance(module, ClassificationModule):
            if not archive.exists():
                size = self.height, self.width
                labelled_archive(archive, module.clip_length, *size, classes=module.classes)
            return ClassificationDataModule(str(archive), module.clip_length, **options)
        if not isinstance(module, ReconstructionModule):
            raise NotImplementedError("make_data: say what the module of a new task learns from")
        if not archive.exists():
            tiny_archive(archive, module.clip_length)
        return ReconstructionDataModule(str(archive), module.clip_length, crop=32, **options)

    def fit(
        self,
        module: TaskModule,
        data: LightningDataModule,
        folder: Path,
        steps: int,
        **options: Any,
    ) -> Trainer:
        """Train and return the trainer; every state is kept.

        The run ends with the epoch of the last step, as runs do whose schedules need their length.
        """
        trainer = Trainer(
            max_epochs=-(-steps // 2),
            limit_val_batches=0,
            callbacks=[ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1)],
            logger=False,
            **QUIET,
        )
        trainer.fit(module, data, **options)
        return trainer

    def learn(self, module: TaskModule, batch: Any, steps: int) -> list[float]:  # noqa: ANN401  (the task's batch)
        """Take some steps on one batch, outside a trainer, and return their losses."""
        optimiser = torch.optim.Adam(module.parameters(), lr=2e-3)
        # it falls in the last third: else the last step may be a bad one on one processor alone
        rate = LambdaLR(optimiser, lambda step: min(1.0, 3 * (1 - step / steps)))
        module.train()
        losses = []
        for _ in range(steps):
            loss = training_loss(module, batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
            losses.append(loss.item())
        return losses

    def test_overfits_one_batch(self) -> None:
        """A batch seen again and again is learned; its classes are found."""
        seed_everything(0)
        module = self.make_module()
        batch = self.make_batch()
        losses = self.learn(module, batch, self.overfit_steps)
        assert losses[-1] < 0.5 * losses[0]
        if isinstance(module, ReconstructionModule):
            with torch.no_grad():
                image = module(batch["spikes"], batch["rate_scale"])
            assert psnr(image, batch["image"]).mean() > self.overfit_psnr
        if isinstance(module, ClassificationModule):
            found = self.outputs(module, batch).argmax(dim=1).tolist()
            truth = batch["label"].tolist()
            assert found == truth, f"clips of classes {truth} are taken for {found}"

    def test_sends_a_gradient_to_every_parameter(self) -> None:
        """No parameter is left out of the loss."""
        seed_everything(0)
        module, batch = self.make_module(), self.make_batch()
        self.learn(module, batch, self.steps_before_gradients)
        module.zero_grad()
        training_loss(module, batch).backward()
        idle = [
            name
            for name, parameter in module.named_parameters()
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
        ]
        idle = [name for name in idle if not name.startswith(self.parts_at_rest)]
        assert not idle, f"no gradient reaches {', '.join(idle)}"

    def test_repeats_by_seed_and_resumes_to_the_same_weights(self, tmp_path: Path) -> None:
        """A run stopped in the middle of an epoch and resumed ends as one that was not."""
        ends = []
        for name in ("one", "two"):
            seed_everything(0)
            module = self.make_module()
            self.fit(module, self.make_data(module, tmp_path), tmp_path / name, steps=5)
            ends.append(module.state_dict())
        seed_everything(0)
        resumed = self.make_module()
        middle = tmp_path / "one" / "epoch=1-step=3.ckpt"
        assert middle.is_file()
        options = {"ckpt_path": str(middle), "weights_only": True}
        self.fit(resumed, self.make_data(resumed, tmp_path), tmp_path / "three", 5, **options)
        ends.append(resumed.state_dict())
        for other in ends[1:]:
            for key, value in ends[0].items():
                assert torch.equal(value, other[key]), key

    def test_agrees_in_bf16(self) -> None:
        """Half precision moves what is predicted by less than an eye sees."""
        seed_everything(0)
        module = self.make_module()
        batch = self.make_batch()
        exact = self.outputs(module, batch)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = self.outputs(module, batch)
        assert (coarse.float() - exact).abs().mean() < 0.01


def training_loss(module: TaskModule, batch: Any) -> Tensor:  # noqa: ANN401  (the task's batch)
    """Return the loss of one training step outside a trainer.

    Raises:
        TypeError: If the step returns none.
    """
    module.setup("fit")
    for name in ("log", "log_dict"):  # outside a trainer there is nothing to log to
        setattr(module, name, lambda *_, **__: None)
    loss = module.training_step(batch, 0)
    if not isinstance(loss, torch.Tensor):
        raise TypeError(f"training_step must return the loss, got {type(loss).__name__}")
    return loss
