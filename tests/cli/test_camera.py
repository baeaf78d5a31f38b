"""Recordings with the maps of a camera file."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml

from spike_zoo.archive import SpikeArchive
from spike_zoo.errors import FormatError, GeometryError, MissingFileError
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.formats.recording import RecordingSource
from spike_zoo.formats.sidecar import RecordingSettings
from spike_zoo.media import load_image
from spike_zoo.pages.live_sources import open_source
from spike_zoo.spikes import PixelMaps, SpikeRecording
from tests.helpers.archives import write_takes
from tests.helpers.commands import Zoo
from tests.helpers.streams import random_spikes

SIZE = (12, 20)


def write_camera(path: Path, size: tuple[int, int] = SIZE, **changes: Any) -> PixelMaps:
    """Write a camera file and its maps; maps that are None are left out."""
    generator = np.random.default_rng(3)
    maps = {"gain": generator.uniform(0.8, 1.2, size), "dark": generator.uniform(0, 0.1, size)}
    values = maps | {"defective": generator.random(size) < 0.05} | changes
    kept = {name: value for name, value in values.items() if value is not None}
    np.savez(path.with_suffix(".npz"), **kept)
    path.write_text(yaml.safe_dump({"noise": {}, "maps": path.with_suffix(".npz").name}))
    return PixelMaps(**(values | {"gain": maps["gain"]}))


@pytest.fixture
def maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PixelMaps:
    """Maps of ``lab/camera.yaml`` in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("lab").mkdir()
    return write_camera(Path("lab/camera.yaml"))


def write_street(name: str, folder: str = "takes") -> Path:
    Path(folder).mkdir(exist_ok=True)
    recording = SpikeRecording.from_planes(random_spikes(40, *SIZE), fps=2e4, rate_scale=0.6)
    return write_recording(recording, Path(folder, name), with_sidecar=name.endswith(".dat"))


@pytest.mark.parametrize("name", ["a.dat", "a.npz", "a.npy", "a.h5", "a.spl"])
def test_a_sidecar_names_the_camera_beside_it(maps: PixelMaps, name: str) -> None:
    path = write_street(name)
    assert read_recording(path).maps is None
    fields = {"spike_h": SIZE[0], "spike_w": SIZE[1], "camera": "../lab/camera.yaml"}
    Path(f"{path}.yaml").write_text(yaml.safe_dump(fields))
    recording: Any = read_recording(path)
    assert recording.maps.sha256 == maps.sha256
    assert "camera" not in recording.meta


def test_the_option_overrides_the_sidecar_and_the_archive(maps: PixelMaps) -> None:
    path = write_street("a.npz")
    Path("takes/a.npz.yaml").write_text("camera: none.yaml")
    with pytest.raises(MissingFileError, match=r"none\.yaml: there is no such file; .*a\.npz"):
        read_recording(path)
    recording = read_recording(path, camera="lab/camera.yaml")
    stored = write_recording(recording, "stored.h5")
    other = write_camera(Path("other.yaml"), dark=np.zeros(SIZE))
    overridden = read_recording(stored, camera="other.yaml")
    pairs: Any = ((read_recording(stored), maps), (overridden, other))
    for recording, expected in pairs:
        assert recording.maps.sha256 == expected.sha256


@pytest.mark.usefixtures("maps")
def test_a_changed_camera_is_read_again() -> None:
    path = write_street("a.npz")
    first: Any = read_recording(path, camera="lab/camera.yaml").maps
    write_camera(Path("lab/camera.yaml"), dark=np.zeros(SIZE))
    second: Any = read_recording(path, camera="lab/camera.yaml").maps
    assert first.sha256 != second.sha256


