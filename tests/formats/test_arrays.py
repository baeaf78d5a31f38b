"""``.npy`` and ``.npz`` recordings."""

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pytest

from spike_zoo.errors import FormatError, GeometryError, MissingItemError, SpikeZooError
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.spikes import SpikeRecording
from spike_zoo.spikes.packing import pack_bits
from tests.helpers.streams import random_spikes


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "f4", "<i8", ">u2", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_plain_arrays_of_any_type_are_read(
    tmp_path: Path, dtype: str, order: Literal["C", "F"]
) -> None:
    spikes = random_spikes(7, 5, 11)
    np.save(tmp_path / "clip.npy", np.asarray(spikes.astype(dtype), order=order))
    np.savez(tmp_path / "clip.npz", spikes=np.asarray(spikes.astype(dtype), order=order))
    for name in ("clip.npy", "clip.npz"):
        np.testing.assert_array_equal(read_recording(tmp_path / name)[:], spikes)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_with_a_width_are_read_as_packed(tmp_path: Path, save: Callable[..., None]) -> None:
    spikes = random_spikes(7, 5, 11)
    save(tmp_path / "clip.npz", spikes=pack_bits(spikes), width=11)
    recording = read_recording(tmp_path / "clip.npz")
    assert recording.shape == (7, 5, 11)
    np.testing.assert_array_equal(recording[:], spikes)


def test_recognition_samples_keep_their_label(shared: Path) -> None:
    recording = read_recording(shared / "data" / "uhsr.npz")
    assert recording.shape == (200, 250, 250)
    assert recording.meta["label"] == 47
    assert isinstance(recording.meta["label_name"], str)
    with np.load(shared / "data" / "uhsr.npz") as arrays:
        np.testing.assert_array_equal(recording[:], arrays["spk"])


def test_keys_are_searched_in_the_documented_order(tmp_path: Path) -> None:
    clips = {name: random_spikes(2, 3, 8, seed=i) for i, name in enumerate(["a", "spk", "spike"])}
    np.savez(tmp_path / "clip.npz", **clips)  # type: ignore[arg-type]  # arrays by name
    np.testing.assert_array_equal(read_recording(tmp_path / "clip.npz")[:], clips["spike"])
    chosen = read_recording(tmp_path / "clip.npz", "a")
    np.testing.assert_array_equal(chosen[:], clips["a"])


def test_the_only_stack_of_planes_is_read_under_any_key(tmp_path: Path) -> None:
    spikes = random_spikes(2, 3, 8)
    np.savez(tmp_path / "clip.npz", events=spikes, times=np.arange(2))
    np.testing.assert_array_equal(read_recording(tmp_path / "clip.npz")[:], spikes)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, "no array is named spikes, spike, spk, and 2 have three axes"),
        ("spikes", "no array is named spikes"),
    ],
)
def test_the_error_of_an_ambiguous_file_lists_its_keys(
    tmp_path: Path, key: str | None, message: str
) -> None:
    np.savez(tmp_path / "clip.npz", left=random_spikes(2, 3, 8), right=random_spikes(2, 3, 8))
    listed = r"left \(2, 3, 8\), right \(2, 3, 8\); choose one with --name"
    with pytest.raises(MissingItemError, match=rf"clip\.npz: {message}\. The file holds {listed}"):
        read_recording(tmp_path / "clip.npz", key)


@pytest.mark.parametrize("wrong", [2, 255])
def test_values_other_than_zero_and_one_are_rejected(tmp_path: Path, wrong: int) -> None:
    spikes = np.zeros((2, 3, 8), np.uint8)
    spikes[1, 1, 1] = wrong
    np.save(tmp_path / "clip.npy", spikes)
    np.savez(tmp_path / "clip.npz", spikes=spikes)
    for name in ("clip.npy", "clip.npz"):
        with pytest.raises(FormatError, match=f"{name}.*must be 0 or 1"):
            read_recording(tmp_path / name)


