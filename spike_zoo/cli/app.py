"""Command ``app``: local web page that views and converts recordings."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from spike_zoo.checkpoints.published import check_method, weightless_names
from spike_zoo.cli.options import Port
from spike_zoo.errors import UsageError


def app(
    *,
    port: Port = 7860,
    methods: list[str] | None = None,
    device: str = "auto",
    trust: bool = False,
) -> None:
    """Serve a local web page to view recordings and save them as pictures and videos.

    Requires the extra app: pip install 'spike-zoo[app]'. Ctrl-C stops the server.

    Args:
        port: Port of the page on 127.0.0.1.
        methods: Additional methods to choose from: checkpoints or export folders.
    """
    for method in methods or ():
        check_method(method)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    with tempfile.TemporaryDirectory(prefix="spike-zoo-app-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # uploads are removed at the end
        try:
            import gradio  # noqa: F401
        except ImportError as error:
            raise UsageError(
                "the app needs Gradio, which is not installed: pip install 'spike-zoo[app]'"
            ) from error
        from spike_zoo.checkpoints.loading import load, pick_device
        from spike_zoo.pages.app_page import Setting, serve
        from spike_zoo.pages.methods import load_methods
        from spike_zoo.tasks.protocols import Reconstructs
        from spike_zoo.utils.files import shipped_weights

        picked = pick_device(device)
        # checked before the page opens
        load_methods(methods or ["tfi"], device=picked, trust=trust)
        shipped = [name for name in shipped_weights() if isinstance(load(name), Reconstructs)]
        offered = [
            *weightless_names(),
            *shipped,
            *weightless_names(in_colour=True),
            *(methods or []),
        ]
        serve(Setting(offered, "sci", picked, trust, Path(folder)), port)
