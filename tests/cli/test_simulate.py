"""Tests of the command ``simulate``: archives of all kinds, footage and rejected options."""

import re
import subprocess
import sys
import time
import typing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spike_zoo import SpikeArchive
from spike_zoo.cli.main import main
from spike_zoo.cli.options import SceneOptions
from spike_zoo.cli.simulate import Kind, simulate
from spike_zoo.data import DeblurDataModule
from spike_zoo.errors import ExistingFileError
from spike_zoo.media import save_image
from spike_zoo.simulation import NOISE_PRESETS, Scene, default_scenes, simulate_take
from spike_zoo.simulation.datasets.image_sets import IMAGE_SETS
from spike_zoo.simulation.defaults import TRAINING_MIXES
from spike_zoo.simulation.kinds.recipes import RECIPES
from spike_zoo.simulation.kinds.sequences import sequence_scenes
from tests.helpers.commands import Zoo
from tests.helpers.splits import split_sizes
from tests.media.test_frames import write_folder, write_video

TINY: dict[str, Any] = {"train": 2, "val": 1, "test": 1, "height": 16, "width": 24, "planes": 152}


def content(path: Path) -> dict[str, bytes]:
    """Return all data and attributes of an archive except the time of creation."""
    entries: dict[str, bytes] = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        values = {key: np.asarray(value).tolist() for key, value in sorted(item.attrs.items())}
        stored = item[()] if isinstance(item, h5py.Dataset) else None
        data = b"" if stored is None else repr(np.asarray(stored).tolist()).encode()
        entries[name] = repr(values).encode() + data

    with h5py.File(path, "r") as file:
        file.visititems(visit)
        entries["generator"] = str(file.attrs["generator"]).encode()
    return entries


@pytest.fixture(scope="module")
def archive_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "new" / "tiny.h5"
    simulate(str(path), jobs=1, **TINY)
    return path


def test_an_archive_holds_the_default_scenes_in_their_splits(archive_path: Path) -> None:
    with SpikeArchive(archive_path) as archive:
        assert not [finding for finding in archive.verify() if finding.code.startswith("E")]
        counts = {split: len(archive.names(split)) for split in archive.splits()}
        assert counts == {"train": 2, "val": 1, "test": 1}
        spec = default_scenes("test", 1, height=16, width=24, planes=152, testing="eight")[0]
        assert archive.names("test") == [spec.name]
        take = simulate_take(spec)
        np.testing.assert_array_equal(archive[spec.name].packed, take.recording.packed)
        np.testing.assert_array_equal(archive.images(spec.name), take.images)


def test_the_data_of_the_committed_records_are_reproduced(tmp_path: Path) -> None:
    path = tmp_path / "three.h5"
    simulate(str(path), jobs=1, testing="three", **TINY)
    with SpikeArchive(path) as archive:
        digest = "0555813e19f9a70b2fb485a61ed1d70392b143ceb9e57d811f16b7e762757633"
        assert archive.data_sha256() == digest
    with h5py.File(path, "r") as file:
        assert file.attrs["generator"] == (
            '{"simulator": "spike_zoo.simulation v1", "seed": 0, "noise": null, "train": 2, '
            '"val": 1, "test": 1, "height": 16, "width": 24, "planes": 152, "testing": "three"}'
        )


@pytest.mark.slow
def test_content_depends_on_the_seed_and_not_on_the_processes(
    archive_path: Path, tmp_path: Path
) -> None:
    simulate(str(tmp_path / "two.h5"), jobs=2, **TINY)
    assert content(tmp_path / "two.h5") == content(archive_path)
    simulate(str(tmp_path / "other.h5"), jobs=1, seed=1, **TINY)
    assert content(tmp_path / "other.h5") != content(archive_path)


