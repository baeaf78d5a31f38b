"""Web page of the app in Gradio: upload of a recording, options and results."""

from __future__ import annotations

import html
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from spike_zoo.checkpoints.published import weightless_names
from spike_zoo.errors import SpikeZooError, UsageError
from spike_zoo.pages.app_work import (
    FIELDS,
    SUFFIXES,
    Source,
    candidate_sizes,
    error_message,
    example_archive,
    listed_sizes,
    reconstruct_files,
    report_page,
    restore_file_name,
)
from spike_zoo.pages.live import HOST, is_local
from spike_zoo.pages.methods import DEFAULTS
from spike_zoo.spikes.cfa import Cfa

if TYPE_CHECKING:
    from collections.abc import Sequence

    import gradio

    from spike_zoo.formats.dat_sizes import StoredSize

HEIGHT: Final = 900  # pixels of the report
#: Labels for screen readers without a translation in Gradio.
_MISSING_WORDS: Final = {"common": {"complete": "complete"}}
_NOTHING: Final = "Drop a recording first, or use the built-in scene."
_EMPTY: Final = "<p>Drop a recording or use the built-in scene, then press <b>Show</b>.</p>"
#: Blocks content from other machines: Gradio's page would load an external script.
POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self'; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)


@dataclass(frozen=True)
class Setting:
    """Methods to choose from, the method that compresses, and the folder of all written files."""

    methods: Sequence[str]
    codec: str
    device: str
    trust: bool
    folder: Path


_MOMENT: Final = "time of the PNG (0: start, 1: end)"


def build(setting: Setting) -> gradio.Blocks:
    """Return the app without serving it."""
    import gradio

    act = _Actions(setting)
    with gradio.Blocks(title="Spike Zoo", analytics_enabled=False, fill_width=True) as blocks:
        gradio.Markdown("# Spike Zoo\nReconstruct a spike recording with several methods.")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=300):
                file = gradio.File(label="recording", file_types=list(SUFFIXES), height=130)
                take = gradio.Button("Use the built-in scene")
                note = gradio.HTML(elem_id="note")
                name = gradio.Dropdown([], label=FIELDS["name"], visible=False)
                with gradio.Accordion("Size and brightness", open=False) as more:
                    with gradio.Row():
                        height = gradio.Number(label=FIELDS["height"], precision=0, min_width=80)
                        width = gradio.Number(label=FIELDS["width"], precision=0, min_width=80)
                    about = "0: as stated, else estimated"
                    scale = gradio.Number(label=FIELDS["rate-scale"], info=about)
                    layouts = [("as stated", ""), *get_args(Cfa)]
                    cfa = gradio.Dropdown(layouts, value="", label=FIELDS["cfa"])
                methods = gradio.CheckboxGroup(
                    list(setting.methods), value=act.chosen(), label=FIELDS["methods"]
                )
                pictures = gradio.Slider(1, 9, value=3, step=1, label=FIELDS["pictures"])
                show = gradio.Button("Show", variant="primary")
                one = gradio.Dropdown(
                    list(setting.methods), value=DEFAULTS[1], label="method of the files"
                )
                moment = gradio.Slider(0, 1, value=0.5, label=_MOMENT)
                make = gradio.Button("Make PNG, MP4 and .sci")
                files = gradio.Files(label="files", interactive=False)
            with gradio.Column(scale=3, min_width=320):
                shown = gradio.HTML(_EMPTY)
        source = [file, name, height, width, scale, cfa]
        take.click(act.take, None, file)
        file.change(act.on_upload, file, [name, height, width, more, note, methods])
        cfa.input(lambda value: act.chosen(in_colour=bool(value)), cfa, methods)
        show.click(act.show, [*source, methods, pictures], [shown, files, note])
        make.click(act.make, [*source, one, moment], [files, note])
    return blocks


def serve(setting: Setting, port: int) -> None:
    """Serve the app to this machine only, until Ctrl-C."""
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise UsageError(f"--port {port}: the port is in use; give another one")
    import gradio

    blocks = build(setting).queue(default_concurrency_limit=1)
    blocks.launch(
        server_name=HOST,
        server_port=port,
        share=False,
        quiet=True,
        max_file_size="4gb",
        app_kwargs={"middleware": guards()},
        footer_links=[],
        i18n=gradio.I18n(en=_MISSING_WORDS),  # type: ignore[arg-type]  # keys may be nested
        prevent_thread_lock=True,
    )
    print(f"app: http://{HOST}:{port} (Ctrl-C ends it)", flush=True)  # noqa: T201  (the address of the app)
    blocks.block_thread()


