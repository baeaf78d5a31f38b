"""Assignment of ground-truth images to recordings and planes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from skimage.io import imsave

from spike_zoo.archive.layouts.detection import find_takes
from spike_zoo.errors import FormatError, GeometryError, PlaneRangeError
from spike_zoo.formats import write_recording
from tests.helpers.streams import random_spikes

if TYPE_CHECKING:
    from pathlib import Path

    from spike_zoo.spikes import Take

HEIGHT, WIDTH = 6, 16
SIZE = {"height": HEIGHT, "width": WIDTH}


def recording(path: Path, planes: int = 9) -> Path:
    write_recording(random_spikes(planes, HEIGHT, WIDTH), path)
    return path


def picture(path: Path, level: int = 7, shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, np.full(shape, level, np.uint8), check_contrast=False)
    return path


def taken(folder: Path, name: str = "clip") -> Take:
    return find_takes(folder, layout="folder", **SIZE).jobs[name]()  # type: ignore[arg-type]  # by name


def shown(take: Take) -> dict[int, int]:
    """Return a dictionary from the plane of each picture to its first pixel."""
    assert take.images is not None
    assert take.image_index is not None
    return dict(
        zip(take.image_index.tolist(), take.images[:, 0, 0].reshape(len(take.images), -1)[:, 0],
            strict=True)
    )  # fmt: skip


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tif", ".tiff", ".webp", ".PNG"])
def test_a_picture_may_be_of_any_format_that_is_read_elsewhere(tmp_path: Path, suffix: str) -> None:
    recording(tmp_path / "clip.dat")
    Image.new("L", (WIDTH, HEIGHT), 128).save(tmp_path / f"clip{suffix}")
    [(plane, level)] = shown(taken(tmp_path)).items()
    assert plane == 4
    assert abs(level - 128) <= 2  # some formats lose a little


@pytest.mark.parametrize("suffix", [".dat", ".npz", ".npy", ".spl"])
def test_a_picture_beside_a_recording_shows_its_middle_plane(tmp_path: Path, suffix: str) -> None:
    recording(tmp_path / "train" / f"clip{suffix}")
    picture(tmp_path / "train" / "clip.png")
    assert shown(taken(tmp_path)) == {4: 7}


def test_pictures_in_a_folder_of_its_name_show_the_planes_they_are_called_by(
    tmp_path: Path,
) -> None:
    recording(tmp_path / "clip.dat")
    for plane in (0, 2, 8):
        picture(tmp_path / "clip" / f"frame{plane}.png", 10 * plane)
    assert shown(taken(tmp_path)) == {0: 0, 2: 20, 8: 80}


def test_a_sidecar_states_which_planes_pictures_show(tmp_path: Path) -> None:
    recording(tmp_path / "clip.dat")
    beside = tmp_path / "clip.dat.yaml"
    for name, level in (("a", 1), ("b", 2)):
        picture(tmp_path / "clip" / f"{name}.png", level)
    beside.write_text(f"spike_h: {HEIGHT}\nspike_w: {WIDTH}\nplanes: [5, 3]\n")
    assert shown(taken(tmp_path)) == {3: 2, 5: 1}
    beside.write_text("planes: [5]\n")
    with pytest.raises(
        FormatError, match=r"clip\.dat\.yaml: planes lists 1 planes, but clip\.dat has 2"
    ):
        taken(tmp_path)


def test_one_file_is_taken_with_the_pictures_beside_it(tmp_path: Path) -> None:
    path = recording(tmp_path / "clip.dat")
    picture(tmp_path / "clip.png")
    picture(tmp_path / "other.png")
    assert shown(find_takes(path, **SIZE).jobs["clip"]()) == {4: 7}  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("channels", "wanted"), [(3, (HEIGHT, WIDTH, 3)), (4, (HEIGHT, WIDTH, 3)), (2, (HEIGHT, WIDTH))]
)
def test_opacity_is_left_out(tmp_path: Path, channels: int, wanted: tuple[int, ...]) -> None:
    recording(tmp_path / "clip.dat")
    picture(tmp_path / "clip.png", 9, (HEIGHT, WIDTH, channels))
    images = taken(tmp_path).images
    assert images is not None
    assert images.shape == (1, *wanted)
    assert (images == 9).all()


def test_a_recording_that_was_cut_short_does_not_move_its_picture(tmp_path: Path) -> None:
    for name, planes in (("a", 9), ("b", 9), ("c", 7)):
        recording(tmp_path / f"{name}.dat", planes)
        picture(tmp_path / f"{name}.png")
    told = r"c\.dat: 7 planes, but other recordings have 9, .* as planes: \[4\], in c\.dat\.yaml"
    with pytest.raises(FormatError, match=told):
        taken(tmp_path)
    (tmp_path / "c.dat.yaml").write_text("planes: 4\n")
    assert shown(taken(tmp_path, "c")) == {4: 7}


def test_the_usual_length_is_also_that_of_recordings_without_pictures(tmp_path: Path) -> None:
    for name, planes in (("a", 9), ("b", 9), ("c", 7)):
        recording(tmp_path / f"{name}.dat", planes)
    assert (
        taken(tmp_path, "c").images is None
    )  # any length is valid without a picture of the middle plane
    picture(tmp_path / "c.png")
    with pytest.raises(FormatError, match=r"c\.dat: 7 planes, but other recordings have 9"):
        taken(tmp_path)
    (tmp_path / "a.dat").unlink()  # of two, the shorter was cut
    with pytest.raises(FormatError, match=r"c\.dat: 7 planes, but other recordings have 9"):
        taken(tmp_path)
    (tmp_path / "c.png").rename(tmp_path / "b.png")
    assert shown(taken(tmp_path, "b")) == {4: 7}


def test_the_same_holds_for_clips_of_layout_base(tmp_path: Path) -> None:
    for name, planes in (("a", 9), ("b", 9), ("c", 7)):
        recording(tmp_path / "train" / "spike" / f"{name}.dat", planes)
        picture(tmp_path / "train" / "gt" / f"{name}.png")
    with pytest.raises(FormatError, match=r"c\.dat: 7 planes, but other recordings have 9"):
        find_takes(tmp_path, **SIZE)  # type: ignore[arg-type]  # by name
    (tmp_path / "train" / "spike" / "c.dat.yaml").write_text("planes: [5]\n")
    assert shown(find_takes(tmp_path, **SIZE).jobs["c"]()) == {5: 7}  # type: ignore[arg-type]  # by name


def test_a_plane_that_the_recording_does_not_have_is_named(tmp_path: Path) -> None:
    recording(tmp_path / "clip.dat")
    picture(tmp_path / "clip" / "000009.png")
    with pytest.raises(
        PlaneRangeError, match=r"000009\.png: shows plane 9, but .*has planes 0\.\.8"
    ):
        taken(tmp_path)


def test_what_is_not_clear_is_rejected(tmp_path: Path) -> None:
    recording(tmp_path / "clip.dat")
    picture(tmp_path / "clip" / "first.png")
    with pytest.raises(FormatError, match=r"first\.png: no plane in its name"):
        taken(tmp_path)
    picture(tmp_path / "clip.png")
    with pytest.raises(FormatError, match=r"both clip\.png and .*first\.png could be its picture"):
        taken(tmp_path)
    (tmp_path / "clip" / "first.png").rename(tmp_path / "clip.bmp")
    with pytest.raises(FormatError, match=r"both clip\.bmp and .*clip\.png"):
        taken(tmp_path)


def test_two_pictures_of_one_plane_or_of_two_kinds_are_rejected(tmp_path: Path) -> None:
    recording(tmp_path / "clip.dat")
    picture(tmp_path / "clip" / "3.png")
    again = picture(tmp_path / "clip" / "003.png")
    with pytest.raises(FormatError, match="two pictures show plane 3"):
        taken(tmp_path)
    again.unlink()
    coloured = picture(tmp_path / "clip" / "5.png", shape=(HEIGHT, WIDTH, 3))
    with pytest.raises(FormatError, match=r"5\.png: 6x16x3 uint8, but 3\.png is 6x16 uint8"):
        taken(tmp_path)
    coloured.unlink()
    picture(tmp_path / "clip" / "5.png", shape=(HEIGHT, WIDTH + 1))
    with pytest.raises(GeometryError, match=r"5\.png: 6x17 pixels are not a whole multiple"):
        taken(tmp_path)


def test_pictures_of_nothing_are_reported(tmp_path: Path) -> None:
    recording(tmp_path / "clip.dat")
    lone = picture(tmp_path / "clop.png")
    told = f"1 pictures belong to no recording, {re.escape(str(lone))} is the first"
    with pytest.warns(UserWarning, match=told):
        find_takes(tmp_path, **SIZE)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("mode", "suffix", "told"),
    [
        ("CMYK", ".jpg", "its colours are CMYK, expected grey or R,G,B"),
        ("CMYK", ".tif", "its colours are CMYK"),
        ("LAB", ".tif", "its colours are LAB"),
        ("I", ".tif", "its values are int32, expected uint8, uint16 or floats"),
    ],
)
def test_a_picture_of_other_colours_or_numbers_is_named(
    tmp_path: Path, mode: str, suffix: str, told: str
) -> None:
    recording(tmp_path / "clip.dat")
    Image.new(mode, (WIDTH, HEIGHT)).save(tmp_path / f"clip{suffix}")
    with pytest.raises(FormatError, match=rf"clip\{suffix}: {told}.* save it"):
        taken(tmp_path)


@pytest.mark.parametrize("level", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_from_black_to_white_are_taken(
    tmp_path: Path, level: float, dtype: type[np.floating[Any]]
) -> None:
    recording(tmp_path / "clip.dat")
    imsave(tmp_path / "clip.tif", np.full((HEIGHT, WIDTH), level, dtype), check_contrast=False)
    images = taken(tmp_path).images
    assert images is not None
    assert images.dtype == np.float32
    assert (images == level).all()


@pytest.mark.parametrize("level", [-0.5, 128.0, np.nan])
def test_floats_beyond_white_are_named(tmp_path: Path, level: float) -> None:
    recording(tmp_path / "clip.dat")
    image = np.zeros((HEIGHT, WIDTH), np.float32)
    image[2, 3] = level
    imsave(tmp_path / "clip.tif", image, check_contrast=False)
    with pytest.raises(FormatError, match=r"clip\.tif: floats from .* expected 0 .* to 1 .*divide"):
        taken(tmp_path)


def test_a_picture_that_pillow_takes_for_an_attack_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording(tmp_path / "clip.dat")
    picture(tmp_path / "clip.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # twice as many are refused
    with pytest.raises(FormatError, match=r"clip\.png: too large .*crop it.*96 pixels"):
        taken(tmp_path)