def test_a_second_call_keeps_the_archive_and_other_options_need_overwrite(
    archive_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = archive_path.stat().st_mtime_ns
    simulate(str(archive_path), jobs=2, **TINY)
    assert archive_path.stat().st_mtime_ns == before
    printed = capsys.readouterr().out
    assert "Already made with the same options" in printed
    assert "train 2, val 1, test 1 recordings" in printed
    with pytest.raises(ExistingFileError, match=r"tiny\.h5 exists.*--overwrite"):
        simulate(str(archive_path), jobs=1, seed=9, **TINY)


def test_a_changed_camera_file_makes_other_options(tmp_path: Path) -> None:
    camera, archive = tmp_path / "camera.yaml", str(tmp_path / "a.h5")
    for rate in (0.001, 0.002):
        camera.write_text(f"noise: {{dark: {rate}}}\n", encoding="utf-8")
        arguments: Any = {"jobs": 1, **TINY, "noise": str(camera)}
        if rate == 0.001:
            simulate(archive, **arguments)
    with pytest.raises(ExistingFileError, match="was not made with these options"):
        simulate(archive, **arguments)


def test_a_file_that_is_not_an_archive_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes.h5"
    path.write_text("mine")
    with pytest.raises(ExistingFileError, match="--overwrite"):
        simulate(str(path), jobs=1, **TINY)
    assert path.read_text() == "mine"


def test_the_choices_of_options_are_complete() -> None:
    hints = typing.get_type_hints(SceneOptions)
    assert set(typing.get_args(Kind)) == {*RECIPES, *IMAGE_SETS}
    assert typing.get_args(typing.get_args(hints["training"])[0]) == tuple(TRAINING_MIXES)
    help_text = str(SceneOptions.__doc__)
    assert all(f"{name}," in help_text for name in NOISE_PRESETS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--flow_offset 76", "leaves the recording at its first image; give at most 75"),
        ("--kind labelled --photographs default", "--photographs goes with --kind recon"),
        ("--motions 2", "--motions goes with --kind labelled"),
        ("--kind deblur --flow_offset 20", "--flow-offset goes with --kind reconstruction"),
        ("--kind deblur --motion true", "--motion goes with --kind reconstruction or colour or"),
        ("--kind deblur --planes 136", "--planes must be at least 137 with --margin 20"),
        ("--kind labelled --stride 5", "--stride goes with --kind reconstruction or colour or"),
        ("--kind labelled --train 1199", "--train must be at most 1198 images of digits"),
        ("--kind deblur --images .", "--images goes with --kind labelled, s-mnist"),
        ("--images .", "not with reconstruction"),
        ("--kind labelled --images . --size small", "limit images by --train"),
        (
            "--softness 0.6:0.3",
            "--softness 0.6:0.3: expected pixels from 0 to 5, such as 0.5, or a",
        ),
        ("--softness 0:1:2", "expected pixels from 0 to 5"),
        ("--kind softness --softness 1", "--softness goes with --kind reconstruction or colour or"),
        ("--video short --size small", "--size small: a video has its own size"),
        ("--video short --motions 2", "--motions: a video has its own size, length and motion"),
        ("--video short --kind labelled", "--kind labelled: a video becomes exposures to deblur"),
        ("--video short --kind deblur", "no exposure fits"),  # valid for videos
        ("--video short", "no exposure fits; the longest video has 28 frames"),
    ],
)
def test_impossible_options_are_rejected_before_any_work(
    options: str, message: str, zoo: Zoo
) -> None:
    write_folder(Path("short"), moving_texture(28, 0))
    result = zoo(f"simulate --out a.h5 {options}")
    assert result.code == 2
    assert message in result.err
    assert list(Path().iterdir()) == [Path("short")]


