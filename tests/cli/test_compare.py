"""A folder of one's own recordings becomes a fitted method in a table, in three commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imsave

from spike_zoo.cli.main import main
from spike_zoo.formats import write_recording
from spike_zoo.testing import pattern_take
from spike_zoo.tracking import RunResult
from tests.conftest import ROOT
from tests.helpers.splits import archive_of
from tests.runs.test_resuming import SMALL


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of recordings as a person has them, with a picture of the middle of each."""
    folder = tmp_path_factory.mktemp("own")
    for number, split in enumerate(("train", "train", "val", "test")):
        take = pattern_take(number, planes=81, height=32, width=40)
        assert take.images is not None
        path = folder / "recordings" / split / f"take {number}.dat"
        write_recording(take.recording, path, with_sidecar=False)
        middle = np.uint8(np.clip(255 * take.images[len(take.images) // 2], 0, 255))
        imsave(path.with_suffix(".png"), middle, check_contrast=False)
    return folder


@pytest.mark.slow
def test_recordings_become_a_table_in_three_commands(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    archive, run = own / "own.h5", own / "run"
    size = ["--height", "32", "--width", "40", "--rate-scale", "0.6", "--jobs", "1"]
    assert main(["archive", "build", str(own / "recordings"), str(archive), *size]) == 0
    assert "'take 0' is called 'take_0'" in capsys.readouterr().out
    small = [*SMALL, "--model.init_args.width", "0.25", "--model.init_args.pyramid_levels", "3"]
    fit = ["--config", "configs/stir_demo.yaml", *small, "--data.init_args.archive", str(archive)]
    assert main(["fit", *fit, "--trainer.limit_val_batches", "1", "--run_dir", str(run)]) == 0
    capsys.readouterr()
    assert main(["compare", str(run), "--methods", "tfp", "tfi9"]) == 0
    table = (run / "beside" / "table.md").read_text()
    assert {"tfp", "tfi9", "stir_demo"} <= set(table.replace("|", " ").split())
    assert "left out" not in table
    assert "page: " not in table
    assert f"spike_zoo page {run}" in capsys.readouterr().out
    assert main(["compare", str(run), "--methods", "tfp", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tables"], "and nothing else"


def test_methods_are_tested_on_the_images_of_the_run_under_its_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    archive = archive_of(tmp_path / "a.h5", pattern_take(0, 121, 32, 40, stride=10))
    tested = ["--config", "configs/classical/tfi.yaml", "--config", "profiles/smoke"]
    tested += ["--data.init_args.archive", str(archive), "--data.init_args.clip_length", "61"]
    tested += ["--trainer.limit_test_batches", "2", "--run_dir", str(tmp_path)]
    assert main(["test", *tested]) == 0
    run = tmp_path / "test"  # a record beside its configuration, as a fit leaves them
    assert main(["compare", str(run), "--methods", "tfp"]) == 0
    said = capsys.readouterr().out
    assert "different images" not in said
    assert "mix profiles" not in said
    own, beside = (RunResult.read(one) for one in (run, run / "beside" / "tfp" / "test"))
    assert (beside.images, beside.profile) == (2, "smoke")
    assert beside.images_sha256 == own.images_sha256


def test_what_is_no_finished_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(tmp_path)]) == 2
    assert "name the folder of a run that was fitted to its end" in capsys.readouterr().err
    (tmp_path / "result.json").write_text("{}")
    (tmp_path / "config.yaml").write_text("data: {class_path: Other, init_args: {}}")
    assert main(["compare", str(tmp_path)]) == 2
    assert "its data are Other, not clips to reconstruct" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text("data: {init_args: {clip_length: 41}}")
    assert main(["compare", str(tmp_path), "--methods", "magic"]) == 2
    assert "by name there are tfi, tfi21, tfi9, tfp, tfstp" in capsys.readouterr().err
