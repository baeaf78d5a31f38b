"""Command ``calibrate``: the noise of a camera from recordings of uniform light."""

from pathlib import Path
from typing import Literal, Unpack

from spike_zoo.cli.console import echo
from spike_zoo.cli.options import DatSize
from spike_zoo.errors import UsageError
from spike_zoo.formats.recording import read_recording
from spike_zoo.utils.files import check_absent


def calibrate(
    dark: str,
    flats: list[str],
    *,
    out: str = "camera.yaml",
    overwrite: bool = False,
    cfa: Literal["RGGB", "BGGR", "GRBG", "GBRG"] | None = None,
    **dat: Unpack[DatSize],
) -> None:
    """Estimate the noise of a camera from recordings of uniform light.

    Writes the parameters with their 95 % confidence intervals, and a file .npz beside them with
    the gain, the dark rate and the defects of each pixel. simulate --noise camera.yaml simulates
    this camera, and --camera camera.yaml of reconstruct, report and live corrects its images.

    Args:
        dark: Recording with the lens covered, of 500 planes or more, better 2000.
        flats: Recordings of uniform, constant light at two levels or more, such as 0.05 and 0.5
            spikes per plane.
        out: File for the parameters (.yaml).
    """
    if Path(out).suffix != ".yaml" or out.endswith("/"):
        raise UsageError(f"--out {out}: give X.yaml; the maps are written next to it, as X.npz")
    maps = Path(out).with_suffix(".npz")
    if maps.absolute() in [Path(path).absolute() for path in (dark, *flats)]:
        raise UsageError(f"--out {out}: the maps would replace the recording {maps}")
    for path in (Path(out), maps):
        check_absent(path, overwrite=overwrite)
    recordings = [read_recording(path, cfa=cfa, **dat) for path in (dark, *flats)]
    from spike_zoo.simulation.camera.calibration import calibrate as estimate

    found = estimate(recordings[0], recordings[1:])
    for path in found.write(Path(out), overwrite=overwrite):
        echo(str(path))
    values = vars(found.noise)
    for name, (low, high) in found.intervals.items():
        is_known = name not in found.undetermined
        value, remark = (f"{values[name]:.4g}", "") if is_known else ("-", "  not determined")
        print(f"{name:<20} {value:<10} {low:.4g} to {high:.4g}{remark}")
    print(f"{'defective pixels':<20} {int(found.defective.sum())}")
