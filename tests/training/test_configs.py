"""Tests of the lookup of configurations by name, and of their names in records."""

import inspect
from pathlib import Path

import pytest
from lightning import Trainer

from spike_zoo.cli.main import main
from spike_zoo.errors import MissingFileError
from spike_zoo.tables.sweeps.plan import check_profile
from spike_zoo.testing import tiny_archive
from spike_zoo.training.configs import (
    check_configs,
    class_arguments,
    find_config,
    recorded_name,
    shipped_configs,
    summary_of,
    with_files,
)
from spike_zoo.training.provenance import argument_defaults
from spike_zoo.training.result import RunResult
from spike_zoo.utils.yaml_files import read_yaml
from tests.conftest import ROOT
from tests.helpers.processes import run_python

CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder that is not a checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_is_found_by_name_and_recorded_as_in_the_checkout(path: Path) -> None:
    checkout_path = path.relative_to(ROOT).as_posix()
    short_name = checkout_path.removeprefix("configs/").removesuffix(".yaml")
    for name in (short_name, f"{short_name}.yaml", checkout_path):
        config = find_config(name)
        assert Path(config).read_bytes() == path.read_bytes()
        assert recorded_name(config) == checkout_path


def test_files_of_the_working_folder_come_first(working_folder: Path) -> None:
    (working_folder / "configs" / "paper").mkdir(parents=True)
    (working_folder / "configs" / "paper" / "stir.yaml").write_text("{}")
    assert find_config("paper/stir") == "configs/paper/stir.yaml"
    (working_folder / "stir").write_text("{}")
    assert find_config("stir") == "stir"
    assert recorded_name("stir") == "stir"
    assert find_config("../stir") == "../stir", "other names are returned unchanged"


def test_only_config_options_of_a_command_line_are_resolved() -> None:
    arguments = ["--config", "stir", "-c=profiles/cpu", "--run_dir", "stir", "--config"]
    first, resolved, second, *rest = with_files(arguments)
    assert (first, rest) == ("--config", ["--run_dir", "stir", "--config"])
    assert recorded_name(resolved) == "configs/stir.yaml"
    assert recorded_name(second.removeprefix("-c=")) == "configs/profiles/cpu.yaml"


def test_only_options_of_verbs_may_be_written_with_hyphens() -> None:
    arguments = ["--run-dir", "a-b", "--ckpt-path=a-b.ckpt", "--model.no-such", "--data.a-b=c-d"]
    parsed = with_files([*arguments, "--config=profiles/none-such", "--trainer.max_epochs", "-1"])
    assert parsed[:5] == ["--run_dir", "a-b", "--ckpt_path=a-b.ckpt", *arguments[3:]]
    assert parsed[5:] == ["--config=profiles/none-such", "--trainer.max_epochs", "-1"]


def test_a_run_outside_the_checkout_records_the_configuration_paths_of_the_checkout(
    working_folder: Path,
) -> None:
    tiny_archive(working_folder / "data" / "scenes.h5", planes=161, height=32, width=48)
    names = ["--config", "classical/tfi9", "--config", "profiles/smoke", "--run_dir", "run"]
    assert main(["test", *names, "--trainer.enable_progress_bar", "false"]) == 0
    result = RunResult.read(working_folder / "run" / "test")
    assert result.configs == ["configs/classical/tfi9.yaml", "configs/profiles/smoke.yaml"]
    assert (result.variant, result.profile) == ("tfi9", "smoke")


def test_an_unknown_name_is_rejected_with_the_closest_one() -> None:
    message = r"paper/stri: there is no such configuration file\. Did you mean 'paper/stir'\?"
    with pytest.raises(MissingFileError, match=message):
        check_configs(["--config", "paper/stri"])


def test_sweeps_accept_only_shipped_profiles() -> None:
    check_profile("cpu")
    with pytest.raises(
        MissingFileError, match=r"Did you mean 'smoke'\? Known are cpu, gpu, long, longer, paper"
    ):
        check_profile("smok")


def test_a_summary_is_the_first_sentence_of_the_comment(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("# Of two\n# lines (A et al., 2024).  Run:\n#   it\nmodel: {}\n# other\n")
    assert summary_of(file) == "Of two lines (A et al., 2024)."


def test_the_options_of_the_trainer_are_those_of_lightning() -> None:
    expected = [*inspect.signature(Trainer.__init__).parameters][1:]
    assert class_arguments("lightning.pytorch.trainer.trainer.Trainer") == {*expected}


def test_the_options_of_models_and_data_are_those_of_their_classes() -> None:
    parts = [
        part
        for file in shipped_configs().values()
        for part in map(read_yaml(file).get, ("model", "data"))
        if isinstance(part, dict) and "class_path" in part
    ]
    classes = {part["class_path"] for part in parts}
    assert len(classes) > 15
    for class_path in classes:
        assert class_arguments(class_path) == {*argument_defaults(class_path)}, class_path
    assert class_arguments("collections.Counter") is None


def test_an_unknown_option_is_rejected_without_torch(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("trainer: {max_epoch: 3}")
    (tmp_path / "data.yaml").write_text("data: {init_args: {archve: a.h5}}")
    code = """
import sys
from spike_zoo.cli.main import main
codes = [main(["fit", "--config", "stir", *given.split()]) for given in sys.argv[1:]]
sys.exit({*codes} != {2} or "torch" in sys.modules)
"""
    done = run_python(
        code,
        "--trainer.max_epoch=3",
        "--model.init_args.lerning_rate=1",
        "--model.lerning_rate 1",
        "--data.init_args.archve a.h5",
        "--data.archve=a.h5",
        "--model spike_zoo.methods.plain.PlainModule --model.init_args.chanels 8",
        f"--config {tmp_path / 'own.yaml'}",
        f"--config {tmp_path / 'data.yaml'}",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Did you mean") == 8
