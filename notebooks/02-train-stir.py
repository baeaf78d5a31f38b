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
# # Train STIR with your own loop and with a Trainer
#
# A data module provides batches and a method is a plain PyTorch module, so a training loop is ten
# lines. A run also stores its configuration, metrics, checkpoints and a record, so that results can
# be compared. This notebook shows both, with a small network and few steps; it takes a minute.

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
from spike_zoo.methods.stir import STIR, STIRModule, STIROptions
from spike_zoo.metrics import psnr
from spike_zoo.training.libraries import quiet_libraries

quiet_libraries()
logging.disable(logging.INFO)  # hide the Trainer's messages about steps and files
folder = Path("data") if Path("data").is_dir() else Path("../data")
archive_path = folder / "notebook_small.h5"
simulate(str(archive_path), size="small")

# %% [markdown]
# ## A batch
#
# A data module also works without a Trainer. Its loaders list their samples; bits stay packed until
# they are on the device, where they are unpacked to planes. A sample is a clip of 61 planes, the
# sharp image at its middle plane, and the rate scale (spikes per plane at white).

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
# ## Your own loop
#
# `STIR` is a plain `nn.Module`: its input is spikes, its output an image. The loop is ordinary
# PyTorch; only `STIR` and the data module come from this package.

# %%
network = STIR(width=0.25, options=STIROptions(flow_fields=1))
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
# ## The same training as a run
#
# On the command line: `python -m spike_zoo fit --config stir --config profiles/smoke ...`. Later
# files and options override earlier ones. The profile `smoke` has a few steps, which is enough to
# show the files of a run. With `profiles/cpu` a run takes a minute or two, without a profile an
# hour on two cores.

# %%
run = folder / "notebook_run"
options = ["--data.init_args.archive", str(archive_path), "--model.init_args.width", "0.25"]
options += ["--model.init_args.network.flow_fields", "1", "--model.init_args.lpips", "off"]
options += ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
if not (run / "result.json").is_file():
    stacked = ["--config", "stir", "--config", "profiles/smoke", "--run_dir", str(run)]
    with capture_output():
        assert main(["fit", *stacked, *options]) == 0
print(*sorted(path.name for path in run.iterdir()), sep="\n")

# %% [markdown]
# `result.json` is the record that tables read. It contains metrics, costs, and what determines
# whether two runs can be compared (digests of configuration and data, seed, commit).

# %%
record = json.loads((run / "result.json").read_text())
for key in ("variant", "profile", "seed", "parameters", "images"):
    print(f"{key:10} {record[key]}")
print(f"{'test/psnr':10} {record['metrics']['test/psnr']:.2f} dB")

# %% [markdown]
# ## The result of more training
#
# The shipped weights `stir` have half the published width and were trained for 16 000 steps
# on 1000 simulated scenes. Neither network was trained on this scene:

# %%
archive = spike_zoo.SpikeArchive(archive_path)
name = next(name for name in archive.names("test") if "medium" in name)
recording = archive[name]
plane = int(archive.image_index(name)[0])
truth = archive.image(name, 0) / 255.0
target = torch.from_numpy(truth).float()[None, None]

ours = STIRModule(width=0.25, network=STIROptions(flow_fields=1), lpips="off").eval()
ours.network.load_state_dict(network.state_dict())
images = {
    "interval, mean of 9": (tfi(recording.to_tensor(), plane, 9) / recording.rate_scale)[
        None, None
    ],
    "60 steps of ours": ours.reconstruct(recording, [plane]),
    "stir": spike_zoo.load("stir").reconstruct(recording, [plane]),
}
for label, image in images.items():
    print(f"{label:20} {psnr(image.clamp(0, 1), target).item():5.2f} dB")
to_pillow(side_by_side([*(p[0] for p in images.values()), truth], [*images, "the image"]))

# %% [markdown]
# After sixty steps the loss has fallen, but the image is still poor. On the command line:
#
# ```
# python -m spike_zoo fit --config stir_demo --data.archive data/scenes.h5 --run_dir runs/demo_stir
# python -m spike_zoo compare runs/demo_stir
# ```