def guards() -> list[Any]:
    """Return the middleware that rejects requests and content from other machines."""
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import PlainTextResponse

    async def guarded(request: Any, call_next: Any) -> Any:  # noqa: ANN401  (Starlette's)
        if not is_local(request.headers.get("host"), request.headers.get("origin")):
            return PlainTextResponse(
                "This app accepts requests from its page only.", status_code=403
            )
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return [Middleware(BaseHTTPMiddleware, dispatch=guarded)]


@dataclass(frozen=True)
class _Actions:
    """Event handlers of the page: arguments and results are values of fields."""

    setting: Setting

    def take(self) -> str:
        return str(example_archive(self.setting.folder))

    def chosen(self, *, in_colour: bool = False) -> list[str]:
        """Return the methods that are selected initially."""
        defaults = weightless_names(in_colour=True) if in_colour else DEFAULTS
        return [method for method in defaults if method in self.setting.methods]

    def on_upload(self, file: str | None) -> tuple[Any, ...]:
        """Return updates of the fields: recordings of an archive, size of a .dat, note, methods.

        The size is filled in if exactly one common size fits.
        """
        import gradio

        names: list[str] = []
        sizes, note, in_colour = None, "", False
        if file:
            source = Source(restore_file_name(Path(file)))
            try:
                names, sizes = source.names(), candidate_sizes(source.path)
                in_colour = source.is_in_colour()
            except (SpikeZooError, ValueError) as error:
                note = _problem(error_message(error, source))
        height, width = sizes[0][:2] if sizes and len(sizes) == 1 else (None, None)
        if sizes is not None:
            note = f'<p role="status">{html.escape(_size_note(sizes))}</p>'
        chosen = gradio.update(
            choices=names, value=names[0] if names else None, visible=len(names) > 1
        )
        methods = self.chosen(in_colour=in_colour)
        return chosen, height, width, gradio.update(open=sizes is not None), note, methods

    def show(self, *fields: Any) -> tuple[Any, Any, str]:
        import gradio

        *recording_fields, methods, pictures = fields
        setting = self.setting
        chosen = [method for method in methods if method in setting.methods]
        if recording_fields[0] is None or not chosen:
            missing = "Choose at least one method." if recording_fields[0] else _NOTHING
            return gradio.skip(), gradio.skip(), _problem(missing)
        source = _source(recording_fields)
        try:
            page = report_page(
                source, chosen, int(pictures), device=setting.device, trust=setting.trust
            )
        except (SpikeZooError, ValueError) as error:
            return _EMPTY, [], _problem(error_message(error, source))
        report = Path(tempfile.mkdtemp(dir=setting.folder)) / "report.html"
        report.write_text(page, encoding="utf-8")
        # a sandboxed document that may only run scripts
        frame = (
            f'<iframe title="report" sandbox="allow-scripts" srcdoc="{html.escape(page)}" '
            f'style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
        )
        return frame, [str(report)], ""

    def make(self, *fields: Any) -> tuple[Any, str]:
        import gradio

        *recording_fields, method, moment = fields
        setting = self.setting
        if recording_fields[0] is None or method not in setting.methods:
            missing = "Choose one of the methods." if recording_fields[0] else _NOTHING
            return gradio.skip(), _problem(missing)
        source = _source(recording_fields)
        try:
            files, problems = reconstruct_files(
                source,
                method,
                Path(tempfile.mkdtemp(dir=setting.folder)),
                moment=float(moment),
                codec=setting.codec,
                device=setting.device,
                trust=setting.trust,
            )
        except (SpikeZooError, ValueError) as error:
            return [], _problem(error_message(error, source))
        note = "".join(map(_problem, problems))
        return [str(path) for path in files.values()], note


def _source(fields: Sequence[Any]) -> Source:
    file, *options = fields
    return Source(restore_file_name(Path(file)), *(value or None for value in options))


def _size_note(sizes: Sequence[StoredSize]) -> str:
    """Return a note on the possible sizes of a file that does not state its size."""
    unstated = "The file does not state its size"
    if not sizes:
        return f"{unstated}, and no common size fits: fill in height and width."
    listed = listed_sizes(sizes)
    if len(sizes) == 1:
        return f"{unstated}. The only common size that fits (W x H) is filled in: {listed}."
    return f"{unstated}. Fill in one of the common sizes that fit (W x H): {listed}."


def _problem(message: str) -> str:
    return f'<p role="alert" style="color: #b3261e">{html.escape(message)}</p>'
