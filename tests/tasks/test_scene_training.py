"""Training on scenes: one optimiser step over all windows in the memory of one window."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from spike_zoo import SpikeArchive
from spike_zoo.data import SceneDataModule
from spike_zoo.data.batches import collate, unpacked
from spike_zoo.data.scenes import SceneWindows
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.training.stage_module import check_scenes
from spike_zoo.methods.stir import STIRLossOptions, STIRModule
from spike_zoo.methods.stir.losses import STIRLoss
from spike_zoo.tasks.batch import SceneBatch
from spike_zoo.testing import QUIET, tiny_archive

WINDOWS = 4  # with all planes inside the recordings of the fixture


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of 140 planes, images at planes 10, 30, ..., 130; windows at 30..90 are inside."""
    return tiny_archive(tmp_path_factory.mktemp("scenes") / "a.h5", 140, 16, 16, stride=20)


def small_module(**arguments: Any) -> STIRModule:
    seed_everything(0)
    module = STIRModule(pyramid_levels=3, width=0.34, **arguments).train()
    for name in ("log", "log_dict"):  # logging needs a trainer
        module.__dict__[name] = lambda *_, **__: None
    return module


@pytest.fixture
def scenes(archive: Path) -> SceneBatch:
    windows = SceneWindows(SpikeArchive(archive), "train", 61)
    return unpacked(collate([windows[0], windows[1]]), torch.uint8)


def summed_loss(module: STIRModule, scenes: SceneBatch, first: int = 1) -> Tensor:
    """Return the mean loss of the windows from ``first`` on, computed with a single graph."""
    loss = STIRLoss(module.loss_options)
    totals = []
    for number in range(scenes["planes"].shape[1]):
        start = int(scenes["planes"][0, number]) - 30
        spikes = scenes["spikes"][:, start : start + 61].float() / scenes["rate_scale"][0]
        totals.append(loss(module.network.pyramid(spikes), scenes["images"][:, number])["total"])
    return torch.stack(totals[first:]).sum() / len(totals[first:])


def gradients(module: STIRModule) -> dict[str, Tensor]:
    return {
        name: parameter.grad
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }


