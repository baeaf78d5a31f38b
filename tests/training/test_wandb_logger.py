"""W&B logger: offline fallback, no prompts, no secrets, and later upload."""

import json
import os
import pty
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from spike_zoo.testing import tiny_archive
from spike_zoo.training.result import RunResult
from spike_zoo.training.wandb_logger import SafeWandbLogger, valid_names, valid_settings
from tests.conftest import ROOT
from tests.helpers.processes import run_python
from tests.helpers.wandb_cloud import KEY, WandbCloud
from tests.helpers.wandb_files import history_of, records_of, updates_of

PLANTED = "planted0planted0planted0planted0planted0"
WANDB = Path(sys.executable).with_name("wandb")
LOG_ONE_VALUE = """
from pathlib import Path
from spike_zoo.training.wandb_logger import SafeWandbLogger, finish_wandb
logger = SafeWandbLogger(project="zoo")
logger.describe("a-run", folder=Path("run"), group="a", job_type="fit", is_resumed=RESUMED)
logger.log_metrics({"val/psnr": 30.0}, 3)
finish_wandb()
""".replace("RESUMED", "False")

#: Variable -> invalid value.
VARIABLES = {
    "WANDB_BASE_URL": "without.scheme",
    "WANDB_HTTP_TIMEOUT": "soon",
    "WANDB_MODE": "sometimes",
    "WANDB_PROJECT": "a/b",
    "WANDB_RUN_ID": "a/b",
    "WANDB_RESUME": "perhaps",
    "WANDB_SILENT": "quietly",
    "WANDB_SERVICE": "3-99999-tcp-localhost-1",  # its process has ended
}
LOG_WITH_VARIABLES = f"""
import os, sys
from pathlib import Path
from spike_zoo.training.wandb_logger import SafeWandbLogger, finish_wandb
os.environ.update({VARIABLES!r})
folder = Path(sys.argv[1])
logger = SafeWandbLogger(offline=True, save_dir=sys.argv[1], settings={{"nothing": 1}})
logger.describe("a-run", folder=folder, group="a", job_type="fit")
logger.log_metrics({{"val/psnr": 30.0}}, 3)
finish_wandb()
"""


@dataclass
class Fit:
    """Finished fit: its folder, its working directory, and its output."""

    run_dir: Path
    home: Path
    output: str

    @property
    def wandb_run(self) -> Path:
        (folder,) = self.run_dir.glob("wandb/*run-*-*")
        return folder


