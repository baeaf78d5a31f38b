"""Tests of SCIBitstreamModule: rates and images agree with the compress command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import spike_zoo
from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci import SCIBitstreamModule
from spike_zoo.tasks.evaluators.coding import CodedScene, CodingEvaluator
from tests.methods.sci.codecs import recording
from tests.methods.sci.coding import small

PLANES = [6, 13, 20, 27]


@pytest.fixture(scope="module")
def scene() -> CodedScene:
    source = recording(34)
    spikes = torch.from_numpy(source[0:34])
    images = torch.zeros(len(PLANES), 1, *spikes.shape[1:])
    return CodedScene(spikes, images, PLANES, float(source.rate_scale or 1.0), "pattern")


@pytest.fixture
def joint_weights(all_stage_files: dict[str, str], tmp_path: Path) -> str:
    """Return weights of a codec with an analysis."""
    files: dict[str, Any] = {name: all_stage_files[name] for name in ("fem", "codec", "fam")}
    module = small("joint", **files)
    module.begin()
    save_weights(module, tmp_path / "joint.safetensors")
    return str(tmp_path / "joint.safetensors")


@pytest.fixture
def analysis_weights(all_stage_files: dict[str, str], tmp_path: Path) -> str:
    """Return weights of an analysis that was trained on the codec's features."""
    module = small("fam")
    codec: Any = spike_zoo.load(all_stage_files["codec"])
    module.codec.fem.load_state_dict(codec.codec.fem.state_dict())
    save_weights(module, tmp_path / "fam.safetensors")
    return str(tmp_path / "fam.safetensors")


@pytest.mark.parametrize(
    ("stage", "gop", "effort"),
    [("codec", 1, 0), ("joint", 3, 0), pytest.param("codec", 3, 1, marks=pytest.mark.slow)],
)
def test_bytes_and_images_equal_those_of_compress_and_decompress(
    stage: str,
    gop: int,
    effort: int,
    all_stage_files: dict[str, str],
    joint_weights: str,
    scene: CodedScene,
) -> None:
    weights = joint_weights if stage == "joint" else all_stage_files["codec"]
    row = SCIBitstreamModule(weights, gop=gop, effort=effort)
    row.read_weights()
    assert cast("CodingEvaluator", row.evaluator).rate_points == (0, 1, 2, 3)
    codec: Any = spike_zoo.load(weights)
    bitstream = codec.codec.compress(recording(34), quality=2, gop=gop, effort=effort)
    with torch.inference_mode(), FlopCounterMode(display=False):  # as in a test
        coded = row.compress(row.prepared(scene), 2)
        assert coded.n_bytes == len(bitstream)
        images = row.decompress(coded, scene)
    torch.testing.assert_close(images, codec.codec.reconstruct(codec.codec.decompress(bitstream)))


def test_another_analysis_changes_images_and_not_the_rate(
    all_stage_files: dict[str, str], analysis_weights: str, scene: CodedScene
) -> None:
    with_analysis = SCIBitstreamModule(all_stage_files["codec"], analysis=analysis_weights)
    without_analysis = SCIBitstreamModule(all_stage_files["codec"])
    codec, analysis = map(cast("Any", spike_zoo.load), (all_stage_files["codec"], analysis_weights))
    codec.codec.fam = analysis.codec.fam
    images, sizes = [], []
    for row in (with_analysis, without_analysis):
        row.read_weights()
        with torch.inference_mode():
            coded = row.compress(row.prepared(scene), 2)
            sizes.append(coded.n_bytes)
            images.append(row.decompress(coded, scene))
    assert sizes[0] == sizes[1]
    bitstream = codec.codec.compress(recording(34), quality=2, gop=8)
    torch.testing.assert_close(
        images[0], codec.codec.reconstruct(codec.codec.decompress(bitstream))
    )
    assert not torch.allclose(images[0], images[1], atol=1e-3)


def test_unsuitable_weights_and_options_are_rejected(all_stage_files: dict[str, str]) -> None:
    row = SCIBitstreamModule(all_stage_files["codec"], analysis=all_stage_files["fam"])
    with pytest.raises(ConfigError, match="trained on the features of another FEM"):
        row.read_weights()
    row = SCIBitstreamModule(all_stage_files["codec"], analysis=all_stage_files["codec"])
    with pytest.raises(ConfigError, match=r"codec\S+ is not of SCI with an analysis"):
        row.read_weights()
    with pytest.raises(ConfigError, match="is not of SCI with a codec"):
        SCIBitstreamModule(all_stage_files["fam"]).read_weights()
    with pytest.raises(ConfigError, match="gop: 1 feature or more, got 0"):
        SCIBitstreamModule("sci", gop=0)
    with pytest.raises(ConfigError, match="effort: 0 to 3, got 4"):
        SCIBitstreamModule("sci", effort=4)
