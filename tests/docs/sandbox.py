"""Small files and Python names that the examples in documents use."""

import functools
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from spike_zoo import write_recording
from spike_zoo.archive import build_archive
from spike_zoo.media import save_image
from spike_zoo.testing import labelled_take, pattern_take
from spike_zoo.testing.exposures import exposed_take
from tests.conftest import ROOT
from tests.docs.blocks import blocks_of
from tests.helpers.tables import make_run

#: Document -> names that its Python blocks use without defining them.
PREDEFINED: dict[str, tuple[str, ...]] = {
    "docs/howto/own-method.md": ("recording",),
    "docs/howto/share.md": ("spike_zoo",),
    "docs/tracking.md": ("spike_zoo",),
    "spike_zoo/methods/classical/README.md": ("recording", "spikes", "rate_scale"),
    "spike_zoo/methods/stir/README.md": ("recording",),
    "spike_zoo/methods/ssdm/README.md": (
        *("blurry", "recording", "blur", "window", "bsn", "edsr", "spikes"),
    ),
}


def write_example_files(folder: Path) -> None:
    """Write the input files of the examples, in the sizes stated by the documents."""
    for name in ("configs", "experiments", "spike_zoo"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("spike_mean", "spike_mean.yaml"):
        (folder / name).symlink_to(ROOT / "tests" / "outside" / name)
    street = pattern_take(0, planes=161, height=250, width=400).recording
    for name in ("street.dat", "raw.dat"):
        write_recording(street, folder / name)
        (folder / f"{name}.yaml").unlink(missing_ok=True)
    write_recording(street, folder / "street.npz")
    (folder / "there.spl").touch()
    (folder / "camera.yaml").write_text("noise: {electrons: 200}\n", encoding="utf-8")
    (folder / "cut.dat").write_bytes(bytes(37499))
    scenes = {"train-0": 1, "train-1": 2, "val-0": 3, "test-chelsea-fast-02": 4}
    jobs = {
        name: functools.partial(pattern_take, seed, 161, 96, 96, 20)
        for name, seed in scenes.items()
    }
    splits = {s: [n for n in scenes if n.startswith(s)] for s in ("train", "val", "test")}
    small = build_archive(folder / "data" / "small.h5", jobs, splits=splits)
    for name in ("scenes", "default"):
        shutil.copyfile(small, small.with_name(f"{name}.h5"))
    write_recording(labelled_take(0).recording, folder / "digit.npz")
    _write_pairs(folder)
    _write_own(folder / "own")
    _write_runs(folder)


def _write_pairs(folder: Path) -> None:
    take: Any = exposed_take(0, height=24, width=40)
    save_image(take.blur[0], folder / "photo.png")
    write_recording(take.recording, folder / "spikes.dat")
    job = functools.partial(exposed_take, 0, height=24, width=40)
    build_archive(folder / "data" / "deblur-small.h5", {"exposure": job})


def _write_own(folder: Path) -> None:
    for split, name in (("train", "street"), ("test", "night")):
        take: Any = pattern_take(5, planes=81, height=250, width=400)
        write_recording(take.recording, folder / split / f"{name}.dat")
        (folder / split / f"{name}.dat.yaml").unlink(missing_ok=True)
        save_image(take.images[0], folder / split / f"{name}.png")


def _write_runs(folder: Path) -> None:
    (sweep,) = (b for b in blocks_of("docs/howto/sweeps.md") if b.language == "yaml")
    (folder / "sweep.yaml").write_text(sweep.text, encoding="utf-8")
    for name in ("first", "a", "b", "widths/half"):
        make_run("half", 30.0).result.write(folder / "runs" / name / "result.json")
    for run in ("RUN", "runs/stir", "runs/mine"):
        (folder / run).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "configs" / "stir.yaml", folder / run / "config.yaml")


def example_names(document: str) -> dict[str, Any]:
    """Return the predefined names of the Python blocks of a document."""
    import torch

    import spike_zoo
    from spike_zoo.methods.ssdm import BSN, EDSR

    take: Any = exposed_take(0, height=16, width=24)
    blurry = torch.from_numpy(np.asarray(take.blur)).permute(0, 3, 1, 2).float() / 255
    values: dict[str, Any] = {
        "spike_zoo": spike_zoo,
        "recording": take.recording,
        "spikes": take.recording.to_tensor().float(),
        "rate_scale": 0.9,
        "blurry": blurry,
        "blur": blurry,
        "window": take.recording.to_tensor(58, 79)[None].float(),
        "bsn": BSN(),
        "edsr": EDSR(),
    }
    if document == "spike_zoo/methods/classical/README.md":
        long = pattern_take(0, planes=301, height=16, width=24).recording
        values |= {"recording": long, "spikes": long.to_tensor()}
    if document == "spike_zoo/methods/ssdm/README.md":
        values["spikes"] = values["spikes"][None]
    return {name: values[name] for name in PREDEFINED.get(document, ())}


def write_command_outputs(folder: Path) -> None:
    """Write outputs of earlier commands, and random weights in the format of the authors."""
    import torch

    from spike_zoo.methods.ssdm import LDN
    from spike_zoo.methods.stir import STIR, STIRModule
    from spike_zoo.methods.stir.official import to_official
    from tests.helpers.checkpoints import export

    write_recording(pattern_take(4, 161, 96, 96).recording, folder / "scene.npz")
    export(STIRModule(width=0.25, lpips="off"), folder / "shared" / "own")
    torch.save(LDN().state_dict(), folder / "DeblurNet_100.pth")
    torch.save(to_official(STIR().state_dict()), folder / "STIR_pretrain.pth")
