"""Train `plain` and `stir-aligned` on a GPU, several runs at once, from an archive in its memory.

The input of the network at every image is computed once, on all cores. A training step, with the
choice of crops and the schedule, is one CUDA graph; the graphs of the runs are replayed on streams
of their own. On the CPU the same steps are computed without graphs, for tests.

    python -m experiments.train_on_gpu data/photographs.h5 --runs stir-aligned plain:3 --minutes 5

`plain:3` makes three steps of this run per step of the others. The PSNR on
validation scenes is printed after each tenth of the updates. An interrupted or finished command
continues with the same arguments; another archive, batch, side or number of updates is an error.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.archive import SpikeArchive
from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.data.batches import unit_range
from spike_zoo.methods.classical.aligned_input import read_aligned
from spike_zoo.methods.plain import PlainModule, interval_rates
from spike_zoo.methods.plain.network import CLIP_PLANES
from spike_zoo.methods.stir import AlignedSTIRModule
from spike_zoo.methods.stir.losses import STIRLoss
from spike_zoo.metrics import psnr
from spike_zoo.spikes.take import grey
from spike_zoo.tasks.clips import read_clip

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from spike_zoo.methods.stir import STIR

WARMUP, CLIP_NORM = 0.02, 1.0
RATES = {"stir-aligned": 6e-4, "plain": 1e-3}  # learning rates
SAVE_EVERY = 60.0  # seconds
_TURNS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda x: x.flip(-1),
    lambda x: x.flip(-2),
    lambda x: x.mT,
)


class Windows(NamedTuple):
    """Inputs and ground truth of all images of a split.

    Attributes:
        planes: ``(M, P, H, W)`` float16, the input of the network.
        drafts: ``(M, 1, H, W)`` float16, the image that `stir-aligned` corrects; zeros for `plain`.
        images: ``(M, 1, H, W)`` float32 in [0, 1], grey.
    """

    planes: Tensor
    drafts: Tensor
    images: Tensor


def read_windows(archive: Path, split: str, method: str) -> Windows:
    """Compute the inputs at all images of a split, in one process per core."""
    with SpikeArchive(archive) as opened:
        names = opened.names(split)
    with ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,)) as pool:
        parts = list(pool.map(functools.partial(_windows, archive, method), names))
    return Windows(*(torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True)))


def _windows(archive: Path, method: str, name: str) -> tuple[NDArray[np.generic], ...]:
    """Return inputs, drafts and images of a recording."""
    planes, drafts = [], []
    with SpikeArchive(archive) as opened:
        recording, images = opened[name], [grey(image) for image in opened.images(name)]
        if recording.cfa is not None or any(x.shape != recording.shape[1:] for x in images):
            sys.exit(f"{archive}: {name}: needs a grey sensor, and images of the size of planes")
        scale = float(recording.rate_scale or 1.0)
        for center in opened.image_index(name).tolist():
            if method == "stir-aligned":
                aligned = read_aligned(recording, center, scale, torch.device("cpu"))
                planes.append(aligned.planes.half())
                drafts.append(aligned.draft.half())
            else:
                clip = read_clip(recording, center, CLIP_PLANES)
                planes.append((interval_rates(clip[None]) / scale).half())
                drafts.append(torch.zeros(1, 1, *recording.shape[1:], dtype=torch.float16))
    truth = torch.stack([unit_range(torch.from_numpy(image))[None] for image in images])
    return torch.cat(planes).numpy(), torch.cat(drafts).numpy(), truth.numpy()


class Run:
    """A training whose step is one CUDA graph.

    Args:
        method: ``"stir-aligned"`` or ``"plain"``.
        windows: Training images, on the device.
        updates: Updates of the whole run.
        batch: Crops per update.
        side: Rows and columns of a crop.
        seed: Seed of weights, crops and flips.
        data: Digest of the archive.
    """

    def __init__(
        self,
        method: str,
        windows: Windows,
        updates: int,
        batch: int,
        side: int,
        seed: int = 0,
        data: str = "",
    ) -> None:
        self.method, self.windows, self.updates, self.seed = method, windows, updates, seed
        self.settings = {"updates": updates, "batch": batch, "side": side, "archive": data}
        self.device = windows.planes.device
        torch.manual_seed(seed)
        self.module = (
            AlignedSTIRModule(lpips="off") if method == "stir-aligned" else PlainModule(lpips="off")
        ).to(self.device)
        self.network, self.loss = self.module.network, STIRLoss()
        self.weights = list(self.network.parameters())
        self.rate = torch.tensor(RATES[method], device=self.device)
        on_gpu = self.device.type == "cuda"
        self.optimizer = torch.optim.Adam(self.weights, lr=self.rate, fused=True, capturable=on_gpu)
        self.step = torch.zeros(1, dtype=torch.long, device=self.device)
        self.mean = torch.zeros((), device=self.device)  # of the loss
        self._table = self._draws(batch, side)
        self._side = torch.arange(side, device=self.device)
        self._stream = torch.cuda.Stream() if on_gpu else None
        self._replay: Callable[[], None] = self.update
        self.done = 0

    def _draws(self, batch: int, side: int) -> Tensor:
        """Return image, row, column and three flips of every crop of every update."""
        count, _, height, width = self.windows.planes.shape
        generator = torch.Generator().manual_seed(self.seed + 1)
        most = (count, height - side + 1, width - side + 1, 2, 2, 2)
        shape = (self.updates, batch)
        columns = [torch.randint(n, shape, generator=generator, dtype=torch.int32) for n in most]
        return torch.stack(columns, -1).to(self.device)

    @property
    def tenth(self) -> int:
        """The number of completed tenths of the updates."""
        return 10 * self.done // self.updates

    def prepare(self) -> None:
        """Capture the step in a CUDA graph, after three updates without one, if more remain."""
        if self._stream is None:
            return
        self._stream.wait_stream(torch.cuda.current_stream())
        if self.updates - self.done <= 3:
            return
        with torch.cuda.stream(self._stream):
            for _ in range(3):
                self.update()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            self.update()
        self._replay = graph.replay
        self.done = int(self.step)

    def advance(self, steps: int = 1) -> None:
        """Start steps, without waiting for them."""
        for _ in range(min(steps, self.updates - self.done)):
            with torch.cuda.stream(self._stream):
                self._replay()
            self.done += 1

    def update(self) -> None:
        """Compute one update of the weights on random crops."""
        position = self.step.float()[0] / self.updates
        rise = (position / WARMUP).clamp(1e-3, 1)
        self.rate.copy_(RATES[self.method] * rise * 0.5 * (1 + torch.cos(torch.pi * position)))
        planes, draft, image = self._crops()
        self.optimizer.zero_grad(set_to_none=True)
        if self.method == "stir-aligned":
            pyramid = cast("STIR", self.network).pyramid(planes, draft=draft)
            total = self.loss(pyramid, image)["total"]
        else:
            total = F.l1_loss(self.network(planes), image)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, CLIP_NORM, foreach=True)
        self.optimizer.step()
        self.mean.mul_(0.99).add_(total.detach(), alpha=0.01)
        self.step.add_(1)

    def _crops(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return planes, drafts and images of the crops of an update; each is flipped at random."""
        draws = self._table.index_select(0, self.step)[0].long()
        index, top, left, *flips = draws.unbind(-1)
        rows = (top[:, None] + self._side)[:, None, :, None]
        columns = (left[:, None] + self._side)[:, None, None, :]
        crops = []
        for part in self.windows:
            channel = torch.arange(part.shape[1], device=self.device)[None, :, None, None]
            crop = part[index[:, None, None, None], channel, rows, columns]
            for flip, turn in zip(flips, _TURNS, strict=True):
                crop = torch.where(flip[:, None, None, None].bool(), turn(crop), crop)
            crops.append(crop.float())
        return crops[0], crops[1], crops[2]

    @torch.inference_mode()
    def psnr(self, windows: Windows) -> float:
        """Return the mean PSNR over the images of a split, in dB."""
        self.network.eval()
        values = []
        for planes, draft, image in zip(*windows, strict=True):
            inputs = planes[None].to(self.device).float()
            draft = draft[None].to(self.device).float()
            result = (
                self.network(inputs, draft)
                if self.method == "stir-aligned"
                else self.network(inputs)
            )
            values.append(psnr(result.clamp(0, 1), image[None].to(self.device)).item())
        self.network.train()
        return float(np.mean(values))

    def save(self, folder: Path) -> None:
        """Write the state for continuing, and the weights."""
        file = folder / f"{self.method}-{self.seed}.ckpt"
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "mean": self.mean,
            "settings": self.settings,
        }
        torch.save(state, file.with_suffix(".partial"))
        file.with_suffix(".partial").replace(file)
        config = f"# experiments/train_on_gpu.py\nupdates: {self.updates}\nseed: {self.seed}\n"
        save_weights(self.module, file.with_suffix(".safetensors"), half=True, config=config)

    def restore(self, folder: Path) -> None:
        """Continue from the state in a folder, if there is one; exit if it has other settings."""
        file = folder / f"{self.method}-{self.seed}.ckpt"
        if file.exists():
            state = torch.load(file, map_location=self.device, weights_only=True)
            for name, now in self.settings.items():
                if (before := state["settings"][name]) != now:
                    sys.exit(f"{file}: its {name} is {before}, not {now}; choose another --out")
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.rate = cast("Tensor", self.optimizer.param_groups[0]["lr"])
            self.step.copy_(state["step"])
            self.mean.copy_(state["mean"])
            self.done = int(self.step)


