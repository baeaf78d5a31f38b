"""``live``: a recording as a video on a page of this machine while it is read."""

from __future__ import annotations

import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.console import check_least, check_port, echo, report_rate_scale
from spike_zoo.errors import UsageError
from spike_zoo.live.sources import open_source
from spike_zoo.spikes.rate_scale import rate_scale_of, stated_rate_scale
from spike_zoo.tasks.protocols import Reconstructs, require_ability

if TYPE_CHECKING:
    from typing import Unpack

    from spike_zoo.cli.lazy_signature import DatOptions
    from spike_zoo.live.sources import PlaneSource
    from spike_zoo.spikes import SpikeRecording

_LEAST = 200  # planes that an estimate of the rate scale waits for


def live(
    recording: str,
    *,
    method: str = "plain",
    follow: bool = False,
    fps: float = 25.0,
    stride: int = 20,
    rate_scale: float | str = "auto",
    name: str | None = None,
    port: int = 7861,
    open: bool = False,
    device: str = "auto",
    trust: bool = False,
    **dat: Unpack[DatOptions],
) -> None:
    """Show a recording as a video on a page of this machine, while it is read or written.

    Pictures that cannot be made in time are dropped, so that the pace is kept, and memory does not
    grow with the recording. The page has play, pause and a slider. Ctrl-C ends it.

    Args:
        recording: A recording of any format; or a named pipe through which a .dat comes, of which
            the last planes are kept.
        method: plain, tfi, tfp, or any other that reconstructs.
        follow: The .dat is still being written: show its newest planes.
        fps: Pictures per second that are aimed at.
        stride: Planes from one picture to the next.
        rate_scale: Spikes per plane at white; auto is what the recording states, else an estimate
            from the brightest pixels, which is printed.
        name: Which recording of an archive.
        port: Where the page is, on 127.0.0.1 only.
        open: Open the browser.
        device: auto, cpu, cuda or mps.
        trust: Import the class that a checkpoint names even if another package defines it.
    """
    check_least(1, stride=stride)
    if not 0 < fps <= 1000:
        raise UsageError(f"--fps {fps:g}: it is above 0 and up to 1000")
    check_port(port)
    stated = stated_rate_scale(rate_scale)
    check_method(method)
    if Path(recording).is_fifo():
        echo(f"waiting for a program that writes into {recording}")
    source = open_source(Path(recording), name, follow=follow, **dat)
    from spike_zoo.checkpoints.loading import load, pick_device  # loads torch: after cheap checks
    from spike_zoo.live.player import Player
    from spike_zoo.live.server import LiveServer

    loaded = load(method, device=pick_device(device), trust=trust)
    module = require_ability(loaded, Reconstructs, f"--method {method}")
    newest = _newest_planes(source)
    scale = rate_scale_of(newest, stated, own=getattr(module, "own_rate_scale", None))
    report_rate_scale(scale)
    player = Player(source, module, scale.value, fps=fps, stride=stride, follows=not source.ended)
    server = LiveServer(player, port, Path(recording).name)
    echo(f"page: {server.address} (Ctrl-C ends it)")
    if open:
        webbrowser.open(server.address)
    server.serve()


def _newest_planes(source: PlaneSource) -> SpikeRecording:
    """Return the newest planes, once there are enough of them."""
    first, stop = source.span()
    if stop - first < _LEAST and not source.ended:
        echo(f"waiting for {_LEAST} planes")
    while stop - first < _LEAST and not source.ended:
        time.sleep(0.05)
        first, stop = source.span()
    return source.window(max(first, stop - _LEAST), stop)
