"""Tests of the command ``compress``: content, size and rejected calls."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spike_zoo import SpikeRecording, read_recording, write_recording
from spike_zoo.checkpoints.loading import export
from spike_zoo.cli.compress import compress
from spike_zoo.cli.main import main
from spike_zoo.coding import BitstreamReader
from spike_zoo.errors import ExistingFileError, UsageError
from tests.helpers.codecs import SumsCodec, SumsModule

if TYPE_CHECKING:
    from pathlib import Path

PLANES, HEIGHT, WIDTH = 13 + 7 * 6, 24, 37


@pytest.fixture
def recording(tmp_path: Path) -> SpikeRecording:
    """A recording, also at ``street.npz`` in the test's folder."""
    spikes = np.random.default_rng(4).random((PLANES, HEIGHT, WIDTH)) < 0.3
    recording = SpikeRecording.from_planes(spikes, fps=20_000.0, rate_scale=0.5)
    write_recording(recording, tmp_path / "street.npz")
    return recording


@pytest.fixture
def street(recording: SpikeRecording, tmp_path: Path) -> str:
    return str(tmp_path / "street.npz")


@pytest.fixture
def method(tmp_path: Path) -> str:
    export(SumsModule(), tmp_path / "mine")
    return str(tmp_path / "mine")


