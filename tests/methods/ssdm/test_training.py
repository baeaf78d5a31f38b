"""Tests of the student's training: teacher, logged values and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import seed_everything
from torch import Tensor

import spike_zoo
from spike_zoo.errors import ConfigError
from spike_zoo.methods.ssdm import (
    LDN,
    DistillationOptions,
    SSDMStudentModule,
    SSDMTeacherModule,
    TeacherOptions,
)
from spike_zoo.methods.ssdm.san import SAN
from spike_zoo.testing.exposures import exposed_take, exposure_batch
from tests.helpers.golden import Golden
from tests.methods.ssdm.conftest import assert_agrees_in_bf16, fit

#: Options of a teacher without networks, which is fast and has deterministic labels.
PLAIN: dict[str, Any] = {"teacher": TeacherOptions(use_bsn=False, upsampler="bilinear")}
TIMES = [20, 44, 68, 92, 116]


def step(module: SSDMStudentModule, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss and the logged values of a training step outside a trainer."""
    logged: dict[str, Tensor] = {}
    module.log_dict = lambda values, **_: logged.update(values)  # type: ignore[method-assign]  # outside a trainer
    if module.loss is None:
        module.setup("fit")
    return module.training_step(batch, 0), logged


@pytest.mark.slow
def test_the_loss_of_a_step_equals_the_published_loss_of_five_times(
    ssdm_golden: Golden,
    official_path: Path,
    bsn_weights: dict[str, Tensor],
    sr_weights: dict[str, Tensor],
    vgg_path: Path,
    tmp_path: Path,
) -> None:
    torch.save(bsn_weights, tmp_path / "bsn.pth")
    torch.save(sr_weights, tmp_path / "edsr.pth")
    module = SSDMStudentModule(
        channel_order="bgr",
        teacher=TeacherOptions(str(tmp_path / "bsn.pth"), str(tmp_path / "edsr.pth")),
        loss=DistillationOptions(distance="lpips", backbone=str(vgg_path), clamp=True),
    )
    module.network.load_state_dict(LDN.from_official(official_path).state_dict())
    blur = ssdm_golden.tensor("teacher.blur").flip(1)  # the module takes R,G,B
    batch = {"blur": blur, "spikes": ssdm_golden.spikes("teacher.spike")}
    batch["exposure"] = torch.tensor([[20, 117]] * len(blur))
    loss, logged = step(module, batch)
    terms = {"total": loss, "tea": logged["train/teacher"], "reblur_mse": logged["train/reblur"]}
    for name, value in terms.items():
        assert value.item() == pytest.approx(ssdm_golden.number(f"loss.{name}"), rel=1e-3)


def test_network_and_labels_use_the_channel_order_of_the_weights() -> None:
    batch = exposure_batch(exposed_take(0, 16, 16), exposed_take(1, 16, 16))
    tensors: list[Tensor] = []
    for order in ("rgb", "bgr"):
        seed_everything(0)
        module = SSDMStudentModule(5, order, **PLAIN)
        module.network.blur_enc.register_forward_pre_hook(
            lambda _, inputs: tensors.append(inputs[0])
        )
        module.setup("fit")
        assert module.loss is not None
        module.loss.register_forward_pre_hook(lambda _, inputs: tensors.append(inputs[1][:, :, :1]))
        step(module, batch)
    torch.testing.assert_close(tensors[0], batch["blur"])
    torch.testing.assert_close(tensors[2], batch["blur"].flip(1))
    labels = module._teacher[0](batch["blur"], batch["spikes"], TIMES, (20, 117))
    torch.testing.assert_close(tensors[1], labels[:, :, :1])
    torch.testing.assert_close(tensors[3], labels[:, :, 2:])


