"""Assignment of ground-truth images to recordings and planes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.io import imsave

from spike_zoo.archive.layouts.detection import find_takes
from spike_zoo.errors import FormatError, GeometryError, PlaneRangeError
from spike_zoo.formats import write_recording
from spike_zoo.media import save_image
from spike_zoo.spikes import Take
from tests.helpers.streams import random_spikes

HEIGHT, WIDTH = 6, 16
SIZE = {"height": HEIGHT, "width": WIDTH}


def recording(path: Path, planes: int = 9) -> Path:
    write_recording(random_spikes(planes, HEIGHT, WIDTH), path)
    return path


def write_levels(path: Path, level: int = 7, shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, np.full(shape, level, np.uint8), check_contrast=False)
    return path


def read_take(folder: Path, name: str = "clip") -> Take:
    return find_takes(folder, layout="folder", **SIZE).jobs[name]()  # type: ignore[arg-type]  # by name


def first_pixels(take: Any) -> dict[int, int]:
    """Return a dictionary from the plane of each image to its first pixel."""
    first = take.images[:, 0, 0].reshape(len(take.images), -1)[:, 0]
    return dict(zip(take.image_index.tolist(), first, strict=True))


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tif", ".tiff", ".webp", ".PNG"])
def test_ground_truth_can_have_any_supported_image_format(tmp_path: Path, suffix: str) -> None:
    recording(tmp_path / "clip.dat")
    Image.new("L", (WIDTH, HEIGHT), 128).save(tmp_path / f"clip{suffix}")
    [(plane, level)] = first_pixels(read_take(tmp_path)).items()
    assert plane == 4
    assert abs(level - 128) <= 2  # some formats lose a little


@pytest.mark.parametrize("name", ["clip.png", "clip/clip-000004.png"])
def test_a_reconstruction_is_not_ground_truth(tmp_path: Path, name: str) -> None:
    recording(tmp_path / "clip.dat")
    save_image(np.zeros((HEIGHT, WIDTH)), tmp_path / name, is_result=True)
    with pytest.warns(UserWarning, match=r"clip\.dat: 1 images of its name are reconstructions"):
        assert read_take(tmp_path).images is None


@pytest.mark.parametrize("suffix", [".dat", ".npz", ".npy", ".spl"])
def test_an_image_next_to_a_recording_shows_its_middle_plane(tmp_path: Path, suffix: str) -> None:
    recording(tmp_path / "train" / f"clip{suffix}")
    write_levels(tmp_path / "train" / "clip.png")
    assert first_pixels(read_take(tmp_path)) == {4: 7}


def test_images_in_a_folder_named_like_the_recording_show_the_planes_in_their_names(
    tmp_path: Path,
) -> None:
    recording(tmp_path / "clip.dat")
    for plane in (0, 2, 8):
        write_levels(tmp_path / "clip" / f"frame{plane}.png", 10 * plane)
    assert first_pixels(read_take(tmp_path)) == {0: 0, 2: 20, 8: 80}


def test_a_sidecar_states_which_planes_images_show(tmp_path: Path) -> None:
    recording(tmp_path / "clip.dat")
    sidecar = tmp_path / "clip.dat.yaml"
    for name, level in (("a", 1), ("b", 2)):
        write_levels(tmp_path / "clip" / f"{name}.png", level)
    sidecar.write_text(f"spike_h: {HEIGHT}\nspike_w: {WIDTH}\nplanes: [5, 3]\n")
    assert first_pixels(read_take(tmp_path)) == {3: 2, 5: 1}
    sidecar.write_text("planes: [5]\n")
    message = r"clip\.dat\.yaml: planes lists 1 planes, but clip\.dat has 2"
    with pytest.raises(FormatError, match=message):
        read_take(tmp_path)


def test_a_single_file_is_read_with_the_images_next_to_it(tmp_path: Path) -> None:
    path = recording(tmp_path / "clip.dat")
    write_levels(tmp_path / "clip.png")
    write_levels(tmp_path / "other.png")
    assert first_pixels(find_takes(path, **SIZE).jobs["clip"]()) == {4: 7}  # type: ignore[arg-type]  # by name


def test_an_image_of_a_truncated_recording_is_not_assigned_to_its_new_middle(
    tmp_path: Path,
) -> None:
    for name, planes in (("a", 9), ("b", 9), ("c", 7)):
        recording(tmp_path / f"{name}.dat", planes)
        write_levels(tmp_path / f"{name}.png")
    message = r"c\.dat: 7 planes, but other recordings have 9, .* as planes: \[4\], in c\.dat\.yaml"
    with pytest.raises(FormatError, match=message):
        read_take(tmp_path)
    (tmp_path / "c.dat.yaml").write_text("planes: 4\n")
    assert first_pixels(read_take(tmp_path, "c")) == {4: 7}


def test_recordings_without_images_count_for_the_usual_length(tmp_path: Path) -> None:
    for name, planes in (("a", 9), ("b", 9), ("c", 7)):
        recording(tmp_path / f"{name}.dat", planes)
    assert read_take(tmp_path, "c").images is None, "only an image needs the middle plane"
    write_levels(tmp_path / "c.png")
    with pytest.raises(FormatError, match=r"c\.dat: 7 planes, but other recordings have 9"):
        read_take(tmp_path)
    (tmp_path / "a.dat").unlink()  # of two recordings, the shorter one was truncated
    with pytest.raises(FormatError, match=r"c\.dat: 7 planes, but other recordings have 9"):
        read_take(tmp_path)
    (tmp_path / "c.png").rename(tmp_path / "b.png")
    assert first_pixels(read_take(tmp_path, "b")) == {4: 7}


def test_clips_of_layout_base_must_have_the_usual_length(tmp_path: Path) -> None:
    for name, planes in (("a", 9), ("b", 9), ("c", 7)):
        recording(tmp_path / "train" / "spike" / f"{name}.dat", planes)
        write_levels(tmp_path / "train" / "gt" / f"{name}.png")
    with pytest.raises(FormatError, match=r"c\.dat: 7 planes, but other recordings have 9"):
        find_takes(tmp_path, **SIZE)  # type: ignore[arg-type]  # by name
    (tmp_path / "train" / "spike" / "c.dat.yaml").write_text("planes: [5]\n")
    assert first_pixels(find_takes(tmp_path, **SIZE).jobs["c"]()) == {5: 7}  # type: ignore[arg-type]  # by name


def test_a_plane_that_the_recording_does_not_have_is_named(tmp_path: Path) -> None:
    recording(tmp_path / "clip.dat")
    write_levels(tmp_path / "clip" / "000009.png")
    message = r"000009\.png: shows plane 9, but .*has planes 0\.\.8"
    with pytest.raises(PlaneRangeError, match=message):
        read_take(tmp_path)


def test_ambiguous_images_are_rejected(tmp_path: Path) -> None:
    recording(tmp_path / "clip.dat")
    write_levels(tmp_path / "clip" / "first.png")
    with pytest.raises(FormatError, match=r"first\.png: no plane in its name"):
        read_take(tmp_path)
    write_levels(tmp_path / "clip.png")
    with pytest.raises(FormatError, match=r"both clip\.png and .*first\.png could be its image"):
        read_take(tmp_path)
    (tmp_path / "clip" / "first.png").rename(tmp_path / "clip.bmp")
    with pytest.raises(FormatError, match=r"both clip\.bmp and .*clip\.png"):
        read_take(tmp_path)


def test_two_images_of_one_plane_or_of_two_kinds_are_rejected(tmp_path: Path) -> None:
    recording(tmp_path / "clip.dat")
    write_levels(tmp_path / "clip" / "3.png")
    duplicate = write_levels(tmp_path / "clip" / "003.png")
    with pytest.raises(FormatError, match="two images show plane 3"):
        read_take(tmp_path)
    duplicate.unlink()
    coloured = write_levels(tmp_path / "clip" / "5.png", shape=(HEIGHT, WIDTH, 3))
    with pytest.raises(FormatError, match=r"5\.png: 6x16x3 uint8, but 3\.png is 6x16 uint8"):
        read_take(tmp_path)
    coloured.unlink()
    write_levels(tmp_path / "clip" / "5.png", shape=(HEIGHT, WIDTH + 1))
    with pytest.raises(GeometryError, match=r"5\.png: 6x17 pixels are not a whole multiple"):
        read_take(tmp_path)


def test_images_without_a_recording_are_reported(tmp_path: Path) -> None:
    recording(tmp_path / "clip.dat")
    unassigned = write_levels(tmp_path / "clop.png")
    message = f"1 images belong to no recording, {re.escape(str(unassigned))} is the first"
    with pytest.warns(UserWarning, match=message):
        find_takes(tmp_path, **SIZE)  # type: ignore[arg-type]  # by name
