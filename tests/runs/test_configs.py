"""Tests of the lookup of configurations by name, and of their names in records."""

from __future__ import annotations

from pathlib import Path

import pytest

from spike_zoo.cli.main import main
from spike_zoo.errors import MissingFileError
from spike_zoo.records.result import RunResult
from spike_zoo.runs.configs import find_config, recorded_name, summary_of, with_files
from spike_zoo.sweeps.plan import check_profile
from spike_zoo.testing import tiny_archive
from tests.conftest import ROOT

CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder that is no checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_is_found_by_name_and_recorded_as_in_the_checkout(path: Path) -> None:
    named = path.relative_to(ROOT).as_posix()
    bare = named.removeprefix("configs/").removesuffix(".yaml")
    for name in (bare, f"{bare}.yaml", named):
        found = find_config(name)
        assert Path(found).read_bytes() == path.read_bytes()
        assert recorded_name(found) == named


def test_files_of_the_working_folder_come_first(elsewhere: Path) -> None:
    (elsewhere / "configs" / "paper").mkdir(parents=True)
    (elsewhere / "configs" / "paper" / "stir.yaml").write_text("{}")
    assert find_config("paper/stir") == "configs/paper/stir.yaml"
    (elsewhere / "stir").write_text("{}")
    assert find_config("stir") == "stir"
    assert recorded_name("stir") == "stir"
    assert find_config("../stir") == "../stir", "what does not ship is left to who opens it"


def test_only_configurations_of_a_command_line_are_looked_up() -> None:
    given = ["--config", "stir", "-c=profiles/cpu", "--run_dir", "stir", "--config"]
    first, found, second, *rest = with_files(given)
    assert (first, rest) == ("--config", ["--run_dir", "stir", "--config"])
    assert recorded_name(found) == "configs/stir.yaml"
    assert recorded_name(second.removeprefix("-c=")) == "configs/profiles/cpu.yaml"


def test_options_of_verbs_may_have_hyphens_where_they_are_of_no_class() -> None:
    given = ["--run-dir", "a-b", "--ckpt-path=a-b.ckpt", "--model.no-such", "--data.a-b=c-d"]
    taken = with_files([*given, "--config=profiles/none-such", "--trainer.max_epochs", "-1"])
    assert taken[:5] == ["--run_dir", "a-b", "--ckpt_path=a-b.ckpt", *given[3:]]
    assert taken[5:] == ["--config=profiles/none-such", "--trainer.max_epochs", "-1"]


def test_a_run_by_names_works_anywhere_and_its_record_names_the_files_of_the_checkout(
    elsewhere: Path,
) -> None:
    tiny_archive(elsewhere / "data" / "scenes.h5", planes=161, height=32, width=48)
    names = ["--config", "classical/tfi9", "--config", "profiles/smoke", "--run_dir", "run"]
    assert main(["test", *names, "--trainer.enable_progress_bar", "false"]) == 0
    result = RunResult.read(elsewhere / "run" / "test")
    assert result.configs == ["configs/classical/tfi9.yaml", "configs/profiles/smoke.yaml"]
    assert (result.variant, result.profile) == ("tfi9", "smoke")


def test_a_name_that_is_nothing_is_refused_with_the_closest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["test", "--config", "paper/stri"]) == 2
    error = capsys.readouterr().err
    assert "paper/stri: there is no such configuration file. Did you mean 'paper/stir'?" in error


def test_profiles_that_ship_are_those_of_sweeps_too() -> None:
    check_profile("cpu")
    with pytest.raises(
        MissingFileError, match=r"Did you mean 'smoke'\? Known are cpu, gpu, long, longer, paper"
    ):
        check_profile("smok")


def test_a_summary_is_the_first_sentence_of_the_comment(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("# Of two\n# lines (A et al., 2024).  Run:\n#   it\nmodel: {}\n# other\n")
    assert summary_of(file) == "Of two lines (A et al., 2024)."
