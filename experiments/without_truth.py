"""Study: train `plain` on recordings of one camera without images; docs/without-truth.md.

The recordings are simulated, so that the truth is known; only the loss `truth` and the evaluation
use it. A loss is the mean squared error between the network's image and a target over some pixels:

- `neighbours`: a quarter of the pixels is hidden, the network reads a neighbour's spikes there. The
  target is the hidden pixel's number of spikes in five planes around the image.
- `flow`: the same, but the network reads the spikes that the same point of the scene caused some
  planes earlier or later, at another pixel along the optical flow of `tfi-aligned`.
- `likelihood`: as `flow`, with the likelihood of the number instead of the squared error.
- `later`: the target is the number of spikes of the same point in five planes outside of the clip.
- `thinned`: a random half of the spikes is the input, the other half the target.
- `aligned`: the target is the image of `tfi-aligned`, which averages the spikes along the flow.
- `aligned, flow`: `aligned` during the first 40 % of the updates, then `flow`.
- `truth`: supervised training on the same recordings.

    python -m experiments.without_truth --conditions lowlight-0.3 --losses aligned flow

Runs in the record are skipped, so that an interrupted command continues.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import torch
from torch import Tensor

import spike_zoo
from spike_zoo.methods.classical import AlignedTFI
from spike_zoo.methods.plain import interval_rates
from spike_zoo.methods.plain.network import CLIP_PLANES, RATE_PLANES
from spike_zoo.metrics.heldout import count_log2
from spike_zoo.simulation import NOISE_PRESETS, default_scenes, photograph_set, simulate_take
from spike_zoo.tasks.flow import FLOW_OFFSET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spike_zoo.methods.plain import Plain, PlainModule
    from spike_zoo.simulation import SceneSpec

CONDITIONS: Final = {
    "lowlight-0.6": ("lowlight-v1", 0.6),
    "lowlight-0.3": ("lowlight-v1", 0.3),
    "lowlight-0.1": ("lowlight-v1", 0.1),
    "trained": None,
}
"""Noise preset and rate scale; None: cameras like those of the training archive of `plain`."""
UNTRAINED: Final = ("plain", "tfi-aligned")
KEYS: Final = ("condition", "loss", "seed", "updates")  # of a run in the record
OWN, HELD_OUT, TEST, SIDE, PLANES = 8, 2, 9, 128, 201  # recordings and their size
SEED, SENSOR = 5, 11  # of scenes, of fixed patterns
HALF: Final = CLIP_PLANES // 2
BATCH, CROP, RATE, WARMUP = 8, 48, 3e-4, 20
STEP: Final = 2  # rows and columns from one hidden pixel to the next
AROUND: Final = 5  # planes in which spikes are counted
COUNTED: Final = slice(HALF - AROUND // 2, HALF + AROUND // 2 + 1)
NEAREST, FARTHEST, CANDIDATES = 5, 16, 16  # planes between a hidden pixel and its replacement
GAP, MAX_SHIFT = 20, 6.0  # of `later`: planes after the clip, pixels
VALIDATION, CHECKS = 12, 5  # batches of held-out recordings, evaluations during a run
FIRST_STAGE: Final = 0.4  # share of the updates of "aligned, flow"


class Recording(NamedTuple):
    """A simulated recording and what is computed from its spikes.

    Attributes:
        name: Name of the scene; that of a test scene contains its speed.
        spikes: ``(T, H, W)`` uint8.
        rate_scale: Spikes per plane at white.
        images: Ground truth in [0, 1], by plane; each ``(H, W)``.
        aligned: Images of `tfi-aligned`, spikes per plane, by plane; each ``(H, W)``.
        fields: Flow to the planes 20 before and after, by plane; each ``(2, 2, H, W)``.
    """

    name: str
    spikes: Tensor
    rate_scale: float
    images: Mapping[int, Tensor]
    aligned: Mapping[int, Tensor]
    fields: Mapping[int, Tensor]


class Place(NamedTuple):
    """A crop of a recording around a plane."""

    recording: Recording
    plane: int
    rows: slice
    columns: slice

    def clip(self) -> Tensor:
        """Return the spikes around the plane, ``(81, h, w)``; not a copy."""
        start = self.plane - HALF
        return self.recording.spikes[start : start + CLIP_PLANES, self.rows, self.columns]


class Example(NamedTuple):
    """Input and target of the network.

    Attributes:
        rates: ``(..., 57, H, W)``.
        target: ``(..., H, W)``, spikes per plane.
        mask: bool ``(..., H, W)``, pixels with a target.
    """

    rates: Tensor
    target: Tensor
    mask: Tensor


def simulated(scene: SceneSpec, condition: str, stride: int) -> Recording:
    """Simulate a recording of the camera of a condition, with an image every few planes."""
    if (camera := CONDITIONS[condition]) is not None:
        scene = replace(scene, noise=camera[0], rate_scale=camera[1])
    noise = replace(NOISE_PRESETS[scene.noise], sensor=SENSOR)
    take = simulate_take(scene, margin=HALF, image_stride=stride, noise=noise)
    assert take.images is not None
    assert take.image_index is not None
    recording, planes = take.recording, take.image_index.tolist()
    by_plane = (
        torch.from_numpy(take.images).float() / 255,
        [rate[0] for rate in AlignedTFI().rates(recording, planes)],
        AlignedTFI().motion(recording, planes),
    )
    spikes = torch.from_numpy(recording.read()).view(torch.uint8)
    mappings = (dict(zip(planes, values, strict=True)) for values in by_plane)
    return Recording(scene.name, spikes, scene.rate_scale, *mappings)


def recordings(condition: str) -> dict[str, list[Recording]]:
    """Simulate the recordings of one camera by use: own, held out, test."""
    size: Any = {"height": SIDE, "width": SIDE, "planes": PLANES}
    size["photographs"] = photograph_set("default")
    own = default_scenes("train", OWN + HELD_OUT, SEED, training="photographs", **size)
    test = default_scenes("test", TEST, SEED, testing="photographs", **size)
    return {
        "own": [simulated(scene, condition, 4) for scene in own[:OWN]],
        "held out": [simulated(scene, condition, 4) for scene in own[OWN:]],
        "test": [simulated(scene, condition, 20) for scene in test],
    }


def carried(
    place: Place, rows: Tensor, columns: Tensor, offsets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pixels to which points move, and the distance of each from the exact position.

    Args:
        place: Recording and plane.
        rows: ``(N,)``, rows of the points in the recording.
        columns: ``(N,)``.
        offsets: ``(M,)``, planes from the plane of the place.

    Returns:
        Rows, columns and distances, each ``(M, N)``; the distance is infinite outside the image.
    """
    field = place.recording.fields[place.plane][:, :, rows, columns]  # (2, 2, N)
    flow = field[(offsets > 0).long()] * offsets.abs()[:, None, None] / FLOW_OFFSET
    x, y = columns + flow[:, 0], rows + flow[:, 1]
    height, width = place.recording.spikes.shape[1:]
    column, row = x.round().clamp(0, width - 1), y.round().clamp(0, height - 1)
    distance = torch.hypot(x - column, y - row)
    return row.long(), column.long(), distance.where(distance <= 0.75, torch.inf)


