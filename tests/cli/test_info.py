"""Tests of the command ``info``."""

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
from tests.helpers.bitstreams import bitstream, encode_symbols, random_symbols, small_header
from tests.helpers.streams import random_spikes


def test_a_sample_clip_is_described(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = str(shared / "data" / "data.dat")
    assert main(["info", clip, "--height", "250", "--width", "400"]) == 0
    out = capsys.readouterr().out
    for fact in (
        "301 of 400 x 250 pixels",
        "3.76 MB (1 x raw bits)",
        "64 planes of 301",
        "raw bits",
    ):
        assert fact in out
    assert main(["info", clip]) == 2
    assert "250x400 (301 planes)" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".h5"])
def test_info_of_the_same_planes_is_equal_for_every_format(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spikes = random_spikes(20, 6, 21)
    recording = SpikeRecording.from_planes(spikes, fps=20_000.0, rate_scale=0.6)
    path = write_recording(recording, tmp_path / f"clip{suffix}")
    assert main(["info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["planes"], facts["height"], facts["width"]) == (20, 6, 21)
    assert facts["firing_rate"] == pytest.approx(spikes.mean())
    if suffix != ".npy":  # a .npy contains planes only
        assert (facts["fps"], facts["rate_scale"]) == (20_000.0, 0.6)
        assert facts["seconds"] == pytest.approx(0.001)


def test_the_firing_rate_of_a_long_recording_comes_from_a_few_planes(tmp_path: Path) -> None:
    path = write_recording(np.ones((500, 4, 8), bool), tmp_path / "clip.npz")
    facts = recording_facts(read_recording(path), path, "npz")
    assert facts["planes_sampled"] == 64
    assert facts["firing_rate"] == 1.0


def test_an_archive_is_listed_and_a_named_recording_is_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_archive(tmp_path / "a.h5"))
    assert main(["info", path]) == 0
    assert "archive of 2 recordings" in capsys.readouterr().out
    assert main(["info", path, "--name", "take1"]) == 0
    out = capsys.readouterr().out
    assert "37 of 21 x 12 pixels (W x H)" in out
    assert "duration       1.85 ms" in out
    assert main(["info", path, "--name", "take9"]) == 2
    assert "it holds take0, take1" in capsys.readouterr().err


PAYLOADS = [encode_symbols(random_symbols(40 * (k + 1), seed=k)) for k in range(3)]
DATA = bitstream(small_header(3), PAYLOADS)


def test_a_bitstream_is_described_without_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.sci"
    path.write_bytes(DATA)
    assert main(["info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["format"], facts["planes"], facts["height"], facts["width"]) == (
        "sci",
        41,
        24,
        32,
    )
    assert (facts["quality"], facts["gop"], facts["groups"], facts["frames"]) == (2, 2, 3, 5)
    assert (facts["fps"], facts["rate_scale"]) == (20_000.0, 0.5)
    assert facts["seconds"] == pytest.approx(41 / 20_000)
    assert facts["bytes"] == len(DATA)
    assert facts["bpp"] == pytest.approx(8 * len(DATA) / (41 * 24 * 32))
    assert facts["bits_per_group"] == {
        str(k): 8 * len(payload) for k, payload in enumerate(PAYLOADS)
    }
    assert facts["digest"] == bytes(range(12)).hex()
    assert facts["errors"] == []
    assert main(["info", str(path)]) == 0
    output = capsys.readouterr().out
    for fact in (
        "SCI bitstream",
        "41 of 32 x 24 pixels (W x H)",
        "2.05 ms",
        "2 of 0 to 3",
        "3 of up to 2 frames",
    ):
        assert fact in output
    assert "damaged" not in output


def test_the_intact_groups_of_a_damaged_bitstream_are_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.sci"
    path.write_bytes(DATA[:50] + b"?" + DATA[51:-1])
    assert main(["info", str(path)]) == 1
    output = capsys.readouterr().out
    assert f"{8 * len(PAYLOADS[1])} to {8 * len(PAYLOADS[1])}" in output
    assert output.count("damaged  ") == 2
    path.write_bytes(DATA[:48])
    assert main(["info", str(path), "--json"]) == 1
    capsys.readouterr()
    assert main(["info", str(path)]) == 1
    assert "no intact frame" in capsys.readouterr().out
    for data, problem in ((DATA[:43], "within the header"), (b"other", "no .sci bitstream")):
        path.write_bytes(data)
        assert main(["info", str(path)]) == 1
        assert problem in capsys.readouterr().err
    assert main(["info", str(tmp_path / "none.sci")]) == 2


def test_a_lossless_recording_is_described_without_decoding_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = SpikeRecording.from_planes(random_spikes(20, 6, 21), fps=20_000.0, rate_scale=0.6)
    path = write_recording(recording, tmp_path / "a.spl")
    assert main(["info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["format"], facts["planes"], facts["height"], facts["width"]) == ("spl", 20, 6, 21)
    assert (facts["fps"], facts["rate_scale"], facts["threshold"]) == (20_000.0, 0.6, None)
    assert facts["seconds"] == pytest.approx(0.001)
    assert (facts["bytes"], facts["raw_bytes"]) == (path.stat().st_size, 20 * 6 * 21 / 8)
    assert facts["bpp"] == pytest.approx(8 * facts["bytes"] / (20 * 6 * 21))
    assert facts["errors"] == []
    assert main(["info", str(path)]) == 0
    output = capsys.readouterr().out
    for fact in (
        "lossless bitstream",
        "20 of 21 x 6 pixels",
        "1 ms",
        "0.6 spikes",
        "bits per pixel",
    ):
        assert fact in output
    assert "damaged" not in output
    assert "threshold" not in output


def test_a_damaged_lossless_recording_is_described_with_its_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = SpikeRecording.from_planes(random_spikes(20, 6, 21), threshold=2.0)
    path = write_recording(recording, tmp_path / "a.spl")
    original = path.read_bytes()
    for data, problem in (
        (original[:-1] + bytes([original[-1] ^ 1]), "planes 0 to 19 damaged"),
        (original[:-1], "within planes 0 to 19"),
    ):
        path.write_bytes(data)
        assert main(["info", str(path)]) == 1
        output = capsys.readouterr().out
        assert "threshold      2\n" in output
        assert problem in output.partition("damaged  ")[2]
    path.write_bytes(original[:51])
    assert main(["info", str(path)]) == 1
    assert "within the header" in capsys.readouterr().err
    assert main(["info", str(tmp_path / "none.spl")]) == 2
