"""Tests of the command ``info``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from spike_zoo.cli.info import recording_facts
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.spikes import SpikeRecording
from tests.helpers.archives import write_archive
from tests.helpers.bitstreams import bitstream, encode_symbols, random_symbols, small_header
from tests.helpers.commands import Zoo
from tests.helpers.streams import random_spikes, smooth_scene

SIZE = ("format", "planes", "height", "width", "fps", "rate_scale")
PAYLOADS = [encode_symbols(random_symbols(40 * (k + 1), seed=k)) for k in range(3)]
DATA = bitstream(small_header(3), PAYLOADS)
SPIKES = random_spikes(20, 6, 21)


def check_text(text: str, *expected: str) -> None:
    assert [part for part in expected if part not in text] == []
    assert "damaged" not in text


def values(facts: dict[str, Any], names: tuple[str, ...] = SIZE) -> tuple[Any, ...]:
    return tuple(facts[name] for name in names)


def test_a_sample_clip_is_described(shared: Path, zoo: Zoo) -> None:
    clip = shared / "data" / "data.dat"
    text = zoo(f"info {clip} --height 250 --width 400").out
    check_text(text, "301 of 400 x 250 pixels", "3.76 MB (1 x raw bits)", "64 planes of 301")
    result = zoo(f"info {clip}")
    assert result.code == 2
    assert "250x400 (301 planes)" in result.err


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".h5"])
def test_info_of_the_same_planes_is_equal_for_every_format(suffix: str, zoo: Zoo) -> None:
    recording = SpikeRecording.from_planes(SPIKES, fps=20_000.0, rate_scale=0.6)
    write_recording(recording, f"clip{suffix}")
    facts = json.loads(zoo(f"info clip{suffix} --json").out)
    assert (facts["planes"], facts["height"], facts["width"]) == (20, 6, 21)
    assert facts["firing_rate"] == pytest.approx(SPIKES.mean())
    if suffix != ".npy":  # a .npy contains planes only
        assert (facts["fps"], facts["rate_scale"]) == (20_000.0, 0.6)
        assert facts["seconds"] == pytest.approx(0.001)


def test_the_firing_rate_of_a_long_recording_comes_from_a_few_planes(tmp_path: Path) -> None:
    path = write_recording(np.ones((500, 4, 8), bool), tmp_path / "clip.npz")
    facts = recording_facts(read_recording(path), path, "npz")
    assert (facts["planes_sampled"], facts["firing_rate"]) == (64, 1.0)


def test_one_plane_of_an_array_in_fortran_order_is_read(tmp_path: Path) -> None:
    spikes = np.zeros((40, 4, 8), np.uint8, order="F")
    spikes[0, :2] = 1
    np.save(path := tmp_path / "clip.npy", spikes)
    facts = recording_facts(read_recording(path), path, "npy")
    assert (facts["planes_sampled"], facts["firing_rate"]) == (1, 0.5)


def test_an_archive_is_listed_and_a_named_recording_is_described(zoo: Zoo) -> None:
    write_archive(Path("a.h5"))
    assert "archive of 2 recordings" in zoo("info a.h5").out
    text = zoo("info a.h5 --name take1").out
    check_text(text, "37 of 21 x 12 pixels (W x H)", "duration       1.85 ms")
    result = zoo("info a.h5 --name take9")
    assert result.code == 2
    assert "it holds take0, take1" in result.err


def test_a_bitstream_is_described_without_its_model(zoo: Zoo) -> None:
    Path("a.sci").write_bytes(DATA)
    facts = json.loads(zoo("info a.sci --json").out)
    assert values(facts) == ("sci", 41, 24, 32, 20_000.0, 0.5)
    assert values(facts, ("quality", "gop", "groups", "frames")) == (2, 2, 3, 5)
    assert values(facts, ("bytes", "digest", "errors")) == (len(DATA), bytes(range(12)).hex(), [])
    assert facts["seconds"] == pytest.approx(41 / 20_000)
    assert facts["bpp"] == pytest.approx(8 * len(DATA) / (41 * 24 * 32))
    assert facts["bits_per_group"] == {str(k): 8 * len(data) for k, data in enumerate(PAYLOADS)}
    facts_in_text = ("41 of 32 x 24 pixels (W x H)", "2.05 ms", "2 of 0 to 3", "3 of up to 2 frame")
    check_text(zoo("info a.sci").out, "SCI bitstream", *facts_in_text)


def test_the_intact_groups_of_a_damaged_bitstream_are_described(zoo: Zoo) -> None:
    path = Path("a.sci")
    path.write_bytes(DATA[:50] + b"?" + DATA[51:-1])
    result = zoo("info a.sci")
    assert (result.code, result.out.count("damaged  ")) == (1, 2)
    assert f"{8 * len(PAYLOADS[1])} to {8 * len(PAYLOADS[1])}" in result.out
    path.write_bytes(DATA[:48])
    assert zoo("info a.sci --json").code == 1
    assert "no intact frame" in zoo("info a.sci").out
    for data, problem in ((DATA[:43], "within the header"), (b"other", "no .sci bitstream")):
        path.write_bytes(data)
        result = zoo("info a.sci")
        assert result.code == 1
        assert problem in result.err


def test_a_lossless_recording_is_described_without_decoding_it(zoo: Zoo) -> None:
    recording = SpikeRecording.from_planes(SPIKES, fps=20_000.0, rate_scale=0.6)
    size = write_recording(recording, "a.spl").stat().st_size
    facts = json.loads(zoo("info a.spl --json").out)
    assert values(facts) == ("spl", 20, 6, 21, 20_000.0, 0.6)
    names = ("threshold", "bytes", "raw_bytes", "errors")
    assert values(facts, names) == (None, size, 20 * 6 * 21 / 8, [])
    assert facts["seconds"] == pytest.approx(0.001)
    assert facts["bpp"] == pytest.approx(8 * size / (20 * 6 * 21))
    text = zoo("info a.spl").out
    check_text(text, "lossless bitstream", "20 of 21 x 6 pixels", "1 ms", "0.6 spikes", "bits per")
    assert "threshold" not in text


def test_a_damaged_lossless_recording_is_described_with_its_damage(zoo: Zoo) -> None:
    path = write_recording(SpikeRecording.from_planes(SPIKES, threshold=2.0), "a.spl")
    original = path.read_bytes()
    for data, problem in (
        (original[:-1] + bytes([original[-1] ^ 1]), "planes 0 to 19 damaged"),
        (original[:-1], "within planes 0 to 19"),
    ):
        path.write_bytes(data)
        result = zoo("info a.spl")
        assert result.code == 1
        assert "threshold      2\n" in result.out
        assert problem in result.out.partition("damaged  ")[2]
    path.write_bytes(original[:51])
    assert "within the header" in zoo("info a.spl").err


def test_an_image_shows_sizes_of_an_unknown_one_and_orientations_of_a_stated_one(zoo: Zoo) -> None:
    path = write_recording(smooth_scene(60, 48, 64), "a.dat")
    path.write_bytes(bytes(16) + path.read_bytes())
    result = zoo("info a.dat")
    assert result.code == 2
    assert "the most likely first: 48x64 (60 planes, --offset 16)" in result.err
    assert "spike-zoo info a.dat --picture sheet.png" in result.err
    text = zoo("info a.dat --picture sheet.png").out
    check_text(text, "of unknown size", "sheet.png (the most likely size first)")
    check_text(text, "1              --height 48 --width 64 --offset 16 --flip true --mirror false")
    Path("a.dat.yaml").write_text("{spike_h: 48, spike_w: 64, offset: 16}")
    facts = json.loads(zoo("info a.dat --picture sheet.png --overwrite --json").out)
    assert (facts["planes"], facts["picture"], len(facts["images"])) == (60, "sheet.png", 8)


def test_images_that_cannot_be_made_are_rejected_and_not_written(zoo: Zoo) -> None:
    write_recording(SPIKES, "a.npz")
    Path("a.sci").write_bytes(DATA)
    for name, data in (("odd.dat", bytes(37_499)), ("dark.dat", bytes(37_500))):
        Path(name).write_bytes(data)
    for file, sheet, problem in (
        ("a.npz", "a.png", "a.npz states its size and orientation"),
        ("a.sci", "a.png", "a.sci states its size and orientation"),
        ("dark.dat", "a.jpg", "expected a file ending in .png"),
        ("odd.dat", "a.png", "None of the common sensor sizes divides 37499 bytes"),
    ):
        result = zoo(f"info {file} --picture {sheet}")
        assert result.code == 2
        assert problem in result.err
        assert not Path(sheet).exists()
    assert "common sizes that fit" in zoo("info dark.dat --picture dark.png").out


def test_weights_are_described_with_their_card(zoo: Zoo) -> None:
    check_text(zoo("info plain").out, "PlainModule", "187,860", "36.84 dB")
    assert len(json.loads(zoo("info plain --json").out)["sha256"]) == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [(save({"a": np.zeros(2)}), "does not state its class"), (b"no weights", "damaged")],
    ids=["another program", "damaged"],
)
def test_weights_of_other_programs_are_rejected(
    content: bytes, message: str, tmp_path: Path, zoo: Zoo
) -> None:
    (tmp_path / "last.ckpt").touch()
    assert "a checkpoint; export it" in zoo(f"info {tmp_path / 'last.ckpt'}").err
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    result = zoo(f"info {path}")
    assert result.code != 0
    assert message in result.err