def hidden_pixels(place: Place, generator: torch.Generator, *, along_flow: bool) -> Example:
    """Replace the spikes of every fourth pixel; the target is the hidden number of spikes.

    Args:
        place: Crop.
        generator: Generator of all random choices.
        along_flow: Whether the replacement is the same point of the scene at another time, with
            the smallest error of rounding among some times. Otherwise it is a random neighbour.
    """
    spikes, clip = place.recording.spikes, place.clip().clone()
    first = torch.randint(STEP, (2,), generator=generator).tolist()
    lattice = (torch.arange(start, CROP, STEP) for start in first)
    row, column = (axis.flatten() for axis in torch.meshgrid(*lattice, indexing="ij"))
    rows, columns = row + place.rows.start, column + place.columns.start
    target, mask = torch.zeros(CROP, CROP), torch.zeros(CROP, CROP, dtype=torch.bool)
    target[row, column] = clip[COUNTED, row, column].float().mean(dim=0)
    mask[row, column] = True
    if along_flow:
        least = max(-FARTHEST, HALF - place.plane)
        most = min(FARTHEST, len(spikes) - 1 - HALF - place.plane)
        offsets = torch.randint(least, most + 1, (CANDIDATES,), generator=generator)
        offsets = offsets[offsets.abs() >= NEAREST]
        if not len(offsets):
            return Example(torch.zeros(RATE_PLANES, CROP, CROP), target, mask & False)
        to_row, to_column, distance = carried(place, rows, columns, offsets)
        distance, best = distance.min(dim=0)
        mask[row, column] = distance.isfinite()
        from_row, from_column = (x.gather(0, best[None])[0] for x in (to_row, to_column))
        middle = place.plane + offsets[best]
    else:
        turn = torch.randint(8, rows.shape, generator=generator) * math.pi / 4
        height, width = spikes.shape[1:]
        from_row = (rows + turn.sin().round().long()).abs().clamp(max=height - 1)
        from_column = (columns + turn.cos().round().long()).abs().clamp(max=width - 1)
        middle = torch.full_like(rows, place.plane)
    planes = middle + torch.arange(-HALF, HALF + 1)[:, None]
    clip[:, row, column] = spikes[planes, from_row, from_column]
    return Example(interval_rates(clip[None])[0], target, mask)


