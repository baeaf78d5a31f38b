"""Sidecars of recordings."""

from pathlib import Path

import numpy as np
import pytest

from spike_zoo.errors import ExistingFileError, FormatError, MissingGeometryError
from spike_zoo.formats import read_recording, write_recording
from spike_zoo.spikes import SpikeRecording
from tests.helpers.streams import random_spikes

SPIKECV = """\
filename: recVidarReal2019
spike_w: 16
spike_h: 6
is_labeled: false
labeled_data_type: [0, 3.1]
labeled_data_suffix: None
data_field_identifier: data\\spikes
"""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_recording(random_spikes(4, 6, 16), tmp_path / "set" / "spikes" / "clip.dat")


@pytest.mark.parametrize("up", [0, 1])
def test_a_spikecv_file_in_the_same_or_parent_folder_gives_the_size(clip: Path, up: int) -> None:
    (clip.parents[up] / "config.yaml").write_text(SPIKECV)
    recording = read_recording(clip)
    assert recording.shape == (4, 6, 16)
    assert recording.meta["filename"] == "recVidarReal2019"
    assert recording.meta["labeled_data_type"] == [0, 3.1]
    assert recording.meta["data_field_identifier"] == "data/spikes"


def test_the_nearest_spikecv_file_is_read(clip: Path) -> None:
    (clip.parents[0] / "config.yaml").write_text("{spike_w: 16, spike_h: 6}")
    (clip.parents[1] / "config.yaml").write_text("{spike_w: 8, spike_h: 6}")
    assert read_recording(clip).shape == (4, 6, 16)


@pytest.mark.parametrize(("depth", "is_read"), [(3, True), (5, True), (6, False)])
def test_a_spikecv_file_at_the_root_of_a_set_is_read_up_to_five_folders_above(
    tmp_path: Path, depth: int, is_read: bool
) -> None:
    clip = tmp_path / "set" / "/".join("abcdef"[:depth]) / "clip.dat"
    write_recording(random_spikes(4, 6, 16), clip)
    (tmp_path / "set" / "config.yaml").write_text(SPIKECV)
    if is_read:
        assert read_recording(clip).shape == (4, 6, 16)
    else:
        with pytest.raises(MissingGeometryError):
            read_recording(clip)


@pytest.mark.parametrize("text", ["trainer: {max_epochs: 3}", "[1, 2]", "not: [yaml"])
def test_a_config_file_of_another_program_further_up_is_skipped(tmp_path: Path, text: str) -> None:
    clip = write_recording(random_spikes(4, 6, 16), tmp_path / "set" / "a" / "b" / "c" / "clip.dat")
    (tmp_path / "set" / "a" / "config.yaml").write_text(text)
    (tmp_path / "set" / "config.yaml").write_text(SPIKECV)
    assert read_recording(clip).shape == (4, 6, 16)


def test_the_sidecar_of_the_recording_overrides_that_of_the_folder(clip: Path) -> None:
    (clip.parent / "config.yaml").write_text("{spike_w: 8, spike_h: 8}")
    own = "{spike_w: 16, spike_h: 6, fps: 20000, rate_scale: 0.6, threshold: 2, camera: north}"
    (clip.parent / "clip.dat.yaml").write_text(own)
    recording = read_recording(clip)
    assert recording.shape == (4, 6, 16)
    assert (recording.fps, recording.rate_scale, recording.threshold) == (20_000.0, 0.6, 2.0)
    assert recording.meta["camera"] == "north"


def test_a_size_missing_in_the_sidecar_is_read_from_that_of_the_folder(clip: Path) -> None:
    (clip.parent / "config.yaml").write_text(SPIKECV)
    (clip.parent / "clip.dat.yaml").write_text("{fps: 40000, filename: ours}")
    recording = read_recording(clip)
    assert recording.shape == (4, 6, 16)
    assert recording.fps == 40_000.0
    assert recording.meta["filename"] == "ours"


