"""Tests of the modules that deblur with the teacher alone, and of their weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn

import spike_zoo
from spike_zoo.data import DeblurDataModule
from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.methods.ssdm import (
    BlurryInputModule,
    SSDMCascadeModule,
    SSDMStudentModule,
    SSDMTeacher,
    TeacherOptions,
)
from spike_zoo.metrics import psnr
from spike_zoo.simulation.kinds.deblurring import deblur_scenes, simulate_exposures
from spike_zoo.spikes import SpikeRecording
from spike_zoo.testing import QUIET
from spike_zoo.testing.exposures import exposed_take, exposure_batch
from tests.helpers.checkpoints import export
from tests.helpers.golden import Golden
from tests.helpers.streams import CountedPlanes

TIMES = [20, 44, 68, 92, 116]

PLAIN = TeacherOptions(use_bsn=False, upsampler="bilinear")


@pytest.fixture(scope="module")
def files(
    bsn_weights: dict[str, Tensor],
    sr_weights: dict[str, Tensor],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Return paths of weights of both networks in the format of the authors."""
    folder = tmp_path_factory.mktemp("teacher")
    torch.save({f"module.{name}": value for name, value in bsn_weights.items()}, folder / "bsn.pth")
    torch.save(sr_weights, folder / "edsr.pth")
    return {name: str(folder / f"{name}.pth") for name in ("bsn", "edsr")}


def test_pseudo_labels_of_a_cascade_from_files_equal_the_published_ones(
    files: dict[str, str], ssdm_golden: Golden
) -> None:
    module = SSDMCascadeModule(TeacherOptions(**files))  # type: ignore[arg-type]  # two of its fields
    blur, spikes = ssdm_golden.tensor("teacher.blur"), ssdm_golden.spikes("teacher.spike")
    with torch.no_grad():
        labels = module.images_at(blur, spikes, TIMES, (20, 117))
    error = (labels - ssdm_golden.tensor("teacher.sdm")).abs()
    assert error.max() < 1e-3
    assert (error > 1e-4).float().mean() < 1e-3


def test_deblur_of_a_recording_equals_images_of_a_batch_with_any_memory_limit(
    files: dict[str, str],
) -> None:
    take = exposed_take(0, 16, 20)
    batch = exposure_batch(take)
    module = SSDMCascadeModule(TeacherOptions(**files))  # type: ignore[arg-type]  # two of its fields
    with torch.no_grad():
        expected = module.images_at(batch["blur"], batch["spikes"], TIMES[:3], (20, 117))[:, 0]
    actual = module.deblur(batch["blur"][0], take.recording, TIMES[:3])
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=1e-5)
    one_by_one = module.deblur(batch["blur"][0], take.recording, TIMES[:3], memory_gib=1e-9)
    torch.testing.assert_close(actual, one_by_one, rtol=0.0, atol=1e-5)
    other_exposure = module.deblur(batch["blur"][0], take.recording, TIMES[:3], exposure=(30, 100))
    assert not torch.allclose(actual, other_exposure, atol=1e-3)
    planes = CountedPlanes(take.recording.packed)
    counted = SpikeRecording(planes, take.recording.shape[2])
    again = module.deblur(batch["blur"][0], counted, TIMES[1:3], exposure=(30, 100))
    torch.testing.assert_close(again, other_exposure[1:], rtol=0.0, atol=1e-5)
    assert planes.ranges == [(30, 100)]


@pytest.mark.parametrize("upsampler", ["bilinear", "nearest"])
def test_a_cascade_without_networks_has_no_parameters_and_equals_the_plain_teacher(
    upsampler: str,
) -> None:
    batch = exposure_batch(exposed_take(0, 16, 16))
    module = SSDMCascadeModule(TeacherOptions(use_bsn=False, upsampler=upsampler))  # type: ignore[arg-type]  # one of three
    assert not list(module.parameters())
    module.setup("test")
    actual = module.images_at(batch["blur"], batch["spikes"], TIMES, (20, 117))
    plain = nn.Upsample(scale_factor=4, mode=upsampler)
    expected = SSDMTeacher(nn.Identity(), plain)(batch["blur"], batch["spikes"], TIMES)
    torch.testing.assert_close(actual, expected)


