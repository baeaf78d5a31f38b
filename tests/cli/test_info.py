"""``info`` tells what a file is from its header and a few planes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spike_zoo.cli.info import recording_facts
from spike_zoo.cli.main import main
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.spikes import SpikeRecording
from tests.helpers.archives import write_archive
from tests.helpers.streams import random_spikes


def test_a_sample_clip_is_described(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = str(shared / "data" / "data.dat")
    assert main(["info", clip, "--height", "250", "--width", "400"]) == 0
    out = capsys.readouterr().out
    for words in ("301x250x400", "3.76 MB (1 x raw bits)", "64 planes of 301", "raw bits"):
        assert words in out
    assert main(["info", clip]) == 2
    assert "250x400 (301 planes)" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".h5"])
def test_every_format_tells_the_same_of_the_same_planes(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spikes = random_spikes(20, 6, 21)
    recording = SpikeRecording.from_planes(spikes, fps=20_000.0, rate_scale=0.6)
    path = write_recording(recording, tmp_path / f"clip{suffix}")
    assert main(["info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["planes"], facts["height"], facts["width"]) == (20, 6, 21)
    assert facts["firing_rate"] == pytest.approx(spikes.mean())
    if suffix != ".npy":  # which holds planes only
        assert (facts["fps"], facts["rate_scale"]) == (20_000.0, 0.6)
        assert facts["seconds"] == pytest.approx(0.001)


def test_the_firing_rate_of_a_long_recording_comes_from_a_few_planes(tmp_path: Path) -> None:
    path = write_recording(np.ones((500, 4, 8), bool), tmp_path / "clip.npz")
    facts = recording_facts(read_recording(path), path, "npz")
    assert facts["planes_sampled"] == 64
    assert facts["firing_rate"] == 1.0


def test_an_archive_of_several_is_listed_and_one_of_it_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_archive(tmp_path / "a.h5"))
    assert main(["info", path]) == 0
    assert "archive of 2 recordings" in capsys.readouterr().out
    assert main(["info", path, "--name", "take1"]) == 0
    out = capsys.readouterr().out
    assert "37x12x21" in out
    assert "duration       1.85 ms" in out
    assert main(["info", path, "--name", "take9"]) == 2
    assert "it holds take0, take1" in capsys.readouterr().err
