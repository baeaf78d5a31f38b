"""``configs``: the configurations that ship, listed, or copied to be changed."""

from __future__ import annotations

from json import dumps
from pathlib import Path

from spike_zoo.cli.console import echo
from spike_zoo.errors import ExistingFileError, UsageError, closest
from spike_zoo.files import new_file
from spike_zoo.runs.configs import shipped_configs, summary_of


def configs(*, copy: list[str] | None = None, out: str = "configs", json: bool = False) -> None:
    """List the configurations that ship with the package, or copy some to change them.

    Every command takes one by its name, as ``--config stir --config profiles/cpu``; a copy at
    ``configs/stir.yaml`` in the working folder has priority over the one that ships.

    Args:
        copy: Names of those to copy, as ``stir paper/stir``; no file is replaced.
        out: The folder that gets the copies.
        json: List names, files and what they are as JSON.
    """
    shipped = shipped_configs()
    if copy is None and json:
        rows = [
            {"name": name, "file": str(file), "summary": summary_of(file)}
            for name, file in shipped.items()
        ]
        print(dumps({"configs": rows}, indent=2))
        return
    if copy is None:
        width = max(map(len, shipped))
        for name, file in shipped.items():
            print(f"{name:<{width}}  {summary_of(file)}")
        return
    for name in copy:
        if name not in shipped:
            raise UsageError(
                f"--copy {name}: no such configuration ships.{closest(name, shipped)} "
                "'spike-zoo configs' lists them"
            )
    targets = {name: Path(out, f"{name}.yaml") for name in copy}
    for target in targets.values():
        if target.exists():
            raise ExistingFileError(f"{target} exists already; remove it first", path=str(target))
    for name, target in targets.items():
        with new_file(target) as temporary:
            temporary.write_bytes(shipped[name].read_bytes())
        echo(f"configuration: {target}")
