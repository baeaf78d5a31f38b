"""Train `fused` on a CPU: simulate scenes, store the inputs of the network once, then update it.

    python -m experiments.fused.train runs/fused/data --scenes 1000 --updates 6600 --out runs/fused

An interrupted or finished command continues with the same arguments. With `--photographs FOLDER`,
the training photographs are those of the list in experiments/gpu in that folder, otherwise those of
the package.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from experiments.fused import scenes
from spike_zoo.checkpoints.loading import load, save_weights
from spike_zoo.methods.classical.alignment import WINDOW
from spike_zoo.methods.fused import Fused, FusedModule, psnr_loss
from spike_zoo.methods.fused.network import GAIN, IMAGES, INPUTS, MEAN_OF_NINE, shares_of
from spike_zoo.methods.plain.network import RATE_PLANES, PlainReconstruction
from spike_zoo.simulation.scenes.photograph_sets import PhotographSet, shipped_photographs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

LIST: Final = Path(__file__).parents[1] / "gpu" / "training_photographs.tsv"
POOL: Final = 1600  # scenes, of which the first ones of a fixed permutation are used
RATE, WARMUP, DECAY = 4e-4, 100, 0.4  # learning rate; updates of its rise; share of its decay
AVERAGE: Final = 0.998  # share of the earlier mean of the weights that an update keeps
CLIP_NORM: Final = 1.0
SAVE_EVERY, VALIDATE_EVERY = 60.0, 500  # seconds; updates


def photographs(folder: str) -> PhotographSet:
    """Return the shipped photographs, or those of a folder that the committed list names."""
    if folder == "default":
        return shipped_photographs()
    with LIST.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    files = [Path(folder).absolute() / row["file"] for row in rows]
    for file, row in zip(files, rows, strict=True):
        if hashlib.sha256(file.read_bytes()).hexdigest() != row["sha256"]:
            sys.exit(f"{file}: not the photograph of {LIST.name}")
    train = tuple(file.as_uri() for file in files)
    return PhotographSet({**shipped_photographs().names, "train": train})


class Stored(NamedTuple):
    """Inputs ``(N, 34, H, W)`` and images ``(N, H, W)`` of the training scenes, float16."""

    inputs: NDArray[np.float16]
    images: NDArray[np.float16]

    @classmethod
    def open(cls, folder: Path, count: int, mode: str) -> Stored:
        """Map the files of a folder; ``count`` is the number of scenes."""
        size = count * scenes.IMAGES, scenes.HEIGHT, scenes.WIDTH
        shapes = {"inputs": (size[0], INPUTS, *size[1:]), "images": size}
        return cls(*(np.memmap(folder / k, np.float16, mode, shape=v) for k, v in shapes.items()))  # type: ignore[call-overload]

    def batch(self, step: int, size: int, side: int) -> tuple[Tensor, Tensor]:
        """Return flipped and transposed crops of random images."""
        rng, pairs = np.random.default_rng([step, 3]), []
        for _ in range(size):
            index = int(rng.integers(len(self.images)))
            top, left = (int(rng.integers(n - side + 1)) for n in self.images.shape[1:])
            window = np.s_[..., top : top + side, left : left + side]
            pair = self.inputs[index][window], self.images[index][None][window]
            for flip, turn in zip(rng.integers(2, size=3), _TURNS, strict=True):
                pair = tuple(map(turn, pair)) if flip else pair
            pairs.append(pair)
        inputs, images = (
            torch.from_numpy(np.stack(x).astype("f4")) for x in zip(*pairs, strict=True)
        )
        return inputs.contiguous(memory_format=torch.channels_last), images


_TURNS: Final[tuple[Callable[[NDArray[np.float16]], NDArray[np.float16]], ...]] = (
    lambda x: x[..., ::-1],
    lambda x: x[..., ::-1, :],
    lambda x: x.swapaxes(-1, -2),
)


def prepare(folder: Path, source: str, count: int) -> Stored:
    """Return the stored inputs of the training scenes, after computing those that are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    done_file = folder / "done"
    done, before = 0, source
    if done_file.exists():
        number, before = done_file.read_text().split("\n")
        done = int(number)
    if before != source:
        sys.exit(f"{folder}: made of the photographs {before}, not {source}; choose another folder")
    if done < count:
        specs = scenes.training_scenes(photographs(source), POOL)
        stored = Stored.open(folder, count, "r+" if done else "w+")
        for index in range(done, count):
            rows = slice(scenes.IMAGES * index, scenes.IMAGES * (index + 1))
            scene = scenes.training_scene(index * 769 % POOL, specs)  # other photographs each time
            stored.inputs[rows], stored.images[rows] = scenes.samples(scene, varied=True)
            if index % 10 == 9 or index + 1 == count:
                done_file.write_text(f"{index + 1}\n{source}")
                print(f"{index + 1} of {count} scenes", flush=True)
    if not (folder / "val.npz").exists():
        pairs = [scenes.samples(scene, varied=False) for scene in scenes.validation_scenes()]
        inputs, images = (np.concatenate(each) for each in zip(*pairs, strict=True))
        np.savez(folder / "val.npz", inputs=inputs, images=images)
    return Stored.open(folder, count, "r")