def test_invalid_cameras_are_rejected(maps: PixelMaps) -> None:
    path = write_street("a.npz")

    def check(error: type[Exception], message: str, camera: str = "bad.yaml") -> None:
        with pytest.raises(error, match=message):
            read_recording(path, camera=camera)

    write_camera(Path("small.yaml"), (6, 20))
    check(
        GeometryError, r"a\.npz: small\.npz: maps of 6x20 pixels .* planes of 12x20", "small.yaml"
    )
    Path("bad.yaml").write_text("noise: {}")
    check(FormatError, r"bad\.yaml: no field maps; give a camera file of calibrate")
    Path("bad.yaml").write_text("maps: gone.npz")
    check(MissingFileError, r"gone\.npz: there is no such file; it has the maps of bad\.yaml")
    Path("gone.npz").write_bytes(b"PK\x03\x04")
    check(FormatError, r"gone\.npz: damaged or cut short")
    np.savez("gone.npz", gain=maps.gain)
    check(FormatError, r"gone\.npz: has maps \['gain'\], expected those of calibrate")
    np.savez("gone.npz", gain=-maps.gain, dark=maps.dark, defective=maps.defective)
    check(FormatError, r"gone\.npz: gain must be above 0")
    pickled = np.array([{}], dtype=object)
    np.savez("gone.npz", gain=pickled, dark=maps.dark, defective=maps.defective)
    check(FormatError, r"gone\.npz: damaged or cut short \(Object arrays cannot be loaded")


def test_an_archive_keeps_the_maps(maps: PixelMaps, zoo: Zoo) -> None:
    write_street("a.npz")
    assert zoo("archive build takes a.h5 --camera lab/camera.yaml --split train").code == 0
    assert zoo("archive build a.h5 b.h5").code == 0
    for archive in (SpikeArchive("a.h5"), SpikeArchive("b.h5")):
        stored: Any = archive["a"].maps
        assert stored.sha256 == maps.sha256
        assert [str(finding) for finding in archive.verify()] == []
    assert "without the maps of its camera" in zoo("archive export a.h5 b.npz").err
    take = SpikeArchive("a.h5").take("a")
    take.recording.maps = None
    assert SpikeArchive(write_takes(Path("c.h5"), {"a": take}))["a"].maps is None


@pytest.mark.usefixtures("maps")
def test_maps_of_another_size_in_an_archive_are_rejected() -> None:
    write_recording(read_recording(write_street("a.npz"), camera="lab/camera.yaml"), "a.h5")
    with h5py.File("a.h5", "r+") as file:
        del file["recordings/a/calibration/dark"]
        file["recordings/a/calibration/dark"] = np.zeros((2, 2), np.float32)
    with SpikeArchive("a.h5") as archive:
        (finding,) = archive.verify()
        assert (finding.code, finding.path) == ("E04", "recordings/a/calibration/dark")
        with pytest.raises(FormatError, match=r"calibration/dark: is float32 \(2, 2\), expected"):
            archive["a"]


@pytest.mark.parametrize("source", ["takes/a.npz", "takes"])
def test_reconstruct_applies_the_camera_to_one_or_many(
    maps: PixelMaps, zoo: Zoo, source: str
) -> None:
    write_street("a.npz")
    line = f"reconstruct {source} --method tfp --center 20 --out {{name}}.png --overwrite"
    line = line if source == "takes" else line.replace("{name}", "a")
    assert zoo(line).code == 0
    plain = load_image("a.png")
    assert zoo(f"{line} --camera lab/camera.yaml").code == 0
    corrected = load_image("a.png")
    valid = ~maps.defective & (plain[0] < 1) & (corrected[0] > 0)
    expected = (plain[0] - maps.dark / 0.6) / maps.gain
    np.testing.assert_allclose(corrected[0][valid], expected[valid].clip(0, 1), atol=0.005)


def test_maps_do_not_replace_a_recording_of_the_calibration(zoo: Zoo) -> None:
    result = zoo("calibrate dark.npz flat.npz bright.npz --out flat.yaml --overwrite")
    assert (result.code, "would replace the recording flat.npz" in result.err) == (2, True)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("of_camera", [(True, False, 0), (False, True, 90)])