@pytest.mark.slow
def test_exposures_to_deblur_are_simulated_as_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "deblur.h5"
    options: dict[str, Any] = {"train": 1, "val": 1, "test": 1, "height": 8, "width": 12}
    options |= {"kind": "deblur", "jobs": 1}
    simulate(str(path), threshold=4, **options)
    with SpikeArchive(path) as archive:
        assert not archive.verify()
        digest = "cbe36d1385fbc5431b51c37d8953b4eb4a8b74ae88ddd227712c4e86a6b2d0f0"
        assert archive.data_sha256() == digest  # as in the first archives of this kind
    with pytest.raises(ExistingFileError, match="not made with these options"):
        simulate(str(path), threshold=2, **options)


def test_sequences_are_simulated_with_motion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sequence.h5"
    options: dict[str, Any] = dict.fromkeys(("train", "val", "test"), 1) | {"kind": "sequence"}
    options |= {"height": 16, "width": 24, "jobs": 1}
    simulate(str(path), **options)
    with SpikeArchive(path) as archive:
        assert not archive.verify()
        for split in archive.splits():
            (name,) = archive.names(split)
            assert archive.motion(name).shape == (13, 2, 16, 24)
            assert archive.image_index(name).tolist() == list(range(6, 91, 7))
        spec = sequence_scenes("test", 1, height=16, width=24)[0]
        motion = archive.motion(spec.name)
        assert np.isnan(motion[0]).all()
        np.testing.assert_array_equal(motion[4], Scene(spec).motion(34, 27).astype(np.float16))
        digest = archive.data_sha256()
    simulate(str(path), motion=True, **options)
    assert "Already made" in capsys.readouterr().out
    with pytest.raises(ExistingFileError, match="not made with these options"):
        simulate(str(path), motion=False, **options)
    simulate(str(path), motion=False, overwrite=True, **options)
    with SpikeArchive(path) as archive:
        assert not any(archive.facts(name).has_flow for name in archive)
        assert archive.data_sha256() != digest


def test_moving_digits_are_simulated_with_labels(tmp_path: Path) -> None:
    path = tmp_path / "digits.h5"
    counts: dict[str, Any] = {"train": 6, "val": 2, "test": 3}
    simulate(str(path), kind="labelled", size="small", jobs=1, motions=3, **counts)
    with SpikeArchive(path) as archive:
        assert not archive.verify()
        split_names = {split: archive.names(split) for split in archive.splits()}
        assert split_sizes(split_names) == counts | {"train": 18}
        digest = "10d3d61632ac9ca315f2d578f9a63202b3569cc3913b79d9d815906bff33ecc8"
        assert archive.data_sha256() == digest  # as in the first archives of this kind
        assert archive.label_names == tuple("0123456789")
        assert [archive.label(name) for name in split_names["train"][::3]] == [0, 1, 2, 3, 4, 5]


def test_a_training_mix_replaces_the_training_scenes_and_is_recorded(
    tmp_path: Path, archive_path: Path
) -> None:
    path = tmp_path / "textures.h5"
    simulate(str(path), jobs=1, training="textures", **TINY)
    textures, default = content(path), content(archive_path)
    assert b'"training": "textures"' in textures["generator"]
    assert b"training" not in default["generator"]  # as before the option existed
    (common_name,) = (name for name in default if name.endswith("test-coins-upper-slow-00/spikes"))
    assert textures[common_name] == default[common_name]
    with SpikeArchive(path) as archive:
        assert not any("photo" in name for name in archive.names("train"))


def test_a_range_of_softness_gives_each_scene_its_own(tmp_path: Path, zoo: Zoo) -> None:
    path = tmp_path / "soft.h5"
    simulate(str(path), jobs=1, softness="0.2:0.6", **TINY)
    with SpikeArchive(path) as archive:
        values = [archive[name].meta["softness"] for name in archive.names()]
    assert len(set(values)) == len(values) == 4
    assert all(0.2 <= value <= 0.6 for value in values)
    name = default_scenes("test", 1, height=16, width=24, planes=152, testing="eight")[0].name
    assert re.search(r"softness +0\.\d+\n", zoo(f"info {path} --name {name}").out)


