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
# # From one blurry photograph to a video
#
# A colour camera exposes for 97 planes and everything that moves is smeared. The spike camera
# beside it kept every plane. S-SDM puts the two together, and learns to do so without ever seeing
# a sharp image. This notebook does it by hand first, then with the student that ships.

# %%
import io
from pathlib import Path

import spike_zoo  # isort: skip
import torch
import torch.nn.functional as F
from IPython.display import Image

from spike_zoo.cli.simulate import simulate
from spike_zoo.media import side_by_side, to_pillow
from spike_zoo.methods.ssdm import spike_guided_deblur
from spike_zoo.metrics import psnr
from spike_zoo.runs.trainer import quiet_libraries

quiet_libraries()
folder = Path("data") if Path("data").is_dir() else Path("../data")
path = folder / "notebook_deblur.h5"
simulate(str(path), kind="deblur", size="small", height=64, width=64, train=1, val=1, test=2)

# %% [markdown]
# ## A blurry image and its spikes
#
# The image has four times the spikes' height and width. Planes 20 to 116 of the recording are those
# that it exposed; sharp images are kept at seven planes, to compare with.

# %%
archive = spike_zoo.SpikeArchive(path)
name = next(name for name in archive.names("test") if "medium" in name)
recording, centers = archive[name], [int(plane) for plane in archive.image_index(name)]
blurry = torch.from_numpy(archive.blur(name)[0]).permute(2, 0, 1).float() / 255
sharp = [torch.from_numpy(archive.image(name, n)).permute(2, 0, 1).float() / 255 for n in range(7)]
spikes = recording.to_tensor().float()
print(name, recording, f"sharp images at planes {centers}")


def enlarged(rate: torch.Tensor) -> torch.Tensor:
    """Return firing rates at the image's size."""
    return F.interpolate(rate[None, None], scale_factor=4, mode="bilinear")[0, 0]


middle = centers[3]
short = spikes[middle - 4 : middle + 5].mean(0)
to_pillow(
    side_by_side(
        [blurry, enlarged(short / recording.rate_scale).clamp(0, 1), sharp[3]],
        ["blurry", "rate of 9 planes", "sharp"],
    )
).quantize(128)

# %% [markdown]
# ## By hand
#
# The blurry image is the mean of all instants. How bright an instant is beside that mean, the
# spikes tell: a short firing rate divided by the rate of the whole exposure. Multiply the blurry
# image by it and the colour camera's detail and colours come with the spike camera's timing. That
# is the whole model (SDM); its noise is that of the short window.

# %%
long = spikes[20:117].mean(0)
by_hand = spike_guided_deblur(
    blurry[None], enlarged(long)[None, None], enlarged(short)[None, None]
)[0].clamp(0, 1)

# %% [markdown]
# ## With the student
#
# A cascade of networks cleans the short rates and enlarges them; the student learns from what the
# cascade makes and from the blur that its own images must average to. `ssdm-student` is that
# student, trained for twenty minutes on simulated exposures.

# %%
method = spike_zoo.load("ssdm-student")
images = method.deblur(blurry, recording, centers=centers)
print("seven images:", tuple(images.shape))
rows = {"blurry": blurry, "by hand": by_hand, "ssdm-student": images[3]}
for label, image in rows.items():
    print(f"{label:14} {psnr(image[None], sharp[3][None]).item():5.2f} dB")
to_pillow(side_by_side([*rows.values(), sharp[3]], [*rows, "sharp"])).quantize(128)

# %% [markdown]
# ## The video
#
# Any plane of the exposure may be asked for. Here is one image in every twelve planes, the blurry
# photograph beside it.

# %%
times = list(range(20, 117, 12))
video = method.deblur(blurry, recording, centers=times)
frames = [to_pillow(side_by_side([blurry, image], ["blurry", "sharp"])) for image in video]
small = [frame.resize((frame.width // 2, frame.height // 2)).quantize(48) for frame in frames]
file = io.BytesIO()
small[0].save(file, "GIF", save_all=True, append_images=small[1:], duration=120, loop=0)
Image(data=file.getvalue(), format="gif")

# %% [markdown]
# How good is each instant? The ends of an exposure are hardest: the blurry image is furthest from
# them.

# %%
for center, image, truth in zip(centers, images, sharp, strict=True):
    before, after = (psnr(x[None], truth[None]).item() for x in (blurry, image))
    print(f"plane {center:3}   blurry {before:5.2f} dB   deblurred {after:5.2f} dB")

# %% [markdown]
# ## On the command line
#
# ```
# python -m spike_zoo deblur photo.png spikes.dat --frames 7 --out sharp.mp4
# make ssdm      # all three stages of training, in order
# ```