@torch.no_grad()
def start_from_plain(network: Fused) -> None:
    """Initialise a network so that its output is the mean of `tfi-aligned` and nearly of `plain`.

    The averages over time that `plain` has learned are approximated by those of the inputs.
    """
    plain = cast("PlainReconstruction", load("plain")).network
    windows = shares_of(WINDOW // 2, WINDOW)[1]
    learned = F.pad(plain.averages.weight[:, :, 0, 0], [(WINDOW - RATE_PLANES) // 2] * 2)
    mixed = (
        torch.linalg.pinv(windows.T.double()) @ learned.T.double()
    ).float()  # windows, averages
    kernels = plain.first.weight.unflatten(1, (-1, 4))
    kernels = torch.einsum("na,oaphw->onphw", mixed, kernels)
    first = network.first.weight.zero_().unflatten(1, (INPUTS, 4))
    first[:, IMAGES - len(windows) : IMAGES] = kernels / GAIN
    first[:, 0] = kernels.sum(dim=1)  # of the image from which others are subtracted
    network.first.bias.copy_(plain.first.bias)
    network.hidden.load_state_dict(plain.hidden.state_dict())
    network.residual.load_state_dict(plain.last.state_dict())
    network.weights.bias.unflatten(0, (IMAGES, 4))[MEAN_OF_NINE] = 0.5


class Run:
    """A training, with the mean of its weights over the last updates.

    Args:
        updates: Updates of the whole run.
        settings: Further settings, which must be the same when the run continues.
        seed: Seed of the weights.
    """

    def __init__(
        self, updates: int, settings: Mapping[str, int | str] | None = None, seed: int = 0
    ) -> None:
        torch.manual_seed(seed)
        self.settings = {"updates": updates, **(settings or {})}
        self.updates, self.step, self.loss = updates, 0, 0.0
        self.module, self.mean = FusedModule(lpips="off"), FusedModule(lpips="off")
        start_from_plain(self.module.network)
        self.mean.load_state_dict(self.module.state_dict())
        self.optimizer = torch.optim.Adam(self.module.parameters(), RATE)

    @property
    def rate(self) -> float:
        """Learning rate of the next update: constant, then a cosine to 0."""
        start = (1 - DECAY) * self.updates
        position = max(self.step - start, 0) / (self.updates - start)
        return RATE * min(1, (self.step + 1) / WARMUP) * (1 + math.cos(math.pi * position)) / 2

    def update(self, inputs: Tensor, images: Tensor) -> None:
        """Update the weights by a batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = psnr_loss(self.module.network(inputs), images)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), CLIP_NORM)
        self.optimizer.step()
        self.step += 1
        kept = min(AVERAGE, self.step / (self.step + 20))
        pairs = zip(self.mean.parameters(), self.module.parameters(), strict=True)
        with torch.no_grad():
            for mean, weight in pairs:
                mean.lerp_(weight, 1 - kept)
        self.loss += 0.01 * (loss.item() - self.loss)

    @torch.inference_mode()
    def validation(self, folder: Path) -> str:
        """Return the PSNR of the mean weights on the validation scenes by condition."""
        values: dict[str, list[float]] = {}
        with np.load(folder / "val.npz") as stored:
            inputs, images = (torch.from_numpy(stored[name]) for name in ("inputs", "images"))
        for scene, x, image in zip(scenes.validation_scenes(), inputs, images, strict=True):
            output = self.mean.network(x[None].float()).clamp(0, 1)
            error = float((output[0, 0] - image.float()).square().mean())
            values.setdefault(scene.condition, []).append(-10 * math.log10(error))
        return ", ".join(f"{name} {np.mean(psnr):.2f}" for name, psnr in values.items())

    def save(self, folder: Path) -> None:
        """Write the state for continuing, and the mean weights."""
        file = folder / "fused-0.ckpt"
        parts = {"module": self.module, "mean": self.mean, "optimizer": self.optimizer}
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save(
            state | {"step": self.step, "settings": self.settings}, file.with_suffix(".partial")
        )
        file.with_suffix(".partial").replace(file)
        config = f"# experiments/fused/train.py\nupdates: {self.updates}\nstep: {self.step}\n"
        save_weights(self.mean, file.with_suffix(".safetensors"), half=True, config=config)

    def restore(self, folder: Path) -> None:
        """Continue from the state in a folder, if there is one; exit if it has other settings."""
        if (file := folder / "fused-0.ckpt").exists():
            state = torch.load(file, weights_only=True)
            for name, now in self.settings.items():
                if (before := state["settings"][name]) != now:
                    sys.exit(f"{file}: its {name} is {before}, not {now}; choose another --out")
            self.module.load_state_dict(state["module"])
            self.mean.load_state_dict(state["mean"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Store the inputs and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the stored inputs: 5.7 MB a scene")
    parser.add_argument("--photographs", default="default")
    parser.add_argument("--scenes", type=int, default=1000, help=f"at most {POOL}")
    parser.add_argument("--out", type=Path, default=Path("runs/fused"))
    parser.add_argument("--updates", type=int, default=6600)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=96)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if options.scenes > POOL:
        parser.error(f"--scenes {options.scenes}: expected at most {POOL}")
    stored = prepare(options.folder, options.photographs, options.scenes)
    names = ("scenes", "photographs", "batch", "side")
    run = Run(options.updates, {name: getattr(options, name) for name in names})
    run.restore(options.out)
    saved = time.monotonic()
    start, first = saved, run.step
    while run.step < run.updates:
        run.update(*stored.batch(run.step, options.batch, options.side))
        if run.step % VALIDATE_EVERY == 0 or run.step == run.updates:
            pace = (time.monotonic() - start) / (run.step - first)
            progress = f"{run.step} of {run.updates} updates, {pace:.2f} s each, {run.loss:.2f} dB"
            print(f"{progress}; {run.validation(options.folder)}", flush=True)
        if time.monotonic() - saved > SAVE_EVERY:
            saved = time.monotonic()
            run.save(options.out)
    run.save(options.out)


if __name__ == "__main__":
    main()
