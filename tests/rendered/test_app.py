"""The app as a person uses it, in a browser: served by the command, ended by Ctrl-C."""

from __future__ import annotations

import http.client
import importlib.util
import io
import os
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rendered.conftest import Visit, Visitor

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror=alert(1)>.npz"
OF_GRADIO = "Method not implemented."  # what its own script says where a file is dropped
PATIENCE = 120_000  # milliseconds for what computes


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def port(home: Path, visitor: Visitor) -> Iterator[int]:
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("Gradio is not installed (the extra app)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [sys.executable, "-m", "spike_zoo", "app", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "TMPDIR": str(home)}
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, env=environment, **streams) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith(f"app: http://127.0.0.1:{port}"), said + process.stdout.read()
        yield port
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
    assert list(home.glob("spike-zoo-app-*")) == [], "what was dropped is gone"


@pytest.fixture
def visit(port: int, visitor: Visitor) -> Iterator[Visit]:
    address = f"http://127.0.0.1:{port}/"
    with visitor.opened(address) as visit:
        visit.page.get_by_role("button", name="Show", exact=True).wait_for()
        yield visit
        assert [one for one in visit.complaints if one != OF_GRADIO] == []
        outside = [url for url in visit.requests if not url.startswith((address, "data:", "blob:"))]
        assert outside == [], "nothing leaves this machine"


def _dropped(visit: Visit, name: str, content: bytes) -> None:
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    visit.page.set_input_files("input[type=file]", file)  # type: ignore[arg-type]  # a payload
    visit.page.locator(".file-preview").first.wait_for()


def _recording() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, np.random.default_rng(0).random((61, 24, 32)) < 0.3)
    return stream.getvalue()


def test_the_built_in_scene_is_shown_and_taken_away(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Use the built-in scene").click()
    page.locator(".file-preview").first.wait_for(timeout=PATIENCE)
    page.get_by_role("button", name="Show", exact=True).click()
    report = page.frame_locator("iframe")
    report.locator("html[data-ready]").wait_for(state="attached", timeout=PATIENCE)
    assert report.locator(".label").first.inner_text() == "tfi"
    page.get_by_role("button", name="Make PNG, MP4 and .sci").click()
    link = page.locator("a[download$='.mp4']")
    link.wait_for(timeout=PATIENCE)
    with page.expect_download() as download:
        link.click()
    assert download.value.path().stat().st_size > 1000


@pytest.mark.parametrize("is_whole", [True, False])
def test_names_of_files_are_words_and_nothing_else(visit: Visit, is_whole: bool) -> None:
    page = visit.page
    _dropped(visit, HOSTILE, _recording() if is_whole else b"no recording")
    page.get_by_role("button", name="Show", exact=True).click()
    if is_whole:
        report = page.frame_locator("iframe")
        report.locator("html[data-ready]").wait_for(state="attached", timeout=PATIENCE)
        assert report.locator("h1 *").count() == 0
        assert report.locator("img[src='x']").count() == 0
    else:
        page.locator("#note [role=alert]").wait_for(timeout=PATIENCE)
        assert page.locator("#note img[src='x']").count() == 0
        assert "spike-zoo-app-" not in page.locator("#note").inner_text()
    assert page.locator("img[src='x']").count() == 0
    assert "common.complete" not in page.content()


def test_the_only_size_that_fits_is_shown_and_filled_in(visit: Visit) -> None:
    page = visit.page
    _dropped(visit, "street.dat", bytes(61 * 250 * 400 // 8))
    page.locator("#note [role=status]").wait_for(timeout=PATIENCE)
    assert "400 x 250 (61 planes)" in page.locator("#note").inner_text()
    assert page.get_by_label("height (rows)").input_value() == "250"
    assert page.get_by_label("width (columns)").input_value() == "400"


def test_a_name_leads_nowhere(visit: Visit, home: Path) -> None:
    _dropped(visit, "../../../outside.npz", _recording())
    found = [path for path in home.rglob("*outside*") if path.is_file()]
    assert found, "it was stored"
    (kept,) = {path.relative_to(home).parts[0] for path in found}
    assert re.fullmatch(r"spike-zoo-app-\w+", kept), "and nowhere but in the app's own folder"
    assert not (home.parent / "outside.npz").exists()


def test_nothing_is_served_that_was_not_dropped(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/gradio_api/file=/etc/passwd")
    assert connection.getresponse().status == 403
    connection.close()
