"""Planned runs of a sweep: names, folders, data and dependencies."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spike_zoo import SpikeArchive
from spike_zoo.errors import ConfigError, MissingFileError
from spike_zoo.tables.sweeps import plan as sweep_plan
from spike_zoo.tables.sweeps.line_reader import LineReader
from spike_zoo.tables.sweeps.plan import check_profile, check_tables, planned_runs
from spike_zoo.tables.sweeps.points import only_points, points_of
from spike_zoo.tables.sweeps.records import PlannedRun, record_of, with_origins
from spike_zoo.tables.sweeps.spec import SweepSpec, needed_first, read_sweep
from spike_zoo.training.initial_weights import weights_sha256
from spike_zoo.training.stored import read_records
from spike_zoo.utils.files import weights_file
from tests.conftest import ROOT
from tests.helpers.results import make_result
from tests.helpers.tables import SPEC, write_spec

VARIANTS = ["configs/classical/tfi.yaml", "configs/classical/tfi9.yaml"]


@pytest.fixture(autouse=True)
def _run_in_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="module")
def reader() -> LineReader:
    return LineReader()


@pytest.fixture
def spec(clips_archive: Path, tmp_path: Path) -> SweepSpec:
    command = (
        *("python", "-m", "spike_zoo", "test", "${args}"),
        "--config=configs/profiles/${envvar:PROFILE}.yaml",
        f"--data.init_args.archive={clips_archive}",
        "--run_dir=runs/own/{profile}/{variant}-{seed}-{hash}",
    )
    parameters: dict[str, Any] = {"config": {"values": VARIANTS}}
    return SweepSpec(tmp_path / "sweep.yaml", "own", "grid", parameters, command)


def _planned(
    spec: SweepSpec, reader: LineReader, profile: str = "smoke", *only: str
) -> list[PlannedRun]:
    points = only_points(points_of(spec), *only)
    return planned_runs(spec, points, {"PROFILE": profile}, reader)


def test_a_run_is_named_after_variant_and_seed_and_has_the_folder_of_its_command(
    spec: SweepSpec, reader: LineReader, clips_archive: Path
) -> None:
    runs = _planned(spec, reader)
    assert [run.name for run in runs] == ["tfi-0", "tfi9-0"]
    with SpikeArchive(clips_archive) as archive:
        digest = archive.data_sha256()
    for run in runs:
        assert run.run_dir == Path(f"runs/own/smoke/{run.name}-{run.config_hash[:8]}")
        assert run.result == run.run_dir / "test" / "result.json"
        assert run.records == spec.path.parent / "results" / "smoke" / "records.jsonl"
        assert (run.profile, run.data_sha256) == ("smoke", digest)
    assert runs[0].config_hash != runs[1].config_hash


def test_a_record_of_other_shipped_weights_is_not_accepted(
    spec: SweepSpec, reader: LineReader
) -> None:
    parameters = {"config": {"values": ["experiments/sci/variants/atc_sci_x265.yaml"]}}
    (run,) = _planned(replace(spec, parameters=parameters), reader)
    key, file = "model.init_args.reconstructor", weights_file("sci")
    assert run.initial_weights[key] == str(file)
    for digest, is_alike in ((weights_sha256(file), True), ("ab" * 32, False)):
        record = make_result(begins_with={key: {"path": str(file), "sha256": digest}})
        assert run.has_same_initial_weights(record) == is_alike


def test_other_parameters_are_distinguished_by_a_stable_digest(
    spec: SweepSpec, reader: LineReader
) -> None:
    parameters: dict[str, Any] = {
        "config": {"value": VARIANTS[0]},
        "model.init_args.average": {"values": [3, 5]},
        "seed_everything": {"values": [0, 1]},
    }
    runs = _planned(replace(spec, parameters=parameters), reader)
    names = [run.name.rsplit("-", 1) for run in runs]
    assert sorted(name for name, _ in names) == ["tfi-0", "tfi-0", "tfi-1", "tfi-1"]
    assert len({digest for _, digest in names}) == 2, "one digest for each average"
    parameters["seed_everything"] = {"value": 1}
    fewer = replace(spec, parameters=parameters)
    (rerun,) = _planned(fewer, reader, "smoke", "model.init_args.average=5")
    assert rerun.name in [run.name for run in runs]


def test_a_command_that_starts_no_run_is_rejected(spec: SweepSpec, reader: LineReader) -> None:
    command = tuple(part.replace("test", "tset") for part in spec.command)
    message = r"sweep\.yaml: command: expected '-m spike_zoo VERB' in it, VERB one of fit, validate"
    with pytest.raises(ConfigError, match=message):
        _planned(replace(spec, command=command), reader)


def test_a_command_without_a_folder_names_the_missing_option(
    spec: SweepSpec, reader: LineReader
) -> None:
    message = r"command: --run_dir must be given, as --run_dir=runs/own/{profile}/{variant}-{seed}"
    with pytest.raises(ConfigError, match=message):
        _planned(replace(spec, command=spec.command[:-1]), reader)


def test_an_unknown_profile_is_rejected_with_the_closest_suggestion() -> None:
    check_profile("smoke")
    with pytest.raises(MissingFileError, match=r"somke\.yaml: .* Did you mean 'smoke'\? Known"):
        check_profile("somke")


def test_variants_missing_in_the_tables_are_listed(tmp_path: Path) -> None:
    included, missing = tmp_path / "variants" / "full.yaml", tmp_path / "variants" / "hidden.yaml"
    parameters: dict[str, Any] = {"config": {"values": [str(included), str(missing)]}}
    spec = SweepSpec(tmp_path / "sweep.yaml", "own", "grid", parameters, ("${args}",))
    assert check_tables(spec) == []
    write_spec(tmp_path)
    missing.write_text("model: {}\n")
    assert check_tables(spec) == [missing]
    write_spec(tmp_path, SPEC.replace("half.yaml", "hlaf.yaml"))
    with pytest.raises(ConfigError, match=r"table\.yaml"):
        check_tables(spec)


@pytest.mark.slow
def test_students_of_the_committed_sweeps_have_two_teachers_of_their_seed(
    monkeypatch: pytest.MonkeyPatch, reader: LineReader
) -> None:
    monkeypatch.setattr(sweep_plan, "_data_sha256", lambda *_: None)  # archives need not exist
    specs = needed_first(read_sweep(Path("experiments/ssdm/sweep.yaml")))
    runs: list[PlannedRun] = []
    for spec in specs:
        planned = _planned(spec, reader, "cpu")
        runs += with_origins(planned, runs)
    students = [
        run for run in runs if any("init_args.teacher.bsn=runs/" in part for part in run.command)
    ]
    assert students
    for run in students:
        teachers = list(run.weight_sources.values())
        assert len(teachers) == 2
        seeds = {teacher.config["seed_everything"] for teacher in teachers}
        assert seeds == {run.config["seed_everything"]}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["classical", "stir", "ssdm", "sci"])
def test_every_committed_record_counts_as_finished(
    monkeypatch: pytest.MonkeyPatch, method: str, reader: LineReader
) -> None:
    monkeypatch.setattr(sweep_plan, "_data_sha256", lambda *_: None)
    runs: list[PlannedRun] = []
    folder = Path("experiments", method)
    # sweeps of archives that no command makes, and of recognition, are not needed by sweep.yaml
    others = (folder / "sweep_samples.yaml", *sorted(folder.glob("sweep_s_*.yaml")))
    files = filter(Path.is_file, (folder / "sweep.yaml", *others))
    specs = {spec.path: spec for file in files for spec in needed_first(read_sweep(file))}
    for spec in specs.values():
        planned = _planned(spec, reader, "cpu")
        runs += with_origins(planned, runs)
    stored = read_records(folder / "results" / "cpu" / "records.jsonl")
    planned = [run for run in runs if run.name in stored]
    assert {run.name for run in planned} == stored.keys()
    assert [run.name for run in planned if record_of(run) is None] == []