def _environment(home: Path, **variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return {**inherited, "HOME": str(home), "OMP_NUM_THREADS": "1", **variables}


def _run(home: Path, *command: object, timeout: float, **variables: str) -> str:
    """Run a command in a folder and return its output."""
    process = subprocess.run(
        [str(part) for part in command],
        cwd=home,
        env=_environment(home, **variables),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout + process.stderr


def _fit(home: Path, logger: str, **variables: str) -> Fit:
    """Run a fit in a checkout whose git remote contains a token."""
    shutil.copytree(ROOT / "configs", home / "configs")
    archive = tiny_archive(home / "tiny.h5", planes=181, height=48, width=64, stride=20)
    for call in (["init", "-q"], ["remote", "add", "origin", f"https://{PLANTED}:x@example.org/z"]):
        subprocess.run(["git", *call], cwd=home, check=True)
    files = ["configs/stir_demo.yaml", "configs/profiles/smoke.yaml", f"configs/loggers/{logger}"]
    command = [sys.executable, "-m", "spike_zoo", "fit", "--run_dir", str(home / "runs" / "a-run")]
    command += [part for file in files for part in ("--config", file)]
    command += ["--data.init_args.archive", str(archive), "--model.init_args.width", "0.25"]
    command += ["--trainer.limit_test_batches", "2"]  # a video has at least two images
    output = _run(home, *command, timeout=300, SECRET_TOKEN=PLANTED, **variables)
    return Fit(home / "runs" / "a-run", home, output)


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Fit:
    home = tmp_path_factory.mktemp("offline")
    return _fit(home, "wandb_offline.yaml", WANDB_API_KEY=PLANTED)


@pytest.fixture(scope="module")
def cloud() -> Any:
    with WandbCloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def online(cloud: WandbCloud, tmp_path_factory: pytest.TempPathFactory) -> Fit:
    return _fit(tmp_path_factory.mktemp("online"), "wandb.yaml", **cloud.environment)


@pytest.mark.slow
def test_an_offline_run_is_complete_and_named_after_its_folder_and_variant(offline: Fit) -> None:
    records = records_of(offline.wandb_run)
    run = next(record.run for record in records if record.HasField("run"))
    assert (run.display_name, run.run_group, run.job_type) == ("a-run", "stir_demo", "fit")
    assert set(run.tags) == {"stir", "smoke"}
    result = RunResult.read(offline.run_dir)
    config = updates_of(records, "config")["config"]
    assert config["model"] == result.config["model"]
    assert config["trainer"]["max_epochs"] == 2
    summary = updates_of(records, "summary")
    for name in ("parameters", "macs", "data_sha256", "commit", "config_hash"):
        assert summary[name] == getattr(result, name)
    logged = {name: value for row in history_of(records) for name, value in row.items()}
    assert logged["test/psnr"] == pytest.approx(result.metrics["test/psnr"])
    assert logged["trainer/global_step"] == 4, "the test is logged at the last step of the fit"
    assert any(record.HasField("stats") for record in records), "system metrics are on"
    assert any(record.HasField("exit") for record in records)


@pytest.mark.slow
def test_images_and_video_name_recording_and_planes(offline: Fit) -> None:
    rows = history_of(records_of(offline.wandb_run))
    logged = {name: value for row in rows for name, value in row.items()}
    assert logged["val/sample_0/captions"] == ["val-0, plane 30"]
    assert logged["test/video/captions"] == ["test-0, planes 30 to 90"]
    media = offline.wandb_run / "files" / "media"
    assert len(list(media.rglob("*.mp4"))) == 1
    assert len(list(media.glob("images/val/sample_0_*.png"))) == 2, "one image per validation"


@pytest.mark.slow
def test_sync_uploads_an_offline_run_without_anything_secret(offline: Fit, tmp_path: Path) -> None:
    with WandbCloud() as cloud:
        _run(tmp_path, WANDB, "sync", offline.wandb_run, timeout=120, **cloud.environment)
    (run,) = cloud.runs.values()
    assert (run["displayName"], run["groupName"]) == ("a-run", "stir_demo")
    result = RunResult.read(offline.run_dir)
    name = run["name"]
    summary = json.loads(cloud.files[f"{name}/wandb-summary.json"].splitlines()[-1])
    assert summary["test/psnr"] == pytest.approx(result.metrics["test/psnr"])
    media = offline.wandb_run / "files"
    for file in media.glob("media/**/*.*"):
        assert cloud.files[f"{name}/{file.relative_to(media)}"] == file.read_bytes()
    assert not any(PLANTED.encode() in sent for sent in cloud.received)


@pytest.mark.slow
def test_files_of_an_offline_run_contain_no_secret_and_no_home_folder(offline: Fit) -> None:
    for file in offline.run_dir.rglob("*"):
        if file.is_file():
            assert PLANTED.encode() not in file.read_bytes(), file
    (record,) = offline.wandb_run.glob("*.wandb")
    assert str(offline.home).encode() not in record.read_bytes()
    assert socket.gethostname() not in {r.run.host for r in records_of(offline.wandb_run)}
    assert not any(r.HasField("environment") for r in records_of(offline.wandb_run))


@pytest.mark.slow
def test_checkpoints_of_an_online_run_are_artefacts_that_can_be_loaded_and_tested(
    online: Fit, cloud: WandbCloud
) -> None:
    assert {"a-run:best", "a-run:last"} <= cloud.artifacts.keys()
    assert {artifact["artifactTypeName"] for artifact in cloud.artifacts.values()} == {"model"}
    for sent in cloud.received:
        assert str(online.home).encode() not in sent, sent[:100]
    script = (
        "import spike_zoo, torch\n"
        "module = spike_zoo.load('wandb:me/spike_zoo/a-run:last')\n"
        "torch.save(module.state_dict(), 'loaded.pt')\n"
    )
    _run(online.home, sys.executable, "-c", script, timeout=120, **cloud.environment)
    loaded = torch.load(online.home / "loaded.pt", weights_only=True)
    file = online.run_dir / "checkpoints" / "last.ckpt"
    for name, value in torch.load(file, weights_only=True)["state_dict"].items():
        assert torch.equal(loaded[name], value)
    command = [sys.executable, "-m", "spike_zoo", "test"]
    command += ["--config", str(online.run_dir / "config.yaml"), "--trainer.logger", "null"]
    command += ["--ckpt_path", "wandb:spike_zoo/a-run"]
    _run(online.home, *command, timeout=300, **cloud.environment)
    psnr = RunResult.read(online.run_dir / "test").metrics["test/psnr"]
    assert psnr == pytest.approx(RunResult.read(online.run_dir).metrics["test/psnr"], abs=1e-4)


@pytest.mark.slow
def test_a_run_without_an_account_continues_offline_with_one_message(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()  # at a terminal, W&B would prompt
    process = subprocess.run(
        [sys.executable, "-W", "always", "-c", LOG_ONE_VALUE],
        cwd=tmp_path,
        env=_environment(tmp_path),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        timeout=120,
    )
    output = _read_all(controller, terminal)
    assert process.returncode == 0, output
    (run,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert output.count("W&B is offline for this run (no account") == 1
    assert f"wandb sync run/wandb/{run.name}" in output
    assert {"val/psnr": 30.0} in history_of(records_of(run))


@pytest.mark.slow
def test_a_run_without_a_network_continues_offline(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    call = [sys.executable, "-c", LOG_ONE_VALUE]
    output = _run(tmp_path, *call, timeout=120, WANDB_BASE_URL=url, WANDB_API_KEY=KEY)
    assert output.count("W&B is offline for this run") == 1
    (run,) = (tmp_path / "run" / "wandb").glob("*run-*-*")
    assert {"val/psnr": 30.0} in history_of(records_of(run))


@pytest.mark.slow
def test_a_resumed_run_continues_the_same_online_run(tmp_path: Path) -> None:
    with WandbCloud() as cloud:
        for is_resumed in ("False", "True"):
            script = LOG_ONE_VALUE.replace("is_resumed=False", f"is_resumed={is_resumed}")
            _run(tmp_path, sys.executable, "-c", script, timeout=120, **cloud.environment)
    assert len(cloud.runs) == 1


@pytest.mark.parametrize("run_id", ["1frwexxp", "job-17-a"])
def test_the_id_of_a_resumed_run_is_all_after_the_time(tmp_path: Path, run_id: str) -> None:
    (tmp_path / "wandb" / f"run-20260101_120000-{run_id}").mkdir(parents=True)
    logger = SafeWandbLogger()
    logger.describe("a", folder=tmp_path, group="g", job_type="fit", is_resumed=True)
    assert logger._wandb_init["id"] == run_id


def _read_all(controller: int, terminal: int) -> str:
    os.close(terminal)
    content = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # Linux raises it if the other end is closed
            break
        if not part:
            break
        content += part
    os.close(controller)
    return content.decode()


@pytest.mark.slow
def test_a_run_with_invalid_variables_and_settings_is_logged_and_names_them(
    tmp_path: object,
) -> None:
    process = run_python(LOG_WITH_VARIABLES, str(tmp_path))
    assert process.returncode == 0, process.stderr
    for name in VARIABLES:
        assert f"W&B: variable {name} is ignored" in process.stderr
    assert "W&B: logger settings nothing is ignored" in process.stderr


def test_valid_settings_are_kept() -> None:
    assert valid_settings({"init_timeout": 3.0}) == {"init_timeout": 3.0}


def test_reserved_characters_in_names_are_replaced_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"W&B: project 'a/b' is changed to 'a-b'"):
        assert valid_names({"project": "a/b", "id": None}) == {"project": "a-b", "id": None}
