"""The commands, with a codec of this method as a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import torch

import spike_zoo
from spike_zoo import write_recording
from spike_zoo.checkpoints.loading import export
from spike_zoo.cli.main import main
from spike_zoo.methods.sci import SCICodecModule
from tests.methods.sci.codecs import recording
from tests.methods.sci.coding import WIDTHS, stage_module

if TYPE_CHECKING:
    from pathlib import Path

    from spike_zoo.methods.sci import SCICodec


@pytest.fixture(scope="module")
def folder(codec: SCICodec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a recording and an exported method."""
    folder = tmp_path_factory.mktemp("commands")
    module = stage_module("joint", lpips="off", **WIDTHS)
    module.codec.load_state_dict(codec.state_dict())
    export(module, folder / "mine")
    write_recording(recording(), folder / "street.npz")
    return folder


def test_a_recording_becomes_a_bitstream_and_pictures_again(
    codec: SCICodec, stream: bytes, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, method = folder / "street.sci", ["--method", str(folder / "mine")]
    line = ["compress", str(folder / "street.npz"), "--out", str(file), "--gop", "4", *method]
    assert main(line) == 0
    assert file.read_bytes() == stream
    assert f"10 frames of 76 planes, {len(stream)} bytes" in capsys.readouterr().out

    assert main(["info", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["format"] == "sci"

    arrays = folder / "street-features.npz"
    assert main(["decompress", str(file), "--out", str(arrays), *method]) == 0
    decoded = codec.decompress(stream)
    with np.load(arrays) as stored:
        np.testing.assert_array_equal(stored["features"], decoded.features.numpy())
        np.testing.assert_array_equal(stored["motion"], decoded.motion.numpy())
    pictures = folder / "pictures"
    assert main(["decompress", str(file), "--out", str(pictures), *method]) == 0
    assert sorted(path.name for path in pictures.iterdir()) == [
        f"street-{plane:06d}.png" for plane in range(6, 70, 7)
    ]


def test_a_bitstream_of_other_weights_is_refused_in_one_line(
    folder: Path, stream: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    module = cast("SCICodecModule", spike_zoo.load(folder / "mine"))
    with torch.no_grad():
        module.codec.get_parameter("intra.synthesis.mend.leave.bias").add_(1e-3)
    export(module, folder / "other")
    (folder / "theirs.sci").write_bytes(stream)
    line = ["decompress", str(folder / "theirs.sci"), "--out", str(folder / "none.npz")]
    assert main([*line, "--method", str(folder / "other")]) == 1
    said = capsys.readouterr().err
    assert "made by model" in said
    assert stream[4:16].hex() in said
    assert not (folder / "none.npz").exists()


def test_weights_without_a_codec_are_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    widths = {name: value for name, value in WIDTHS.items() if name == "fem_width"}
    seeing = stage_module("fem", lpips="off", **widths)
    export(seeing, folder / "seeing")
    line = ["compress", str(folder / "street.npz"), "--out", str(folder / "none.sci")]
    assert main([*line, "--method", str(folder / "seeing")]) != 0
    assert "these weights have no codec" in capsys.readouterr().err
    assert not (folder / "none.sci").exists()
