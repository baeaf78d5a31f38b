# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Train STIR, with a loop of your own and with a trainer
#
# A data module gives batches and a method is a plain PyTorch module, so a training loop is ten
# lines. A run adds what makes numbers comparable: configuration, metrics, checkpoints and a record.
# Both are here, with a network so small and so few steps that it takes a minute.

# %%
import json
import logging
from pathlib import Path

import spike_zoo  # isort: skip
import torch
from IPython.utils.capture import capture_output

from spike_zoo.cli.main import main
from spike_zoo.cli.simulate import simulate
from spike_zoo.data import ReconstructionDataModule
from spike_zoo.media import side_by_side, to_pillow
from spike_zoo.methods.classical import tfi
from spike_zoo.methods.stir import STIR, STIRModule
from spike_zoo.metrics import psnr
from spike_zoo.runs.trainer import quiet_libraries

quiet_libraries()
logging.disable(logging.INFO)  # a trainer tells its steps and where its files are
folder = Path("data") if Path("data").is_dir() else Path("../data")
archive_path = folder / "notebook_small.h5"
simulate(str(archive_path), size="small")

# %% [markdown]
# ## What a batch is
#
# A data module needs no Trainer: its loaders list their samples by themselves, and bits, which stay
# packed until they are on the device, arrive as planes. A batch holds a clip of 61 planes, the
# sharp image at its middle, and how many spikes a plane has at white.

# %%
torch.manual_seed(0)
data = ReconstructionDataModule(str(archive_path), clip_length=61, batch_size=2, crop=48)
loader = data.train_dataloader()
batch = next(iter(loader))
for name in ("spikes", "image", "rate_scale"):
    print(f"{name:10} {tuple(batch[name].shape)!s:18} {batch[name].dtype}")

# %%
middle = batch["spikes"].shape[1] // 2
to_pillow(
    side_by_side(
        [batch["spikes"][0, middle].numpy(), batch["spikes"][0].mean(0).numpy(), batch["image"][0]],
        ["middle plane", "mean of 61", "the image"],
    )
)

# %% [markdown]
# ## A loop of your own
#
# `STIR` is a plain `nn.Module`: spikes in, image out. Nothing here is special to this package but
# the two names.

# %%
network = STIR(width=0.25, motion_fields=1)
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
losses: list[float] = []
while len(losses) < 60:
    for batch in loader:  # each pass is the next epoch
        scale = batch["rate_scale"].view(-1, 1, 1, 1)
        loss = (network(batch["spikes"] / scale) - batch["image"]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
for first in range(0, 60, 20):
    mean = sum(losses[first : first + 20]) / 20
    print(f"steps {first:2} to {first + 19}: mean absolute error {mean:.3f}")

# %% [markdown]
# ## The same as a run
#
# On the command line: `python -m spike_zoo fit --config stir --config profiles/smoke ...`. Later
# files and options win. The profile `smoke` is a few steps, which is enough to see what a run
# leaves behind; `profiles/cpu` takes a minute or two, no profile an hour on two cores.

# %%
run = folder / "notebook_run"
options = ["--data.init_args.archive", str(archive_path), "--model.init_args.width", "0.25"]
options += ["--model.init_args.motion_fields", "1", "--model.init_args.lpips", "off"]
options += ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
if not (run / "result.json").is_file():
    stacked = ["--config", "stir", "--config", "profiles/smoke", "--run_dir", str(run)]
    with capture_output():
        assert main(["fit", *stacked, *options]) == 0
print(*sorted(path.name for path in run.iterdir()), sep="\n")

# %% [markdown]
# `result.json` is all that tables read: what was measured, what it cost, and what decides whether
# two runs may be compared (digests of configuration and data, seed, commit).

# %%
record = json.loads((run / "result.json").read_text())
for key in ("variant", "profile", "seed", "parameters", "images"):
    print(f"{key:10} {record[key]}")
print(f"{'test/psnr':10} {record['metrics']['test/psnr']:.2f} dB")

# %% [markdown]
# ## Where more training leads
#
# `stir-small` ships: half the published width, 16 000 steps on 1000 simulated scenes. A scene that
# neither has seen:

# %%
archive = spike_zoo.SpikeArchive(archive_path)
name = next(name for name in archive.names("test") if "medium" in name)
recording = archive[name]
plane = int(archive.image_index(name)[0])
truth = archive.image(name, 0) / 255.0
target = torch.from_numpy(truth).float()[None, None]

ours = STIRModule(width=0.25, motion_fields=1, lpips="off").eval()
ours.network.load_state_dict(network.state_dict())
pictures = {
    "interval, mean of 9": (tfi(recording.to_tensor(), plane, 9) / recording.rate_scale)[
        None, None
    ],
    "60 steps of ours": ours.reconstruct(recording, [plane]),
    "stir-small": spike_zoo.load("stir-small").reconstruct(recording, [plane]),
}
for label, picture in pictures.items():
    print(f"{label:20} {psnr(picture.clamp(0, 1), target).item():5.2f} dB")
to_pillow(side_by_side([*(p[0] for p in pictures.values()), truth], [*pictures, "the image"]))

# %% [markdown]
# Sixty steps are a beginning: the loss falls, the picture is not there yet. On the command line:
#
# ```
# python -m spike_zoo fit --config stir_demo --run_dir runs/demo_stir
# python -m spike_zoo compare runs/demo_stir
# ```
