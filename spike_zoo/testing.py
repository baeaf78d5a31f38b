"""Tests that every method passes: inherit them, say how the module is made, and run pytest."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from spike_zoo.archive import build_archive
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.data.base import unpacked
from spike_zoo.methods.loading import load
from spike_zoo.metrics import psnr
from spike_zoo.simulation import SpikeCamera
from spike_zoo.spikes import SpikeRecording, Take
from spike_zoo.tasks import ReconstructionModule

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from spike_zoo.batch import ReconstructionBatch


def drifting_pattern(planes: int, height: int, width: int, seed: int) -> NDArray[np.float32]:
    """Return smooth waves that drift by up to half a pixel a plane: ``(T, H, W)`` in [0, 1]."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    time = np.arange(planes, dtype=np.float32)[:, None, None]
    pattern = np.zeros((planes, height, width), dtype=np.float32)
    for _ in range(3):
        across, down = generator.uniform(-0.12, 0.12, 2)
        phase, speed = generator.uniform(0, 2 * np.pi), generator.uniform(-0.3, 0.3)
        angle = 2 * np.pi * (down * rows + across * columns) + phase
        pattern += np.sin(angle + speed * time)
    return np.clip(0.5 + pattern / 6, 0, 1)


def pattern_take(
    seed: int, planes: int = 81, height: int = 40, width: int = 48, stride: int = 0
) -> Take:
    """Return a drifting pattern seen by a noiseless camera.

    Ground truth is at its middle plane and, with a stride, at every so many planes from there.
    """
    luminance = drifting_pattern(planes, height, width, seed)
    camera = SpikeCamera(generator=np.random.default_rng(seed))
    recording = SpikeRecording.from_planes(
        camera.expose(luminance), rate_scale=camera.rate_scale, meta={"source": "pattern"}
    )
    middle = planes // 2
    index = np.arange(middle % stride, planes, stride) if stride else np.array([middle])
    images = np.rint(255 * luminance[index]).astype(np.uint8)
    return Take(recording, images=images, image_index=index)


def tiny_archive(
    path: Path, planes: int = 81, height: int = 40, width: int = 48, stride: int = 0
) -> Path:
    """Write an archive of drifting patterns: four to train on, one each to validate and test."""
    names = {"train": [f"train-{n}" for n in range(4)], "val": ["val-0"], "test": ["test-0"]}
    jobs = {
        name: functools.partial(pattern_take, seed, planes, height, width, stride)
        for seed, name in enumerate(name for split in names.values() for name in split)
    }
    return build_archive(path, jobs, splits=names)


