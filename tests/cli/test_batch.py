"""Tests of ``reconstruct`` and ``compress`` for several recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from distributed import LocalCluster

from spike_zoo import SpikeRecording
from spike_zoo.cli.batch import _method_sha256
from spike_zoo.cli.main import main
from spike_zoo.formats import write_recording
from spike_zoo.media.frames import find_footage
from spike_zoo.media.pictures import load_picture
from tests.helpers.archives import write_archive
from tests.helpers.checkpoints import write_checkpoint
from tests.helpers.streams import random_spikes

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAMES = ["--method", "tfi", "--rate-scale", "0.5"]


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of three recordings; its parent is the working folder."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("one", "two", "deep/three")):
        file = tmp_path / "clips" / f"{name}.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_recording(random_spikes(12, 8, 16, seed=number), file)
    return tmp_path / "clips"


def outputs(folder: Path) -> list[str]:
    """Return the visible files in a folder and its subfolders."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in files if not path.parent.name.startswith("."))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_every_recording_of_a_folder_becomes_a_picture_named_after_it(
    jobs: str, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["reconstruct", "clips", "--out", "made/{name}.png", "--jobs", jobs, *FRAMES]
    assert main(line) == 0
    assert outputs(Path("made")) == ["deep/three.png", "one.png", "two.png"]
    assert "recordings: 3 made, 0 unchanged, 0 failed" in capsys.readouterr().out
    assert main(["reconstruct", "clips/one.npz", "--out", "single.png", *FRAMES]) == 0
    assert Path("single.png").read_bytes() == Path("made/one.png").read_bytes()


