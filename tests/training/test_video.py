"""Video of a test: images of one exposure or of the first recording."""

from __future__ import annotations

from pathlib import Path

import av

from spike_zoo.cli.main import main
from spike_zoo.testing import tiny_archive

BLURRY = "spike_zoo.methods.ssdm.teacher_module.BlurryInputModule"
QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.logger", "false"]


def _images(path: Path) -> list[tuple[int, int]]:
    with av.open(path) as container:
        return [(frame.height, frame.width) for frame in container.decode(video=0)]


def test_the_video_of_a_deblurring_method_shows_seven_images_of_one_exposure(
    exposures_archive: Path, tmp_path: Path
) -> None:
    data = ["--data", "spike_zoo.data.DeblurDataModule"]
    data += ["--data.init_args.archive", str(exposures_archive)]
    run = ["--run_dir", str(tmp_path / "run")]
    assert main(["test", "--model", BLURRY, *data, *run, *QUIET]) == 0
    sizes = _images(tmp_path / "run" / "test" / "images" / "test.mp4")
    assert len(sizes) == 7
    assert all(width > 2 * 128 for _, width in sizes), "next to the blurry image"


def test_the_video_of_a_reconstruction_method_shows_the_images_of_the_first_recording(
    tmp_path: Path,
) -> None:
    archive = tiny_archive(tmp_path / "tiny.h5", planes=201, height=32, width=48, stride=20)
    data = ["--data", "spike_zoo.data.ReconstructionDataModule"]
    data += ["--data.init_args.archive", str(archive)]
    model = ["--model", "spike_zoo.methods.classical.TFIModule"]
    run = ["--run_dir", str(tmp_path / "run")]
    assert main(["test", *model, *data, *run, *QUIET]) == 0
    rows = (tmp_path / "run" / "test" / "per_image.csv").read_text().splitlines()[1:]
    first = [row for row in rows if row.startswith(rows[0].split(",")[0] + ",")]
    assert len(_images(tmp_path / "run" / "test" / "images" / "test.mp4")) == len(first)


def test_a_single_image_gives_no_video(clips_archive: Path, tmp_path: Path) -> None:
    data = ["--data", "spike_zoo.data.ReconstructionDataModule"]
    data += ["--data.init_args.archive", str(clips_archive)]
    model = ["--model", "spike_zoo.methods.classical.TFIModule"]
    run = ["--run_dir", str(tmp_path / "run"), "--trainer.limit_test_batches", "1"]
    assert main(["test", *model, *data, *run, *QUIET]) == 0
    pictures = (tmp_path / "run" / "test" / "images").glob("test*")
    assert [path.name for path in pictures] == ["test-0.png"]