def test_aligned_rates_give_the_teacher_higher_psnr_than_a_window_of_planes() -> None:
    plain = SSDMCascadeModule(PLAIN)
    along = SSDMCascadeModule(replace(PLAIN, align_input=True))
    for scene in deblur_scenes("test", 1, seed=7, height=48, width=48):
        take = simulate_exposures(scene)
        batch = exposure_batch(take)
        assert take.images is not None
        assert take.image_index is not None
        times = [int(time) for time in take.image_index]
        sharp = torch.from_numpy(take.images).permute(0, 3, 1, 2) / 255
        psnrs = [
            psnr(module.deblur(batch["blur"][0], take.recording, times), sharp).mean()
            for module in (plain, along)
        ]
        assert psnrs[1] > psnrs[0] + 1.5
        from_batch = along.images_at(batch["blur"], batch["spikes"], times, (20, 117))
        actual = along.deblur(batch["blur"][0], take.recording, times)
        torch.testing.assert_close(from_batch[:, 0], actual, atol=2e-3, rtol=0)


def test_align_input_requires_use_bsn_false() -> None:
    with pytest.raises(ValueError, match=r"align_input .*: set use_bsn"):
        TeacherOptions(align_input=True)
    teacher = SSDMStudentModule(teacher=replace(PLAIN, align_input=True)).make_teacher()
    assert teacher.align_input


def test_a_module_without_training_is_tested_on_all_and_on_middle_images(
    exposures_archive: Path,
) -> None:
    data = DeblurDataModule(str(exposures_archive))
    module = BlurryInputModule(protocols=["ssdm"])
    trainer = Trainer(logger=False, enable_checkpointing=False, **QUIET)
    (result,) = trainer.test(module, data, verbose=False)
    batch = exposure_batch(exposed_take(5))
    values = psnr(batch["blur"].expand_as(batch["images"][0]), batch["images"][0])
    assert result["test/psnr"] == pytest.approx(values.mean().item(), abs=1e-3)
    assert result["test/psnr_middle"] == pytest.approx(values[1].item(), abs=1e-3)
    assert result["test/psnr_gain"] == pytest.approx(0.0, abs=1e-4)
    assert result["test/psnr_official"] == pytest.approx(result["test/psnr"], abs=1e-3)
    assert {"test/ssim_official_middle", "test/ssim"} <= result.keys()


def test_an_export_contains_the_networks_and_needs_no_other_file(
    files: dict[str, str], tmp_path: Path
) -> None:
    module = SSDMCascadeModule(TeacherOptions(**files))  # type: ignore[arg-type]  # two of its fields
    module.read_files()
    gone = str(tmp_path / "gone.ckpt")
    module.hparams["teacher"] = TeacherOptions(gone, gone)
    export(module, tmp_path / "teacher")
    take = exposed_take(0, 16, 16)
    batch = exposure_batch(take)
    loaded = spike_zoo.load(tmp_path / "teacher")
    assert isinstance(loaded, SSDMCascadeModule)
    actual = loaded.deblur(batch["blur"][0], take.recording, [68])
    torch.testing.assert_close(actual, module.deblur(batch["blur"][0], take.recording, [68]))
    from_export = SSDMCascadeModule(TeacherOptions(str(tmp_path / "teacher"), upsampler="bilinear"))
    from_export.read_files()  # an export is also accepted as a source


def test_a_network_without_a_file_is_named_in_the_error() -> None:
    with pytest.raises(ConfigError, match=r"bsn: the teacher needs weights of BSN.*ssdm_denoise"):
        SSDMCascadeModule(TeacherOptions(upsampler="bilinear")).setup("test")
    with pytest.raises(ConfigError, match=r"edsr: .* EDSR.*ssdm_upsample"):
        SSDMCascadeModule(TeacherOptions(use_bsn=False)).setup("test")
    with pytest.raises(MissingFileError, match=r"none\.ckpt: .*BSN.*configs/ssdm_denoise\.yaml"):
        SSDMCascadeModule(TeacherOptions("none.ckpt", upsampler="nearest")).setup("test")
