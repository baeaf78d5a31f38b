"""Tests of the command ``classify``: text, JSON and rejected calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from spike_zoo import SpikeRecording, write_recording
from spike_zoo.archive import ArchiveWriter
from spike_zoo.checkpoints.loading import export, load
from spike_zoo.cli.classify import classify
from spike_zoo.cli.main import main
from spike_zoo.errors import UsageError
from spike_zoo.tasks.protocols import codec_from
from spike_zoo.testing import labelled_take
from tests.helpers.codecs import SumsCodec, SumsModule
from tests.helpers.modules import StripesModule
from tests.helpers.streams import random_spikes

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("upright", "slanted", "flat", "tilted")


def _module(names: tuple[str, ...] = NAMES) -> StripesModule:
    """A method with fixed scores: classes 2, 0, 3 and 1 have 8 : 4 : 2 : 1."""
    module = StripesModule(classes=4, label_names=names)
    with torch.no_grad():
        module.head.weight.zero_()
        module.head.bias.copy_(torch.log(torch.tensor([4.0, 1.0, 8.0, 2.0])))
    return module


@pytest.fixture
def method(tmp_path: Path) -> str:
    export(_module(), tmp_path / "mine")
    return str(tmp_path / "mine")


@pytest.fixture
def stripes(tmp_path: Path) -> str:
    write_recording(labelled_take(2, 20).recording, tmp_path / "stripes.npz")
    return str(tmp_path / "stripes.npz")


def test_the_most_probable_classes_are_reported_by_name(
    stripes: str, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", stripes, "--method", method, "--trust"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["flat      53.3 %", "upright   26.7 %", "tilted    13.3 %"]


def test_json_output_adds_class_indices(
    stripes: str, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["classify", stripes, "--method", method, "--trust", "--json", "--top", "2"]
    assert main(call) == 0
    output = json.loads(capsys.readouterr().out)
    first = {"label": 2, "label_name": "flat", "probability": pytest.approx(8 / 15, abs=1e-6)}
    second = {"label": 0, "label_name": "upright", "probability": pytest.approx(4 / 15, abs=1e-6)}
    assert output == {"recording": stripes, "method": method, **first, "best": [first, second]}


def test_a_bitstream_is_classified_by_a_codec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(SumsModule(), tmp_path / "sums")
    spikes = np.zeros((13, 16, 16), bool)
    spikes[:, :4] = True  # a quarter is white
    (tmp_path / "a.sci").write_bytes(SumsCodec().compress(SpikeRecording.from_planes(spikes)))
    call = ["classify", str(tmp_path / "a.sci"), "--trust", "--method"]
    assert main([*call, str(tmp_path / "sums")]) == 0
    assert capsys.readouterr().out.splitlines() == ["dark    75.0 %", "light   25.0 %"]
    export(_module(), tmp_path / "mine")
    assert main([*call, str(tmp_path / "mine")]) == 2
    assert "StripesModule does not compress" in capsys.readouterr().err


def test_classes_without_names_are_reported_by_their_index(
    stripes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(_module(names=()), tmp_path / "unnamed")
    method = str(tmp_path / "unnamed")
    classify(stripes, method=method, trust=True, top=9)
    words = [line.rsplit(maxsplit=2)[0] for line in capsys.readouterr().out.splitlines()]
    assert words == ["class 2", "class 0", "class 3", "class 1"], "there are no more than four"
    classify(stripes, method=method, trust=True, json=True)
    assert json.loads(capsys.readouterr().out)["label_name"] is None


def test_recordings_in_archives_and_raw_files_are_classified(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = labelled_take(0, 20, 16, 24)
    with ArchiveWriter(tmp_path / "a.h5") as writer:
        writer.add("other", labelled_take(1, 3, 16, 24))
        writer.add("street", take)
    classify(str(tmp_path / "a.h5"), name="street", method=method, trust=True)
    in_archive = capsys.readouterr().out
    write_recording(take.recording, tmp_path / "street.dat")
    raw = str(tmp_path / "street.dat")
    classify(raw, height=16, width=24, rate_scale=0.6, method=method, trust=True)
    assert capsys.readouterr().out == in_archive != ""


def test_the_known_classes_and_low_confidence_are_reported(
    stripes: str, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["classify", stripes, "--trust", "--method"]
    assert main([*call, method]) == 0
    classes_line, confidence_line = capsys.readouterr().err.splitlines()
    assert (
        "(4): upright, slanted, flat, tilted; anything else is assigned to one of them"
        in classes_line
    )
    assert confidence_line.startswith("low confidence: 53%")
    assert "may show none of these classes" in confidence_line
    certain = _module()
    with torch.no_grad():
        certain.head.bias[2] += 10
    export(certain, tmp_path / "certain")
    assert main([*call, str(tmp_path / "certain")]) == 0
    assert "low confidence" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "tfi"}, "--method tfi: TFI does not classify"),
        ({"method": "tfi", "top": 0}, "--top 0: give at least 1"),
        ({"method": "tfi", "rate_scale": -1.0}, "--rate-scale -1"),
        ({"method": "tfi", "device": "toaster"}, "--device toaster"),
    ],
)
def test_invalid_options_are_rejected_by_name(
    stripes: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        classify(stripes, **options)  # type: ignore[arg-type]  # many types in one table


def test_a_short_recording_exits_with_1_and_a_missing_one_with_2(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.npz"
    write_recording(labelled_take(0, 8).recording, short)
    assert main(["classify", str(short), "--method", method, "--trust"]) == 1
    assert "the recording has 8 planes, one clip takes 9" in capsys.readouterr().err
    assert main(["classify", str(tmp_path / "no.npz"), "--method", method, "--trust"]) == 2
    assert "no.npz" in capsys.readouterr().err


def test_a_bitstream_of_the_shipped_codec_is_classified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recording(random_spikes(41, 32, 32, rate=0.3), tmp_path / "a.npz")
    assert main(["compress", "a.npz", "--rate-scale=0.6", "--out", "a.sci"]) == 0
    capsys.readouterr()
    assert main(["classify", "a.sci", "--method", "sci-digits-coded", "--json"]) == 0
    best = json.loads(capsys.readouterr().out)["best"]
    codec = codec_from(load("sci-digits-coded"), "")
    expected = codec.classify(codec.decompress((tmp_path / "a.sci").read_bytes()))
    assert best[0]["probability"] == pytest.approx(float(expected.max()), abs=1e-4)
