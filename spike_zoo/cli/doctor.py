"""Command ``doctor``: versions, devices, optional packages and search paths."""

import os
import platform
import re
from importlib import metadata
from typing import Final

import spike_zoo
from spike_zoo.checkpoints.published import shipped_names
from spike_zoo.training.provenance import commit, versions
from spike_zoo.utils.cores import usable_cores
from spike_zoo.utils.files import WEIGHTS_FOLDER

_DEVELOPMENT: Final = ("dev", "audit", "docs", "fuzz")  # extras for developers
_EXTRA: Final = re.compile(r"([\w.-]+).*extra == ['\"]([\w-]+)")


def doctor(*, precision: bool = False) -> None:
    """Show versions, devices, optional packages, and the search paths of weights and backbones.

    Args:
        precision: Print only the trainer precision that is fast on this machine.
    """
    from spike_zoo.nn.precision import has_fast_bf16

    if precision:
        print("bf16-mixed" if has_fast_bf16() else "32-true")
        return
    for title, rows in _sections():
        width = max(len(name) for name, _ in rows)
        print(title, *(f"  {name:<{width}}  {text}".rstrip() for name, text in rows), "", sep="\n")


def _sections() -> list[tuple[str, list[tuple[str, str]]]]:
    import torch

    return [
        ("Versions", [*versions().items(), ("commit", commit() or "not a checkout")]),
        ("Devices", _devices()),
        ("Optional parts", _optional_parts()),
        ("Backbones (LPIPS, perceptual losses)", _backbones()),
        ("Methods that need no file", [(name, "") for name in shipped_names()]),
        (
            "Folders",
            [
                ("package", str(spike_zoo.__path__[0])),
                ("shipped weights", str(WEIGHTS_FOLDER)),
                ("torch hub", torch.hub.get_dir()),
                ("W&B", os.environ.get("WANDB_MODE", "online unless a configuration sets offline")),
            ],
        ),
    ]


def _devices() -> list[tuple[str, str]]:
    import torch

    from spike_zoo.checkpoints.loading import pick_device
    from spike_zoo.nn.precision import has_fast_bf16

    rows = [("cpu", f"{platform.processor() or platform.machine()}, {usable_cores()} usable cores")]
    rows += [*_build(), ("--device auto", pick_device("auto"))]
    rows.append(("threads", f"{torch.get_num_threads()} (OMP_NUM_THREADS sets another number)"))
    rows.append(("bf16-mixed", "fast" if has_fast_bf16() else "slow"))
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / 2**30
        rows.append((f"cuda:{index}", f"{properties.name}, {memory:.0f} GiB"))
    if torch.backends.mps.is_available():
        rows.append(("mps", "Apple"))
    return rows


def _build() -> list[tuple[str, str]]:
    """Return the device that torch was built for, and whether the device and its driver work."""
    import torch

    from spike_zoo.checkpoints.loading import device_problem

    built_for = torch.accelerator.current_accelerator()  # whether available or not
    if built_for is None:
        return [("torch built for", "CPU"), ("driver", "not needed by this build")]
    version = torch.version.hip or torch.version.cuda or ""
    platform_name = "ROCm" if torch.version.hip else built_for.type.upper()
    state = "works"
    if not torch.accelerator.is_available():
        state = f"no usable device: {device_problem(built_for.type) or 'none found'}"
    return [("torch built for", f"{platform_name} {version}".strip()), ("driver", state)]


def _optional_parts() -> list[tuple[str, str]]:
    """Return the packages of the extras for users, with their versions."""
    found = map(_EXTRA.match, metadata.requires("spike-zoo") or ())
    extras = {part[1]: part[2] for part in found if part and part[2] not in _DEVELOPMENT}
    return [(name, f"{_version(name)} (extra '{extra}')") for name, extra in extras.items()]


def _version(name: str) -> str:
    try:  # find_spec would also find a folder of that name in the working folder
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _backbones() -> list[tuple[str, str]]:
    from spike_zoo.checkpoints.backbones import BACKBONES, backbone_folders, find_backbone

    rows = []
    for name, backbone in BACKBONES.items():
        file = find_backbone(name)
        rows.append((backbone.filename, str(file) if file else "not found"))
    folders = ", ".join(str(folder) for folder in backbone_folders())
    return [*rows, ("looked for in", folders)]