def later_planes(place: Place, generator: torch.Generator) -> Example:
    """Return spikes outside of the clip as the target, where the motion to them is small."""
    spikes, offset = place.recording.spikes, HALF + GAP + AROUND // 2 + 1
    if place.plane + offset + AROUND > len(spikes):
        offset = -offset
    axes = (torch.arange(part.start, part.stop) for part in (place.rows, place.columns))
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    flat = carried(place, rows.flatten(), columns.flatten(), torch.tensor([offset]))
    row, column, distance = (values.view(CROP, CROP) for values in flat)
    first = place.plane + offset - AROUND // 2
    target = spikes[first : first + AROUND, row, column].float().mean(dim=0)
    is_near = torch.hypot((row - rows).float(), (column - columns).float()) <= MAX_SHIFT
    rates = interval_rates(place.clip()[None])[0]
    return Example(rates, target, is_near & distance.isfinite())


def thinned(place: Place, generator: torch.Generator) -> Example:
    """Return a random half of the spikes as the input and the others as the target."""
    clip = place.clip()
    kept = (torch.rand(clip.shape, generator=generator) < 0.5).to(torch.uint8)
    target = 2 * (clip * (1 - kept))[COUNTED].float().mean(dim=0)
    return Example(2 * interval_rates((clip * kept)[None])[0], target, target >= 0)


def imitated(place: Place, generator: torch.Generator, *, truth: bool) -> Example:
    """Return the ground truth, or the image of `tfi-aligned`, as the target."""
    recording = place.recording
    images = recording.images if truth else recording.aligned
    target = images[place.plane][place.rows, place.columns]
    target = recording.rate_scale * target if truth else target
    return Example(interval_rates(place.clip()[None])[0], target, target >= 0)


LOSSES: Final[dict[str, Callable[[Place, torch.Generator], Example]]] = {
    "neighbours": partial(hidden_pixels, along_flow=False),
    "flow": partial(hidden_pixels, along_flow=True),
    "likelihood": partial(hidden_pixels, along_flow=True),
    "later": later_planes,
    "thinned": thinned,
    "aligned": partial(imitated, truth=False),
    "aligned, flow": partial(hidden_pixels, along_flow=True),
    "truth": partial(imitated, truth=True),
}


def batch(group: Sequence[Recording], name: str, draws: torch.Generator) -> tuple[Example, Tensor]:
    """Return the examples of random crops, flipped at random, and their rate scales."""

    def draw(count: int) -> int:
        return int(torch.randint(count, (), generator=draws))

    examples, scales = [], []
    for _ in range(BATCH):
        recording = group[draw(len(group))]
        plane = list(recording.aligned)[draw(len(recording.aligned))]
        starts = [draw(side - CROP + 1) for side in recording.spikes.shape[1:]]
        place = Place(recording, plane, *(slice(start, start + CROP) for start in starts))
        example = LOSSES[name](place, draws)
        for axis in (-1, -2):
            if draw(2):
                example = Example(*(x.flip(axis) for x in example))
        examples.append(example)
        scales.append(recording.rate_scale)
    return Example(*(torch.stack(x) for x in zip(*examples, strict=True))), torch.tensor(scales)


def loss_of(network: Plain, examples: Example, scales: Tensor, name: str) -> Tensor:
    """Return the mean squared error or negative log-likelihood over the masks."""
    images: Tensor = network(examples.rates, scales)[:, 0]
    scale = scales[:, None, None]
    if name == "likelihood":
        charge = (AROUND * scale * images).clamp(0, AROUND)[examples.mask]
        return -count_log2(AROUND * examples.target[examples.mask], charge, AROUND).mean()
    error = (images - examples.target / scale)[examples.mask]
    return error.square().mean() if len(error) else images.sum() * 0


