"""Study: adapt `plain` to a camera by recordings without images; docs/without-truth.md.

The recordings are simulated, so that the truth is known. One run each:

- `adapted`: the configuration `finetune`, which uses no images.
- `truth`: the same with the images of the same recordings, as an upper bound.
- `plain` and `tfi-aligned`: no training.

    python -m experiments.without_truth --conditions lowlight-0.3 --methods plain adapted

Runs in the record are skipped, so that an interrupted command continues.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

import spike_zoo
from spike_zoo.archive import ArchiveWriter, SpikeArchive
from spike_zoo.cli.main import main as spike_zoo_command
from spike_zoo.metrics import psnr
from spike_zoo.simulation import NOISE_PRESETS, default_scenes, simulate_take
from spike_zoo.simulation.scenes.photograph_sets import photograph_set
from spike_zoo.training.result import RunResult

if TYPE_CHECKING:
    from collections.abc import Sequence

CONDITIONS: Final = {
    "lowlight-0.6": ("lowlight-v1", 0.6),
    "lowlight-0.3": ("lowlight-v1", 0.3),
    "lowlight-0.1": ("lowlight-v1", 0.1),
    "trained": None,
}
"""Noise preset and rate scale; None: cameras like those of the training archive of `plain`."""
UNTRAINED: Final = ("plain", "tfi-aligned")
TRAINED: Final = {
    "adapted": (),
    "truth": ("--data.init_args.targets", "null"),
}
KEYS: Final = ("condition", "method", "seed")  # of a run in the record
SPLITS: Final = {"train": 8, "val": 2, "test": 9}  # recordings
SIDE, PLANES, MARGIN, STRIDE = 128, 201, 40, 20
SEED, SENSOR = 5, 11  # of scenes, of fixed patterns


def write_archive(path: Path, condition: str) -> None:
    """Simulate recordings of one camera, with images."""
    size: Any = {"height": SIDE, "width": SIDE, "planes": PLANES}
    size["photographs"] = photograph_set("default")
    own = SPLITS["train"] + SPLITS["val"]
    scenes = default_scenes("train", own, SEED, training="photographs", **size)
    scenes += default_scenes("test", SPLITS["test"], SEED, testing="photographs", **size)
    splits = [split for split, count in SPLITS.items() for _ in range(count)]
    with ArchiveWriter(path) as writer:
        for scene, split in zip(scenes, splits, strict=True):
            if (camera := CONDITIONS[condition]) is not None:
                scene = replace(scene, noise=camera[0], rate_scale=camera[1])
            noise = replace(NOISE_PRESETS[scene.noise], sensor=SENSOR)
            take = simulate_take(scene, margin=MARGIN, image_stride=STRIDE, noise=noise)
            writer.add(f"{split}-{scene.name}", take, split=split)


def fitted(archive: Path, method: str, seed: int, run_dir: Path) -> tuple[Path, dict[str, Any]]:
    """Run `fit` and return the best checkpoint and the results."""
    start = time.process_time()
    options = ["--data.init_args.archive", str(archive), "--run_dir", str(run_dir)]
    options += ["--seed_everything", str(seed), "--trainer.enable_progress_bar", "false"]
    if spike_zoo_command(["fit", "--config", "finetune", *options, *TRAINED[method]]) != 0:
        raise SystemExit(f"fit failed: {method} of {archive}")
    metrics = RunResult.read(run_dir).metrics
    validation = {name: value for name, value in metrics.items() if name.startswith("val/")}
    seconds = round(time.process_time() - start)
    return run_dir / "checkpoints" / "best.ckpt", {**validation, "processor seconds": seconds}


def psnr_of(method: Any, archive: Path, dark: float) -> dict[str, dict[str, float]]:  # noqa: ANN401  (a ClipReconstruction)
    """Return the mean PSNR of all test images and of those of each speed, in dB.

    Args:
        method: Method.
        archive: Archive with images.
        dark: Dark spikes per plane, which are subtracted from the images for the second result.
    """
    values: dict[str, dict[str, list[float]]] = {"psnr": {}, "psnr without dark": {}}
    with SpikeArchive(archive) as opened:
        for name in opened.names("test"):
            recording, planes = opened[name], opened.image_index(name).tolist()
            images = method.reconstruct(recording, planes)
            truths = torch.from_numpy(opened.images(name))[:, None] / 255
            assert recording.rate_scale is not None
            for kind, offset in zip(values, (0.0, dark / recording.rate_scale), strict=True):
                psnrs = psnr((images - offset).clamp(0, 1), truths).tolist()
                for key in (name.split("-")[-2], "all"):
                    values[kind].setdefault(key, []).extend(psnrs)
    return {
        kind: {key: round(sum(x) / len(x), 2) for key, x in parts.items()}
        for kind, parts in values.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all conditions, methods and seeds that the record lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    methods = [*UNTRAINED, *TRAINED]
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("experiments/heldout/without_truth.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    record = json.loads(options.out.read_text()) if options.out.exists() else []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = [tuple(row[key] for key in KEYS) for row in record]
    for condition in options.conditions:
        camera = CONDITIONS[condition]
        dark = NOISE_PRESETS[camera[0]].dark if camera else 0.0
        wanted = [
            (condition, method, seed)
            for method in options.methods
            for seed in (options.seeds if method in TRAINED else [0])
        ]
        missing = [run for run in wanted if run not in done]
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "camera.h5"
            if missing:
                write_archive(archive, condition)
            for _, method, seed in missing:
                weights, result = method, dict[str, Any]()
                if method in TRAINED:
                    run_dir = Path(folder) / f"{method}-{seed}"
                    weights, result = fitted(archive, method, seed, run_dir)
                row = dict(zip(KEYS, (condition, method, seed), strict=True)) | result
                record.append(row | psnr_of(spike_zoo.load(weights), archive, dark))
                lines = ",\n".join(json.dumps(each) for each in record)
                options.out.write_text(f"[\n{lines}\n]\n")
                print(lines.rpartition("\n")[2], flush=True)


if __name__ == "__main__":
    main()
