"""Tests of the training of the teacher's networks: inputs, updates and metrics."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer, seed_everything
from torch import Tensor
from torch.nn import functional as F

import spike_zoo
from spike_zoo.data import DeblurDataModule
from spike_zoo.errors import ConfigError
from spike_zoo.methods.ssdm import BSN, EDSR, SSDMTeacherModule
from spike_zoo.methods.ssdm.losses import denoising_loss, upsampling_loss
from spike_zoo.methods.ssdm.sdm import grey
from spike_zoo.metrics import psnr
from spike_zoo.tasks.evaluation import Evaluation
from spike_zoo.testing import QUIET
from spike_zoo.testing.exposures import exposed_take, exposure_batch
from tests.methods.ssdm import conftest

STAGES = ("denoise", "upsample")
TIMES = [20, 44, 68, 92, 116]


def fit(
    module: SSDMTeacherModule, archive: Path, folder: Path, batches: int, **options: Any
) -> Trainer:
    updates = module.times if module.stage == "denoise" else 1
    return conftest.fit(module, archive, folder, batches * updates, updates, **options)


@pytest.mark.parametrize("stage", STAGES)
def test_a_checkpoint_contains_the_trained_network_once(stage: Any) -> None:
    module = SSDMTeacherModule(stage)
    count = sum(tensor.numel() for tensor in module.state_dict().values())
    assert count == sum(tensor.numel() for tensor in module.network.state_dict().values())


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_repeats_by_seed_and_resumes_to_the_same_weights(
    stage: Any, archive: Path, tmp_path: Path
) -> None:
    final_states = []
    for name in ("one", "two"):
        seed_everything(0)
        module = SSDMTeacherModule(stage, times=2)
        fit(module, archive, tmp_path / name, 3)
        final_states.append(module.state_dict())
    seed_everything(0)
    resumed, updates = SSDMTeacherModule(stage, times=2), 2 if stage == "denoise" else 1
    middle = tmp_path / "one" / f"epoch=0-step={updates}.ckpt"
    assert middle.is_file()
    fit(resumed, archive, tmp_path / "three", 3, ckpt_path=str(middle), weights_only=True)
    final_states.append(resumed.state_dict())
    for other in final_states[1:]:
        for key, value in final_states[0].items():
            assert torch.equal(value, other[key]), key


def test_the_denoiser_is_updated_once_per_time_in_order(archive: Path, tmp_path: Path) -> None:
    seed_everything(0)
    module = SSDMTeacherModule("denoise", learning_rate=1e-3, schedule="constant", clamp_loss=True)
    twin = BSN()
    twin.load_state_dict(module.network.state_dict())
    trainer = fit(module, archive, tmp_path, 1)
    assert trainer.global_step == 5
    data = DeblurDataModule(str(archive), batch_size=2, crop=16, seed=0)
    data.setup("fit")
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3)
    for time in TIMES:
        rates = batch["spikes"][:, time - 4 : time + 5].mean(dim=1, keepdim=True)
        optimizer.zero_grad()
        denoising_loss(rates, twin(rates)).backward()
        optimizer.step()
    for name, value in module.network.state_dict().items():
        torch.testing.assert_close(value, twin.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_the_learning_rate_reaches_0_after_all_updates(archive: Path, tmp_path: Path) -> None:
    data = DeblurDataModule(str(archive), batch_size=2, crop=16, seed=0)
    module = SSDMTeacherModule("denoise", times=3)
    options = {**QUIET, "enable_checkpointing": False}
    trainer = Trainer(max_epochs=2, limit_val_batches=0, logger=False, **options)
    trainer.fit(module, data)
    assert trainer.global_step == 12  # 2 epochs of 2 batches of 3 updates
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def loss_of(module: SSDMTeacherModule, batch: Any) -> Tensor:
    """Return the loss of a step outside a trainer."""
    if module.stage == "denoise":
        return torch.stack(list(module.denoising_losses(batch))).mean()
    rates = batch["spikes"][:, 20:117].mean(dim=1, keepdim=True)
    return upsampling_loss(module.network(rates), batch["blur"], clamp=False)


@pytest.mark.parametrize("stage", STAGES)
def test_only_parameters_of_the_stage_get_gradients(stage: Any, tmp_path: Path) -> None:
    seed_everything(0)
    torch.save(BSN().state_dict(), tmp_path / "bsn.pth")
    torch.save(EDSR().state_dict(), tmp_path / "edsr.pth")
    other = "edsr" if stage == "denoise" else "bsn"
    files = {other: str(tmp_path / f"{other}.pth")}
    module = SSDMTeacherModule(stage, **files)  # type: ignore[arg-type]  # two of its arguments
    loss_of(module, exposure_batch(exposed_take(0, 16, 16))).backward()
    trained = [p for p in module.network.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.any() for p in trained)
    assert not any(p.requires_grad for p in getattr(module.teacher, other).parameters())


def run_test_step(module: SSDMTeacherModule, batch: Any) -> tuple[Evaluation, dict[str, float]]:
    """Return the output of a test step outside a trainer, and the logged values."""
    logged: dict[str, float] = {}
    module.log = lambda name, value, **_: logged.update({name: value})  # type: ignore[method-assign]  # outside a trainer
    module.eval().setup("test")
    with torch.no_grad():
        output = module.test_step(batch, 0)
    module.on_test_epoch_end()
    return output, logged


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_denoised_rates_are_compared_with_grey_images_at_the_size_of_the_spikes(
    gain: float,
) -> None:
    seed_everything(0)
    module = SSDMTeacherModule("denoise", rate_gain=gain)
    batch = exposure_batch(exposed_take(0, 16, 16, images=7))
    _, logged = run_test_step(module, batch)
    rates = [batch["spikes"][:, plane - 4 : plane + 5].mean(1) for plane in batch["planes"][0]]
    rate_images = torch.stack(rates).clamp(0, 0.9) / 0.9
    truth = F.interpolate(grey(batch["images"][0]), scale_factor=0.25, mode="bilinear")
    before = psnr(rate_images, truth).mean().item()
    assert logged["test/psnr_before"] == pytest.approx(before, abs=1e-3)
    assert logged["test/psnr_gain"] == pytest.approx(logged["test/psnr"] - before, abs=1e-3)


def test_without_sharp_images_upsampled_rates_are_compared_with_the_grey_blurry_image() -> None:
    module = SSDMTeacherModule("upsample")
    batch = exposure_batch(exposed_take(0, 16, 16))
    batch["images"], batch["planes"] = batch["images"][:, :0], batch["planes"][:, :0]
    output, logged = run_test_step(module, batch)
    images = output.samples[0].images
    with torch.no_grad():
        enlarged = module(batch["spikes"][:, 20:117].mean(dim=1, keepdim=True))
    expected = psnr(enlarged, grey(batch["blur"])).item()
    assert logged["test/psnr"] == pytest.approx(expected, abs=1e-3)
    torch.testing.assert_close(images["ground truth"], grey(batch["blur"])[0])


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_upsampled_rates_are_divided_by_the_rate_scale_for_any_rate_gain(gain: float) -> None:
    module = SSDMTeacherModule("upsample", rate_gain=gain)
    batch = exposure_batch(exposed_take(0, 16, 16))
    _, logged = run_test_step(module, batch)
    rates = batch["spikes"][:, 20:117].mean(dim=1, keepdim=True)
    rate_images = F.interpolate(rates / 0.9, scale_factor=4, mode="bilinear").clamp(0, 1)
    before = psnr(rate_images, grey(batch["blur"])).item()
    assert logged["test/psnr_before"] == pytest.approx(before, abs=1e-3)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_agrees_in_bf16(stage: Any) -> None:
    seed_everything(0)
    conftest.assert_agrees_in_bf16(SSDMTeacherModule(stage))


def test_a_module_with_one_network_rejects_deblurring_and_names_the_missing_one() -> None:
    take = exposed_take(0, 16, 16)
    for stage, missing in (("denoise", "edsr"), ("upsample", "bsn")):
        module = SSDMTeacherModule(stage)  # type: ignore[arg-type]  # one of two
        with pytest.raises(ConfigError, match=f"set {missing} to the other's file"):
            module.deblur(torch.zeros(3, 64, 64), take.recording, [68])


def test_a_checkpoint_of_the_second_stage_contains_both_networks(
    archive: Path, tmp_path: Path
) -> None:
    seed_everything(0)
    first = SSDMTeacherModule("denoise", times=1)
    fit(first, archive, tmp_path / "denoise", 1)
    denoiser = tmp_path / "denoise" / "epoch=0-step=1.ckpt"
    second = SSDMTeacherModule("upsample", bsn=str(denoiser))
    fit(second, archive, tmp_path / "upsample", 1)
    denoiser.unlink()
    loaded = spike_zoo.load(tmp_path / "upsample" / "epoch=0-step=1.ckpt")
    assert isinstance(loaded, SSDMTeacherModule)
    for name, value in first.network.state_dict().items():
        assert torch.equal(loaded.teacher.bsn.state_dict()[name], value)
    take = exposed_take(0, 16, 16)
    assert take.blur is not None
    blurry = torch.from_numpy(take.blur[0]).permute(2, 0, 1)
    images = loaded.deblur(blurry, take.recording, [20, 68])
    assert images.shape == (2, 3, 64, 64)
    torch.testing.assert_close(images, second.deblur(blurry, take.recording, [20, 68]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stage": "student"}, "stage must be one of"),
        ({"times": 0}, "times"),
        ({"schedule": "quadratic"}, "schedule"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"short_window": 8}, "odd"),
    ],
)
def test_arguments_out_of_range_are_rejected(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SSDMTeacherModule(**arguments)


def test_denoised_rates_are_upscaled_and_compared_with_sharp_images(
    archive: Path, tmp_path: Path
) -> None:
    seed_everything(0)
    denoiser = BSN().state_dict()
    torch.save(denoiser, tmp_path / "bsn.pth")
    module = SSDMTeacherModule("upsample", bsn=str(tmp_path / "bsn.pth"), from_denoised=True)
    before = [value.clone() for value in module.network.parameters()]
    fit(module, archive, tmp_path / "upsample", 1)
    after = module.network.parameters()
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    for name, value in module.teacher.bsn.state_dict().items():
        assert torch.equal(denoiser[name], value), "the denoiser does not change"
    batch = exposure_batch(exposed_take(0, 16, 16))
    _, logged = run_test_step(module, batch)
    planes = batch["planes"][0].tolist()
    rates = [batch["spikes"][:, plane - 4 : plane + 5].float().mean(1) for plane in planes]
    with torch.no_grad():
        enlarged = module(module.teacher.bsn(torch.stack(rates)).clamp(0, 1))
    expected = psnr(enlarged, grey(batch["images"][0])).mean().item()
    assert logged["test/psnr"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("stage", STAGES)
def test_from_denoised_requires_stage_upsample_and_the_denoiser(stage: Any) -> None:
    bsn = "bsn.safetensors" if stage == "denoise" else None
    with pytest.raises(ConfigError, match="from_denoised: needs stage upsample and the denoiser's"):
        SSDMTeacherModule(stage, bsn=bsn, from_denoised=True)