def trained(
    groups: Mapping[str, list[Recording]], name: str, seed: int, updates: int
) -> tuple[Plain, dict[str, Any]]:
    """Train from the shipped weights, and return the kept state and a record.

    The state with the smallest loss `flow` on held-out recordings is kept, if it is smaller than at
    the start by more than twice its standard error. With truth, the last state is kept.
    """
    network = cast("PlainModule", spike_zoo.load("plain")).network.train()
    generator, of_validation = torch.Generator().manual_seed(seed), torch.Generator()
    held_out = [batch(groups["held out"], "flow", of_validation) for _ in range(VALIDATION)]
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    best, history, start = (0.0, 0, deepcopy(network)), [], time.process_time()
    at_start = torch.zeros(0)
    for update in range(updates + 1):
        if update % max(updates // CHECKS, 1) == 0:
            with torch.no_grad():
                losses = torch.stack([loss_of(network, *held, "flow") for held in held_out])
            at_start = losses if update == 0 else at_start
            change = losses.double() - at_start
            mean, error = change.mean().item(), change.std().item() / math.sqrt(VALIDATION)
            history.append([float(f"{value:.3g}") for value in (mean, error)])
            if mean < min(best[0], -2 * error) or name == "truth":
                best = mean, update, deepcopy(network)
        if update == updates:
            break
        position = update / updates
        rate = RATE * min(1, (update + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * position))
        optimizer.param_groups[0]["lr"] = rate
        current = "aligned" if name == "aligned, flow" and position < FIRST_STAGE else name
        optimizer.zero_grad()
        loss_of(network, *batch(groups["own"], current, generator), current).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    record = {"kept": best[1], "change of the held-out loss": history}
    return best[2], record | {"processor seconds": round(time.process_time() - start)}


@torch.inference_mode()
def psnr_of(
    network: Plain | None, test: Sequence[Recording], dark: float
) -> dict[str, dict[str, float]]:
    """Return the mean PSNR of all images and of those of each speed, in dB.

    Args:
        network: Network, or None for `tfi-aligned`.
        test: Recordings whose names contain their speeds.
        dark: Dark spikes per plane, which are subtracted from the images for the second result.
    """
    values: dict[str, dict[str, list[float]]] = {"psnr": {}, "psnr without dark": {}}
    for recording in test:
        for plane in list(recording.images)[1::2]:
            image = recording.aligned[plane] / recording.rate_scale
            if network is not None:
                clip = Place(recording, plane, slice(None), slice(None)).clip()[None]
                scale = torch.tensor([recording.rate_scale])
                image = network(interval_rates(clip), scale)[0, 0]
            for kind, offset in zip(values, (0.0, dark / recording.rate_scale), strict=True):
                error = ((image - offset).clamp(0, 1) - recording.images[plane]).square().mean()
                for key in (recording.name.split("-")[-2], "all"):
                    values[kind].setdefault(key, []).append(-10 * math.log10(error.item()))
    return {
        kind: {key: round(sum(x) / len(x), 2) for key, x in parts.items()}
        for kind, parts in values.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all conditions, losses and seeds that the record lacks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("experiments/heldout/without_truth.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    record = json.loads(options.out.read_text()) if options.out.exists() else []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for condition in options.conditions:
        camera = CONDITIONS[condition]
        dark = NOISE_PRESETS[camera[0]].dark if camera else 0.0
        wanted = [(name, 0, 0) for name in UNTRAINED]
        wanted += [
            (name, seed, options.updates) for name in options.losses for seed in options.seeds
        ]
        done = [tuple(row[key] for key in KEYS) for row in record]
        missing = [run for run in wanted if (condition, *run) not in done]
        groups = recordings(condition) if missing else {}
        for name, seed, updates in missing:
            network, result = None, dict[str, Any]()
            if name != "tfi-aligned":
                network, result = trained(groups, name, seed, updates)
                network.eval()
            row = dict(zip(KEYS, (condition, name, seed, updates), strict=True)) | result
            record.append(row | psnr_of(network, groups["test"], dark))
            lines = ",\n".join(json.dumps(each) for each in record)
            options.out.write_text(f"[\n{lines}\n]\n")
            print(lines.rpartition("\n")[2], flush=True)


if __name__ == "__main__":
    main()
