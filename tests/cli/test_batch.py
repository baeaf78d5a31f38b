"""Tests of ``reconstruct`` and ``compress`` for several recordings."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from distributed import LocalCluster
from numpy.typing import NDArray

from spike_zoo import SpikeRecording
from spike_zoo.cli.batch import _method_sha256
from spike_zoo.formats import write_recording
from spike_zoo.media.frames import find_footage
from spike_zoo.media.images import load_image
from tests.helpers.archives import write_archive
from tests.helpers.checkpoints import export, write_checkpoint
from tests.helpers.codecs import SumsModule
from tests.helpers.commands import Zoo
from tests.helpers.streams import random_spikes

FRAMES = "--method tfi --rate-scale 0.5"


@pytest.fixture(autouse=True)
def _clips(zoo: Zoo) -> None:
    """A folder of three recordings."""
    for number, name in enumerate(("one", "two", "deep/three")):
        file = Path("clips", f"{name}.npz")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_recording(random_spikes(12, 8, 16, seed=number), file)


def outputs(folder: str) -> list[str]:
    """Return the visible files in a folder and its subfolders."""
    files = (path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in files if not path.parent.name.startswith("."))


def test_every_recording_of_a_folder_becomes_an_image_named_after_it(zoo: Zoo) -> None:
    result = zoo(f"reconstruct clips --out made/{{name}}.png --jobs 1 {FRAMES}")
    assert outputs("made") == ["deep/three.png", "one.png", "two.png"]
    assert "recordings: 3 made, 0 unchanged, 0 failed" in result.out
    assert zoo(f"reconstruct clips/one.npz --out single.png {FRAMES}").code == 0
    assert Path("single.png").read_bytes() == Path("made/one.png").read_bytes()


def test_a_name_in_the_output_of_one_recording_is_replaced_too(zoo: Zoo) -> None:
    assert zoo(f"reconstruct clips/one.npz --out made/{{name}}.png {FRAMES}").code == 0
    assert outputs("made") == ["one.png"]
    write_archive(Path("a.h5"), 2)
    assert zoo("compress a.h5 --name take1 --out coded/{name}.spl").code == 0
    assert outputs("coded") == ["take1.spl"]
    assert zoo("reconstruct a.h5 --name take1 --out frames --method tfi --rate-scale 0.5").code == 0
    assert {file.partition("-")[0] for file in outputs("frames")} == {"take1"}


def test_estimated_rate_scales_and_clipped_pixels_of_each_recording_are_printed(zoo: Zoo) -> None:
    line = "reconstruct clips/*.npz --jobs=1 --method tfp --window 5"
    result = zoo(f"{line} --out made/{{name}}.png")
    assert result.err.count("npz: rate scale: 0.") == 2
    result = zoo(f"{line} --out bright/{{name}}.png --rate-scale 0.1")
    assert result.err.count("of the pixels are clipped") == 2


def test_a_second_call_writes_missing_outputs_and_replaces_others_only_with_overwrite(
    zoo: Zoo,
) -> None:
    line = f"reconstruct clips/*.npz --out made/{{name}}.png --jobs=1 {FRAMES}"
    assert zoo(line).code == 0
    Path("made/one.png").unlink()
    Path("model.safetensors").touch()  # unrelated to the result
    assert "1 made, 1 unchanged" in zoo(line).out
    result = zoo(f"{line} --center 3")  # other options need --overwrite
    assert "2 of 2 recordings failed" in result.err
    for name in ("one", "two"):
        text = f"made/{name}.png exists already, and its options changed; --overwrite"
        assert f"clips/{name}.npz: {text}" in result.err
    assert zoo(f"{line} --center 3 --overwrite").code == 0


def test_a_damaged_result_is_reported_and_replaced_only_with_overwrite(zoo: Zoo) -> None:
    line = "compress clips --out made/{name}.spl --jobs=1"
    assert zoo(line).code == 0
    damaged, whole = Path("made/one.spl"), Path("made/one.spl").read_bytes()
    damaged.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "made/one.spl exists already, and has changed; --overwrite" in zoo(line).err
    assert "1 made, 2 unchanged" in zoo(f"{line} --overwrite").out
    assert damaged.read_bytes() == whole


def test_a_batch_into_the_folder_of_its_recordings_can_be_repeated(zoo: Zoo) -> None:
    for counts in ("3 made, 0 unchanged", "0 made, 3 unchanged"):
        assert counts in zoo("compress clips --out clips/{name}.spl --jobs=1").out
    error = zoo("compress clips --out made/{name}.spl --jobs=1").err
    assert "clips/deep/three.spl would both be written to made/deep/three.spl" in error


def test_names_with_dots_and_placeholders(zoo: Zoo) -> None:
    Path("clips/one.npz").rename("clips/rec.1.npz")
    for counts in ("1 made", "1 unchanged"):
        assert counts in zoo(f"reconstruct clips/r*.npz --out made/{{name}} --jobs=1 {FRAMES}").out
        assert outputs("made") == ["rec.1/rec.1-000000.png"]
        Path("made/rec.1/another folder").mkdir(exist_ok=True)
    Path("clips/two.npz").rename("clips/{name}.npz")
    result = zoo("compress clips --out made/{name}.spl --jobs=1")
    assert (result.code, "clips/{name}.npz: rename it" in result.err) == (2, True)
    write_recording(random_spikes(12, 8, 16), Path("clips/...npz"))
    result = zoo("compress clips/...npz --out made/{name}/x.spl --jobs=1")
    assert (result.code, "clips/...npz: rename it" in result.err) == (2, True)


def test_a_recording_that_grows_while_it_is_compressed_is_rejected(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recording(random_spikes(40, 8, 16), "a.dat", with_sidecar=True)

    def grow(*_: object) -> int:
        with Path("a.dat").open("ab") as file:
            file.write(bytes(16))
        return 1

    monkeypatch.setattr("spike_zoo.coding.spl.codec.segments", grow)
    result = zoo("compress a.dat --out a.spl")
    assert "a.dat: has 41 planes, and had 40 when the command started" in result.err
    assert result.code == 1
    assert not Path("a.spl").exists()


def test_changed_weights_in_the_same_file_replace_the_output(zoo: Zoo) -> None:
    Path("long").mkdir()
    write_recording(random_spikes(61, 32, 32), Path("long/one.npz"))
    line = "reconstruct long --method a.ckpt --rate-scale 0.5 --jobs=1 --precision 32 --overwrite"
    for seed, counts in ((0, "1 made, 0 unch"), (0, "0 made, 1 unch"), (1, "1 made, 0 unch")):
        write_checkpoint(Path("a.ckpt"), seed=seed)
        assert counts in zoo(f"{line} --out made/{{name}}.png").out


@pytest.mark.parametrize(
    ("command", "change"),
    [
        ("reconstruct --method tfi-colour --out made/{name}.png", {"cfa": "BGGR"}),
        ("reconstruct --method tfi-colour --out made/{name}.png", {"rate_scale": 0.4}),
        ("compress --out made/{name}.spl", {"threshold": 4.0}),
        ("compress --out made/{name}.spl", {"fps": 1000.0}),
    ],
)
def test_what_enters_a_result_makes_it_anew(command: str, change: dict[str, Any], zoo: Zoo) -> None:
    facts: dict[str, Any] = {"cfa": "RGGB", "rate_scale": 0.5, "threshold": 2.0, "fps": 20000.0}
    results: list[bytes] = []
    for stated in (facts, facts, facts | change):
        recording = SpikeRecording.from_planes(random_spikes(12, 8, 16), **stated)
        write_recording(recording, "clips/one.npz", overwrite=True)
        out = zoo(f"{command} --jobs=1 --overwrite", "clips/o*.npz").out
        assert (stated == facts and bool(results)) == ("1 unchanged" in out)
        results.append(next(Path("made").glob("one.*")).read_bytes())
    assert results[0] == results[1] != results[2]


def test_settings_in_the_folder_of_an_export_are_part_of_the_method(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    before = _method_sha256(str(tmp_path))
    (tmp_path / "config.json").write_text('{"channels": 8}')
    assert before != _method_sha256(str(tmp_path))
    assert _method_sha256("tfi") is None


def test_an_invalid_argument_is_reported_once(zoo: Zoo) -> None:
    result = zoo("reconstruct clips --out made/{name}.png --method tfpp --jobs=1")
    assert (result.code, result.err.count("tfpp")) == (1, 1)
    assert not Path("made").exists()


def test_a_damaged_recording_does_not_stop_the_others(zoo: Zoo) -> None:
    Path("clips/two.npz").write_bytes(b"PK\x03\x04 nothing")
    Path("clips/four.h5").write_bytes(b"nothing")
    with h5py.File("clips/plain.h5", "w") as file:
        file["planes"] = random_spikes(12, 8, 16)
    np.save("clips/rolled.npy", np.asfortranarray(random_spikes(12, 8, 16)))
    result = zoo("compress clips --out made/{name}.spl --jobs=1")
    assert result.code == 1
    assert outputs("made") == ["deep/three.spl", "one.spl", "plain.spl", "rolled.spl"]
    assert "error: 2 of 6 recordings failed:\nclips/four.h5: " in result.err


def test_recordings_of_an_archive_are_chosen_by_a_pattern(zoo: Zoo) -> None:
    write_archive(Path("a.h5"), 12)
    line = f"reconstruct a.h5 --name take1* --out made/{{name}}.png --jobs=1 {FRAMES}"
    assert zoo(line).code == 0
    assert outputs("made") == ["take1.png", "take10.png", "take11.png"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("clips --out x.png", r"add {name}, such as results/{name}.png"),
        ("none/*.dat --out {name}.png", "none/*.dat: no recording there"),
        ("clips --out {name}.png --jobs=-1", "--jobs -1: must be at least 0"),
        ("clips --out {name}.png --cluster=x", "--cluster x: neither the address"),
        ("clips/one.npz --out x.mp4 --cluster=x", "neither the address of a"),
    ],
)
def test_impossible_calls_are_rejected(line: str, message: str, zoo: Zoo) -> None:
    result = zoo(f"reconstruct {line}")
    assert result.code == 2
    assert message in result.err
    assert outputs(".") == ["clips/deep/three.npz", "clips/one.npz", "clips/two.npz"]


def test_a_cluster_writes_the_same_files_as_a_local_process(zoo: Zoo) -> None:
    assert zoo("compress clips --out here/{name}.spl --jobs=1").code == 0
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster:
        address = cluster.scheduler_address
        assert zoo(f"compress clips --out there/{{name}}.spl --cluster {address}").code == 0
    for name in outputs("here"):
        assert Path("here", name).read_bytes() == Path("there", name).read_bytes()


@pytest.mark.parametrize(
    ("line", "outs", "planes"),
    [
        ("reconstruct --method tfi --rate-scale=0.5 --stride=3", ("folder", "a.mp4"), 120),
        ("compress --start=3", ("a.spl",), 2100),  # three restarts of the model
        ("compress --method=mine --trust --gop=2 --start=1 --rate-scale=0.5", ("a.sci",), 48),
    ],
)
def test_two_processes_write_the_same_files_as_one(
    line: str, outs: tuple[str, ...], planes: int, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spike_zoo.cli.inputs._BLOCK", 7)
    write_recording(random_spikes(planes, 24, 32, rate=0.3), Path("long.npz"))
    export(SumsModule(), Path("mine"))
    for jobs in ("1", "2"):
        for out in outs:
            assert zoo(f"{line} long.npz --jobs {jobs} --out {jobs}/{out}").code == 0
    assert outputs("1") == outputs("2") != []
    for name in outputs("1"):
        serial, parallel = Path("1", name), Path("2", name)
        if serial.suffix == ".mp4":  # the threads of the encoder are not deterministic
            difference = _images(serial).astype(float) - _images(parallel)
            assert np.abs(difference).mean() < 3
        elif serial.suffix == ".png":
            np.testing.assert_array_equal(load_image(serial), load_image(parallel))
        else:
            assert serial.read_bytes() == parallel.read_bytes()


def _images(path: Path) -> NDArray[Any]:
    """Return the pixels of a video."""
    (source,) = find_footage(path).values()
    return np.stack(list(source.read(0, len(source))))
