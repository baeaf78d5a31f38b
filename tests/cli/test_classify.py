"""Tests of the command ``classify``: text, JSON and rejected calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from spike_zoo import SpikeRecording, write_recording
from spike_zoo.checkpoints.loading import load
from spike_zoo.testing import labelled_take
from tests.helpers.archives import write_takes
from tests.helpers.checkpoints import export
from tests.helpers.codecs import SumsCodec, SumsModule
from tests.helpers.modules import StripesModule
from tests.helpers.streams import random_spikes

if TYPE_CHECKING:
    from tests.helpers.commands import Zoo

NAMES = ("upright", "slanted", "flat", "tilted")
STRIPES = "classify stripes.npz --trust --method"


def write_method(folder: str, names: tuple[str, ...] = NAMES, certainty: float = 0.0) -> None:
    """Write a method with fixed scores: classes 2, 0, 3 and 1 have 8 : 4 : 2 : 1."""
    module = StripesModule(classes=4, label_names=names)
    with torch.no_grad():
        module.head.weight.zero_()
        module.head.bias.copy_(torch.log(torch.tensor([4.0, 1.0, 8.0, 2.0])))
        module.head.bias[2] += certainty
    export(module, Path(folder))


@pytest.fixture(autouse=True)
def _stripes(zoo: Zoo) -> None:
    write_method("mine")
    write_recording(labelled_take(2, 20).recording, "stripes.npz")


def test_the_three_most_probable_classes_are_reported_and_all_as_json(zoo: Zoo) -> None:
    lines = zoo(f"{STRIPES} mine").out.splitlines()
    assert lines == ["flat      53.3 %", "upright   26.7 %", "tilted    13.3 %"]
    output = json.loads(zoo(f"{STRIPES} mine --json").out)
    first = {"label": 2, "label_name": "flat", "probability": pytest.approx(8 / 15, abs=1e-6)}
    best = output.pop("best")
    assert output == {"recording": "stripes.npz", "method": "mine", **first}
    assert [one["label"] for one in best] == [2, 0, 3, 1]
    assert best[1]["probability"] == pytest.approx(4 / 15, abs=1e-6)


def test_classes_without_names_are_reported_by_their_index(zoo: Zoo) -> None:
    write_method("unnamed", names=())
    words = [line.rsplit(maxsplit=2)[0] for line in zoo(f"{STRIPES} unnamed").out.splitlines()]
    assert words == ["class 2", "class 0", "class 3"]
    assert json.loads(zoo(f"{STRIPES} unnamed --json").out)["label_name"] is None


def test_the_known_classes_and_low_confidence_are_reported(zoo: Zoo) -> None:
    classes, confidence = zoo(f"{STRIPES} mine").err.splitlines()
    assert "(4): upright, slanted, flat, tilted; anything else is assigned to one" in classes
    assert confidence.startswith("low confidence: 53%")
    assert "may show none of these classes" in confidence
    write_method("certain", certainty=10.0)
    assert "low confidence" not in zoo(f"{STRIPES} certain").err


def test_bitstreams_are_classified_by_a_codec(zoo: Zoo) -> None:
    export(SumsModule(), Path("sums"))
    spikes = np.zeros((13, 16, 16), bool)
    spikes[:, :4] = True  # a quarter is white
    Path("a.sci").write_bytes(SumsCodec().compress(SpikeRecording.from_planes(spikes)))
    result = zoo("classify a.sci --trust --method sums")
    assert result.out.splitlines() == ["dark    75.0 %", "light   25.0 %"]
    error = zoo("classify a.sci --trust --method sums --height 8").err
    assert "--height 8: does not apply to a bitstream" in error
    error = zoo("classify a.sci --trust --method mine").err
    assert "StripesModule decodes no bitstreams" in error


def test_a_bitstream_of_the_shipped_codec_is_classified(zoo: Zoo) -> None:
    write_recording(random_spikes(41, 32, 32, rate=0.3), "a.npz")
    assert zoo("compress a.npz --rate-scale=0.6 --out a.sci").code == 0
    best = json.loads(zoo("classify a.sci --method sci-mnist --json").out)["best"]
    classifier: Any = load("sci-mnist")
    expected = classifier.classify_bitstream(Path("a.sci").read_bytes())
    assert best[0]["probability"] == pytest.approx(float(expected.max()), abs=1e-4)


def test_recordings_in_archives_and_raw_files_are_classified(zoo: Zoo) -> None:
    take = labelled_take(0, 20, 16, 24)
    write_takes(Path("a.h5"), {"other": labelled_take(1, 3, 16, 24), "street": take})
    write_recording(take.recording, "street.dat", with_sidecar=False)
    in_archive = zoo("classify a.h5 --name street --method mine --trust").out
    raw = "street.dat --height 16 --width 24 --rate-scale 0.6"
    assert zoo(f"classify {raw} --method mine --trust").out == in_archive != ""


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("stripes.npz --method tfi", 2, "--method tfi: TFI does not classify"),
        ("stripes.npz --method tfi --device toaster", 2, "--device toaster"),
        ("short.npz --method mine --trust", 1, "the recording has 8 planes, one clip takes 9"),
    ],
)
def test_methods_and_recordings_that_do_not_fit_are_rejected(
    line: str, code: int, message: str, zoo: Zoo
) -> None:
    write_recording(labelled_take(0, 8).recording, "short.npz")
    result = zoo(f"classify {line}")
    assert result.code == code
    assert message in result.err
