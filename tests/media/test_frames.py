"""Tests of reading ranges of frames from videos and folders."""

import pickle
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from spike_zoo.errors import MediaError, MissingFileError, UsageError
from spike_zoo.media import save_image
from spike_zoo.media.frames import FolderFrames, VideoFrames, find_footage
from tests.helpers.processes import run_python

PEAK_OF_OPENING = """
import re, sys
from pathlib import Path
from spike_zoo.media.frames import VideoFrames
peak = lambda: re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
before = peak()
print(len(VideoFrames(sys.argv[1])), before, peak())
"""


def numbered_frames(count: int = 20) -> list[NDArray[np.uint8]]:
    """Return frames that encode their number by their brightness."""
    return [np.full((16, 24, 3), 10 * number + 5, np.uint8) for number in range(count)]


def write_video(path: Path, frames: list[NDArray[np.uint8]], fps: int = 240) -> Path:
    """Write without loss, with a key frame every sixth frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb24"
        stream.options = {"crf": "0", "g": "6", "bf": "2"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_folder(path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    for number, frame in enumerate(frames):
        save_image(frame, path / f"{number:06d}.png")
    return path


@pytest.mark.parametrize("span", [(0, 20), (0, 1), (7, 11), (19, 20), (5, 5), (15, 99)])
def test_reading_a_range_of_a_video_gives_its_frames(tmp_path: Path, span: tuple[int, int]) -> None:
    frames = numbered_frames()
    source = VideoFrames(write_video(tmp_path / "v.mp4", frames))
    assert len(source) == 20
    assert source.fps == 240
    read_frames = list(pickle.loads(pickle.dumps(source)).read(*span))
    assert len(read_frames) == len(frames[slice(*span)])
    for actual, expected in zip(read_frames, frames[slice(*span)], strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux reports the peak")
def test_opening_a_video_takes_no_memory_for_its_frames(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        stream = container.add_stream("rawvideo", rate=25, width=640, height=480, pix_fmt="gray")
        image = np.zeros((480, 640), np.uint8)
        for _ in range(200):  # 61 MB
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="gray")))
    process = run_python(PEAK_OF_OPENING, str(tmp_path / "v.mkv"))
    frames, before, after = map(int, process.stdout.split())
    assert frames == 200
    assert after - before < 20_000  # kB


def test_reading_a_range_of_a_folder_gives_its_images(tmp_path: Path) -> None:
    frames = numbered_frames()
    source = FolderFrames(write_folder(tmp_path / "f", frames))
    assert len(source) == 20
    np.testing.assert_array_equal(np.stack(list(source.read(3, 7))), np.stack(frames[3:7]))


def test_grey_images_become_colour(tmp_path: Path) -> None:
    save_image(np.full((4, 4), 9, np.uint8), tmp_path / "1.png")
    [frame] = FolderFrames(tmp_path).read(0, 1)
    np.testing.assert_array_equal(frame, np.full((4, 4, 3), 9))


def test_footage_is_named_after_its_path(tmp_path: Path) -> None:
    write_video(tmp_path / "train" / "street.mp4", numbered_frames(3))
    write_folder(tmp_path / "test" / "GOPR0384", numbered_frames(2))
    lengths = {place: len(source) for place, source in find_footage(tmp_path).items()}
    assert lengths == {"train/street": 3, "test/GOPR0384": 2}
    assert list(find_footage(tmp_path / "train" / "street.mp4")) == ["street"]
    assert list(find_footage(tmp_path / "test" / "GOPR0384")) == ["GOPR0384"]


def test_footage_in_linked_folders_is_found(tmp_path: Path) -> None:
    save_image(np.zeros((4, 6)), tmp_path / "store" / "clip" / "1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train").symlink_to("../store")
    assert list(find_footage(tmp_path / "set")) == ["train/clip"]


@pytest.mark.parametrize("other", ["a.mkv", "a"])
def test_two_videos_with_the_same_name_are_rejected_naming_both(tmp_path: Path, other: str) -> None:
    write_video(tmp_path / "train" / "a.mp4", numbered_frames(2))
    write = write_folder if other == "a" else write_video
    write(tmp_path / "train" / other, numbered_frames(2))
    with pytest.raises(UsageError) as error:
        find_footage(tmp_path)
    for name in ("a.mp4", other):
        assert str(tmp_path / "train" / name) in str(error.value)


def write_timed(path: Path, times: list[int], ticks: int) -> Path:
    """Write a video with a frame at each of the times, in ticks of a part of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=ticks)
        stream.width = stream.height = 32
        stream.codec_context.time_base = Fraction(1, ticks)
        for time in times:
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), time % 256, np.uint8))
            frame.pts, frame.time_base = time, Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    "times",
    [
        [40 * n for n in range(15)] + [600 + 200 * n for n in range(15)],
        [33 * n + 33 * (n > 20) for n in range(40)],  # one frame is missing
        [33 * n + 12 * (n % 2) for n in range(40)],
        [20 * n if n < 20 else 400 + 26 * (n - 20) for n in range(40)],
    ],
)
def test_footage_of_variable_frame_rate_is_rejected(tmp_path: Path, times: list[int]) -> None:
    write_timed(tmp_path / "phone.mp4", times, 1000)
    for place in (tmp_path, tmp_path / "phone.mp4"):
        with pytest.raises(MediaError, match=r"phone\.mp4: a video of variable frame rate"):
            find_footage(place)


