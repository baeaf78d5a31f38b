"""Tests of the command ``sweep``: planning, early errors, resuming."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from spike_zoo.training.result import RunResult
from spike_zoo.training.stored import read_records
from tests.conftest import ROOT
from tests.helpers.commands import Zoo
from tests.helpers.measured import expected_psnr
from tests.helpers.processes import run_in_process
from tests.helpers.wandb_server import SweepServer

TFI = "spike_zoo.methods.classical.TFIModule"
SWEEP = "sweep experiments/own/sweep.yaml --profile smoke"


@pytest.fixture
def project(clips_archive: Path, tmp_path: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with configurations, two variants, a sweep and a table."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    folder = tmp_path / "experiments" / "own"
    (folder / "variants").mkdir(parents=True)
    for average in (1, 9):
        model = {"class_path": TFI, "init_args": {"average": average}}
        _write(folder / "variants" / f"tfi_{average}.yaml", {"model": model})
    _write(folder / "sweep.yaml", _sweep(clips_archive))
    rows = [{"name": n, "variant": f"variants/{n}.yaml"} for n in ("tfi_1", "tfi_9")]
    table = {"title": "Own", "columns": ["test/psnr", "macs"], "rows": rows}
    _write(folder / "table.yaml", table)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content))


def _sweep(archive: Path, **parameters: Any) -> dict[str, Any]:
    variants = [f"experiments/own/variants/tfi_{average}.yaml" for average in (1, 9)]
    return {
        "name": "own",
        "method": "grid",
        "parameters": {"config": {"values": variants}, **parameters},
        "command": [
            *("${env}", "${interpreter}", "-m", "spike_zoo", "test"),
            "--config=configs/classical/tfi.yaml",
            "--config=configs/profiles/${envvar:PROFILE}.yaml",
            f"--data.init_args.archive={archive}",
            "--run_dir=runs/own/{profile}/{variant}-{seed}-{hash}",
            "${args}",
        ],
    }


def test_a_rule_to_stop_runs_is_reported_as_not_applied(
    project: Path, clips_archive: Path, zoo: Zoo
) -> None:
    rule = {"early_terminate": {"type": "hyperband", "min_iter": 3}, "controller": {"type": "x"}}
    _write(project / "sweep.yaml", {**_sweep(clips_archive), **rule})
    printed = zoo(f"{SWEEP} --dry_run").err
    assert "sweep.yaml: early_terminate is not applied" in printed
    assert "sweep.yaml: controller is not applied" in printed


def test_a_profile_that_no_command_reads_may_be_missing(
    project: Path, clips_archive: Path, zoo: Zoo
) -> None:
    line = "sweep experiments/own/sweep.yaml --profile mine --dry_run"
    assert "profiles/mine.yaml: there is no such profile" in zoo(line).err
    sweep = _sweep(clips_archive)
    sweep["command"] = [part for part in sweep["command"] if "PROFILE" not in part]
    _write(project / "sweep.yaml", sweep)
    assert zoo(line).out.count("python -m spike_zoo test") == 2


def test_a_dry_run_shows_every_command_and_starts_none(project: Path, zoo: Zoo) -> None:
    output = zoo(f"{SWEEP} --dry_run")
    assert output.code == 0
    assert output.out.count("python -m spike_zoo test") == 2
    assert "--config=experiments/own/variants/tfi_9.yaml" in output.out
    assert "2 runs, 0 finished, 2 to do" in output.err
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_dry_run_stores_no_records_and_the_next_call_does(
    project: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in_process(monkeypatch)
    assert zoo(SWEEP).code == 0
    file = project / "results" / "smoke" / "records.jsonl"
    stored = file.read_text()
    assert len(stored.splitlines()) == 2
    file.unlink()
    assert zoo(f"{SWEEP} --dry_run").code == 0
    assert not file.exists()
    assert zoo(SWEEP).code == 0
    assert file.read_text() == stored


def test_only_the_selected_runs_are_planned(project: Path, clips_archive: Path, zoo: Zoo) -> None:
    unseeded = zoo(f"{SWEEP} --dry_run --only seed_everything=0")
    assert "has no parameter seed_everything: all its runs" in unseeded.err
    _write(project / "sweep.yaml", _sweep(clips_archive, seed_everything={"values": [0, 1, 2]}))
    output = zoo(f"{SWEEP} --dry_run --only seed_everything=1")
    assert output.code == 0
    assert "2 runs, 0 finished, 2 to do" in output.err
    assert output.out.count("--seed_everything=1") == 2
    row = "config=experiments/own/variants/tfi_9.yaml"
    assert "1 runs, 0 finished" in zoo(f"{SWEEP} --dry_run --only seed_everything=1 {row}").err
    for selection, message in (
        ("seed_everything=7", "seed_everything at 0, 1, 2"),
        ("seed_everything", "write NAME=VALUE"),
        ("sed_everything=0", "are config, seed_everything. Did you mean 'seed_everything'?"),
    ):
        output = zoo(f"{SWEEP} --dry_run --only {selection}")
        assert output.code == 2
        assert message in output.err
        assert not output.out, "nothing is planned"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"config": {"value": "variants/tfi.yaml"}}, "tfi.yaml: there is no such configuration"),
        ({"model.init_args.average": {"values": [1, "many"]}}, "many"),
        ({"data.init_args.archive": {"value": "data/none.h5"}}, "none.h5: there is no such"),
        ({"trainer.logger": {"values": ["null", "false"]}}, "the same run"),
    ],
)
def test_a_mistake_in_a_parameter_is_named_before_the_first_run(
    parameters: dict[str, Any], message: str, project: Path, clips_archive: Path, zoo: Zoo
) -> None:
    _write(project / "sweep.yaml", _sweep(clips_archive, **parameters))
    error = zoo(SWEEP).err
    assert error.count("error:") == 1
    assert "own/sweep.yaml" in error
    assert message in error
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("variants/tfi_9.yaml", "average:", "averge:", "model.init_args.averge: unknown key"),
        ("table.yaml", "test/psnr", "test/pnsr", "test/pnsr"),
    ],
)
def test_a_mistake_in_a_file_is_named_before_the_first_run(
    file: str, old: str, new: str, message: str, project: Path, zoo: Zoo
) -> None:
    path = project / file
    path.write_text(path.read_text().replace(old, new))
    error = zoo(SWEEP).err
    assert path.name in error
    assert message in error
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_sweep_stores_its_records_and_skips_finished_runs(
    project: Path, clips_archive: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in_process(monkeypatch)
    output = zoo(SWEEP)
    assert output.code == 0
    assert "results: experiments/own/results/smoke" in output.out
    assert "no run of this profile is finished" in output.err
    file = project / "results/smoke/records.jsonl"
    records = read_records(file)
    assert records.keys() == {"tfi_1-0", "tfi_9-0"}
    for result in (record.result for record in records.values()):
        expected = expected_psnr(result, clips_archive)
        assert result.metrics["test/psnr"] == pytest.approx(expected, abs=0.01)
    shutil.rmtree("runs")  # as in a fresh checkout: the stored records suffice
    stamp = file.stat().st_mtime_ns
    assert "2 runs, 2 finished, 0 to do" in zoo(SWEEP).err
    assert file.stat().st_mtime_ns == stamp
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if '"name":"tfi_1-0"' not in line))
    output = zoo(f"{SWEEP} --dry_run")
    assert output.code == 0
    assert output.out.count("spike_zoo test") == 1
    assert "about" in output.err, "the duration is estimated from the finished run"


def test_failed_runs_are_named_and_repeated_only_with_retry(
    project: Path, monkeypatch: pytest.MonkeyPatch, zoo: Zoo
) -> None:
    (project / "sitecustomize.py").write_text("raise SystemExit(0)")  # ends every run immediately
    monkeypatch.setenv("PYTHONPATH", str(project))
    output = zoo(f"{SWEEP} --jobs 2")
    assert output.code == 1
    assert "failed: tfi_9-0: runs/own/smoke/tfi_9-0-" in output.err
    assert "2 runs failed; --retry runs them again" in output.err
    assert "results:" in output.out
    assert "0 finished, 2 failed before (--retry runs them again), 0 to do" in zoo(SWEEP).err
    assert zoo(f"{SWEEP} --retry --dry_run").out.count("spike_zoo test") == 2


@pytest.mark.slow
def test_the_wandb_agent_runs_the_same_sweep_file_and_writes_the_same_records(
    project: Path, monkeypatch: pytest.MonkeyPatch, zoo: Zoo
) -> None:
    pytest.importorskip("sweeps")
    interpreters = Path(sys.executable).parent
    monkeypatch.setenv("PATH", os.pathsep.join([str(interpreters), os.environ["PATH"]]))
    monkeypatch.setenv("HOME", str(project))  # the wandb client writes to HOME
    with SweepServer() as server:
        environment = {**os.environ, **server.environment, "PROFILE": "smoke"}
        client = str(interpreters / "wandb")
        for call in (["sweep", "experiments/own/sweep.yaml"], ["agent", "me/zoo/swept"]):
            process = subprocess.run(
                [client, *call], env=environment, capture_output=True, text=True
            )
            assert process.returncode == 0, process.stderr
    assert server.warnings == []
    assert [Path(point["config"]).stem for point in server.proposed] == ["tfi_1", "tfi_9"]
    folders = sorted(Path("runs/own/smoke").iterdir())
    assert [folder.name[:7] for folder in folders] == ["tfi_1-0", "tfi_9-0"]
    for folder, name in zip(folders, ("run1", "run2"), strict=True):
        assert RunResult.read(folder / "test").variant == folder.name[:5]
        assert len(list((folder / "test" / "wandb").glob(f"offline-run-*-{name}"))) == 1
    assert "2 runs, 2 finished, 0 to do" in zoo(SWEEP).err
    assert len((project / "results/smoke/records.jsonl").read_text().splitlines()) == 2
