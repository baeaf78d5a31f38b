"""Tests of the CLI commands with a codec of SCI from a file."""

import json
from pathlib import Path

import numpy as np
import pytest

from spike_zoo import write_recording
from spike_zoo.cli.main import main
from spike_zoo.methods.sci import SCICodec
from tests.helpers.checkpoints import export
from tests.methods.sci.codecs import recording
from tests.methods.sci.coding import small


def test_commands_compress_a_recording_and_decompress_features_and_images(
    codec: SCICodec, stream: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = small("joint")
    module.codec.load_state_dict(codec.state_dict())
    export(module, tmp_path / "mine")
    write_recording(recording(), tmp_path / "street.npz")
    file, method = tmp_path / "street.sci", ["--method", str(tmp_path / "mine")]
    line = ["compress", str(tmp_path / "street.npz"), "--out", str(file), "--gop", "4", *method]
    assert main(line) == 0
    assert file.read_bytes() == stream
    assert f"10 frames of 76 planes, {len(stream)} bytes" in capsys.readouterr().out

    assert main(["info", str(file), "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["format"] == "sci"

    arrays = tmp_path / "street-features.npz"
    assert main(["decompress", str(file), "--out", str(arrays), *method]) == 0
    decoded = codec.decompress(stream)
    with np.load(arrays) as stored:
        np.testing.assert_array_equal(stored["features"], decoded.features.numpy())
        np.testing.assert_array_equal(stored["motion"], decoded.motion.numpy())
    images = tmp_path / "images"
    assert main(["decompress", str(file), "--out", str(images), *method]) == 0
    assert sorted(path.name for path in images.iterdir()) == [
        f"street-{plane:06d}.png" for plane in range(6, 70, 7)
    ]
