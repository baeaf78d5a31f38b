"""Command ``live``: local web page that shows a recording as a video while it is recorded."""

import time
from pathlib import Path
from typing import Unpack

from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.console import echo
from spike_zoo.cli.inputs import chosen_rate_scale, load_method, recording_source
from spike_zoo.cli.options import DatSize, Fps, Port, PositiveInt
from spike_zoo.pages.live_sources import PlaneSource, open_source
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks.protocols import Reconstructs, require_ability

_MIN_PLANES = 200  # for an estimate of the rate scale


def live(
    recording: str,
    *,
    method: str = "plain",
    follow: bool = False,
    fps: Fps = 25.0,
    stride: PositiveInt = 20,
    rate_scale: float | str = "auto",
    name: str | None = None,
    port: Port = 7861,
    camera: str | None = None,
    device: str = "auto",
    trust: bool = False,
    **dat: Unpack[DatSize],
) -> None:
    """Show a recording as a video on a local web page, while it is read or recorded.

    Playing starts when the page is opened. Images that cannot be computed in time are dropped, so
    the speed stays constant. Memory does not grow with the recording. The page has play, pause and
    a slider. Ctrl-C stops the server.

    Args:
        recording: A recording of any format, or a named pipe with the content of a .dat file. Only
            the newest planes of a pipe are kept.
        method: plain, tfi, tfp, or another method that reconstructs.
        follow: Show the newest planes of a .dat file that is still being written.
        fps: Target images per second.
        stride: Planes from one image to the next.
        port: Port of the page on 127.0.0.1.
    """
    opened = recording_source(recording, name, {**dat, "camera": camera}, rate_scale)
    check_method(method)
    if Path(recording).is_fifo():
        echo(f"waiting for a program that writes into {recording}")
    source = open_source(opened, follow=follow)
    module = require_ability(
        load_method(method, device, trust=trust), Reconstructs, f"--method {method}"
    )
    from spike_zoo.pages.live import LiveServer, Player

    scale = source.rate_scale or getattr(module, "own_rate_scale", None)
    scale = scale or chosen_rate_scale(_newest_planes(source), module)
    player = Player(source, module, scale, fps=fps, stride=stride, follows=not source.ended)
    server = LiveServer(player, port, Path(recording).name)
    echo(f"page: {server.address} (Ctrl-C ends it)")
    server.serve()


def _newest_planes(source: PlaneSource) -> SpikeRecording:
    """Wait for 200 planes or the end of the source; return the newest planes, at most 200."""
    first, stop = source.span()
    if stop - first < _MIN_PLANES and not source.ended:
        echo(f"waiting for {_MIN_PLANES} planes, to estimate the rate scale (or pass --rate-scale)")
    while stop - first < _MIN_PLANES and not source.ended:
        time.sleep(0.05)
        first, stop = source.span()
    return source.window(max(first, stop - _MIN_PLANES), stop)