@pytest.mark.parametrize(
    ("numbers", "is_even"),
    [
        ((1, 2, 3, 5, 6, 7), False),  # one image is missing
        ((0, 33, 67, 133, 167), False),
        ((4, 5, 6, 7), True),
        ((0, 20, 40, 60), True),
        ((7, 7, 7), True),
        ((0, 33, 67, 100, 133, 167), True),  # milliseconds
    ],
)
def test_images_with_gaps_in_their_numbers_are_rejected(
    tmp_path: Path, numbers: tuple[int, ...], is_even: bool
) -> None:
    for letter, number in zip("abcdef", numbers, strict=False):
        save_image(np.zeros((4, 6)), tmp_path / "clip" / f"{letter}_{number:04d}_rgb.png")
    if is_even:
        assert len(find_footage(tmp_path)["clip"]) == len(numbers)
        return
    for place in (tmp_path, tmp_path / "clip"):
        with pytest.raises(MediaError, match=r"clip: the numbers .* are not equally far apart"):
            find_footage(place)


@pytest.mark.parametrize("name", ["even.mp4", "even.mkv"])
def test_times_rounded_to_milliseconds_are_equally_far_apart(tmp_path: Path, name: str) -> None:
    times = [round(1000 * n / 240) for n in range(60)]
    assert len(find_footage(write_timed(tmp_path / name, times, 1000))["even"]) == 60


def test_paths_without_footage_are_rejected_by_name(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="absent"):
        find_footage(tmp_path / "absent")
    with pytest.raises(MediaError, match="no video and no folder of images"):
        find_footage(tmp_path)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(MediaError, match=r"text\.mp4: not a video"):
        find_footage(tmp_path / "text.mp4")
    with pytest.raises(MissingFileError, match="no such folder"):
        FolderFrames(tmp_path / "absent")


def test_reading_a_truncated_video_is_rejected(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / "v.mkv", list(noise))
    source = VideoFrames(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"v\.mkv"):
        list(source.read(0, 20))


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_videos_are_turned_as_they_state(tmp_path: Path, turn: int) -> None:
    path, level = tmp_path / "v.mp4", np.zeros((16, 24, 3), np.uint8)
    level[:, :4] = 255  # the left edge of the stored frames is bright
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 24, "yuv420p"
        stream.set_display_rotation(turn)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        container.mux(stream.encode())
    expected = np.rot90(level, turn // 90)  # counterclockwise
    for frame in VideoFrames(path).read(0, 3):
        assert frame.shape == expected.shape
        assert np.abs(frame.astype(int) - expected).mean() < 4