def assert_close(ours: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Compare gradients; the tolerance allows rounding noise of biases before a batch norm."""
    assert ours.keys() == expected.keys()
    largest = max(float(gradient.norm()) for gradient in expected.values())
    for name, gradient in expected.items():
        distance = float((ours[name] - gradient).norm())
        assert distance <= tolerance * (float(gradient.norm()) + 1e-3 * largest), name


@pytest.mark.parametrize("first_window", [False, True])
def test_gradient_and_loss_equal_the_summed_loss_in_one_graph(
    scenes: SceneBatch, first_window: bool
) -> None:
    ours = small_module(loss=STIRLossOptions(first_window=first_window))
    one_graph = copy.deepcopy(ours)
    expected = summed_loss(one_graph, scenes, first=0 if first_window else 1)
    expected.backward()
    loss = ours.training_step(scenes, 0)
    assert not gradients(ours)  # the trainer's backward pass assigns them
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert_close(gradients(ours), gradients(one_graph), 1e-4)


def test_batch_norm_statistics_are_updated_once_per_window(scenes: SceneBatch) -> None:
    ours = small_module()
    before = copy.deepcopy(ours)
    ours.training_step(scenes, 0)
    with torch.no_grad():
        summed_loss(before, scenes)
    buffers = dict(ours.network.named_buffers())
    counts = [int(v) for name, v in buffers.items() if name.endswith("num_batches_tracked")]
    assert counts == [WINDOWS] * 2
    for name, expected in before.network.named_buffers():
        torch.testing.assert_close(buffers[name], expected)


class GraphMemory:
    """Current and peak bytes that graphs store for the backward pass."""

    def __init__(self) -> None:
        self.current = self.peak = 0

    def pack(self, tensor: Tensor) -> Tensor:
        saved = tensor.detach()
        size = saved.numel() * saved.element_size()
        self.current += size
        self.peak = max(self.peak, self.current)
        weakref.finalize(saved, self._release, size)
        return saved

    def _release(self, size: int) -> None:
        self.current -= size

    def measure(self, loss: Callable[[], Tensor]) -> int:
        with torch.autograd.graph.saved_tensors_hooks(self.pack, lambda saved: saved):
            loss().backward()
        return self.peak


def first_windows(scenes: SceneBatch, count: int) -> SceneBatch:
    planes, images = scenes["planes"][:, :count], scenes["images"][:, :count]
    return {**scenes, "planes": planes, "images": images}


def test_memory_does_not_grow_with_the_number_of_windows(scenes: SceneBatch) -> None:
    module = small_module()
    two = first_windows(scenes, 2)
    few = GraphMemory().measure(lambda: module.training_step(two, 0))
    many = GraphMemory().measure(lambda: module.training_step(scenes, 0))
    one_graph = GraphMemory().measure(lambda: summed_loss(module, scenes))
    assert many <= 1.01 * few
    assert one_graph > 3.5 * few  # the measurement detects growth


def test_gradients_in_bfloat16_have_the_direction_of_single_precision(scenes: SceneBatch) -> None:
    ours, exact = small_module(), small_module()
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        loss = ours.training_step(scenes, 0)
    loss.backward()
    summed_loss(exact, scenes).backward()
    assert loss.dtype == torch.float32
    coarse, expected = (
        torch.cat([gradient.flatten() for gradient in gradients(module).values()])
        for module in (ours, exact)
    )
    assert torch.nn.functional.cosine_similarity(coarse, expected, dim=0) > 0.98


def test_a_scene_of_one_image_is_rejected_by_name_without_first_window_loss(
    scenes: SceneBatch,
) -> None:
    single = first_windows(scenes, 1)
    with pytest.raises(ConfigError, match=r"train-0: a scene of one image .*first_window"):
        small_module().training_step(single, 0)
    module, twin = small_module(loss=STIRLossOptions(first_window=True)), small_module()
    torch.testing.assert_close(module.training_step(single, 0), summed_loss(twin, single, first=0))


class Steps(Callback):
    """Callback that stores the gradients of every optimiser step."""

    def __init__(self) -> None:
        self.gradients: list[dict[str, Tensor]] = []

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        current = gradients(cast(STIRModule, pl_module))
        if current:
            self.gradients.append({name: value.clone() for name, value in current.items()})


def fit(archive: Path, module: STIRModule, steps: int, **options: Any) -> Steps:
    for name in ("log", "log_dict"):
        module.__dict__.pop(name, None)
    data = SceneDataModule(str(archive), batch_size=1, crop=16, seed=0)
    recorder = Steps()
    options |= {"limit_val_batches": 0, "logger": False, "enable_checkpointing": False, **QUIET}
    Trainer(max_steps=steps, callbacks=[recorder], **options).fit(module, data)
    return recorder


def total_norm(values: dict[str, Tensor]) -> float:
    return float(torch.stack([value.norm() for value in values.values()]).norm())


def test_the_trainer_clips_accumulates_and_scales_gradients(archive: Path) -> None:
    free = fit(archive, small_module(learning_rate=1e-12), 3)
    clipped = fit(archive, small_module(learning_rate=1e-12), 2, gradient_clip_val=1e-3)
    assert total_norm(free.gradients[0]) > 1e-2
    assert total_norm(clipped.gradients[0]) == pytest.approx(1e-3, rel=1e-3)
    both = fit(archive, small_module(learning_rate=1e-12), 2, accumulate_grad_batches=2)
    mean = {
        name: (free.gradients[0][name] + free.gradients[1][name]) / 2 for name in free.gradients[0]
    }
    assert_close(both.gradients[0], mean, 1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    coarse = fit(archive, small_module(learning_rate=1e-12), 2, plugins=[plugin])
    assert total_norm(coarse.gradients[0]) == pytest.approx(total_norm(free.gradients[0]), rel=0.1)


def test_distributed_training_reduces_every_parameter_once(
    scenes: SceneBatch, tmp_path: Path
) -> None:
    class Step(torch.nn.Module):
        def __init__(self, module: STIRModule) -> None:
            super().__init__()
            self.module = module

        def forward(self, batch: SceneBatch) -> Tensor:
            return self.module.training_step(batch, 0)

    def count_elements(counts, bucket):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  (DDP rejects string annotations)
        counts.append(bucket.buffer().numel())
        reduced_bucket: torch.futures.Future[Tensor] = torch.futures.Future()
        reduced_bucket.set_result(bucket.buffer())
        return reduced_bucket

    ours, alone = small_module(), small_module()
    alone.training_step(scenes, 0).backward()
    distributed.init_process_group("gloo", f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        parallel = DistributedDataParallel(Step(ours))
        reduced: list[int] = []
        parallel.register_comm_hook(reduced, count_elements)
        parallel(scenes).backward()
    finally:
        distributed.destroy_process_group()
    parameters = sum(parameter.numel() for parameter in ours.parameters())
    assert sum(reduced) == parameters  # once each, for any number of windows
    assert_close(gradients(ours), gradients(alone), 1e-5)


def test_single_clips_and_short_scenes_are_rejected(scenes: SceneBatch) -> None:
    check_scenes(scenes, "stage joint", WINDOWS)
    with pytest.raises(ConfigError, match=r"stage joint takes.*images_per_sample to 5 or more"):
        check_scenes(scenes, "stage joint", WINDOWS + 1)
    clips = {name: value for name, value in scenes.items() if name != "planes"}
    with pytest.raises(ConfigError, match=r"stage codec takes.*images_per_sample to 2 or more"):
        check_scenes(clips, "stage codec")  # type: ignore[arg-type]  # what is rejected
