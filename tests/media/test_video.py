"""Tests of MP4 files: size, rate, number and brightness of images."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spike_zoo.errors import MediaError
from spike_zoo.media import save_video
from spike_zoo.media.video import VideoWriter


def decode(path: Path, layout: str = "rgb24") -> NDArray[Any]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format=layout) for frame in container.decode(video=0)])


def ramp(height: int, width: int) -> NDArray[np.float32]:
    """Return a smooth grey image."""
    return np.linspace(0, 1, height * width, dtype=np.float32).reshape(height, width)


@pytest.mark.parametrize(("height", "width"), [(64, 80), (63, 80), (64, 79), (63, 79), (2, 3)])
def test_any_size_is_written_and_padded_by_repeating_its_last_row_and_column(
    tmp_path: Path, height: int, width: int
) -> None:
    image = ramp(height, width)
    with VideoWriter(tmp_path / "a.mp4", crf=0) as video:  # lossy errors depend on the CPU
        for _ in range(3):
            video.write(image)
    images = decode(tmp_path / "a.mp4")
    assert images.shape == (3, height + height % 2, width + width % 2, 3)
    padded = np.pad(image, [(0, height % 2), (0, width % 2)], mode="edge")
    error = images[1].mean(axis=2) / 255 - padded
    assert np.sqrt(np.mean(error**2)) < 0.005
    assert abs(error.mean()) < 0.005


def test_black_grey_and_white_keep_their_brightness(tmp_path: Path) -> None:
    for level in (0, 64, 128, 255):
        path = tmp_path / f"{level}.mp4"
        save_video([np.full((32, 32), level, np.uint8)] * 2, path)
        assert np.abs(decode(path).astype(int) - level).max() <= 2


def test_colours_keep_their_hue(tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 120, 40]], np.uint8)
    image = np.repeat(np.repeat(colours[None], 64, axis=0), 32, axis=1)  # (64, 128, 3)
    save_video([torch.from_numpy(image).permute(2, 0, 1)] * 2, tmp_path / "a.mp4")
    decoded = decode(tmp_path / "a.mp4")[0][:, 16::32].mean(axis=0)
    assert np.abs(decoded - colours).max() <= 6


@pytest.mark.parametrize("fps", [25, 12.5, 30000 / 1001, 1000])
def test_rate_number_and_order_of_images_are_kept(tmp_path: Path, fps: float) -> None:
    levels = [0.1, 0.9, 0.5, 0.3, 0.7, 0.2]
    save_video([torch.full((1, 16, 16), level) for level in levels], tmp_path / "a.mp4", fps)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate or 0) == pytest.approx(fps, rel=1e-6)
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.name == "h264"
    decoded = decode(tmp_path / "a.mp4").mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(decoded, levels, atol=0.02)


def test_the_index_precedes_the_image_data_for_streaming(tmp_path: Path) -> None:
    save_video([ramp(16, 16)] * 3, tmp_path / "a.mp4")
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def interrupted_images() -> Iterator[NDArray[np.float32]]:
    yield ramp(16, 16)
    raise KeyboardInterrupt


def test_an_interrupted_video_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        save_video(interrupted_images(), tmp_path / "new" / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_existing_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    save_video([ramp(16, 16)] * 2, path)
    before = path.read_bytes()
    with pytest.raises(MediaError, match="image 1 has shape"):
        save_video([ramp(16, 16), ramp(18, 16)], path, overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        save_video(interrupted_images(), path, overwrite=True)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_video_without_images_is_rejected_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"a\.mp4: a video needs at least one image"):
        save_video([], tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fps", [0, 1e-4, -1, float("nan"), float("inf")])
def test_invalid_frame_rates_are_rejected(tmp_path: Path, fps: float) -> None:
    with pytest.raises(ValueError, match=r"fps must be 0\.001 to"):
        VideoWriter(tmp_path / "a.mp4", fps)


def test_an_image_of_one_row_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="2 x 2 pixels, got 16 x 1"):
        save_video([np.zeros((1, 16))], tmp_path / "a.mp4")


def test_a_video_that_cannot_be_opened_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_descriptors(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(av, "open", without_descriptors)
    with pytest.raises(OSError, match="Too many open files") as raised:
        save_video([ramp(16, 16)], tmp_path / "folder" / "a.mp4")
    # ``raised`` keeps the writer alive, so garbage collection removes no files
    assert list(tmp_path.iterdir()) == [], raised
