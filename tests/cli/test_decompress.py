"""Tests of the command ``decompress``: outputs, and damaged bitstreams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from spike_zoo import SpikeRecording
from spike_zoo.checkpoints.loading import export
from spike_zoo.cli.decompress import decompress
from spike_zoo.cli.main import main
from spike_zoo.coding import (
    BitstreamReader,
    CorruptBitstreamError,
    DecodeMismatchError,
    ModelMismatchError,
    TruncatedBitstreamError,
)
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.errors import ExistingFileError, UsageError
from spike_zoo.formats import read_recording
from spike_zoo.media import load_picture
from tests.helpers.bitstreams import bitstream
from tests.helpers.codecs import SumsCodec, SumsModule

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FRAMES, HEIGHT, WIDTH = 7, 24, 36
SPIKES = np.random.default_rng(4).random((13 + 7 * (FRAMES - 1), HEIGHT, WIDTH)) < 0.3
DATA = SumsCodec().compress(SpikeRecording.from_planes(SPIKES, rate_scale=0.5), gop=3)


@pytest.fixture
def street(tmp_path: Path) -> Path:
    path = tmp_path / "street.sci"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def method(tmp_path: Path) -> str:
    export(SumsModule(), tmp_path / "mine")
    return str(tmp_path / "mine")


def _rates(frames: list[int]) -> NDArray[np.floating]:
    """Return firing rates in the windows of some frames."""
    return np.stack([SPIKES[7 * frame : 7 * frame + 13].mean(axis=0) for frame in frames])


def _write_damaged(path: Path, group: int) -> None:
    """Change a byte of a group."""
    reader, data = BitstreamReader(DATA), bytearray(DATA)
    lengths = reader.payload_bytes()
    data[48 + sum(8 + lengths[k] for k in range(group)) + 20] ^= 1
    path.write_bytes(bytes(data))


def test_pictures_in_a_folder_are_named_after_the_middle_plane_of_their_window(
    street: Path, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pictures"
    call = ["decompress", str(street), "--out", str(out), "--method", method, "--trust"]
    assert main(call) == 0
    assert capsys.readouterr().out == f"pictures: {out} (7 files, planes 6 to 48)\n"
    names = [f"street-{plane:06d}.png" for plane in range(6, 49, 7)]
    assert sorted(path.name for path in out.iterdir()) == names
    for name, rate in zip(names, _rates(list(range(7))), strict=True):
        expected = (rate / 0.5).clip(0, 1)
        np.testing.assert_allclose(load_picture(out / name)[0], expected, atol=0.5 / 255 + 1e-6)


def test_a_video_shows_every_frame(street: Path, method: str, tmp_path: Path) -> None:
    decompress(str(street), out=str(tmp_path / "a.mp4"), method=method, trust=True, fps=50)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(list(container.decode(video=0))) == FRAMES
        assert container.streams.video[0].average_rate == 50


def test_written_arrays_equal_in_memory_decompression(
    street: Path, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decompress(str(street), out=str(tmp_path / "a.npz"), method=method, trust=True)
    assert capsys.readouterr().out == f"features: {tmp_path / 'a.npz'} (7 of 7 frames)\n"
    expected = SumsCodec().decompress(DATA)
    with np.load(tmp_path / "a.npz") as stored:
        assert set(stored) == {"features", "feature_index", "motion"}
        np.testing.assert_array_equal(stored["features"], expected.features)
        np.testing.assert_array_equal(stored["motion"], expected.motion)
        assert stored["feature_index"].tolist() == list(range(7))
        np.testing.assert_allclose(stored["features"][:, 0], _rates(list(range(7))), rtol=1e-6)


def test_a_damaged_bitstream_is_rejected_and_its_intact_groups_are_salvaged(
    street: Path, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write_damaged(street, group=1)
    out = str(tmp_path / "a.npz")
    with pytest.raises(CorruptBitstreamError, match=r"street\.sci: group of pictures 1 damaged"):
        decompress(str(street), out=out, method=method, trust=True)
    assert not (tmp_path / "a.npz").exists()
    call = ["decompress", str(street), "--out", out, "--method", method, "--trust", "--salvage"]
    assert main(call) == 0
    output = capsys.readouterr()
    assert "(4 of 7 frames)" in output.out
    assert "warning: left out: " in output.err
    assert "group of pictures 1 damaged" in output.err
    with np.load(out) as stored:
        assert stored["feature_index"].tolist() == [0, 1, 2, 6]
        np.testing.assert_allclose(stored["features"][:, 0], _rates([0, 1, 2, 6]), rtol=1e-6)


def test_salvaged_pictures_are_named_after_the_planes_they_show(
    street: Path, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write_damaged(street, group=0)
    out = tmp_path / "pictures"
    decompress(str(street), out=str(out), method=method, trust=True, salvage=True)
    assert sorted(path.stem for path in out.iterdir())[0] == "street-000027"
    assert "(4 files, " in capsys.readouterr().out


@pytest.mark.parametrize("out", ["a.npz", "a.mp4", "pictures"])
def test_no_file_is_written_if_nothing_can_be_decoded(
    out: str, street: Path, method: str, tmp_path: Path
) -> None:
    reader = BitstreamReader(DATA)
    wrong = [payload[:4] + b"\0\0\1\0" + payload[8:] for _, payload in reader]
    street.write_bytes(bitstream(reader.header, wrong))  # correct checksums, wrong payloads
    before = sorted(tmp_path.iterdir())
    for salvage in (False, True):
        with pytest.raises((DecodeMismatchError, CorruptBitstreamError), match="pictures 0"):
            decompress(
                str(street), out=str(tmp_path / out), method=method, trust=True, salvage=salvage
            )
        assert sorted(tmp_path.iterdir()) == before
    street.write_bytes(DATA[:50])
    with pytest.raises(TruncatedBitstreamError, match="within group of pictures 0"):
        decompress(str(street), out=str(tmp_path / out), method=method, trust=True, salvage=True)


def test_decoding_with_another_model_is_rejected(street: Path, tmp_path: Path) -> None:
    export(SumsModule(version=2), tmp_path / "other")
    with pytest.raises(ModelMismatchError):
        decompress(str(street), out=str(tmp_path / "a"), method=str(tmp_path / "other"), trust=True)


def test_existing_and_unusable_targets_are_rejected_before_any_work(
    street: Path, tmp_path: Path
) -> None:
    for name in ("a.npz", "a.mp4"):
        (tmp_path / name).write_bytes(b"mine")
        with pytest.raises(ExistingFileError, match=name):
            decompress(str(street), out=str(tmp_path / name), method="none")
    for name in ("a.png", "a.txt"):
        with pytest.raises(UsageError, match=r"give X\.mp4, X\.npz or a folder"):
            decompress(str(street), out=name, method="none")
    with pytest.raises(UsageError, match="--method tfi: TFI does not compress"):
        decompress(str(street), out=str(tmp_path / "b.npz"), method="tfi")


@pytest.fixture
def lossless_file(tmp_path: Path) -> Path:
    """A lossless bitstream of three chunks."""
    recording = SpikeRecording.from_planes(SPIKES, fps=20_000.0, rate_scale=0.5)
    return lossless.write(recording, tmp_path / "street.spl", restart=20)


@pytest.mark.parametrize("suffix", [".dat", ".npz", ".npy", ".h5"])
def test_a_lossless_recording_is_decompressed_bit_for_bit(
    suffix: str, lossless_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / f"street{suffix}"
    assert main(["decompress", str(lossless_file), "--out", str(out)]) == 0
    restored = read_recording(out)  # the sidecar of a .dat states its size
    np.testing.assert_array_equal(restored[:], SPIKES)
    if suffix != ".npy":  # a .npy contains planes only
        assert (restored.fps, restored.rate_scale) == (20_000.0, 0.5)
    size = out.stat().st_size
    assert (
        capsys.readouterr().out == f"recording: {out} (55 planes of 36 x 24 pixels, {size} bytes)\n"
    )
    assert main(["decompress", str(lossless_file), "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_damaged_lossless_recording_is_rejected_and_nothing_is_written(
    lossless_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original, before = lossless_file.read_bytes(), sorted(tmp_path.iterdir())
    for data, problem in (
        (original[:-1] + bytes([original[-1] ^ 1]), "planes 40 to 54 damaged"),
        (original[:-1], "within planes 40 to 54"),
        (b"SCI1" + original[4:], "begins with b'SCI1', not b'SPL1'"),
    ):
        lossless_file.write_bytes(data)
        for name in ("a.npz", "a.dat", "new/a.npy"):
            assert main(["decompress", str(lossless_file), "--out", str(tmp_path / name)]) == 1
            assert problem in capsys.readouterr().err
        assert sorted(tmp_path.iterdir()) == before


def test_intact_planes_of_a_damaged_lossless_recording_are_salvaged(
    lossless_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original = lossless_file.read_bytes()
    middle = 52 + (len(original) - 52) // 2
    lossless_file.write_bytes(
        original[:middle] + bytes([original[middle] ^ 1]) + original[middle + 1 :]
    )
    out = tmp_path / "a.npz"
    assert main(["decompress", str(lossless_file), "--out", str(out)]) == 1
    assert "decompress --salvage" in capsys.readouterr().err
    assert main(["decompress", str(lossless_file), "--out", str(out), "--salvage"]) == 0
    output = capsys.readouterr()
    assert "(35 planes of 36 x 24 pixels, " in output.out
    assert "warning: left out: " in output.err
    assert "street.spl: planes 20 to 39 of 55 are lost" in output.err
    recording = read_recording(out)
    np.testing.assert_array_equal(recording[:], np.concatenate([SPIKES[:20], SPIKES[40:]]))
    assert recording.meta["lost_planes"] == "20 to 39"
    assert (recording.fps, recording.rate_scale) == (20_000.0, 0.5)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--out", "a.mp4"], "give X.dat, X.npz, X.npy or X.h5 (for pictures"),
        (["--out", "folder"], "--out folder: "),
        (["--method", "sci-small"], "--method sci-small: "),
        (["--fps", "25"], "--fps 25.0: "),
        (["--device", "cpu"], "--device cpu: "),
        (["--trust"], "--trust True: "),
    ],
)
def test_options_of_pictures_are_rejected_for_a_lossless_recording(
    options: list[str],
    problem: str,
    lossless_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert main(["decompress", str(lossless_file), "--out", "a.npz", *options]) == 2
    assert problem in capsys.readouterr().err
    assert main(["decompress", "none.spl", "--out", "a.npz"]) == 2
    assert "none.spl: there is no such file" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
