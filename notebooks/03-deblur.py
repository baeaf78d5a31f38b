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
# A colour camera exposes for 97 planes, so everything that moves is blurred. A spike camera next to
# it records every plane. S-SDM combines both and is trained without sharp images. This notebook
# first computes the combination by hand and then uses the shipped student network.

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
from spike_zoo.training.libraries import quiet_libraries

quiet_libraries()
folder = Path("data") if Path("data").is_dir() else Path("../data")
path = folder / "notebook_deblur.h5"
simulate(str(path), kind="deblur", size="small", height=64, width=64, train=1, val=1, test=2)

# %% [markdown]
# ## A blurry image and its spikes
#
# The image has four times the height and width of the spikes. It was exposed during planes 20 to
# 116 of the recording. Sharp images at seven planes are the ground truth.

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
# The blurry image is the mean over the exposure. The brightness of an instant relative to this mean
# is the firing rate of a short window divided by the rate of the whole exposure. The blurry image
# times this ratio has the detail and colours of the colour camera and the timing of the spike
# camera. This is the model SDM; its noise is that of the short window.

# %%
long = spikes[20:117].mean(0)
by_hand = spike_guided_deblur(
    blurry[None], enlarged(long)[None, None], enlarged(short)[None, None]
)[0].clamp(0, 1)

# %% [markdown]
# ## With the student
#
# A cascade of networks denoises and upsamples the short rates. The student is trained with the
# images of the cascade and with the blurry image, which must be the mean of the student's images.
# `ssdm-student` is such a student; its cascade averages along the optical flow instead of
# denoising. It was trained for 4400 updates on simulated exposures.

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
# The student estimates an image at any plane of the exposure. The video has one image every twelve
# planes, next to the blurry photograph.

# %%
times = list(range(20, 117, 12))
video = method.deblur(blurry, recording, centers=times)
frames = [to_pillow(side_by_side([blurry, image], ["blurry", "sharp"])) for image in video]
small = [frame.resize((frame.width // 2, frame.height // 2)).quantize(48) for frame in frames]
file = io.BytesIO()
small[0].save(file, "GIF", save_all=True, append_images=small[1:], duration=120, loop=0)
Image(data=file.getvalue(), format="gif")

# %% [markdown]
# PSNR at each plane. It is lowest at the ends of the exposure, which differ most from the blurry
# image.

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
