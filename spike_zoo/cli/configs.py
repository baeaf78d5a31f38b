"""Command ``configs``: list or copy the configurations of the package."""

from pathlib import Path

from spike_zoo.cli.console import echo
from spike_zoo.errors import ExistingFileError, UsageError, closest
from spike_zoo.training.configs import shipped_configs, summary_of
from spike_zoo.utils.files import new_file


def configs(*, copy: list[str] | None = None) -> None:
    """List the configurations of the package, or copy some of them to edit.

    Commands accept a configuration by its name, such as ``--config stir --config profiles/cpu``. A
    file configs/stir.yaml in the working folder has priority over the one of the package.

    Args:
        copy: Names of configurations to copy to the folder configs, such as ``stir paper/stir``. No
            file is replaced.
    """
    shipped = shipped_configs()
    if copy is None:
        width = max(map(len, shipped))
        for name, file in shipped.items():
            print(f"{name:<{width}}  {summary_of(file)}")
        return
    for name in copy:
        if name not in shipped:
            raise UsageError(
                f"--copy {name}: no such configuration in the package.{closest(name, shipped)} "
                "'spike-zoo configs' lists all"
            )
    targets = {name: Path("configs", f"{name}.yaml") for name in copy}
    for target in targets.values():
        if target.exists():
            raise ExistingFileError(f"{target} exists already; remove it first", path=str(target))
    for name, target in targets.items():
        with new_file(target) as temporary:
            temporary.write_bytes(shipped[name].read_bytes())
        echo(f"configuration: {target}")
