"""Tests of validation and test metrics of stage ``codec``: rates, distortions and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
import torch
from lightning import Trainer, seed_everything

import spike_zoo
from spike_zoo import SpikeArchive
from spike_zoo.coding import BitstreamReader
from spike_zoo.coding.chunks import HEAD_BYTES
from spike_zoo.coding.header import HEADER_BYTES
from spike_zoo.data import SceneDataModule
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci import SCICodecModule
from spike_zoo.methods.sci.codec.bitstream import digest_of
from spike_zoo.spikes import SpikeRecording
from spike_zoo.tasks.coding import CodedScene
from spike_zoo.testing import QUIET
from tests.methods.sci.batches import batch_of
from tests.methods.sci.coding import SPLITS, scenes_in, small


class CodecRun(NamedTuple):
    """A run of stage ``codec``: training, validation and test, with a recording per split."""

    module: SCICodecModule
    data: SceneDataModule
    recordings: dict[str, SpikeRecording]
    validation_metrics: dict[str, float]
    test_metrics: dict[str, float]
    file: Path

    def scene(self, split: str) -> tuple[Any, CodedScene]:
        """Return the first batch of a split, and its only scene."""
        self.data.setup({"val": "validate"}.get(split, split))
        loader: Any = getattr(self.data, f"{split}_dataloader")()
        batch = self.data.on_after_batch_transfer(next(iter(loader)), 0)
        (scene,) = self.module.scenes(cast("Any", batch))
        return batch, scene


@pytest.fixture(scope="module")
def codec_run(
    all_stage_files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> CodecRun:
    folder = tmp_path_factory.mktemp("codec_run")
    seed_everything(0)
    module, data = small("codec", gop=3, **all_stage_files), scenes_in(folder)
    quiet: dict[str, Any] = {**QUIET, "logger": False, "enable_checkpointing": False}
    trainer = Trainer(max_epochs=1, num_sanity_val_steps=0, **quiet)
    trainer.fit(module, data)
    validation_metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    trainer.save_checkpoint(folder / "codec.ckpt")
    (test_metrics,) = trainer.test(module, data, verbose=False)
    archive = SpikeArchive(folder / "scenes.h5")
    recordings = {split: archive[archive.names(split)[0]] for split in SPLITS}
    return CodecRun(
        module, data, recordings, validation_metrics, dict(test_metrics), folder / "codec.ckpt"
    )


def test_validation_estimates_rate_and_distortion_at_every_quality(codec_run: CodecRun) -> None:
    assert (codec_run.module.monitor, codec_run.module.monitor_mode) == ("val/rd", "min")
    costs = []
    for quality, weight in enumerate(codec_run.module.coding_options.rd_weights):
        rate = codec_run.validation_metrics[f"val/rate_q{quality}"]
        assert 0 < rate < 20
        error = 10 ** (-codec_run.validation_metrics[f"val/feature_psnr_q{quality}"] / 10)
        costs.append(rate + weight * error)
    mean = sum(costs) / 4
    # not exact, because PSNR is averaged after the logarithm
    assert codec_run.validation_metrics["val/rd"] == pytest.approx(mean, rel=0.05)


def test_rates_of_a_test_equal_bitstream_sizes(codec_run: CodecRun) -> None:
    metrics, curves = codec_run.test_metrics, codec_run.module.curves
    assert set(curves) == {"rate_distortion/psnr", "rate_distortion/ssim"}
    heads = HEADER_BYTES + HEAD_BYTES * 2  # five features in groups of three
    for q in (0, 3):
        bitstream = codec_run.module.codec.compress(codec_run.recordings["test"], q, gop=3)
        rate = 8 * len(bitstream) / (41 * 32 * 40)
        payload_rate = rate - 8 * heads / (41 * 32 * 40)
        assert metrics[f"test/bpp_q{q}"] == pytest.approx(rate, rel=0.02)
        assert metrics[f"test/bpp_payload_q{q}"] == pytest.approx(payload_rate, rel=0.02)
        assert metrics[f"test/bpp_f_q{q}"] == pytest.approx(8.2 * metrics[f"test/bpp_q{q}"])
        expected = [metrics[f"test/{name}_q{q}"] for name in ("bpp", "psnr")]
        assert curves["rate_distortion/psnr"][q] == pytest.approx(expected, rel=1e-4)


def test_estimated_rates_and_features_agree_with_bitstreams(codec_run: CodecRun) -> None:
    job, codec, quality = codec_run.module, codec_run.module.codec, 3
    prepared = job.prepared(codec_run.scene("val")[1])
    coded = job.compress(prepared, quality)
    rate, groups = job._coded(prepared, quality)
    header, payloads = coded.content
    assert coded.n_bytes == 48 + sum(8 + len(payload) for payload in payloads)
    words = sum(len(payload) - 8 for payload in payloads)
    estimated = float(rate) * header.frames * 32 * 40 / 8
    assert abs(estimated - words) <= 0.015 * words + 6 * len(payloads)
    whole = codec.compress(codec_run.recordings["val"], quality=quality, gop=3)
    assert len(whole) == coded.n_bytes
    features = torch.cat([group.features for group in groups])
    torch.testing.assert_close(features, codec.decompress(whole).features, rtol=0, atol=1e-4)


def test_every_checkpoint_of_stage_codec_is_final(codec_run: CodecRun) -> None:
    codec = cast("SCICodecModule", spike_zoo.load(codec_run.file)).codec
    bitstream = codec.compress(codec_run.recordings["test"], quality=1, gop=5)
    assert BitstreamReader(bitstream).header.digest == digest_of(codec)
    assert codec.reconstruct(codec.decompress(bitstream)).shape == (5, 1, 32, 40)


def test_predictions_are_decoded_images_at_features_only(codec_run: CodecRun) -> None:
    batch, scene = codec_run.scene("test")
    images = codec_run.module.predict_step(batch, 0)
    assert images.shape == (5, 1, 32, 40)
    assert 0 <= images.min() <= images.max() <= 1
    shifted = scene._replace(planes=[plane + 1 for plane in scene.planes])
    with pytest.raises(ConfigError, match=r"images at planes \[7, 14, 21\].*simulate --kind seque"):
        codec_run.module.prepared(shifted)


def test_stage_joint_does_not_change_the_encoder_and_entropy_model(
    all_stage_files: dict[str, str],
) -> None:
    seed_everything(0)
    module = small("joint", **all_stage_files)
    module.setup("fit")
    codec = cast("SCICodecModule", spike_zoo.load(all_stage_files["codec"])).codec
    frozen = ("intra.entropy.", "inter.entropy.", "intra.analysis.", "gains.encoder.", "motion.")
    theirs, ours = codec.state_dict(), module.codec.state_dict()
    shared = [name for name in theirs if name.startswith(frozen)]
    assert any(name.endswith("scales.is_final") for name in shared)
    assert all(torch.equal(theirs[name], ours[name]) for name in shared)
    assert digest_of(module.codec) == digest_of(codec)  # before the first update
    optimiser = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], 1e-2)
    module.train()
    module.terms(batch_of(module))["total"].backward()
    optimiser.step()
    assert digest_of(module.codec) != digest_of(codec)
    assert all(torch.equal(theirs[name], ours[name]) for name in shared)
