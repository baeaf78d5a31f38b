"""Base classes of tests that every method must pass; a subclass defines the module."""

import csv
from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from spike_zoo.checkpoints.loading import load
from spike_zoo.data.classification import ClassificationDataModule
from spike_zoo.data.deblur import DeblurDataModule
from spike_zoo.data.reconstruction import ReconstructionDataModule
from spike_zoo.metrics.image import psnr
from spike_zoo.tasks.base import MethodModule
from spike_zoo.tasks.deblurring import DeblurModule
from spike_zoo.tasks.recognition import ClassificationModule
from spike_zoo.tasks.reconstruction import ReconstructionModule
from spike_zoo.testing.exposures import MARGIN, exposed_take, exposure_archive, exposure_batch
from spike_zoo.testing.patterns import (
    clip_batch,
    labelled_archive,
    labelled_batch,
    labelled_take,
    pattern_take,
    tiny_archive,
)
from spike_zoo.training.evaluation import PredictionFiles

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class CheckpointTester:
    """Tests of methods of any task, with or without training.

    A subclass in a test file defines :meth:`make_module`, and :meth:`make_batch` for a task that is
    not part of this package.

    Attributes:
        height: Rows of the planes of the samples.
        width: Columns of the planes of the samples.
    """

    height = 40
    width = 48

    def make_module(self) -> Any:  # noqa: ANN401  (any class of MethodModule)
        """Return a small module; the same seed must give the same module."""
        raise NotImplementedError

    def make_batch(self, height: int | None = None, width: int | None = None) -> Any:  # noqa: ANN401  (the task's batch)
        """Return a batch of two samples of the module's task.

        The samples are drifting patterns; for recognition they are of the first two classes.
        """
        module, size = self.make_module(), (height or self.height, width or self.width)
        if isinstance(module, DeblurModule):
            return exposure_batch(*(exposed_take(seed, *size) for seed in (0, 1)))
        if isinstance(module, ClassificationModule):
            return labelled_batch(module.clip_length, *size, classes=module.classes)
        return clip_batch(module.clip_length, *size)

    def outputs(self, module: MethodModule, batch: Any) -> Tensor:  # noqa: ANN401  (the task's batch)
        """Return the predictions of the module for a batch, in evaluation mode."""
        with torch.inference_mode():
            return module.eval().predict_step(batch, 0)

    def test_loads_from_its_checkpoint_alone(self, tmp_path: Path) -> None:
        """A checkpoint of a plain Trainer is sufficient to rebuild the module."""
        seed_everything(0)
        module = self.make_module()
        batch = self.make_batch()
        before = self.outputs(module, batch)
        trainer = Trainer(logger=False, enable_checkpointing=False, **QUIET)
        trainer.strategy.connect(module)
        trainer.save_checkpoint(tmp_path / "module.ckpt")
        loaded: Any = load(tmp_path / "module.ckpt", trust=True)  # the method may not be shipped
        assert type(loaded) is type(module)
        torch.testing.assert_close(self.outputs(loaded, batch), before)


class BatchTester(CheckpointTester):
    """Tests of methods that process the samples of a batch independently."""

    def run(self, module: Any, batch: Any) -> Tensor:  # noqa: ANN401  (the task's)
        """Return one output for each sample of a batch, in evaluation mode."""
        return self.outputs(module, batch)

    def test_samples_of_a_batch_do_not_know_each_other(self) -> None:
        """The prediction of a sample does not depend on the other samples of its batch."""
        seed_everything(0)
        module, batch = self.make_module(), self.make_batch()
        alone = {name: value[1:] for name, value in batch.items()}
        together = self.run(module, batch)
        torch.testing.assert_close(self.run(module, alone), together[1:], rtol=1e-4, atol=1e-5)


class ReconstructionTester(BatchTester):
    """Tests of reconstruction methods, with or without training."""

    def run(self, module: Any, batch: Any) -> Tensor:  # noqa: ANN401  (the task's)
        """Return the reconstructions of a batch of clips in evaluation mode."""
        with torch.inference_mode():
            return module.eval()(batch["spikes"], batch["rate_scale"])

    def test_takes_any_height_and_width(self) -> None:
        """A reconstruction has the size of its clip, also for odd sizes, and is in [0, 1]."""
        seed_everything(0)
        module = self.make_module()
        for height, width in ((16, 16), (37, 51), (50, 33)):
            image = self.run(module, self.make_batch(height, width))
            assert image.shape == (2, 1, height, width)
            assert 0 <= image.min() <= image.max() <= 1

    def test_reconstructs_planes_of_a_recording(self) -> None:
        """Reconstructions of a recording are the same streamed and together, also at its ends."""
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
    """Tests of deblurring methods, with or without training."""

    height = 16
    width = 24

    def test_deblurs_at_the_size_of_the_blurry_image(self) -> None:
        """Sharp images have the size of the blurry image and are in [0, 1]."""
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
        """Sharp images of a recording are the same as those of a batch."""
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
            expected = module.eval().images_at(batch["blur"], batch["spikes"], centers, span)
        torch.testing.assert_close(images, expected[:, 0], rtol=1e-4, atol=1e-5)