def test_arguments_override_every_sidecar(clip: Path) -> None:
    (clip.parent / "config.yaml").write_text("neither: here")  # not read if the size is stated
    (clip.parent / "clip.dat.yaml").write_text("{spike_w: 8, spike_h: 8, fps: 1}")
    recording = read_recording(clip, height=6, width=16, fps=5.0, rate_scale=0.4)
    assert recording.shape == (4, 6, 16)
    assert (recording.fps, recording.rate_scale) == (5.0, 0.4)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("filename: x\nspike_w: 16\n", "no spike_h"),
        ("filename: x\n", "no spike_w and no spike_h"),
        ("{spike_w: 16, spike_h: wide}", "spike_h is 'wide'"),
        ("{spike_w: 16, spike_h: -6}", "spike_h is -6"),
        ("{spike_w: 16, spike_h: true}", "spike_h is True"),
        ("{spike_w: 16, spike_h: 6, flip: maybe}", "flip is 'maybe'"),
        ("{spike_w: 16, spike_h: 6, mirror: 1}", "mirror is 1, expected true or false"),
        ("{spike_w: 16, spike_h: 6, rotate: 45}", "rotate is 45, expected 0, 90, 180 or 270"),
        ("{spike_w: 16, spike_h: 6, rotation: 90}", "did you mean rotate"),
        ("{spike_w: 16, spike_h: 6, fps: .nan}", "fps is nan"),
        ("{spike_w: 16, spike_h: 6, rate_scale: 0}", "rate_scale is 0"),
        ("{spike_w: 16, spike_h: 6, rate_scale: 5}", "rate_scale is 5, expected .* at most 1"),
        ("{spike_w: 16, spike_h: 6, frame_align: word}", "frame_align is 'word'"),
        ("{spike_w: 16, spike_h: 6, columns: 8}", "columns is 8"),
        ("[1, 2]", "expected fields"),
        ("{spike_w: [", "not YAML"),
        ("{spike_w: 16, spike_h: 6, spike_w: 8}", "the key 'spike_w' is given twice"),
        ("!!python/object/apply:os.getcwd []", "not YAML"),
        ("filename: \xff\xfe", "UTF-8"),
    ],
)
def test_an_invalid_sidecar_is_rejected_by_name(clip: Path, text: str, complaint: str) -> None:
    (clip.parent / "config.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(FormatError, match=rf"config\.yaml.*{complaint}"):
        read_recording(clip)


def test_a_written_sidecar_makes_options_unnecessary(tmp_path: Path) -> None:
    recording = SpikeRecording.from_planes(
        random_spikes(5, 3, 21), fps=20_000.0, threshold=2.0, rate_scale=0.6
    )
    path = tmp_path / "clip.dat"
    write_recording(
        recording, path, columns=[(0, 10), (12, 23)], stored_width=25, flip=False, with_sidecar=True
    )
    reread = read_recording(path)
    np.testing.assert_array_equal(reread[:], recording[:])
    assert (reread.fps, reread.threshold, reread.rate_scale) == (20_000.0, 2.0, 0.6)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clip.dat", "clip.dat.yaml"]


def test_an_old_sidecar_does_not_apply_to_a_recording_written_with_overwrite(
    tmp_path: Path,
) -> None:
    old, path = random_spikes(10, 16, 24), tmp_path / "clip.dat"
    write_recording(SpikeRecording.from_planes(old, rate_scale=0.6), path, with_sidecar=True)
    message = (
        r"clip\.dat\.yaml states spike_h: 16 \(here 24\), spike_w: 24 \(here 16\), .*with_sidecar"
    )
    with pytest.raises(ExistingFileError, match=message):
        write_recording(random_spikes(10, 24, 16), path, overwrite=True)  # as many bytes
    np.testing.assert_array_equal(read_recording(path)[:], old)
    new = random_spikes(10, 24, 16, seed=1)
    write_recording(new, path, overwrite=True, with_sidecar=True)
    np.testing.assert_array_equal(read_recording(path)[:], new)


@pytest.mark.parametrize(
    ("sidecar", "contradicts"),
    [
        ("rate_scale: 0.6", "rate_scale: 0.6 .here 0.4."),
        ("flip: false", "flip: false .here true."),
        ("mirror: true", "mirror: true .here false."),
        ("rotate: 90", "rotate: 90 .here 0."),
        ("{flip: true, fps: 20000}", None),
        ("columns: [[0, 8]]", r"columns: \[\[0, 8\]\] .here \[\[0, 16\]\]."),
        ("label: 3", "label: 3 .here 0."),
        ("{fps: 20000, rate_scale: 0.4, label: 0, lens: 35 mm, planes: [2]}", None),
    ],
)
def test_a_recording_is_not_written_next_to_a_sidecar_that_contradicts_it(
    tmp_path: Path, sidecar: str, contradicts: str | None
) -> None:
    (tmp_path / "clip.dat.yaml").write_text(sidecar)
    meta = {"label": 0}
    recording = SpikeRecording.from_planes(random_spikes(4, 6, 16), rate_scale=0.4, meta=meta)
    if contradicts is None:
        write_recording(recording, tmp_path / "clip.dat")
        reread = read_recording(tmp_path / "clip.dat", height=6, width=16)
        np.testing.assert_array_equal(reread[:], recording[:])
        return
    with pytest.raises(ExistingFileError, match=contradicts):
        write_recording(recording, tmp_path / "clip.dat")
    assert not (tmp_path / "clip.dat").exists()


def test_an_existing_sidecar_that_states_the_same_is_kept(tmp_path: Path) -> None:
    recording = SpikeRecording.from_planes(random_spikes(4, 6, 16), rate_scale=0.4)
    path, sidecar = tmp_path / "clip.dat", tmp_path / "clip.dat.yaml"
    text = "{spike_h: 6, spike_w: 16, rate_scale: 0.4, label: 3}  # by hand"
    sidecar.write_text(text)
    write_recording(recording, path, with_sidecar=True)
    assert sidecar.read_text() == text
    sidecar.write_text("{spike_h: 6, spike_w: 16, rate_scale: 0.5}")
    with pytest.raises(ExistingFileError, match=r"clip\.dat\.yaml exists"):
        write_recording(recording, path, overwrite=False, with_sidecar=True)


def test_missing_fields_are_added_to_an_existing_sidecar_with_overwrite(tmp_path: Path) -> None:
    recording = SpikeRecording.from_planes(random_spikes(4, 6, 16), rate_scale=0.4)
    recording.meta["lost_planes"] = "4 to 7"
    path = tmp_path / "clip.dat"
    Path(f"{path}.yaml").write_text("{spike_h: 6, spike_w: 16, rate_scale: 0.4, label: 3}")
    with pytest.raises(ExistingFileError, match=r"clip\.dat\.yaml exists"):
        write_recording(recording, path, with_sidecar=True)
    write_recording(recording, path, overwrite=True, with_sidecar=True)
    meta = read_recording(path).meta
    assert (meta["label"], meta["lost_planes"]) == (3, "4 to 7")
    del recording.meta["lost_planes"]  # of the same recording, now complete
    write_recording(recording, path, overwrite=True, with_sidecar=True)
    reread = read_recording(path)
    assert (reread.meta["label"], reread.rate_scale) == (3, 0.4)
    assert "lost_planes" not in reread.meta


@pytest.mark.parametrize("suffix", [".dat", ".npz", ".npy", ".h5", ".spl"])
def test_class_and_notes_are_read_from_the_sidecar_of_any_format(
    tmp_path: Path, suffix: str
) -> None:
    path = write_recording(random_spikes(2, 3, 8), tmp_path / f"clip{suffix}")
    sidecar = "{spike_h: 3, spike_w: 8, label: 3, label_name: cup, lens: 35 mm}"
    Path(f"{path}.yaml").write_text(sidecar)
    meta = read_recording(path).meta
    assert (meta["label"], meta["label_name"], meta["lens"]) == (3, "cup", "35 mm")


def test_fields_in_a_file_override_its_sidecar(tmp_path: Path) -> None:
    spikes = random_spikes(2, 3, 8)
    np.savez(tmp_path / "a.npz", spk=spikes, label=0, camera="north")
    (tmp_path / "a.npz.yaml").write_text("{label: 3, label_name: cup, camera: south, fps: 40000}")
    recording = read_recording(tmp_path / "a.npz")
    assert (recording.meta["label"], recording.meta["camera"]) == (0, "north")
    assert "label_name" not in recording.meta  # the name belongs to class 3, not to class 0
    assert recording.fps == 40_000.0


@pytest.mark.parametrize(
    ("field", "meant"),
    [("rate_scal", "rate_scale"), ("spike_height", "spike_h"), ("height", "spike_h"),
     ("Width", "spike_w"), ("plane", "planes"), ("treshold", "threshold"), ("Fps", "fps")],
)  # fmt: skip
def test_a_misspelt_field_is_rejected_with_a_suggestion(clip: Path, field: str, meant: str) -> None:
    Path(f"{clip}.yaml").write_text(f"spike_h: 4\nspike_w: 8\n{field}: 3\n")
    message = rf"\.yaml: {field} is no field of a sidecar, did you mean {meant}\? Known are spike_h"
    with pytest.raises(FormatError, match=message):
        read_recording(clip)


@pytest.mark.parametrize(
    ("sidecar", "message"),
    [
        ("label: cup", "label is 'cup', expected the index of a class"),
        ("label: -1", "label is -1"),
        ("label: true", "label is True"),
        ("label: 1.0", r"label is 1\.0"),
        ("label: 100000000000000000000", "label is 1000"),
        ("{label: 3, label_name: 3}", "label_name is 3, expected text; put it in quotes"),
    ],
)
@pytest.mark.parametrize("suffix", [".dat", ".npz"])
def test_an_invalid_class_is_rejected_by_field(
    tmp_path: Path, suffix: str, sidecar: str, message: str
) -> None:
    path = write_recording(random_spikes(2, 3, 8), tmp_path / f"clip{suffix}")
    Path(f"{path}.yaml").write_text(sidecar)
    with pytest.raises(FormatError, match=rf"clip\{suffix}\.yaml: {message}"):
        read_recording(path, height=3, width=8)


@pytest.mark.parametrize("planes", ["middle", "[1.5]", "[-1]", "[]"])
def test_invalid_planes_are_rejected(clip: Path, planes: str) -> None:
    Path(f"{clip}.yaml").write_text(f"spike_h: 4\nspike_w: 8\nplanes: {planes}\n")
    with pytest.raises(FormatError, match=r"expected planes counted from 0, as \[150\]"):
        read_recording(clip)