class ReconstructionTester:
    """What every method that makes pictures must do, learned or not.

    A subclass of this in a test file defines :meth:`make_module`.
    """

    height = 40
    width = 48

    def make_module(self) -> ReconstructionModule:
        """Return a small module, the same at every call after the same seed."""
        raise NotImplementedError

    def make_batch(
        self, height: int | None = None, width: int | None = None
    ) -> ReconstructionBatch:
        """Return two clips of drifting patterns."""
        length = self.make_module().clip_length
        takes = [
            pattern_take(seed, length, height or self.height, width or self.width)
            for seed in (0, 1)
        ]
        images = [take.images for take in takes if take.images is not None]
        return unpacked(
            {
                "packed": torch.stack([torch.from_numpy(take.recording.packed) for take in takes]),
                "width": torch.tensor([width or self.width] * 2),
                "mode": torch.zeros(2, dtype=torch.int64),
                "image": torch.from_numpy(np.stack(images)),
                "rate_scale": torch.tensor([take.recording.rate_scale for take in takes]),
                "plane": torch.tensor([length // 2] * 2),
                "name": ["zero", "one"],
            }
        )

    def run(self, module: ReconstructionModule, batch: ReconstructionBatch) -> Tensor:
        """Return the reconstructions of a batch in evaluation mode."""
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

    def test_clips_of_a_batch_do_not_know_each_other(self) -> None:
        """An image is the same alone and in a batch."""
        seed_everything(0)
        module = self.make_module()
        batch = self.make_batch()
        together = self.run(module, batch)
        with torch.inference_mode():
            alone = module(batch["spikes"][1:], batch["rate_scale"][1:])
        torch.testing.assert_close(alone, together[1:], rtol=1e-4, atol=1e-5)

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

    def test_loads_from_its_checkpoint_alone(self, tmp_path: Path) -> None:
        """A checkpoint made without the command line rebuilds the module."""
        seed_everything(0)
        module = self.make_module()
        batch = self.make_batch()
        before = self.run(module, batch)
        trainer = Trainer(logger=False, enable_checkpointing=False, **QUIET)
        trainer.strategy.connect(module)
        trainer.save_checkpoint(tmp_path / "module.ckpt")
        loaded = load(tmp_path / "module.ckpt")
        assert type(loaded) is type(module)
        torch.testing.assert_close(self.run(loaded, batch), before)


class MethodTester(ReconstructionTester):
    """What every method that learns must do besides.

    Attributes:
        overfit_steps: Steps in which one batch must be learned.
        overfit_psnr: PSNR in dB that must then be reached on it.
    """

    overfit_steps = 60
    overfit_psnr = 20.0

    def fit(
        self, module: ReconstructionModule, archive: Path, folder: Path, steps: int, **options: Any
    ) -> Trainer:
        """Train on a tiny archive and return the trainer; two batches are an epoch.

        The run ends with the epoch of the last step, as runs do whose schedules need their length.
        """
        data = ReconstructionDataModule(
            str(archive), module.clip_length, batch_size=2, crop=32, seed=0
        )
        trainer = Trainer(
            max_epochs=-(-steps // 2),
            limit_val_batches=0,
            callbacks=[ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=-1)],
            logger=False,
            **QUIET,
        )
        trainer.fit(module, data, **options)
        return trainer

    def test_overfits_one_batch(self) -> None:
        """A batch seen again and again is learned."""
        seed_everything(0)
        module = self.make_module()
        batch = self.make_batch()
        optimiser = torch.optim.Adam(module.parameters(), lr=2e-3)
        module.train()
        losses = []
        for _ in range(self.overfit_steps):
            loss = training_loss(module, batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]
        with torch.no_grad():
            image = module(batch["spikes"], batch["rate_scale"])
        assert psnr(image, batch["image"]).mean() > self.overfit_psnr

    def test_sends_a_gradient_to_every_parameter(self) -> None:
        """No parameter is left out of the loss."""
        seed_everything(0)
        module = self.make_module()
        training_loss(module, self.make_batch()).backward()
        idle = [
            name
            for name, parameter in module.named_parameters()
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
        ]
        assert not idle

    def test_repeats_by_seed_and_resumes_to_the_same_weights(self, tmp_path: Path) -> None:
        """A run stopped in the middle of an epoch and resumed ends as one that was not."""
        archive = tiny_archive(tmp_path / "tiny.h5", self.make_module().clip_length)
        ends = []
        for name in ("one", "two"):
            seed_everything(0)
            module = self.make_module()
            self.fit(module, archive, tmp_path / name, steps=5)
            ends.append(module.state_dict())
        seed_everything(0)
        resumed = self.make_module()
        middle = tmp_path / "one" / "epoch=1-step=3.ckpt"
        assert middle.is_file()
        self.fit(resumed, archive, tmp_path / "three", 5, ckpt_path=str(middle), weights_only=True)
        ends.append(resumed.state_dict())
        for other in ends[1:]:
            for key, value in ends[0].items():
                assert torch.equal(value, other[key]), key

    def test_agrees_in_bf16(self) -> None:
        """Half precision moves an image by less than an eye sees."""
        seed_everything(0)
        module = self.make_module()
        batch = self.make_batch()
        exact = self.run(module, batch)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = self.run(module, batch)
        assert (coarse.float() - exact).abs().mean() < 0.01


def training_loss(module: ReconstructionModule, batch: ReconstructionBatch) -> Tensor:
    """Return the loss of one training step outside a trainer."""
    for name in ("log", "log_dict"):  # outside a trainer there is nothing to log to
        setattr(module, name, lambda *_, **__: None)
    loss = module.training_step(batch, 0)
    if not isinstance(loss, torch.Tensor):
        raise TypeError(f"training_step must return the loss, got {type(loss).__name__}")
    return loss


QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