class ClassificationTester(BatchTester):
    """Tests of classification methods, with or without training."""

    def test_takes_any_height_and_width(self) -> None:
        """Predictions are probabilities with sum 1, also for odd sizes."""
        seed_everything(0)
        module = self.make_module()
        for height, width in ((16, 16), (37, 51), (50, 33)):
            probabilities = self.outputs(module, self.make_batch(height, width))
            assert probabilities.shape == (2, module.classes)
            assert probabilities.min() >= 0
            torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2))

    def test_classifies_a_recording(self) -> None:
        """A recording of one clip is classified as in a batch; a longer one gives probabilities."""
        seed_everything(0)
        module = self.make_module()
        size = self.height, self.width
        recording = labelled_take(1, module.clip_length, *size, classes=module.classes).recording
        expected = self.outputs(module, self.make_batch())[1]
        torch.testing.assert_close(module.classify(recording), expected, rtol=1e-4, atol=1e-5)
        longer = labelled_take(1, 2 * module.clip_length + 3, *size).recording
        probabilities = module.classify(longer)
        assert probabilities.shape == (module.classes,)
        torch.testing.assert_close(probabilities.sum(), torch.ones(()))

    def test_predictions_are_rows_of_a_table(self, tmp_path: Path) -> None:
        """The CSV file has a row for each clip with its class and probability."""
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
    """Tests of trainable methods of any task.

    Inherit it together with the tester of the task:
    ``class TestMine(ReconstructionTester, MethodTester)``.

    Attributes:
        overfit_steps: Training steps on one batch.
        overfit_psnr: PSNR in dB that a reconstruction method must reach on this batch.
        steps_before_gradients: Training steps after which every parameter must have a gradient;
            layers that are initialised with zeros block gradients of earlier layers at first.
        untrained_parameters: Prefixes of the names of parameters that are not trained.
    """

    overfit_steps = 60
    overfit_psnr = 20.0
    steps_before_gradients = 3
    untrained_parameters: tuple[str, ...] = ()

    def make_data(self, module: MethodModule, folder: Path) -> LightningDataModule:
        """Return training data of the module's task, with two batches per epoch.

        Args:
            module: The module.
            folder: Folder of the archive.
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
            raise NotImplementedError(
                f"{type(module).__name__} has a new task: override make_data to return its data"
            )
        if not archive.exists():
            tiny_archive(archive, module.clip_length)
        return ReconstructionDataModule(str(archive), module.clip_length, crop=32, **options)

    def fit(
        self,
        module: MethodModule,
        data: LightningDataModule,
        folder: Path,
        steps: int,
        **options: Any,
    ) -> Trainer:
        """Train, save a checkpoint at every step, and return the trainer.

        The run ends with a complete epoch, because schedules may need the length of the run.
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

    def learn(self, module: MethodModule, batch: Any, steps: int) -> list[float]:  # noqa: ANN401  (the task's batch)
        """Train on one batch without a trainer, and return the losses of all steps."""
        optimiser = torch.optim.Adam(module.parameters(), lr=2e-3)
        # decays in the last third, so that the last loss is not an outlier on some processors
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
        """Training on one batch reduces the loss and reaches the required PSNR or classes."""
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
            predicted = self.outputs(module, batch).argmax(dim=1).tolist()
            truth = batch["label"].tolist()
            assert predicted == truth, f"clips of classes {truth} are classified as {predicted}"

    def test_sends_a_gradient_to_every_parameter(self) -> None:
        """Every parameter gets a gradient that is not 0."""
        seed_everything(0)
        module, batch = self.make_module(), self.make_batch()
        self.learn(module, batch, self.steps_before_gradients)
        module.zero_grad()
        training_loss(module, batch).backward()
        without_gradient = [
            name
            for name, parameter in module.named_parameters()
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
        ]
        without_gradient = [
            name for name in without_gradient if not name.startswith(self.untrained_parameters)
        ]
        assert not without_gradient, f"no gradient reaches {', '.join(without_gradient)}"

    def test_repeats_by_seed_and_resumes_to_the_same_weights(self, tmp_path: Path) -> None:
        """Runs of the same seed, also one resumed within an epoch, end with the same weights."""
        states = []
        for name in ("one", "two"):
            seed_everything(0)
            module = self.make_module()
            self.fit(module, self.make_data(module, tmp_path), tmp_path / name, steps=5)
            states.append(module.state_dict())
        seed_everything(0)
        resumed = self.make_module()
        middle = tmp_path / "one" / "epoch=1-step=3.ckpt"
        assert middle.is_file()
        options = {"ckpt_path": str(middle), "weights_only": True}
        self.fit(resumed, self.make_data(resumed, tmp_path), tmp_path / "three", 5, **options)
        states.append(resumed.state_dict())
        for other in states[1:]:
            for key, value in states[0].items():
                assert torch.equal(value, other[key]), key

    def test_agrees_in_bf16(self) -> None:
        """Predictions in bfloat16 differ by less than 0.01 on average."""
        seed_everything(0)
        module = self.make_module()
        batch = self.make_batch()
        exact = self.outputs(module, batch)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = self.outputs(module, batch)
        assert (coarse.float() - exact).abs().mean() < 0.01


def training_loss(module: MethodModule, batch: Any) -> Tensor:  # noqa: ANN401  (the task's batch)
    """Return the loss of one training step outside a trainer.

    Raises:
        TypeError: If the training step does not return a tensor.
    """
    module.setup("fit")
    for name in ("log", "log_dict"):  # logging needs a trainer
        setattr(module, name, lambda *_, **__: None)
    loss = module.training_step(batch, 0)
    if not isinstance(loss, torch.Tensor):
        raise TypeError(f"training_step must return the loss, got {type(loss).__name__}")
    return loss