def seconds_per_round(runs: Mapping[Run, int], rounds: int) -> float:
    """Return the time of a round, in which every run makes its number of steps."""
    start = time.perf_counter()
    for _ in range(rounds):
        for run, steps in runs.items():
            run.advance(steps)
    _synchronise()
    return (time.perf_counter() - start) / rounds


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def make_runs(
    windows: Mapping[str, Windows], requests: Mapping[str, int], updates: int, options: Namespace
) -> dict[Run, int]:
    """Return the prepared runs and their steps per round; ``updates`` are rounds of new runs."""
    runs = {}
    with SpikeArchive(options.archive) as opened:
        data = opened.data_sha256()
    for method, steps in requests.items():
        file = options.out / f"{method}-{options.seed}.ckpt"
        count = steps * updates
        if options.updates is None and file.exists():
            count = torch.load(file, weights_only=True)["settings"]["updates"]
        run = Run(method, windows[method], count, options.batch, options.side, options.seed, data)
        run.restore(options.out)
        run.prepare()
        runs[run] = steps
    return runs


def train(
    runs: Mapping[Run, int], validation: Mapping[str, Windows], until: float, out: Path
) -> None:
    """Train until all runs are finished or the time is over; save the state every minute."""

    def validate(run: Run) -> None:
        progress = f"{run.method}: {run.done} of {run.updates} updates, loss {float(run.mean):.5f}"
        print(f"{progress}, validation {run.psnr(validation[run.method]):.2f} dB", flush=True)

    saved = time.monotonic()
    while time.monotonic() < until and any(run.done < run.updates for run in runs):
        tenths = {run: run.tenth for run in runs}
        seconds_per_round(runs, 20)
        for run, before in tenths.items():
            if before < run.tenth < 10:
                validate(run)
        if time.monotonic() - saved > SAVE_EVERY:
            saved = time.monotonic()
            for run in runs:
                run.save(out)
    for run in runs:
        run.save(out)
        validate(run)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the archive and train."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument(
        "--runs", nargs="+", default=["stir-aligned", "plain:3"], metavar="METHOD[:STEPS]"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--minutes", type=float, default=7.0, help="of the whole command")
    parser.add_argument("--updates", type=int, help="rounds; default: as many as fit")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0, help="of weights, crops and flips")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    requests = {
        name: int(steps or 1) for name, _, steps in (r.partition(":") for r in options.runs)
    }
    train_windows, val_windows = (
        {method: read_windows(options.archive, split, method) for method in requests}
        for split in ("train", "val")
    )
    on_device = {m: Windows(*(x.to(device) for x in w)) for m, w in train_windows.items()}
    print(f"{time.monotonic() - start:.0f} s: images {[len(w.planes) for w in on_device.values()]}")
    updates = options.updates
    if updates is None:
        trial = make_runs(on_device, requests, 1000, options)
        seconds_per_round(trial, 2)
        left = 60 * options.minutes - (time.monotonic() - start)
        updates = int(0.9 * left / seconds_per_round(trial, 20))
        del trial
    runs = make_runs(on_device, requests, updates, options)
    round_time = seconds_per_round(runs, 5)
    rate = options.batch * sum(requests.values()) / round_time
    print(f"{rate:.0f} windows a second, {updates} rounds of {requests}", flush=True)
    train(runs, val_windows, start + 60 * options.minutes, options.out)


if __name__ == "__main__":
    main()