def test_the_bitstream_is_written_and_its_size_is_reported(
    recording: SpikeRecording,
    street: str,
    method: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new" / "street.sci"
    call = ["compress", street, "--out", str(out), "--method", method, "--trust"]
    assert main([*call, "--quality", "1", "--gop", "3"]) == 0
    assert out.read_bytes() == SumsCodec().compress(recording, quality=1, gop=3)
    header = BitstreamReader(out).header
    assert (header.quality, header.gop, header.groups, header.frames) == (1, 3, 3, 7)
    assert (header.fps, header.rate_scale) == (20_000.0, 0.5)
    size = out.stat().st_size
    rate = 8 * size / (PLANES * HEIGHT * WIDTH)
    cost = f"{size} bytes: {rate:.4g} bits per pixel and plane, {8 * size / 7:.0f} bits per frame"
    output = capsys.readouterr().out
    assert (
        output == f"bitstream: {out} (lossy, 7 frames of 55 planes, {cost}, {1 - rate:.1%} saved)\n"
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["street.sci"]


@pytest.mark.parametrize("suffix", ["sci", "spl"])
def test_the_first_plane_of_a_part_is_reported(
    street: str, method: str, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"lossless": True} if suffix == "spl" else {"method": method, "trust": True}
    compress(street, out=str(tmp_path / f"a.{suffix}"), start=10, stop=40, **options)
    assert "30 planes from plane 10 (plane 0 of the bitstream), " in capsys.readouterr().out


def test_a_given_rate_scale_is_written(street: str, method: str, tmp_path: Path) -> None:
    compress(street, out=str(tmp_path / "a.sci"), method=method, trust=True, rate_scale=0.25)
    assert BitstreamReader(tmp_path / "a.sci").header.rate_scale == 0.25


def test_an_unknown_rate_scale_is_estimated_printed_and_written(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw.npy", tmp_path / "a.sci"
    spikes = np.zeros((PLANES, HEIGHT, WIDTH), np.uint8)
    spikes[: PLANES // 5] = 1
    np.save(raw, spikes)
    compress(str(raw), out=str(out), method=method, trust=True)
    assert BitstreamReader(out).header.rate_scale == pytest.approx(1 / 5, abs=0.01)
    assert capsys.readouterr().err.startswith("rate scale: 0.2 spikes per plane at white")


def test_a_lossless_bitstream_of_unknown_rate_scale_stores_no_rate_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, out = tmp_path / "raw.npy", tmp_path / "a.spl"
    np.save(raw, np.ones((PLANES, HEIGHT, WIDTH), np.uint8))
    compress(str(raw), out=str(out), lossless=True)
    assert read_recording(out).rate_scale is None
    assert capsys.readouterr().err == ""


def test_an_existing_file_is_replaced_only_with_overwrite(
    street: str, method: str, tmp_path: Path
) -> None:
    out = tmp_path / "a.sci"
    out.write_bytes(b"mine")
    with pytest.raises(ExistingFileError, match=r"a\.sci exists"):
        compress(street, out=str(out), method=method, trust=True)
    assert out.read_bytes() == b"mine"
    compress(street, out=str(out), method=method, trust=True, overwrite=True)
    assert BitstreamReader(out).header.planes == PLANES


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"out": "a.mp4"}, r"--out a\.mp4: a bitstream is named X\.sci"),
        ({"out": "a.spl"}, r"a bitstream is named X\.sci; --lossless writes X\.spl"),
        ({"lossless": True}, r"--out a\.sci: a lossless bitstream is named X\.spl"),
        ({"quality": 4}, "--quality 4: must be 0 to 3"),
        ({"quality": -1}, "--quality -1"),
        ({"gop": 0}, "--gop 0"),
        ({"rate_scale": 0.0}, "--rate-scale 0"),
    ],
)
def test_impossible_options_are_rejected_before_any_work(
    options: dict[str, object], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        compress("none.npz", **{"out": "a.sci", "method": "none", **options})  # type: ignore[arg-type]  # any of them


def test_a_method_that_does_not_compress_is_rejected(street: str) -> None:
    with pytest.raises(UsageError, match="--method tfi: TFI does not compress"):
        compress(street, out="a.sci", method="tfi")


def test_a_terminated_call_leaves_no_partial_files(street: str, tmp_path: Path) -> None:
    export(SumsModule(stops_after=2), tmp_path / "stops")
    before = sorted(tmp_path.rglob("*"))
    call = ["compress", street, "--gop", "2", "--trust", "--method", str(tmp_path / "stops")]
    assert main([*call, "--out", str(tmp_path / "new" / "a.sci")]) == 143
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("option", ["--lossless", "--codec=spl"])
def test_lossless_compression_is_bit_exact_and_its_size_is_reported(
    option: str,
    recording: SpikeRecording,
    street: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new" / "street.spl"
    assert main(["compress", street, option, "--out", str(out)]) == 0
    restored = read_recording(out)
    np.testing.assert_array_equal(restored[:], recording[:])
    assert (restored.fps, restored.rate_scale) == (20_000.0, 0.5)
    rate = 8 * out.stat().st_size / (PLANES * HEIGHT * WIDTH)
    cost = f"{out.stat().st_size} bytes: {rate:.4g} bits per pixel and plane"
    assert capsys.readouterr().out == (
        f"bitstream: {out} (55 planes, {cost}, {1 - rate:.1%} saved)\n"
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["street.spl"]
    assert main(["compress", street, "--lossless", "--out", str(out)]) == 2
    assert "street.spl exists" in capsys.readouterr().err


def test_lossless_compression_of_a_raw_recording_stores_the_given_size_and_rate_scale(
    recording: SpikeRecording, tmp_path: Path
) -> None:
    raw = write_recording(recording, tmp_path / "street.dat")
    out = tmp_path / "street.spl"
    options = ["--height", str(HEIGHT), "--width", str(WIDTH), "--rate-scale", "0.25"]
    assert main(["compress", str(raw), "--out", str(out), "--lossless", *options]) == 0
    restored = read_recording(out)
    np.testing.assert_array_equal(restored[:], recording[:])
    assert (restored.fps, restored.rate_scale) == (0.0, 0.25)


@pytest.mark.parametrize(
    ("option", "value"),
    [("method", "sci-small"), ("quality", "2"), ("gop", "8"), ("device", "cpu"), ("trust", "true")],
)
def test_options_of_methods_are_rejected_with_lossless(
    option: str, value: str, street: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["compress", street, "--lossless", "--out", str(tmp_path / "a.spl")]
    assert main([*call, f"--{option}", value]) == 2
    assert f"--{option} {value.title() if option == 'trust' else value}: --lossless keeps" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "a.spl").exists()


def test_a_terminated_lossless_call_leaves_no_partial_files(
    street: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_packed = SpikeRecording.read_packed

    def terminate(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return read_packed(*arguments, **options)

    monkeypatch.setattr(SpikeRecording, "read_packed", terminate)
    before = sorted(tmp_path.rglob("*"))
    call = ["compress", street, "--lossless", "--out", str(tmp_path / "new" / "a.spl")]
    assert main(call) == 143
    assert sorted(tmp_path.rglob("*")) == before
