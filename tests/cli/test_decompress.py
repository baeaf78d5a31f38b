"""Tests of the command ``decompress``: outputs, and damaged bitstreams."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo import SpikeRecording
from spike_zoo.coding import BitstreamReader
from spike_zoo.coding.spl import codec as lossless
from spike_zoo.formats import read_recording
from spike_zoo.media import load_image
from tests.helpers.bitstreams import bitstream
from tests.helpers.checkpoints import export
from tests.helpers.codecs import SumsCodec, SumsModule
from tests.helpers.commands import Zoo

FRAMES, HEIGHT, WIDTH = 7, 24, 36
SPIKES = np.random.default_rng(4).random((13 + 7 * (FRAMES - 1), HEIGHT, WIDTH)) < 0.3
DATA = SumsCodec().compress(SpikeRecording.from_planes(SPIKES, rate_scale=0.5), gop=3)
DECODE = "decompress street.sci --method mine --trust --out"


@pytest.fixture(autouse=True)
def _street(zoo: Zoo) -> None:
    """A bitstream, its method, and a lossless bitstream of three chunks."""
    Path("street.sci").write_bytes(DATA)
    export(SumsModule(), Path("mine"))
    recording = SpikeRecording.from_planes(SPIKES, fps=20_000.0, rate_scale=0.5)
    lossless.write(recording, Path("street.spl"), restart=20)


def rates(frames: list[int]) -> NDArray[np.floating]:
    """Return firing rates in the windows of some frames."""
    return np.stack([SPIKES[7 * frame : 7 * frame + 13].mean(axis=0) for frame in frames])


def damage(group: int) -> None:
    """Change a byte of a group."""
    data, lengths = bytearray(DATA), BitstreamReader(DATA).payload_bytes()
    data[48 + sum(8 + lengths[k] for k in range(group)) + 20] ^= 1
    Path("street.sci").write_bytes(bytes(data))


def files() -> list[Path]:
    return sorted(Path().rglob("*"))


def test_images_in_a_folder_are_named_after_the_middle_plane_of_their_window(zoo: Zoo) -> None:
    assert zoo(f"{DECODE} out").out == "images: out (7 files, planes 6 to 48)\n"
    names = [f"street-{plane:06d}.png" for plane in range(6, 49, 7)]
    assert sorted(path.name for path in Path("out").iterdir()) == names
    for name, rate in zip(names, rates(list(range(7))), strict=True):
        expected = (rate / 0.5).clip(0, 1)
        np.testing.assert_allclose(load_image(f"out/{name}")[0], expected, atol=0.5 / 255 + 1e-6)


def test_a_video_shows_every_frame(zoo: Zoo) -> None:
    assert zoo(f"{DECODE} a.mp4").code == 0
    with av.open("a.mp4") as container:
        assert len(list(container.decode(video=0))) == FRAMES
        assert container.streams.video[0].average_rate == 25


def test_written_arrays_equal_in_memory_decompression(zoo: Zoo) -> None:
    assert zoo(f"{DECODE} a.npz").out == "features: a.npz (7 of 7 frames)\n"
    expected = SumsCodec().decompress(DATA)
    with np.load("a.npz") as stored:
        assert set(stored) == {"features", "feature_index", "motion"}
        np.testing.assert_array_equal(stored["features"], expected.features)
        np.testing.assert_array_equal(stored["motion"], expected.motion)
        assert stored["feature_index"].tolist() == list(range(7))
        np.testing.assert_allclose(stored["features"][:, 0], rates(list(range(7))), rtol=1e-6)


def test_a_damaged_bitstream_is_rejected_and_its_intact_groups_are_salvaged(zoo: Zoo) -> None:
    damage(group=1)
    assert "street.sci: group of pictures 1 damaged" in zoo(f"{DECODE} a.npz").err
    assert not Path("a.npz").exists()
    result = zoo(f"{DECODE} a.npz --salvage")
    assert "(4 of 7 frames)" in result.out
    assert "warning: left out: " in result.err
    assert "group of pictures 1 damaged" in result.err
    with np.load("a.npz") as stored:
        assert stored["feature_index"].tolist() == [0, 1, 2, 6]
        np.testing.assert_allclose(stored["features"][:, 0], rates([0, 1, 2, 6]), rtol=1e-6)
    damage(group=0)
    assert "(4 files, " in zoo(f"{DECODE} out --salvage").out
    assert min(Path("out").iterdir()).stem == "street-000027", "named after the planes they show"


@pytest.mark.parametrize("out", ["a.npz", "a.mp4", "images"])
def test_no_file_is_written_if_nothing_can_be_decoded(out: str, zoo: Zoo) -> None:
    reader, before = BitstreamReader(DATA), files()
    wrong = [payload[:4] + b"\0\0\1\0" + payload[8:] for _, payload in reader]
    Path("street.sci").write_bytes(bitstream(reader.header, wrong))  # correct checksums
    for salvage in ("", "--salvage"):
        assert "pictures 0" in zoo(f"{DECODE} {out} {salvage}").err
    Path("street.sci").write_bytes(DATA[:50])
    assert "within group of pictures 0" in zoo(f"{DECODE} {out} --salvage").err
    Path("street.sci").write_bytes(DATA)
    assert "TFI does not compress" in zoo(f"decompress street.sci --out {out} --method tfi").err
    assert files() == before
    export(SumsModule(version=2), Path("other"))
    assert zoo(f"decompress street.sci --method other --trust --out {out}").code == 1
    assert not Path(out).exists()


@pytest.mark.parametrize("suffix", [".dat", ".npz", ".npy", ".h5"])
def test_a_lossless_recording_is_decompressed_bit_for_bit(suffix: str, zoo: Zoo) -> None:
    out = Path("new", f"street{suffix}")
    result = zoo(f"decompress street.spl --out {out}")
    restored = read_recording(out)  # the sidecar of a .dat states its size
    np.testing.assert_array_equal(restored[:], SPIKES)
    if suffix != ".npy":  # a .npy contains planes only
        assert (restored.fps, restored.rate_scale) == (20_000.0, 0.5)
    facts = f"55 planes of 36 x 24 pixels, {out.stat().st_size} bytes"
    sidecar = "; street.dat.yaml states its size" if suffix == ".dat" else ""
    assert result.out == f"recording: {out} ({facts}{sidecar})\n"


def test_a_damaged_lossless_recording_is_rejected_and_its_intact_planes_are_salvaged(
    zoo: Zoo,
) -> None:
    original, before = Path("street.spl").read_bytes(), files()
    middle = 52 + (len(original) - 52) // 2
    for data, problem in (
        (original[:-1] + bytes([original[-1] ^ 1]), "planes 40 to 54 damaged"),
        (original[:-1], "within planes 40 to 54"),
        (b"SCI1" + original[4:], "begins with b'SCI1', not b'SPL1'"),
        (
            original[:middle] + bytes([original[middle] ^ 1]) + original[middle + 1 :],
            "decompress --salvage",
        ),
    ):
        Path("street.spl").write_bytes(data)
        for name in ("a.npz", "a.dat", "new/a.npy"):
            result = zoo(f"decompress street.spl --out {name}")
            assert result.code == 1
            assert problem in result.err
        assert files() == before
    result = zoo("decompress street.spl --out a.npz --salvage")
    assert "(35 planes of 36 x 24 pixels, " in result.out
    assert "warning: left out: " in result.err
    assert "street.spl: planes 20 to 39 of 55 are lost" in result.err
    recording = read_recording("a.npz")
    np.testing.assert_array_equal(recording[:], np.concatenate([SPIKES[:20], SPIKES[40:]]))
    assert recording.meta["lost_planes"] == "20 to 39"
    assert (recording.fps, recording.rate_scale) == (20_000.0, 0.5)
    assert zoo("decompress street.spl --out a.dat --salvage").code == 0
    assert read_recording("a.dat").meta["lost_planes"] == "20 to 39"


def test_a_recording_is_no_bitstream_and_a_bitstream_of_features_no_recording(zoo: Zoo) -> None:
    Path("a.dat").write_bytes(bytes(100))
    result = zoo("decompress a.dat --out out")
    assert (result.code, "a.dat is a recording, not a bitstream" in result.err) == (2, True)
    assert "a .sci contains features, not spikes" in zoo(f"{DECODE} a.dat").err