def test_photographs_of_a_folder_are_used_in_all_processes_and_recorded_without_their_path(
    tmp_path: Path,
) -> None:
    photographs, path = tmp_path / "mine", tmp_path / "a.h5"
    for number in range(4):
        texture = moving_texture(1, number)[0]
        save_image(texture, photographs / f"{number}.png", overwrite=False)
    options: dict[str, Any] = TINY | {"photographs": str(photographs), "training": "photographs"}
    simulate(str(path), jobs=2, **options)
    entries = content(path)
    assert b'"photographs": "mine", "photographs_sha256": "' in entries["generator"]
    assert not any(str(tmp_path).encode() in entry for entry in entries.values())
    assert any(b"photo:0.png" in entry for entry in entries.values())
    simulate(str(path), jobs=2, **options)  # unchanged
    save_image(moving_texture(1, 9)[0], photographs / "0.png", overwrite=True)
    with pytest.raises(ExistingFileError, match="not made with these options"):
        simulate(str(path), jobs=2, **options)


@pytest.mark.slow
def test_a_killed_simulation_leaves_no_workers_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    def command(train: int, jobs: int) -> list[str]:
        options = {**TINY, "train": train, "jobs": jobs, "out": tmp_path / "a.h5"}
        flags = [f"--{name}={value}" for name, value in options.items()]
        return [sys.executable, "-m", "spike_zoo", "simulate", *flags]

    with subprocess.Popen(
        command(300, 2), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while not list(tmp_path.glob(".a.h5.*.part/*.h5")):  # the first scene is being written
            assert process.poll() is None
            time.sleep(0.1)
        process.kill()
        process.communicate(timeout=10)  # until all workers are gone
    leftovers = sorted(tmp_path.iterdir())
    assert len(leftovers) == 2
    second = subprocess.run(command(1, 1), capture_output=True, text=True, check=True)
    assert all(f"{path}: removed" in second.stderr for path in leftovers)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.h5"]


def moving_texture(count: int, seed: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    texture = np.random.default_rng(seed).integers(0, 256, (32, 200, 3), dtype=np.uint8)
    return [np.ascontiguousarray(texture[:, k : k + 48]) for k in range(count)]


def test_a_folder_of_footage_becomes_an_archive_for_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips, out = tmp_path / "clips", tmp_path / "clips.h5"
    write_video(clips / "train" / "street.mp4", moving_texture(42, 0))
    write_folder(clips / "val" / "park", moving_texture(29, 1))
    write_folder(clips / "test" / "GOPR0384", moving_texture(30, 2))
    arguments = ["simulate", "--video", str(clips), "--out", str(out), "--jobs", "1"]
    arguments += ["--interpolation", "blend", "--threshold", "4"]
    assert main(arguments) == 0
    assert "train 2, val 1, test 1 recordings" in capsys.readouterr().out
    with SpikeArchive(out) as archive:
        # W02: folders have no frame rate
        assert {finding.code for finding in archive.verify()} == {"W02"}
        assert archive.names("train") == ["street-000019", "street-000032"]
        assert archive.names("test") == ["GOPR0384-000019"]
        image = archive.images("GOPR0384-000019")[3]
        np.testing.assert_array_equal(image, moving_texture(30, 2)[19])
        assert archive["street-000019"].rate_scale == pytest.approx(0.496, abs=1e-3)
        assert archive["street-000019"].fps == 1920
    data = DeblurDataModule(str(out), crop=None, batch_size=2)
    data.setup("fit")
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert batch["spikes"].shape == (2, 137, 8, 12)
    assert batch["blur"].shape == (2, 3, 32, 48)
    assert main(arguments) == 0
    assert "Already made" in capsys.readouterr().out
    save_image(moving_texture(1, 3)[0], clips / "val" / "park" / "000007.png", overwrite=True)
    assert main(arguments) == 2  # another frame of the same name
