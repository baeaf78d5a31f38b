"""Tests of the command ``compress``: bitstreams of methods and lossless ones."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spike_zoo import SpikeRecording, read_recording, write_recording
from spike_zoo.coding import BitstreamReader
from tests.helpers.checkpoints import export
from tests.helpers.codecs import SumsCodec, SumsModule
from tests.helpers.commands import Zoo

PLANES, HEIGHT, WIDTH = 13 + 7 * 6, 24, 37
SIZE = f"--height {HEIGHT} --width {WIDTH}"
MINE = "--method mine --trust"


@pytest.fixture(autouse=True)
def recording(zoo: Zoo) -> SpikeRecording:
    """A recording, also as ``street.npz``, and a method in the folder ``mine``."""
    spikes = np.random.default_rng(4).random((PLANES, HEIGHT, WIDTH)) < 0.3
    recording = SpikeRecording.from_planes(spikes, fps=20_000.0, rate_scale=0.5)
    write_recording(recording, "street.npz")
    export(SumsModule(), Path("mine"))
    return recording


def test_the_bitstream_of_a_method_is_written_and_its_size_is_reported(
    recording: SpikeRecording, zoo: Zoo
) -> None:
    line = f"compress street.npz --out new/street.sci {MINE} --quality 1 --gop 3"
    out, result = Path("new/street.sci"), zoo(line)
    assert out.read_bytes() == SumsCodec().compress(recording, quality=1, gop=3)
    header = BitstreamReader(out).header
    assert (header.quality, header.gop, header.groups, header.frames) == (1, 3, 3, 7)
    assert (header.fps, header.rate_scale) == (20_000.0, 0.5)
    size = out.stat().st_size
    rate = 8 * size / (PLANES * HEIGHT * WIDTH)
    cost = f"{size} bytes: {rate:.4g} bits per pixel and plane, {8 * size / 7:.0f} bits per frame"
    facts = f"lossy, 7 frames of 55 planes, {cost}, {1 - rate:.1%} saved"
    assert result.out == f"bitstream: {out} ({facts})\n"
    assert [path.name for path in Path("new").iterdir()] == ["street.sci"]


@pytest.mark.parametrize("options", ["--lossless", ""])
def test_a_lossless_bitstream_is_exact_and_its_size_is_reported(
    options: str, recording: SpikeRecording, zoo: Zoo
) -> None:
    result, out = zoo(f"compress street.npz --out new/street.spl {options}"), Path("new/street.spl")
    restored = read_recording(out)
    np.testing.assert_array_equal(restored[:], recording[:])
    assert (restored.fps, restored.rate_scale) == (20_000.0, 0.5)
    rate = 8 * out.stat().st_size / (PLANES * HEIGHT * WIDTH)
    cost = f"{out.stat().st_size} bytes: {rate:.4g} bits per pixel and plane"
    assert result.out == f"bitstream: {out} (55 planes, {cost}, {1 - rate:.1%} saved)\n"
    assert [path.name for path in Path("new").iterdir()] == ["street.spl"]


@pytest.mark.parametrize("out", [f"a.sci {MINE}", "a.spl"])
def test_the_first_plane_of_a_part_is_reported(out: str, zoo: Zoo) -> None:
    result = zoo(f"compress street.npz --start 10 --stop 40 --out {out}")
    assert "30 planes from plane 10 (plane 0 of the bitstream), " in result.out


def test_the_rate_scale_is_that_of_the_option_else_an_estimate_only_for_a_method(
    recording: SpikeRecording, zoo: Zoo
) -> None:
    spikes = np.zeros((PLANES, HEIGHT, WIDTH), np.uint8)
    spikes[: PLANES // 5] = 1
    np.save("raw.npy", spikes)
    result = zoo(f"compress raw.npy --out a.sci {MINE}")
    assert BitstreamReader("a.sci").header.rate_scale == pytest.approx(1.1 * 11 / 50, abs=0.001)
    assert result.err.startswith("rate scale: 0.242 spikes per plane at white")
    assert zoo(f"compress raw.npy --start 30 --out part.sci {MINE}").code == 0
    assert BitstreamReader("part.sci").header.rate_scale == pytest.approx(0.242, abs=0.001)
    assert zoo("compress raw.npy --out a.spl").err == ""
    assert read_recording("a.spl").rate_scale is None
    assert zoo(f"compress raw.npy --out b.sci {MINE} --rate-scale 0.25").err == ""
    assert BitstreamReader("b.sci").header.rate_scale == 0.25
    write_recording(recording, "street.dat")
    assert zoo(f"compress street.dat {SIZE} --rate-scale 0.25 --out b.spl").code == 0
    restored = read_recording("b.spl")
    np.testing.assert_array_equal(restored[:], recording[:])
    assert (restored.fps, restored.rate_scale) == (0.0, 0.25)


def test_a_method_that_does_not_compress_is_rejected(zoo: Zoo) -> None:
    result = zoo("compress street.npz --out a.sci --method tfi")
    assert "--method tfi: TFI does not compress" in result.err


def test_a_terminated_call_leaves_no_partial_files(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(SumsModule(stops_after=2), Path("stops"))
    before = sorted(Path().rglob("*"))
    call = "compress street.npz --gop 2 --trust --method stops --out new/a.sci"
    assert zoo(call).code == 143
    read_packed = SpikeRecording.read_packed

    def terminate(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return read_packed(*arguments, **options)

    monkeypatch.setattr(SpikeRecording, "read_packed", terminate)
    assert zoo("compress street.npz --out new/a.spl").code == 143
    assert sorted(Path().rglob("*")) == before
