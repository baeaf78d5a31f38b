"""The app in a browser: started by the command, ended by Ctrl-C."""

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
GRADIO_MESSAGE = "Method not implemented."  # printed by the script of Gradio when a file is dropped
COMPUTE_TIMEOUT_MS = 120_000  # for operations that compute


@pytest.fixture(scope="module")
def work_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def port(work_folder: Path, visitor: Visitor) -> Iterator[int]:
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("Gradio is not installed (the extra app)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [sys.executable, "-m", "spike_zoo", "app", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "TMPDIR": str(work_folder)}
    streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, env=environment, **streams) as process:
        assert process.stdout is not None
        text = process.stdout.readline()
        assert text.startswith(f"app: http://127.0.0.1:{port}"), text + process.stdout.read()
        yield port
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
    assert list(work_folder.glob("spike-zoo-app-*")) == [], "uploaded files are deleted"


@pytest.fixture
def visit(port: int, visitor: Visitor) -> Iterator[Visit]:
    address = f"http://127.0.0.1:{port}/"
    with visitor.opened(address) as visit:
        visit.page.get_by_role("button", name="Show", exact=True).wait_for()
        yield visit
        assert [item for item in visit.complaints if item != GRADIO_MESSAGE] == []
        outside = [url for url in visit.requests if not url.startswith((address, "data:", "blob:"))]
        assert outside == [], "no requests to other machines"


def _upload(visit: Visit, name: str, content: bytes) -> None:
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    visit.page.set_input_files("input[type=file]", file)  # type: ignore[arg-type]  # a payload
    visit.page.locator(".file-preview").first.wait_for()


def _recording() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, np.random.default_rng(0).random((61, 24, 32)) < 0.3)
    return stream.getvalue()


def test_the_built_in_scene_is_shown_and_downloaded(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Use the built-in scene").click()
    page.locator(".file-preview").first.wait_for(timeout=COMPUTE_TIMEOUT_MS)
    page.get_by_role("button", name="Show", exact=True).click()
    report = page.frame_locator("iframe")
    report.locator("html[data-ready]").wait_for(state="attached", timeout=COMPUTE_TIMEOUT_MS)
    assert report.locator(".label").first.inner_text() == "tfi"
    page.get_by_role("button", name="Make PNG, MP4 and .sci").click()
    link = page.locator("a[download$='.mp4']")
    link.wait_for(timeout=COMPUTE_TIMEOUT_MS)
    with page.expect_download() as download:
        link.click()
    assert download.value.path().stat().st_size > 1000


@pytest.mark.parametrize("is_whole", [True, False])
def test_names_of_files_are_escaped(visit: Visit, is_whole: bool) -> None:
    page = visit.page
    _upload(visit, HOSTILE, _recording() if is_whole else b"no recording")
    page.get_by_role("button", name="Show", exact=True).click()
    if is_whole:
        report = page.frame_locator("iframe")
        report.locator("html[data-ready]").wait_for(state="attached", timeout=COMPUTE_TIMEOUT_MS)
        assert report.locator("h1 *").count() == 0
        assert report.locator("img[src='x']").count() == 0
    else:
        page.locator("#note [role=alert]").wait_for(timeout=COMPUTE_TIMEOUT_MS)
        assert page.locator("#note img[src='x']").count() == 0
        assert "spike-zoo-app-" not in page.locator("#note").inner_text()
    assert page.locator("img[src='x']").count() == 0
    assert "common.complete" not in page.content()


def test_the_only_fitting_size_is_shown_and_filled_in(visit: Visit) -> None:
    page = visit.page
    _upload(visit, "street.dat", bytes(61 * 250 * 400 // 8))
    page.locator("#note [role=status]").wait_for(timeout=COMPUTE_TIMEOUT_MS)
    assert "400 x 250 (61 planes)" in page.locator("#note").inner_text()
    assert page.get_by_label("height (rows)").input_value() == "250"
    assert page.get_by_label("width (columns)").input_value() == "400"


def test_a_file_name_with_parent_folders_stays_in_the_folder_of_the_app(
    visit: Visit, work_folder: Path
) -> None:
    _upload(visit, "../../../outside.npz", _recording())
    stored = [path for path in work_folder.rglob("*outside*") if path.is_file()]
    assert stored, "the upload was stored"
    (app_folder,) = {path.relative_to(work_folder).parts[0] for path in stored}
    assert re.fullmatch(r"spike-zoo-app-\w+", app_folder), "only in the folder of the app"
    assert not (work_folder.parent / "outside.npz").exists()


def test_files_that_were_not_uploaded_are_not_served(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/gradio_api/file=/etc/passwd")
    assert connection.getresponse().status == 403
    connection.close()
