"""Every documented option of the trainer, and each of Lightning's callbacks, through the command.

The outcome is training, or one line of error; an internal error fails the test.
"""

from pathlib import Path

import pytest

from spike_zoo.cli.main import main

FIT = [
    *("fit", "--config=stir_demo", "--config=profiles/smoke", "--test_after_fit=false"),
    *("--model=tests.helpers.modules.DoubledModule", "--data.init_args.clip_length=9"),
    *("--data.init_args.crop=16", "--trainer.enable_progress_bar=false"),
    *("--trainer.max_epochs=1", "--trainer.enable_model_summary=false"),
]
#: Option of the trainer -> value, exit code.
OPTIONS: dict[str, tuple[tuple[str, int], ...]] = {
    "accelerator": (("cpu", 0), ("gpu", 2), ("nothing", 2)),
    "strategy": (("ddp", 0), ("fsdp", 2), ("deepspeed", 2), ("nothing", 2)),
    "devices": (("1", 0), ("0", 2), ("-3", 2), ("[5]", 2), ("x", 2)),
    "num_nodes": (("1", 0), ("0", 2)),
    "precision": (
        ("bf16-mixed", 0),
        ("32", 0),
        ("64-true", 2),
        ("transformer-engine", 2),
        ("x", 2),
    ),
    "logger": (("false", 0), ("true", 0), ("CSVLogger", 2), ("x.Y", 2)),
    "fast_dev_run": (("true", 0), ("2", 0), ("-1", 2), ("x", 2)),
    "max_epochs": (("1", 0), ("0", 2), ("-2", 2), ("x", 2)),
    "min_epochs": (("2", 0), ("-1", 2)),
    "max_steps": (("1", 0), ("0", 2), ("-2", 2)),
    "min_steps": (("3", 0), ("-1", 2)),
    "max_time": (("00:00:01:00", 0), ("1 hour", 2), ("{minutes: 1}", 0), ("x", 2)),
    "limit_train_batches": (("1", 0), ("0.5", 0), ("0", 2), ("-1", 2), ("1.5", 2)),
    "limit_val_batches": (("1", 0), ("0", 0), ("-1", 2), ("1.5", 2)),
    "limit_test_batches": (("1", 0), ("-1", 2)),
    "limit_predict_batches": (("1", 0), ("-1", 2)),
    "overfit_batches": (("1", 0), ("1.0", 0), ("-1", 2), ("1.5", 2)),
    "val_check_interval": (("1", 0), ("0.5", 0), ("99", 2), ("-1", 2), ("00:00:00:01", 0)),
    "check_val_every_n_epoch": (("1", 0), ("null", 0), ("0", 2)),
    "num_sanity_val_steps": (("1", 0), ("-1", 0), ("-2", 2)),
    "log_every_n_steps": (("1", 0), ("0", 0), ("-1", 2)),
    "enable_checkpointing": (("true", 0), ("false", 2)),
    "enable_progress_bar": (("true", 0),),
    "enable_model_summary": (("true", 0),),
    "accumulate_grad_batches": (("2", 0), ("0", 2), ("-1", 2)),
    "gradient_clip_val": (("1", 0), ("-1", 2)),
    "gradient_clip_algorithm": (("norm", 0), ("x", 2)),
    "deterministic": (("true", 0), ("warn", 0), ("x", 2)),
    "benchmark": (("true", 0),),
    "inference_mode": (("false", 0),),
    "use_distributed_sampler": (("false", 0),),
    "profiler": (("simple", 0), ("advanced", 0), ("pytorch", 0), ("x", 2)),
    "detect_anomaly": (("true", 0),),
    "barebones": (("true", 2),),
    "plugins": (("AsyncCheckpointIO", 0), ("x.Y", 2)),
    "sync_batchnorm": (("true", 0),),
    "reload_dataloaders_every_n_epochs": (("1", 0), ("-1", 2)),
    "default_root_dir": (("elsewhere", 0),),
    "enable_autolog_hparams": (("false", 0),),
    "model_registry": (("name", 0),),
}
#: Callback of Lightning -> options, exit code.
CALLBACKS: dict[str, tuple[tuple[list[str], int], ...]] = {
    "BackboneFinetuning": (([], 2), (["unfreeze_backbone_at_epoch=x"], 2)),
    "BatchSizeFinder": (([], 2),),
    "DeviceStatsMonitor": (([], 0), (["cpu_stats=true"], 0)),
    "EarlyStopping": ((["monitor=val/psnr"], 0), (["monitor=none"], 2), ([], 2)),
    "GradientAccumulationScheduler": ((["scheduling={0: 2}"], 0), (["scheduling={}"], 2)),
    "LambdaCallback": (([], 0),),
    "LearningRateFinder": (([], 2),),
    "LearningRateMonitor": (([], 0), (["logging_interval=x"], 2)),
    "ModelCheckpoint": (([], 0), (["monitor=none"], 2), (["save_top_k=-2"], 2)),
    "ModelPruning": ((["pruning_fn=l1_unstructured", "amount=0.5"], 0), (["pruning_fn=x"], 2)),
    "ModelSummary": ((["max_depth=2"], 0), (["max_depth=-2"], 2)),
    "OnExceptionCheckpoint": ((["dirpath=."], 0),),
    "RichModelSummary": (([], 0),),
    "RichProgressBar": (([], 2),),
    "SpikeDetection": (([], 0),),
    "StochasticWeightAveraging": ((["swa_lrs=0.01"], 2),),
    "ThroughputMonitor": ((["batch_size_fn=len"], 2),),
    "Timer": ((["duration=00:00:01:00"], 0), (["duration=x"], 2)),
    "TQDMProgressBar": (([], 2), (["refresh_rate=x"], 2)),
    "WeightAveraging": (([], 0),),
    "EMAWeightAveraging": (([], 0), (["decay=x"], 2)),
}
TRAINER = [
    pytest.param([f"--trainer.{name}={value}"], code, id=f"{name}={value}")
    for name, cases in OPTIONS.items()
    for value, code in cases
]
CALLED = [
    pytest.param(
        [f"--trainer.callbacks+={name}", *(f"--trainer.callbacks.{option}" for option in options)],
        code,
        id=" ".join([name, *options]),
    )
    for name, cases in CALLBACKS.items()
    for options, code in cases
]


@pytest.mark.slow
@pytest.mark.usefixtures("checkout")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("options", "code"), [*TRAINER, *CALLED])
def test_an_option_trains_or_is_rejected_on_one_line(
    clips_archive: Path,
    tmp_path: Path,
    options: list[str],
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = [*FIT, f"--data.init_args.archive={clips_archive}", f"--run_dir={tmp_path / 'run'}"]
    assert main([*call, *options]) == code
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == bool(code)