def test_a_bool_that_is_neither_true_nor_false_is_rejected(tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", np.zeros((2, 3, 8), bool))
    data = bytearray((tmp_path / "clip.npy").read_bytes())
    data[-1] = 7
    (tmp_path / "clip.npy").write_bytes(data)
    with pytest.raises(FormatError, match="must be 0 or 1"):
        read_recording(tmp_path / "clip.npy")


@pytest.mark.parametrize("name", ["clip.npy", "clip.npz", "clip.h5"])
def test_packed_arrays_without_a_width_are_rejected_with_how_to_state_it(
    tmp_path: Path, name: str
) -> None:
    packed = pack_bits(random_spikes(7, 5, 21))
    np.save(tmp_path / "clip.npy", packed)
    np.savez(tmp_path / "clip.npz", spikes=packed)
    with h5py.File(tmp_path / "clip.h5", "w") as file:
        file["spikes"] = packed
    with pytest.raises(FormatError, match=rf"{name}.*looks packed.*17 to 24: np\.savez\(.*width=W"):
        read_recording(tmp_path / name)


def test_values_of_zero_and_255_are_not_read_as_packed(tmp_path: Path) -> None:
    np.save(tmp_path / "clip.npy", np.uint8(255) * random_spikes(7, 5, 21))
    with pytest.raises(FormatError, match=r"found \[255\]. Divide by 255"):
        read_recording(tmp_path / "clip.npy")


@pytest.mark.parametrize("shape", [(250, 400, 41), (250, 400, 300), (48, 64, 9)])
def test_planes_along_the_last_axis_give_a_warning_with_the_transpose_to_use(
    tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    np.savez(tmp_path / "clip.npz", spk=np.zeros(shape, bool))
    height, width, planes = shape
    message = rf"{height} planes of {width}x{planes}.*save array\.transpose\(2, 0, 1\)"
    with pytest.warns(UserWarning, match=message):
        assert read_recording(tmp_path / "clip.npz").shape == shape


@pytest.mark.parametrize("shape", [(250, 250, 400), (1000, 96, 96), (300, 40, 48), (40, 4, 48)])
def test_usual_shapes_are_read_without_a_warning(
    tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    np.save(tmp_path / "clip.npy", np.zeros(shape, bool))
    assert read_recording(tmp_path / "clip.npy").shape == shape


def test_bits_beyond_the_width_are_rejected(tmp_path: Path) -> None:
    np.savez(tmp_path / "clip.npz", spikes=np.full((2, 3, 2), 255, np.uint8), width=11)
    with pytest.raises(FormatError, match="beyond column 11"):
        read_recording(tmp_path / "clip.npz")


@pytest.mark.parametrize(
    "array", [np.zeros((3, 8)), np.zeros((0, 3, 8)), np.zeros((2, 3, 8), "S4")]
)
def test_arrays_other_than_spike_streams_are_rejected(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "clip.npy", array)
    np.savez(tmp_path / "clip.npz", spikes=array)
    for name in ("clip.npy", "clip.npz"):
        with pytest.raises(FormatError, match="not a spike stream"):
            read_recording(tmp_path / name)


class Trap:
    """Object whose unpickling has a visible effect."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a recording was unpickled",)


def test_pickled_objects_are_rejected_without_loading_them(tmp_path: Path) -> None:
    objects = np.empty((1, 1, 1), object)
    objects[0, 0, 0] = Trap()
    np.save(tmp_path / "clip.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "clip.npz", spikes=objects)
    np.savez(tmp_path / "label.npz", spikes=random_spikes(1, 1, 1), label=objects[0, 0])
    for name in ("clip.npy", "clip.npz"):
        with pytest.raises(FormatError, match="not a spike stream"):
            read_recording(tmp_path / name)
    assert "label" not in read_recording(tmp_path / "label.npz").meta


@pytest.mark.parametrize("name", ["clip.npy", "clip.npz"])
def test_a_truncated_file_is_rejected_in_one_line(tmp_path: Path, name: str) -> None:
    write_recording(random_spikes(9, 20, 40), tmp_path / "whole" / name)
    data = (tmp_path / "whole" / name).read_bytes()
    for length in range(8, len(data), 97):
        (tmp_path / name).write_bytes(data[:length])
        with pytest.raises(FormatError) as caught:
            read_recording(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["clip.npy", "clip.npz"])
def test_a_damaged_byte_never_raises_an_unexpected_error(tmp_path: Path, name: str) -> None:
    write_recording(random_spikes(3, 8, 16), tmp_path / "whole" / name)
    data = (tmp_path / "whole" / name).read_bytes()
    random, messages = np.random.default_rng(0), []
    for position in random.integers(0, len(data), 100):
        broken = bytearray(data)
        broken[position] ^= int(random.integers(1, 256))
        (tmp_path / name).write_bytes(broken)
        try:
            read_recording(tmp_path / name)
        except SpikeZooError as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)


def header_of(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def test_a_huge_declared_shape_is_rejected_before_memory_is_allocated(tmp_path: Path) -> None:
    (tmp_path / "clip.npy").write_bytes(header_of((10**6, 10**6, 10**6)) + bytes(100))
    with zipfile.ZipFile(tmp_path / "clip.npz", "w") as archive:
        archive.writestr("spikes.npy", header_of((10**6, 10**6, 10**6)) + bytes(100))
    for name in ("clip.npy", "clip.npz"):
        with pytest.raises(FormatError, match="truncated, the header states"):
            read_recording(tmp_path / name)


def test_a_stated_size_must_be_the_file_s(tmp_path: Path) -> None:
    write_recording(random_spikes(3, 8, 16), tmp_path / "clip.npz")
    assert read_recording(tmp_path / "clip.npz", height=8, width=16).shape == (3, 8, 16)
    with pytest.raises(GeometryError, match="8x16, not 9x16"):
        read_recording(tmp_path / "clip.npz", height=9)


def test_npz_keeps_the_metadata(tmp_path: Path) -> None:
    recording = SpikeRecording.from_planes(
        random_spikes(3, 8, 13),
        fps=20_000.0,
        threshold=np.float32(2.0),
        rate_scale=np.float64(0.6),
        meta={"label": np.int64(4), "licence": "MIT", "file": "not numpy's argument", "gain": 1.5},
    )
    for name in ("clip.dat", "clip.h5", "clip.npz"):
        write_recording(recording, tmp_path / name, with_sidecar=name == "clip.dat")
        reread = read_recording(tmp_path / name)
        assert (reread.threshold, reread.rate_scale) == (2.0, 0.6)
    assert (reread.fps, reread.threshold, reread.rate_scale) == (20_000.0, 2.0, 0.6)
    assert [reread.meta[key] for key in ("label", "licence", "gain")] == [4, "MIT", 1.5]


@pytest.mark.parametrize("wrong", [{"fps": -1.0}, {"rate_scale": 0.0}, {"threshold": np.nan}])
def test_scales_that_are_not_positive_numbers_are_rejected(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    np.savez(tmp_path / "clip.npz", spikes=random_spikes(2, 3, 8), **wrong)
    with pytest.raises(FormatError, match="expected a number > 0"):
        read_recording(tmp_path / "clip.npz")


@pytest.mark.parametrize("kind", ["npy", "h5"])
@pytest.mark.parametrize("dtype", ["?", "u1", "f4"])
def test_planes_of_an_array_larger_than_the_memory_are_read_on_demand(
    tmp_path: Path, kind: str, dtype: str
) -> None:
    shape, plane = (1_000_000, 250, 400), 700_000  # 100 GB of bytes, sparse
    if kind == "npy":
        header = io.BytesIO()
        fields = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, fields)
        plane_bytes = np.dtype(dtype).itemsize * 250 * 400
        with (tmp_path / "big.npy").open("wb") as stream:
            stream.write(header.getvalue())
            stream.truncate(len(header.getvalue()) + shape[0] * plane_bytes)
            stream.seek(len(header.getvalue()) + plane * plane_bytes)
            stream.write(np.ones((250, 400), dtype).tobytes())
    else:
        with h5py.File(tmp_path / "big.h5", "w") as file:
            spikes = file.create_dataset("spikes", shape, dtype, chunks=(5, 250, 400))
            spikes[plane] = 1
    tracemalloc.start()
    recording = read_recording(tmp_path / f"big.{kind}")
    assert recording.shape == shape
    assert [bool(recording[plane + k].all()) for k in (-1, 0, 1)] == [False, True, False]
    assert not recording[plane - 1].any()
    assert tracemalloc.get_traced_memory()[1] < 2e8
    tracemalloc.stop()


@pytest.mark.parametrize("kind", ["npy", "h5"])
def test_values_that_are_no_spikes_are_rejected_where_they_are_read(
    tmp_path: Path, kind: str
) -> None:
    values = np.zeros((200, 250, 400), np.uint8)
    values[190] = 3
    if kind == "npy":
        np.save(tmp_path / "a.npy", values)
    else:
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["spikes"] = values
    recording = read_recording(tmp_path / f"a.{kind}")
    assert not recording[:100].any()
    with pytest.raises(FormatError, match=r"a\.(npy|h5).*must be 0 or 1, found \[3\]"):
        recording.read(185, 195)