def test_a_second_call_writes_missing_outputs_and_replaces_others_only_with_overwrite(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["reconstruct", "clips/*.npz", "--out", "made/{name}.png", "--jobs=1", *FRAMES]
    assert main(line) == 0
    Path("made/one.png").unlink()
    capsys.readouterr()
    assert main(line) == 0
    assert "1 made, 1 unchanged" in capsys.readouterr().out
    assert main([*line, "--center", "3"]) == 1  # other options need --overwrite
    message = capsys.readouterr().err
    assert "2 of 2 recordings failed" in message
    assert "clips/one.npz: made/one.png exists" in message
    assert "clips/two.npz: made/two.png exists" in message
    assert main([*line, "--center", "3", "--overwrite"]) == 0


def test_changed_weights_in_the_same_file_replace_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("long").mkdir()
    write_recording(random_spikes(61, 32, 32), Path("long/one.npz"))
    write_checkpoint(Path("a.ckpt"), seed=0)
    line = ["reconstruct", "long", "--method", "a.ckpt", "--rate-scale", "0.5", "--jobs=1"]
    line += ["--out", "made/{name}.png", "--precision", "32", "--overwrite"]
    assert main(line) == 0
    assert main(line) == 0
    assert "0 made, 1 unchanged" in capsys.readouterr().out
    write_checkpoint(Path("a.ckpt"), seed=1)
    assert main(line) == 0
    assert "1 made, 0 unchanged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "out", "change"),
    [
        ("reconstruct", "png", {"cfa": "BGGR"}),
        ("reconstruct", "png", {"rate_scale": 0.4}),
        ("compress", "spl", {"threshold": 4.0}),
        ("compress", "spl", {"fps": 1000.0}),
    ],
)
def test_what_enters_a_result_makes_it_anew(
    command: str, out: str, change: dict[str, Any], clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts: dict[str, Any] = {"cfa": "RGGB", "rate_scale": 0.5, "threshold": 2.0, "fps": 20000.0}
    line = [command, "clips/o*.npz", "--out", f"made/{{name}}.{out}", "--jobs=1", "--overwrite"]
    line += ["--lossless"] if out == "spl" else ["--method", "tfi-colour"]
    results: list[bytes] = []
    for stated in (facts, facts, facts | change):
        recording = SpikeRecording.from_planes(random_spikes(12, 8, 16), **stated)
        write_recording(recording, clips / "one.npz", overwrite=True)
        assert main(line) == 0
        assert (stated == facts and bool(results)) == ("1 unchanged" in capsys.readouterr().out)
        results.append(Path(f"made/one.{out}").read_bytes())
    assert results[0] == results[1] != results[2]


def test_settings_in_the_folder_of_an_export_are_part_of_the_method(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    before = _method_sha256(str(tmp_path))
    (tmp_path / "config.json").write_text('{"channels": 8}')
    assert before != _method_sha256(str(tmp_path))
    assert _method_sha256("tfi") is None


def test_an_invalid_argument_is_reported_once(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["reconstruct", "clips", "--out", "made/{name}.png", "--method", "tfpp", "--jobs=1"]
    assert main(line) == 1
    assert capsys.readouterr().err.count("tfpp") == 1
    assert not Path("made").exists()


def test_a_damaged_recording_does_not_stop_the_others(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "two.npz").write_bytes(b"PK\x03\x04 nothing")
    assert main(["compress", "clips", "--lossless", "--out", "made/{name}.spl", "--jobs=1"]) == 1
    assert outputs(Path("made")) == ["deep/three.spl", "one.spl"]
    assert "error: 1 of 3 recordings failed:\nclips/two.npz: " in capsys.readouterr().err


def test_recordings_of_an_archive_are_chosen_by_a_pattern(clips: Path) -> None:
    write_archive(Path("a.h5"), 12)
    line = [
        "reconstruct",
        "a.h5",
        "--name",
        "take1*",
        "--out",
        "made/{name}.png",
        "--jobs=1",
        *FRAMES,
    ]
    assert main(line) == 0
    assert outputs(Path("made")) == ["take1.png", "take10.png", "take11.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["clips", "--out", "x.png"], 2, r"add {name}, such as results/{name}.png"),
        (["none/*.dat", "--out", "{name}.png"], 2, "none/*.dat: no recording there"),
        (["clips", "--out", "{name}.png", "--jobs=-1"], 2, "--jobs must be 0"),
        (["clips/one.npz", "--out", "x.mp4", "--jobs=-1"], 2, "--jobs must be 0"),
        (["clips", "--out", "{name}.png", "--cluster=x"], 2, "--cluster x: neither the address"),
        (["clips/one.npz", "--out", "x.mp4", "--cluster=x"], 2, "neither the address of a"),
    ],
)
def test_impossible_calls_are_rejected(
    arguments: list[str], code: int, message: str, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", *arguments]) == code
    assert message in capsys.readouterr().err
    assert outputs(Path()) == ["clips/deep/three.npz", "clips/one.npz", "clips/two.npz"]


def test_a_cluster_writes_the_same_files_as_a_local_process(clips: Path) -> None:
    line = ["compress", "clips", "--lossless"]
    assert main([*line, "--out", "here/{name}.spl", "--jobs=1"]) == 0
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster:
        command = [*line, "--out", "there/{name}.spl", "--cluster", cluster.scheduler_address]
        assert main(command) == 0
    for name in outputs(Path("here")):
        assert Path("here", name).read_bytes() == Path("there", name).read_bytes()


@pytest.mark.parametrize("method", ["tfi", "tfi-aligned"])
def test_two_processes_write_the_same_files_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spike_zoo.cli.batch._BLOCK", 7)
    write_recording(random_spikes(120, 24, 32, rate=0.3), Path("long.npz"))
    line = ["reconstruct", "long.npz", "--method", method, "--rate-scale=0.5", "--stride=3"]
    for jobs in ("1", "2"):
        for out in ("folder", "video.mp4"):
            assert main([*line, "--jobs", jobs, "--out", f"{jobs}/{out}"]) == 0
    assert len(outputs(Path("1"))) == 41
    assert outputs(Path("1")) == outputs(Path("2"))
    for name in outputs(Path("1")):
        _check_equal(Path("1", name), Path("2", name))


@pytest.mark.parametrize(
    ("suffix", "options", "planes"),
    [
        (".spl", ["--lossless", "--start=3"], 2100),  # three restarts of the model
        (".sci", ["--gop=2", "--start=1"], 48),
        (".mp4", ["--codec=x265", "--method=tfi", "--stride=3"], 90),
    ],
)
def test_two_processes_write_the_same_bitstream_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, options: list[str], planes: int
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spike_zoo.cli.batch._BLOCK", 7)
    write_recording(random_spikes(planes, 24, 32, rate=0.3), Path("long.npz"))
    line = ["compress", "long.npz", *options, *([] if suffix == ".spl" else ["--rate-scale=0.5"])]
    for jobs in ("1", "2"):
        assert main([*line, "--jobs", jobs, "--out", f"{jobs}{suffix}"]) == 0
    serial, parallel = (Path(f"{jobs}{suffix}") for jobs in ("1", "2"))
    if suffix == ".mp4":
        _check_equal(serial, parallel)
    else:
        assert serial.read_bytes() == parallel.read_bytes()


def _check_equal(first_path: Path, second_path: Path) -> None:
    """Check that pictures are equal, and videos are equal up to coding."""
    first, second = _pictures(first_path), _pictures(second_path)
    assert first.shape == second.shape, first_path.name
    if first_path.suffix == ".png":
        assert np.array_equal(first, second), first_path.name
    else:  # the threads of the encoder are not deterministic
        assert np.abs(first.astype(float) - second).mean() < 3, first_path.name


def _pictures(path: Path) -> NDArray[Any]:
    """Return the pixels of a file."""
    if path.suffix == ".png":
        return load_picture(path)
    (source,) = find_footage(path).values()
    return np.stack(list(source.read(0, len(source))))
