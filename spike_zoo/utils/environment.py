"""Environment variables of other programs that libraries would obey or reject."""

import os
import re
import tempfile
import warnings
from typing import Final

from spike_zoo.errors import SpikeZooError

#: Variables of programs that start the processes of one training -> value without such a program.
_LAUNCHERS: Final = {
    **dict.fromkeys(("TORCHELASTIC_RUN_ID", "JSM_NAMESPACE_SIZE", "NODE_RANK", "GROUP_RANK"), ""),
    "SLURM_STEP_NUM_TASKS": "1",  # in an interactive shell of srun
}
#: Variables of one process of a group; Lightning and torch read each one by itself.
_OF_GROUPS: Final = (
    *("RANK", "LOCAL_RANK", "JSM_NAMESPACE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
)
_SLURM_RANKS: Final = ("SLURM_PROCID", "SLURM_LOCALID")
_ARGUMENTS: Final = "PL_TRAINER_"  # Lightning: defaults of arguments that are not given
_OF_LIBRARIES: Final = (
    *("JSONARGPARSE", "LIGHTNING", "MPL", "NUMBA", "PL_", "PYTORCH", "SLURM_NTASKS", "TORCH"),
)


def drop_foreign_variables() -> None:
    """Remove variables that another program left, before Lightning is imported; warn of them.

    Lightning writes no logs in a process with a rank, even if it is the only one. The rank of a
    process that no launcher started for this training is that of another program.
    """
    foreign = [name for name in os.environ if name.startswith(_ARGUMENTS)]
    if not any(os.environ.get(name, "") not in ("", alone) for name, alone in _LAUNCHERS.items()):
        foreign += [name for name in _OF_GROUPS if name in os.environ]
        os.environ.pop("PL_GLOBAL_SEED", None)  # of an earlier run, with --seed_everything true
        for name in _SLURM_RANKS:  # Lightning needs them in each job
            if os.environ.get(name, "0") != "0":
                foreign.append(name)
                os.environ[name] = "0"
    for name in foreign:
        if name not in _SLURM_RANKS:
            del os.environ[name]
    if foreign:
        warnings.warn(
            f"ignored variables of another program: {', '.join(foreign)}. They are used only if "
            "torchrun, srun or a script with NODE_RANK starts the processes",
            stacklevel=2,
        )


def ensure_home() -> None:
    """Set ``HOME`` to the folder for temporary files if the user has none, as in containers.

    Libraries and this package keep settings and caches there; ``Path.home()`` would fail.
    """
    if os.path.expanduser("~") == "~":  # noqa: PTH111  (pathlib raises an error)
        os.environ["HOME"] = tempfile.gettempdir()
        os.environ.setdefault("USER", "unknown")


def invalid_variable(error: BaseException | None) -> str:
    """Return the message for a variable that a library rejects with an error, else ""."""
    while error is not None:
        text, is_of_library = str(error), isinstance(error, ValueError)
        if isinstance(error, SpikeZooError):  # its text may contain a folder of a variable
            is_of_library = False
        for name, value in os.environ.items():
            if not name.startswith(_OF_LIBRARIES) or not is_of_library:
                continue
            is_folder = os.sep in value  # as that of TORCH_HOME; files there have other errors
            is_in_text = len(value) > 2 and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text)
            if name in text or (is_in_text and not is_folder):
                reason = " ".join(text.split())[:200]
                return f"the environment variable {name}={value} is not valid ({reason}); unset it"
        error = error.__cause__ or error.__context__
    return ""