@pytest.mark.parametrize(("net", "starts"), [("ldn", False), ("san", False), ("ldn", True)])
def test_every_parameter_gets_a_gradient_and_the_attention_spread_is_logged(
    net: Any, starts: bool
) -> None:
    seed_everything(1)
    module = SSDMStudentModule(net=net, start_from_blur=starts, **PLAIN)
    assert isinstance(module.network, LDN if net == "ldn" else SAN)
    batch = exposure_batch(exposed_take(0, 16, 16))
    with torch.no_grad():
        image = module.eval().predict_step(batch, 0)
    assert not starts or (image - batch["blur"]).abs().mean() < 0.05
    loss, logged = step(module.train(), batch)
    loss.backward()
    idle = [n for n, p in module.network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle
    assert logged["train/attention_spread"] > 0  # 0 for the published weights


def test_constant_attention_has_a_logged_spread_of_0() -> None:
    module = SSDMStudentModule(5, **PLAIN)
    torch.nn.init.zeros_(module.network.ca.fc[2].weight)  # type: ignore[arg-type]  # it is a tensor
    _, logged = step(module.train(), exposure_batch(exposed_take(0, 16, 16)))
    assert logged["train/attention_spread"] == 0.0


def test_a_student_checkpoint_does_not_need_the_files_of_its_teacher(
    archive: Path, tmp_path: Path
) -> None:
    seed_everything(0)
    parts = {"bsn": "denoise", "edsr": "upsample"}
    for part, stage in parts.items():
        teacher = SSDMTeacherModule(stage, times=1)  # type: ignore[arg-type]  # one of two
        fit(teacher, archive, tmp_path / part, 1)
    files = {part: tmp_path / part / "epoch=0-step=1.ckpt" for part in parts}
    student = SSDMStudentModule(teacher=TeacherOptions(str(files["bsn"]), str(files["edsr"])))
    fit(student, archive, tmp_path / "student", 2)
    last = tmp_path / "student" / "epoch=0-step=2.ckpt"
    assert last.stat().st_size < 4e6  # 0.23 M parameters and Adam's state, without the teacher
    for file in files.values():
        file.unlink()
    loaded, take = spike_zoo.load(last), exposed_take(0, 16, 16)
    assert isinstance(loaded, SSDMStudentModule)
    assert take.blur is not None
    blurry = torch.from_numpy(take.blur[0]).permute(2, 0, 1)
    actual = loaded.deblur(blurry, take.recording, TIMES)
    torch.testing.assert_close(actual, student.deblur(blurry, take.recording, TIMES))


def test_a_student_without_a_teacher_needs_no_files_and_has_only_the_reblur_loss() -> None:
    module = SSDMStudentModule(5, loss=DistillationOptions(labels="none", lambda_reblur=10.0))
    loss, logged = step(module, exposure_batch(exposed_take(0, 16, 16)))
    assert not module._teacher
    assert "train/teacher" not in logged
    assert loss.item() == pytest.approx(10.0 * logged["train/reblur"].item())


def test_sharp_labels_are_the_images_of_the_data_at_their_planes() -> None:
    """The published supervised baseline: LDN on sharp images."""
    options = DistillationOptions(labels="sharp", lambda_reblur=0.0, clamp=True)
    module = SSDMStudentModule(5, loss=options)
    batch = exposure_batch(exposed_take(0, 16, 16))
    loss, _ = step(module, batch)
    assert not module._teacher
    images = module.images_at(batch["blur"], batch["spikes"], batch["planes"][0].tolist(), (0, 1))
    difference = images.transpose(0, 1) - batch["images"]
    expected = (difference.square() + 1e-6).sqrt().mean() - 1e-3  # Charbonnier, 0 at 0
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    batch["images"], batch["planes"] = batch["images"][:, :0], batch["planes"][:, :0]
    with pytest.raises(ConfigError, match=r"set data\.train_frames above 0"):
        step(module, batch)


def test_the_optional_similarity_is_a_separate_loss_term() -> None:
    module = SSDMStudentModule(
        5, loss=DistillationOptions(use_ssim=True, lambda_reblur=0.0), **PLAIN
    )
    loss, logged = step(module, exposure_batch(exposed_take(0, 16, 16)))
    terms = logged["train/teacher"] + logged["train/similarity"]
    assert loss.item() == pytest.approx(terms.item())


def test_missing_teacher_weights_raise_before_training(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bsn: the teacher needs weights of BSN"):
        fit(SSDMStudentModule(), archive, tmp_path, 1)


@pytest.mark.parametrize("net", ["ldn", "san"])
def test_images_agree_in_bf16(net: Any) -> None:
    seed_everything(0)
    image = assert_agrees_in_bf16(SSDMStudentModule(net=net))
    assert image.shape == (1, 3, 64, 64)
    assert len(image.unique()) > 1000  # more values than bfloat16 has between 0.1 and 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"net": "unet"}, "net must be one of"),
        ({"channel_order": "gbr"}, r"channel_order must be one of .*'gbr'"),
        ({"teacher": {"upsampler": "bicubic"}}, "upsampler must be one of"),
        ({"loss": {"distance": "l2"}}, "distance must be"),
        ({"times": 0}, "times"),
        ({"schedule": "quadratic"}, "schedule"),
        ({"loss": {"lambda_reblur": -1.0}}, "negative"),
        ({"loss": {"labels": "none", "lambda_reblur": 0.0}}, "nor all 0"),
    ],
)
def test_arguments_out_of_range_are_rejected(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SSDMStudentModule(**arguments)
