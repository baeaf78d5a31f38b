"""Tests of the command ``compare``, from a folder of recordings to a table."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from skimage.io import imsave

from spike_zoo import SpikeArchive
from spike_zoo.cli.main import main
from spike_zoo.formats import write_recording
from spike_zoo.formats.recording import RECORDING_SUFFIXES
from spike_zoo.testing import pattern_take
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT
from tests.docs.blocks import blocks_of, commands_of
from tests.helpers.commands import Zoo
from tests.helpers.splits import archive_of
from tests.training.test_resuming import SMALL

SIZE = {"250": "32", "400": "40"}  # sizes in the documents -> sizes in the tests
TREES = {"docs/howto/recordings.md": "own", "docs/data.md": "FOLDER"}


def write_tree(document: str, folder: Path) -> None:
    """Write the folder of recordings of the documentation, with every listed file."""
    root = TREES[document]
    (tree,) = (b for b in blocks_of(document) if f"{root}/train/walk.dat" in b.text)
    files = [Path(line.split()[0]) for line in tree.text.splitlines()]
    for number, name in enumerate(files):
        take: Any = pattern_take(number, planes=201, height=32, width=40)
        path = folder / name.relative_to(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in RECORDING_SUFFIXES:
            write_recording(take.recording, path)
        elif path.suffix == ".png":
            imsave(path, take.images[0], check_contrast=False)
        else:
            path.write_text("rate_scale: 0.6\n")


@pytest.mark.parametrize("document", TREES)
def test_the_documented_folder_trees_build_archives_with_all_splits_and_ground_truth(
    document: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tree(document, tmp_path / "own")
    archive = str(tmp_path / "own.h5")
    size = ["--height", "32", "--width", "40", "--jobs", "1"]
    assert main(["archive", "build", str(tmp_path / "own"), archive, *size]) == 0
    assert capsys.readouterr().err == ""
    with SpikeArchive(archive) as built:
        assert [len(built.names(split)) for split in ("train", "val", "test")] == [2, 1, 1]
        planes = {name: built.image_index(name).tolist() for name in built}
    assert planes.pop("walk") == [150]
    assert set(map(tuple, planes.values())) == {(100,)}


@pytest.mark.slow
def test_the_documented_commands_make_a_table_of_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = "docs/howto/recordings.md"
    monkeypatch.chdir(tmp_path)
    write_tree(document, tmp_path / TREES[document])
    extra_options = {
        "archive build": ["--jobs", "1"],
        "fit": ["--config", str(ROOT / "configs" / "profiles" / "smoke.yaml"), *SMALL[2:]],
        "compare": ["--methods", "tfp", "tfi9"],
    }
    (block,) = (b for b in blocks_of(document) if "spike_zoo compare runs/own" in b.text)
    for line in commands_of(block):
        arguments = [SIZE.get(word, word) for word in shlex.split(line)[3:]]
        command = next(
            (command for command in extra_options if " ".join(arguments).startswith(command)), ""
        )
        assert main([*arguments, *extra_options.get(command, [])]) == 0
    run = Path("runs/own")
    table = (run / "compared" / "table.md").read_text()
    assert {"tfp", "tfi9", "stir_demo"} <= set(table.replace("|", " ").split())
    assert "left out" not in table
    assert "page: " not in table
    assert f"spike_zoo report {run}" in capsys.readouterr().out


@pytest.mark.slow
def test_methods_are_tested_on_the_images_of_the_run_under_its_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    archive = archive_of(tmp_path / "a.h5", pattern_take(0, 121, 32, 40, stride=10))
    arguments = ["--config", "configs/classical/tfi.yaml", "--config", "profiles/smoke"]
    arguments += ["--data.init_args.archive", str(archive), "--data.init_args.clip_length", "61"]
    arguments += ["--trainer.limit_test_batches", "2", "--run_dir", str(tmp_path)]
    assert main(["test", *arguments]) == 0
    run = tmp_path / "test"  # contains a record and its configuration, like the folder of a fit
    assert main(["compare", str(run)]) == 0
    names = {path.name for path in (run / "compared").iterdir() if path.is_dir()}
    assert names == {"tfp", "tfi", "tfi9", "tfi_aligned"}
    output = capsys.readouterr().out
    assert "different images" not in output
    assert "mix profiles" not in output
    run_record, method_record = (
        RunResult.read(folder) for folder in (run, run / "compared" / "tfp" / "test")
    )
    assert (method_record.images, method_record.profile) == (2, "smoke")
    assert method_record.images_sha256 == run_record.images_sha256


def test_unfinished_and_other_runs_and_unknown_methods_are_rejected(zoo: Zoo) -> None:
    assert "name the folder of a finished fit" in zoo("compare .").err
    Path("result.json").write_text("{}")
    Path("config.yaml").write_text("data: {class_path: Other, init_args: {}}")
    assert "its data are Other, not clips to reconstruct" in zoo("compare .").err
    Path("config.yaml").write_text("data: {init_args: [}")
    assert "config.yaml: line 1: not YAML" in zoo("compare .").err
    Path("config.yaml").write_text("data: {init_args: {clip_length: 41}}")
    known = "known names are tfi, tfi21, tfi9, tfi_aligned, tfi_aligned_colour, tfp"
    assert known in zoo("compare . --methods magic").err