@pytest.mark.usefixtures("maps")
def test_maps_are_turned_as_the_recording_is(
    of_camera: tuple[bool, bool, int], flip: bool, mirror: bool, rotate: int
) -> None:
    # the spikes of each plane are the defective pixels
    is_defective = np.random.default_rng(0).random(SIZE) < 0.3
    np.packbits(is_defective, bitorder="little").tofile("a.dat")
    size: Any = dict(zip(("height", "width"), SIZE, strict=True))
    names = ("flip", "mirror", "rotate")
    options: Any = dict(zip(names, of_camera, strict=True))
    upright = read_recording("a.dat", **size, **options)
    write_camera(Path("c.yaml"), upright.shape[1:], defective=upright[0])
    content = yaml.safe_load(Path("c.yaml").read_text())
    Path("c.yaml").write_text(yaml.safe_dump(content | {"sensor": options | {"cfa": "RGGB"}}))
    turned: Any = read_recording(
        "a.dat", **size, flip=flip, mirror=mirror, rotate=rotate, camera="c.yaml"
    )
    np.testing.assert_array_equal(turned.maps.defective, turned[0])
    stored = write_recording(turned, "turned.h5", overwrite=True)  # orientation is kept
    again: Any = read_recording(stored, camera="c.yaml")
    np.testing.assert_array_equal(again.maps.defective, turned[0])
    if (rotate - of_camera[2]) % 180 == 0:  # a file without orientation
        other = write_recording(turned, "turned.spl", overwrite=True)
        with pytest.warns(UserWarning, match="spl: does not state how its planes were turned"):
            read_recording(other, camera="c.yaml")


def test_other_filters_than_those_of_the_camera_are_rejected(maps: PixelMaps) -> None:
    write_street("a.dat")
    sidecar = Path("takes/a.dat.yaml")
    stated = yaml.safe_load(sidecar.read_text())
    content = yaml.safe_load(Path("lab/camera.yaml").read_text())
    sensor = {"flip": True, "mirror": False, "rotate": 0, "cfa": "RGGB"}
    Path("lab/camera.yaml").write_text(yaml.safe_dump(content | {"sensor": sensor}))
    cfa: Any
    for rotate, cfa in ((0, "RGGB"), (90, "GRBG"), (180, "BGGR"), (270, "GBRG")):
        sidecar.write_text(yaml.safe_dump(stated | {"rotate": rotate, "cfa": cfa}))
        read_recording("takes/a.dat", camera="lab/camera.yaml")
        sidecar.write_text(yaml.safe_dump(stated | {"rotate": rotate}))
        with pytest.raises(FormatError, match="colour filters are"):
            read_recording("takes/a.dat", camera="lab/camera.yaml", cfa=cfa[::-1])
        sidecar.write_text(yaml.safe_dump(stated | {"rotate": rotate, "cfa": cfa[::-1]}))
        expected = rf"colour filters are {cfa[::-1]}, those of .* {cfa}"
        with pytest.raises(FormatError, match=expected):
            read_recording("takes/a.dat", camera="lab/camera.yaml")
    Path("lab/camera.yaml").write_text(yaml.safe_dump(content | {"sensor": {"rotate": 45}}))
    with pytest.raises(FormatError, match=r"camera\.yaml: sensor is .* expected flip"):
        read_recording("takes/a.dat", camera="lab/camera.yaml")
    assert maps.gain.shape == SIZE


@pytest.mark.usefixtures("maps")
def test_a_bitstream_of_spikes_has_no_camera(zoo: Zoo) -> None:
    write_street("a.npz")
    result = zoo("compress takes/a.npz --out a.spl --camera lab/camera.yaml")
    assert (result.code, Path("a.spl").exists()) == (2, False)
    assert "--camera lab/camera.yaml: does not apply to X.spl" in result.err


@pytest.mark.usefixtures("maps")
def test_the_live_view_applies_the_camera() -> None:
    stated = RecordingSettings(camera="lab/camera.yaml")
    recording = RecordingSource(write_street("a.dat"), user_settings=stated)
    for follow in (False, True):
        source = open_source(recording, follow=follow)
        assert source.window(3, 30).maps is not None


def test_report_accepts_a_camera_for_a_recording_and_an_archive(maps: PixelMaps, zoo: Zoo) -> None:
    write_street("a.npz")
    write_street("a.h5", ".")
    write_camera(Path("small.yaml"), (6, 20))
    for source in ("takes/a.npz", "a.h5"):
        line = f"report {source} --methods tfp --images 1 --out {Path(source).suffix[1:]}.html"
        result = zoo(f"{line} --camera small.yaml")
        assert "maps of 6x20 pixels do not fit planes of 12x20" in result.err
        assert zoo(f"{line} --camera lab/camera.yaml").code == 0
    page = Path("npz.html").read_text()
    assert "compress takes/a.npz --camera lab/camera.yaml --out a-small.mp4" in page
    assert "reconstruct takes/a.npz --camera lab/camera.yaml" in page
    assert maps.defective.any()
