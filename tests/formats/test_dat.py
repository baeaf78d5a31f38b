"""Raw ``.dat`` files: bit layouts, sizes and errors."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spike_zoo.cli.main import main
from spike_zoo.errors import FormatError, GeometryError, MissingGeometryError, UsageError
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.dat import DatLayout
from tests.helpers.streams import random_spikes, spike_streams

one_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def bits_by_formula(data: bytes, planes: int, height: int, width: int) -> np.ndarray:
    """Decode pixel by pixel: p = (H-1-y) W + x, byte t H W / 8 + p div 8, bit p mod 8."""
    spikes = np.zeros((planes, height, width), bool)
    for t, y, x in np.ndindex(spikes.shape):
        pixel = (height - 1 - y) * width + x
        spikes[t, y, x] = data[t * height * width // 8 + pixel // 8] >> pixel % 8 & 1
    return spikes


@pytest.mark.parametrize("source", ["stir", "ssdm"])
def test_published_readers_decode_the_same_planes(
    tmp_path: Path, golden: Path, source: str
) -> None:
    with np.load(golden / "dat.npz") as vectors:
        stored, planes = vectors[f"{source}/bytes"], vectors[f"{source}/frames"]
    path = tmp_path / "clip.dat"
    path.write_bytes(stored.tobytes())
    recording = read_recording(path, height=6, width=16)
    np.testing.assert_array_equal(recording[:], planes)
    write_recording(recording, tmp_path / "again.dat")
    assert (tmp_path / "again.dat").read_bytes() == stored.tobytes()


@pytest.mark.parametrize(("height", "width"), [(6, 16), (8, 13), (4, 2), (16, 1)])
def test_every_pixel_is_stored_at_the_documented_bit(
    tmp_path: Path, height: int, width: int
) -> None:
    data = np.random.default_rng(3).bytes(3 * height * width // 8)
    path = tmp_path / "clip.dat"
    path.write_bytes(data)
    expected = bits_by_formula(data, 3, height, width)
    np.testing.assert_array_equal(read_recording(path, height=height, width=width)[:], expected)


@one_file
@given(spikes=spike_streams(), align=st.sampled_from(["byte", "bit"]), flip=st.booleans())
def test_planes_of_any_size_are_read_back(
    tmp_path: Path, spikes: np.ndarray, align: str, flip: bool
) -> None:
    _, height, width = spikes.shape
    if align == "bit" and height * width < 8:
        return
    path = tmp_path / "clip.dat"
    write_recording(spikes, path, overwrite=True, frame_align=align, flip=flip)
    recording = read_recording(path, height=height, width=width, frame_align=align, flip=flip)
    np.testing.assert_array_equal(recording[:], spikes)
    middle = len(spikes) // 2
    np.testing.assert_array_equal(recording[middle], spikes[middle])


def test_planes_that_are_not_whole_bytes_need_their_alignment_stated(tmp_path: Path) -> None:
    path = tmp_path / "clip.dat"
    path.write_bytes(bytes(10))
    message = r"clip\.dat.*--frame-align byte.*--frame-align bit"
    with pytest.raises(GeometryError, match=message):
        read_recording(path, height=3, width=5)


def test_byte_and_bit_alignment_are_the_two_layouts_described(tmp_path: Path) -> None:
    ones = np.ones((3, 3, 5), bool)  # 15 bits a plane
    write_recording(ones, tmp_path / "byte.dat", frame_align="byte")
    write_recording(ones, tmp_path / "bit.dat", frame_align="bit")
    assert (tmp_path / "byte.dat").read_bytes() == b"\xff\x7f" * 3
    assert (tmp_path / "bit.dat").read_bytes() == b"\xff" * 5 + b"\x1f"


@pytest.mark.parametrize("align", ["byte", "bit"])
def test_bits_after_a_plane_reveal_a_wrong_size(tmp_path: Path, align: str) -> None:
    path = tmp_path / "clip.dat"
    path.write_bytes(b"\xff\xff")
    with pytest.raises(FormatError, match="are not zero"):
        read_recording(path, height=3, width=5, frame_align=align)[:]


def test_columns_outside_the_selected_ranges_are_omitted(tmp_path: Path) -> None:
    stored = random_spikes(3, 4, 48)
    path = write_recording(stored, tmp_path / "clip.dat")
    single_range = read_recording(path, height=4, width=48, columns=[(0, 40)])
    two_ranges = read_recording(path, height=4, width=48, columns=[(0, 20), (24, 44)])
    np.testing.assert_array_equal(single_range[:], stored[..., :40])
    expected = np.concatenate([stored[..., :20], stored[..., 24:44]], axis=-1)
    np.testing.assert_array_equal(two_ranges[:], expected)


def test_selected_columns_are_written_with_zeros_between_them(tmp_path: Path) -> None:
    image, ranges = random_spikes(3, 4, 40), [(0, 20), (24, 44)]
    path = write_recording(image, tmp_path / "clip.dat", columns=ranges, stored_width=48)
    assert path.stat().st_size == 3 * 4 * 48 // 8
    recording = read_recording(path, height=4, width=48, columns=ranges)
    np.testing.assert_array_equal(recording[:], image)
    assert not read_recording(path, height=4, width=48)[:][..., 20:24].any()
    with pytest.raises(GeometryError, match="does not fill"):
        write_recording(image, tmp_path / "other.dat", columns=[(0, 20)], stored_width=48)


@pytest.mark.parametrize(
    "columns", [[], [(0, 49)], [(8, 8)], [(20, 30), (10, 15)], [(0, 20), (19, 30)], [(-1, 5)]]
)
def test_column_ranges_must_increase_within_the_stored_width(
    columns: list[tuple[int, int]],
) -> None:
    with pytest.raises(GeometryError, match="columns"):
        DatLayout(4, 48, columns=tuple(columns))


def test_a_wrong_height_is_rejected_and_the_right_one_suggested(shared: Path) -> None:
    with pytest.raises(GeometryError, match=r"12000 per plane.*250x400 \(301 planes\)"):
        read_recording(shared / "data" / "data.dat", height=240, width=400)


@pytest.mark.parametrize("align", ["byte", "bit"])
def test_a_partial_plane_is_omitted_only_on_request_and_with_a_warning(
    tmp_path: Path, align: str
) -> None:
    spikes = random_spikes(4, 8, 9)
    path = write_recording(spikes, tmp_path / "clip.dat")
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(GeometryError, match="bytes over"):
        read_recording(path, height=8, width=9, frame_align=align)
    with pytest.warns(UserWarning, match=r"dropped the last 7 bytes.* after 3 whole planes"):
        recording = read_recording(path, height=8, width=9, allow_partial=True)
    np.testing.assert_array_equal(recording[:], spikes[:3])


@pytest.mark.parametrize("size", range(48, 61))
def test_a_bit_aligned_recording_cut_at_any_byte_is_readable_on_request(
    tmp_path: Path, size: int
) -> None:
    spikes = np.ones((5, 9, 11), np.bool_)  # 99 bits per plane
    path = tmp_path / "clip.dat"
    path.write_bytes(np.packbits(spikes.reshape(-1), bitorder="little").tobytes()[:size])
    with pytest.raises((GeometryError, FormatError), match=r"bytes over|bits after the last"):
        read_recording(path, height=9, width=11, frame_align="bit")
    with pytest.warns(UserWarning, match="an incomplete plane of 9x11"):
        recording = read_recording(path, height=9, width=11, frame_align="bit", allow_partial=True)
    np.testing.assert_array_equal(recording[:], spikes[: size * 8 // 99])


def test_less_than_one_plane_is_rejected_even_when_partial_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "clip.dat"
    path.write_bytes(bytes(5))
    with pytest.raises(GeometryError, match="0 planes and 5 bytes over"):
        read_recording(path, height=8, width=8, allow_partial=True)


def test_missing_geometry_lists_the_sensors_that_fit(shared: Path) -> None:
    with pytest.raises(MissingGeometryError, match=r"--height.*250x400 \(301 planes\)") as caught:
        read_recording(shared / "data" / "data.dat")
    assert caught.value.exit_code == 2
    assert "1000x1000" not in str(caught.value)


@pytest.mark.parametrize(("height", "width"), [(0, 400), (250, 0), (-1, 8)])
def test_sizes_below_one_are_rejected(tmp_path: Path, height: int, width: int) -> None:
    path = tmp_path / "clip.dat"
    path.write_bytes(bytes(12_500))
    with pytest.raises(GeometryError, match="at least 1"):
        read_recording(path, height=height, width=width)


def test_bytes_before_the_first_whole_plane_are_skipped(tmp_path: Path) -> None:
    stored = random_spikes(4, 6, 1024)
    path = write_recording(stored, tmp_path / "board.dat", flip=False)
    path.write_bytes(path.read_bytes()[2 * 128 :])  # the file begins at the third row
    ranges = [(0, 500), (512, 1012)]
    recording = read_recording(
        path, height=6, width=1024, columns=ranges, flip=False, offset=4 * 128
    )
    image = np.concatenate([stored[1:, :, :500], stored[1:, :, 512:1012]], axis=-1)
    np.testing.assert_array_equal(recording[:], image)
    plain = read_recording(path, height=6, width=1024, flip=False, offset=4 * 128)
    np.testing.assert_array_equal(plain.packed, plain.read_packed())  # also through the memory map
    np.testing.assert_array_equal(plain[:], stored[1:])


def test_the_error_of_a_partial_plane_states_the_offset(tmp_path: Path) -> None:
    path = tmp_path / "board.dat"
    path.write_bytes(bytes(3 * 8 + 5))
    with pytest.raises(GeometryError, match=r"29 bytes after an offset of 4 .*3 planes and 1 b"):
        read_recording(path, height=8, width=8, offset=4)
    with pytest.raises(GeometryError, match="0 planes and 0 bytes over"):
        read_recording(path, height=8, width=8, offset=400)
    with pytest.raises(GeometryError, match="offset must be a number of bytes >= 0, got -1"):
        read_recording(path, height=8, width=8, offset=-1)


def test_unknown_alignments_and_ambiguous_numbers_of_planes_are_rejected() -> None:
    with pytest.raises(UsageError, match="byte or bit"):
        DatLayout(4, 8, frame_align="word")
    with pytest.raises(GeometryError, match="cannot be counted"):
        DatLayout(1, 3, frame_align="bit")


def test_the_sample_clip_is_a_view_of_its_file_and_correlates_with_its_image(shared: Path) -> None:
    from skimage.io import imread

    recording = read_recording(shared / "data" / "data.dat", height=250, width=400)
    assert recording.shape == (301, 250, 400)
    assert not recording.packed.flags.writeable, "a memory map"
    image = imread(shared / "data" / "data.png").astype(float)
    rate = recording[130:171].mean(axis=0)
    assert np.corrcoef(rate.ravel(), image.ravel())[0, 1] > 0.96
    assert np.corrcoef(rate[::-1].ravel(), image.ravel())[0, 1] < 0.4


@pytest.mark.parametrize("width", [16, 13])
def test_a_file_of_any_width_is_cropped_and_survives_pickling(tmp_path: Path, width: int) -> None:
    spikes = random_spikes(5, 8, width)
    path = write_recording(spikes, tmp_path / "clip.dat")
    recording = read_recording(path, height=8, width=width)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(recording))[:], spikes)
    crop = recording.read_packed(1, 4, rows=slice(3, 7), byte_columns=slice(1, 2))
    bits = np.unpackbits(crop, axis=-1, bitorder="little", count=width - 8)
    np.testing.assert_array_equal(bits, spikes[1:4, 3:7, 8:])


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("planes", [2, 50])
@pytest.mark.parametrize("columns", [None, [(8, 400)], [(0, 200), (203, 400)]])
def test_windows_of_every_layout_are_the_planes_that_were_written(
    tmp_path: Path, columns: list[tuple[int, int]] | None, planes: int, flip: bool
) -> None:
    stored = random_spikes(60, 250, 400)
    path = write_recording(stored, tmp_path / "clip.dat", flip=flip)
    recording = read_recording(path, height=250, width=400, columns=columns, flip=flip)
    image = np.concatenate([stored[..., a:b] for a, b in columns or [(0, 400)]], axis=-1)
    window = recording.read(7, 7 + planes)
    np.testing.assert_array_equal(window, image[7 : 7 + planes], strict=True)
    assert window.flags.c_contiguous
    assert window.flags.writeable
    assert recording.read(3, 3).shape == (0, *image.shape[1:])


def test_a_file_of_several_blocks_is_decoded_correctly(tmp_path: Path) -> None:
    spikes = random_spikes(40, 250, 404)  # over two million pixels: several blocks
    path = write_recording(spikes, tmp_path / "clip.dat")
    np.testing.assert_array_equal(read_recording(path, height=250, width=404)[:], spikes)
    write_recording(spikes, tmp_path / "bits.dat", frame_align="bit")
    assert (tmp_path / "bits.dat").read_bytes() == path.read_bytes()


SPIKES = random_spikes(9, 6, 20)
CLOCKWISE = {0: 0, 90: -1, 180: -2, 270: -3}  # quarter turns as numpy counts them


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_recording(SPIKES, tmp_path / "clip.dat")


@pytest.mark.parametrize("rotate", [None, 0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [None, False, True])
@pytest.mark.parametrize("flip", [True, False])
def test_planes_are_flipped_then_mirrored_then_rotated_clockwise(
    clip: Path, flip: bool, mirror: bool | None, rotate: int | None
) -> None:
    expected = SPIKES if flip else SPIKES[:, ::-1]
    expected = expected[:, :, ::-1] if mirror else expected
    expected = np.rot90(expected, CLOCKWISE[rotate or 0], axes=(1, 2))
    stored = read_recording(clip, height=6, width=20, flip=flip, mirror=mirror, rotate=rotate)
    for recording in (stored, pickle.loads(pickle.dumps(stored))):
        assert recording.shape == expected.shape
        np.testing.assert_array_equal(recording[:], expected)
        np.testing.assert_array_equal(recording[2:5], expected[2:5])
        np.testing.assert_array_equal(recording[4:4], expected[4:4])
        packed = np.packbits(expected, axis=-1, bitorder="little")
        np.testing.assert_array_equal(recording.packed, packed)
        part = recording.read_packed(1, 7, rows=slice(1, 5), byte_columns=slice(0, 1))
        np.testing.assert_array_equal(part, packed[1:7, 1:5, :1])


def test_a_sidecar_rotates_a_recording_and_options_override_it(clip: Path) -> None:
    Path(f"{clip}.yaml").write_text("{spike_h: 6, spike_w: 20, mirror: true, rotate: 270}")
    turned = np.rot90(SPIKES[:, :, ::-1], CLOCKWISE[270], axes=(1, 2))
    recording = read_recording(clip)
    np.testing.assert_array_equal(recording[:], turned)
    assert (recording.meta["source_mirrored"], recording.meta["source_rotated"]) == (True, 270)
    np.testing.assert_array_equal(read_recording(clip, mirror=False, rotate=0)[:], SPIKES)


def test_other_angles_and_formats_without_rotation_are_rejected(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(UsageError, match=r"--rotate must be 0, 90, 180 or 270 degrees.*got 45"):
        read_recording(clip, height=6, width=20, rotate=45)
    path = write_recording(SPIKES, tmp_path / "clip.npz")
    for options in ({"mirror": True}, {"rotate": 90}):
        with pytest.raises(UsageError, match=r"clip\.npz: --mirror and --rotate are for \.dat"):
            read_recording(path, **options)


def test_commands_rotate_recordings(tmp_path: Path, clip: Path) -> None:
    size = ["--height", "6", "--width", "20", "--mirror", "true", "--rotate", "90"]
    turned = np.rot90(SPIKES[:, :, ::-1], CLOCKWISE[90], axes=(1, 2))
    out = tmp_path / "clip.h5"
    assert main(["archive", "build", str(clip), str(out), *size]) == 0
    np.testing.assert_array_equal(read_recording(out)[:], turned)
