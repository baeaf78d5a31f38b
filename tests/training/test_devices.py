"""Training and evaluation on a device without float64, imitated on the CPU."""

from pathlib import Path

import pytest
import torch

from spike_zoo.cli.main import main
from tests.helpers.imitated_device import DEVICE, ImitatedDevice, imitated_mac

SMALL = [
    *("--config=profiles/smoke", "--data.init_args.crop=16", "--trainer.enable_progress_bar=false"),
    *("--data.init_args.batch_size=1", "--trainer.accelerator=auto", "--trainer.max_epochs=1"),
]
pytestmark = pytest.mark.usefixtures("checkout")
STIR = ["--config=stir_demo", "--model.width=0.25", "--model.pyramid_levels=3"]


def test_the_imitated_device_rejects_what_mps_rejects() -> None:
    with ImitatedDevice():
        x = torch.arange(3).to(DEVICE)
        assert (x + 1).cpu().tolist() == [1, 2, 3]
        with pytest.raises(TypeError, match="float64"):
            x.double()
        with pytest.raises(RuntimeError, match="same device"):
            x + torch.ones(3)
        with pytest.raises(RuntimeError, match="int64"):
            torch.bincount(x)


@pytest.mark.slow
def test_a_run_on_a_device_without_float64_trains_and_evaluates(
    clips_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = [*STIR, *SMALL, f"--data.init_args.archive={clips_archive}", f"--run_dir={tmp_path}"]
    call.append("--model.protocols=[stir,uniform7]")
    with imitated_mac(monkeypatch):
        assert main(["fit", *call]) == 0
        for verb in ("validate", "predict"):
            assert main([verb, *call, "--ckpt_path=best"]) == 0
    weights = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert {type(x) for x in weights.values()} == {torch.Tensor}


def test_classical_methods_run_on_a_device_without_their_kernels(
    clips_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ["--config=classical/tfi_aligned", *SMALL, f"--run_dir={tmp_path}"]
    with imitated_mac(monkeypatch):
        assert main(["test", *call, f"--data.init_args.archive={clips_archive}"]) == 0
