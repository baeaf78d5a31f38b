"""The app's looks, in Gradio: where to drop a recording, what to choose, what came out."""

from __future__ import annotations

import html
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.app.work import SUFFIXES, Source, built_in, files_of, page_of
from spike_zoo.errors import SpikeZooError, UsageError
from spike_zoo.reports.methods import CLASSICAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import gradio

HEIGHT: Final = 900  # pixels of the report
_EMPTY: Final = "<p>Drop a recording or take the built-in scene, then press <b>Show</b>.</p>"
#: Nothing from anywhere but this machine: Gradio's own page would ask for a script elsewhere.
POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self'; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)


@dataclass(frozen=True)
class Setting:
    """What the app was started with.

    Attributes:
        methods: What may be chosen.
        codec: What compresses.
        device: Where methods compute.
        trust: Whether classes from outside this package may be imported.
        folder: Where the app writes, and nowhere else.
    """

    methods: Sequence[str]
    codec: str
    device: str
    trust: bool
    folder: Path


def build(setting: Setting) -> gradio.Blocks:
    """Return the app, not yet served."""
    import gradio

    act = _Actions(setting)
    with gradio.Blocks(title="Spike Zoo", analytics_enabled=False, fill_width=True) as blocks:
        gradio.Markdown("# Spike Zoo\nA spike recording, and what every method makes of it.")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=300):
                file = gradio.File(label="recording", file_types=list(SUFFIXES), height=130)
                take = gradio.Button("Take the built-in scene")
                name = gradio.Dropdown([], label="which of the archive", visible=False)
                with gradio.Accordion("What the file does not say", open=False):
                    with gradio.Row():
                        height = gradio.Number(label="height of a .dat", precision=0, min_width=80)
                        width = gradio.Number(label="width of a .dat", precision=0, min_width=80)
                    scale = gradio.Number(label="spikes per plane at white")
                methods = gradio.CheckboxGroup(
                    list(setting.methods), value=list(CLASSICAL[1:3]), label="methods"
                )
                pictures = gradio.Slider(1, 9, value=3, step=1, label="planes reconstructed")
                show = gradio.Button("Show", variant="primary")
                one = gradio.Dropdown(list(setting.methods), value=CLASSICAL[2], label="files by")
                moment = gradio.Slider(
                    0, 1, value=0.5, label="moment of the PNG, from beginning to end"
                )
                make = gradio.Button("Make PNG, MP4 and .sci")
                files = gradio.Files(label="to take away", interactive=False)
            with gradio.Column(scale=3, min_width=320):
                shown = gradio.HTML(_EMPTY)
        source = [file, name, height, width, scale]
        take.click(act.take, None, file)
        file.change(act.names, file, name)
        show.click(act.show, [*source, methods, pictures], [shown, files])
        make.click(act.make, [*source, one, moment], files)
    return blocks


def serve(setting: Setting, port: int, *, opens: bool) -> None:
    """Serve the app to this machine alone, until it is interrupted.

    Args:
        setting: What it was started with.
        port: Where it listens.
        opens: Whether the browser is opened.

    Raises:
        UsageError: If something else listens there.
    """
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UsageError(f"--port {port}: something else listens there; give another one")
    blocks = build(setting).queue(default_concurrency_limit=1)
    blocks.launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        inbrowser=opens,
        quiet=True,
        max_file_size="4gb",
        app_kwargs={"middleware": _guards()},
        footer_links=[],
        prevent_thread_lock=True,
    )
    print(f"app: http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)  # noqa: T201  (it listens)
    blocks.block_thread()


def _guards() -> list[Any]:
    """Return what stands before the app: only this machine's name, only this machine's content."""
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    async def with_policy(request: Any, call_next: Any) -> Any:  # noqa: ANN401  (Starlette's)
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return [
        # another site's name that leads here is none of ours
        Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]),
        Middleware(BaseHTTPMiddleware, dispatch=with_policy),
    ]


@dataclass(frozen=True)
class _Actions:
    """What buttons do: values of fields in, values of fields out."""

    setting: Setting

    def take(self) -> str:
        return str(built_in(self.setting.folder))

    def names(self, file: str | None) -> Any:  # noqa: ANN401  (Gradio's update)
        import gradio

        names = _said(Source(Path(file)).names) if file else []
        return gradio.update(
            choices=names, value=names[0] if names else None, visible=len(names) > 1
        )

    def show(self, *fields: Any) -> tuple[str, list[str]]:
        *given, methods, pictures = fields
        source, setting = _source(given), self.setting
        known = [one for one in methods if one in setting.methods]
        if not known:
            raise _refusal("choose at least one method")
        page = _said(
            page_of, source, known, int(pictures), device=setting.device, trust=setting.trust
        )
        kept = Path(tempfile.mkdtemp(dir=setting.folder)) / "report.html"
        kept.write_text(page, encoding="utf-8")
        # a document of its own, which may run its script and nothing else
        frame = (
            f'<iframe title="report" sandbox="allow-scripts" srcdoc="{html.escape(page)}" '
            f'style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
        )
        return frame, [str(kept)]

    def make(self, *fields: Any) -> list[str]:
        import gradio

        *given, method, moment = fields
        source, setting = _source(given), self.setting
        if method not in setting.methods:
            raise _refusal("choose one of the methods")
        files, problems = _said(
            files_of,
            source,
            method,
            Path(tempfile.mkdtemp(dir=setting.folder)),
            moment=float(moment),
            codec=setting.codec,
            device=setting.device,
            trust=setting.trust,
        )
        for problem in problems:
            gradio.Warning(html.escape(problem))
        return [str(path) for path in files.values()]


def _source(fields: Sequence[Any]) -> Source:
    file, name, height, width, scale = fields
    if file is None:
        raise _refusal("drop a recording first, or take the built-in scene")
    return Source(Path(file), name or None, height or None, width or None, scale or None)


def _said(work: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  (any work's)
    """Do some work, and say on the page why it cannot be done."""
    try:
        return work(*arguments, **options)
    except (SpikeZooError, ValueError) as error:
        raise _refusal(str(error)) from error


def _refusal(message: str) -> Exception:
    import gradio

    return gradio.Error(html.escape(message), print_exception=False)
