"""Reading and validation of sweep files and ``needs.yaml``."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.tables.sweeps.spec import needed_first, read_sweep
from tests.conftest import ROOT
from tests.helpers.variants import profiles_of

SWEEPS = sorted((ROOT / "experiments").glob("*/sweep*.yaml"))
SMALL: dict[str, Any] = {
    "name": "small",
    "method": "grid",
    "parameters": {"seed_everything": {"values": [0, 1]}},
    "command": ["${args}"],
}


def _write(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_wandbs_own_schema_accepts_every_committed_sweep(path: Path) -> None:
    schema = pytest.importorskip("sweeps.config.schema")
    content = yaml.safe_load(path.read_text())
    del content["command"]  # the schema only requires a list
    content.pop("run_cap", None)  # newer than the installed schema
    assert list(schema.validator.iter_errors(content)) == []
    assert read_sweep(path).name


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_committed_sweep_runs_under_the_profile_of_the_environment(path: Path) -> None:
    spec = read_sweep(path)
    assert any("profiles/${envvar:PROFILE}" in part for part in spec.command)
    assert spec.command[-1] == "${args}", "a variant must win over base and profile"
    stacked = [part.partition("=")[2] for part in spec.command if part.startswith("--config=")]
    files = [
        file.replace("${envvar:PROFILE}", profile.stem)
        for file in stacked
        for profile in profiles_of(path)
    ]
    files += spec.parameters.get("config", {}).get("values", [])
    assert [file for file in files if not Path(ROOT / file).is_file()] == []


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_sweep_that_trains_chooses_its_runs_by_the_test_split(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert "fit" not in content["command"] or content["metric"]["name"].startswith("val/")


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_run_validates_to_have_a_best_checkpoint(path: Path) -> None:
    files = [part.partition("=")[2] for part in read_sweep(path).command if "--config=" in part]
    for profile in ["paper"] if path.stem == "sweep_paper" else ["smoke", "cpu", "gpu"]:
        trainer: dict[str, Any] = {}
        for file in files:
            stacked = (ROOT / file.replace("${envvar:PROFILE}", profile)).read_text()
            trainer |= yaml.safe_load(stacked).get("trainer", {})
        assert trainer.get("max_epochs", 1) >= trainer.get("check_val_every_n_epoch", 1), profile


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_variants_do_not_set_options_of_profiles(path: Path) -> None:
    profiles = [yaml.safe_load(file.read_text()) for file in ROOT.glob("configs/profiles/*.yaml")]
    costs = {key for profile in profiles for key in profile.get("data", {}).get("init_args", {})}
    for file in read_sweep(path).parameters.get("config", {}).get("values", []):
        variant = yaml.safe_load((ROOT / file).read_text())
        assert "trainer" not in variant, file
        assert not costs & variant.get("data", {}).get("init_args", {}).keys(), file


def test_the_sweeps_of_a_method_cover_its_variants() -> None:
    for folder in {path.parent for path in SWEEPS}:
        listed = {
            file
            for path in SWEEPS
            if path.parent == folder
            for file in read_sweep(path).parameters.get("config", {}).get("values", [])
        }
        variants = folder.glob("variants/*.yaml")
        assert {path.relative_to(ROOT).as_posix() for path in variants} <= listed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metod": "grid"}, r"s\.yaml: unknown key 'metod'. Did you mean 'method'"),
        ({"needs": ["t.yaml"]}, r"needs: list them in needs\.yaml beside the sweep"),
        ({"parameters": {"a": [1, 2]}}, r"parameters\.a: expected a mapping"),
        ({"parameters": {}}, "parameters: expected a mapping of options"),
        ({"parameters": {"a": {"vals": [1]}}}, "unknown key 'vals'. Did you mean 'values'"),
        ({"parameters": {"a": {"values": 0.25}}}, r"parameters\.a: values: expected .*list"),
        ({"parameters": {"a": {"values": []}}}, "expected values"),
        ({"parameters": {"a": {"values": [1, None]}}}, "write 'null'"),
        ({"parameters": {"a": {"min": 1}}}, r"parameters\.a: a grid needs 'value', 'values' or"),
        ({"parameters": {"a": {"min": 5, "max": 3}}}, r"parameters\.a: min 5 is above max 3"),
        ({"parameters": {"a": {"min": 0.1, "max": 0.2}}}, r"parameters\.a: m.*: expected int"),
        ({"command": "python"}, "command: expected .*, got 'python'"),
        ({"method": "gird"}, "method: expected Literal.*'grid'.*got 'gird'"),
        ({"run_cap": 0}, r"s\.yaml: run_cap: expected PositiveInt.*, got 0"),
        ({"run_cap": "many"}, "run_cap: expected PositiveInt.*, got 'many'"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_sweep(_write(tmp_path / "s.yaml", **changes))


def test_a_duplicate_key_of_a_sweep_is_rejected(tmp_path: Path) -> None:
    path = _write(tmp_path / "s.yaml")
    path.write_text(path.read_text(encoding="utf-8") + "method: random\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"s\.yaml: line \d+: the key 'method' is given twice"):
        read_sweep(path)


def test_a_missing_key_and_a_missing_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: s\nmethod: grid\nparameters: {a: {value: 1}}\n")
    with pytest.raises(ConfigError, match="the key 'command' is missing"):
        read_sweep(tmp_path / "s.yaml")
    with pytest.raises(MissingFileError, match=r"none\.yaml: there is no such sweep"):
        read_sweep(tmp_path / "none.yaml")


def test_needed_sweeps_come_first_and_once(tmp_path: Path) -> None:
    for name in ("teacher", "student", "light", "all"):
        _write(tmp_path / f"{name}.yaml", name=name)
    needs = {
        "all.yaml": ["light.yaml", "student.yaml"],
        "student.yaml": ["teacher.yaml"],
        "light.yaml": ["teacher.yaml"],
    }
    (tmp_path / "needs.yaml").write_text(yaml.safe_dump(needs))
    ordered = [spec.name for spec in needed_first(read_sweep(tmp_path / "all.yaml"))]
    assert ordered == ["teacher", "light", "student", "all"]


def test_sweeps_that_need_each_other_are_rejected(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _write(tmp_path / f"{name}.yaml")
    (tmp_path / "needs.yaml").write_text("a.yaml: [b.yaml]\nb.yaml: [a.yaml]\n")
    with pytest.raises(ConfigError, match=r"need each other: .*a\.yaml -> .*b\.yaml -> .*a\.yaml"):
        needed_first(read_sweep(tmp_path / "a.yaml"))


def test_a_missing_required_sweep_is_named(tmp_path: Path) -> None:
    _write(tmp_path / "a.yaml")
    (tmp_path / "needs.yaml").write_text("a.yaml: [techer.yaml]\n")
    with pytest.raises(MissingFileError, match=r"needs\.yaml: techer\.yaml"):
        read_sweep(tmp_path / "a.yaml")


def test_a_sweep_of_another_folder_may_be_needed(tmp_path: Path) -> None:
    for name in ("teacher", "student"):
        (tmp_path / name).mkdir()
        _write(tmp_path / name / "sweep.yaml", name=name)
    (tmp_path / "student" / "needs.yaml").write_text("sweep.yaml: [../teacher/sweep.yaml]\n")
    ordered = needed_first(read_sweep(tmp_path / "student" / "sweep.yaml"))
    assert [spec.name for spec in ordered] == ["teacher", "student"]


def test_archives_and_tables_are_read_from_the_needs_file(tmp_path: Path) -> None:
    for method in ("own", "other"):
        (tmp_path / method).mkdir()
        (tmp_path / method / "table.yaml").write_text("title: x\n")
    needs = "archives:\n  data/own.h5: simulate --kind deblur\ntables:\n  other: beside ours\n"
    (tmp_path / "own" / "needs.yaml").write_text(f"{needs}b.yaml: [a.yaml]\n")
    _write(tmp_path / "own" / "a.yaml", name="a")
    spec = read_sweep(_write(tmp_path / "own" / "b.yaml"))
    assert spec.archives == {"data/own.h5": "simulate --kind deblur"}
    assert [path.name for path in spec.needs] == ["a.yaml"]


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ("archives: [data/own.h5]", r"needs\.yaml: archives: expected"),
        ("archives: {data/own.h5: [simulate]}", "archives: expected"),
        ("tables: {othr: beside ours}", r"needs\.yaml: tables: othr: there is no .*table\.yaml"),
    ],
)
def test_an_invalid_entry_of_needs_is_rejected_by_name(
    tmp_path: Path, needs: str, message: str
) -> None:
    (tmp_path / "needs.yaml").write_text(needs)
    with pytest.raises((ConfigError, MissingFileError), match=message):
        read_sweep(_write(tmp_path / "a.yaml"))


def test_a_sweep_is_read_by_a_relative_path_from_its_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A relative path has no parent folder; the required tables are in a sibling of the folder."""
    monkeypatch.chdir(ROOT / "experiments" / "stir")
    command = "simulate --testing photographs --test 24"
    assert read_sweep("sweep.yaml").archives == {"data/default.h5": command}


def test_a_sweep_without_a_name_is_called_after_its_file(tmp_path: Path) -> None:
    content = {key: value for key, value in SMALL.items() if key != "name"}
    (tmp_path / "widths.yaml").write_text(yaml.safe_dump(content))
    assert read_sweep(tmp_path / "widths.yaml").name == "widths"
