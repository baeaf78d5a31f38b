"""Tests of the command ``app``: checks before the page is served."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from spike_zoo.cli.main import main
from spike_zoo.errors import UsageError
from spike_zoo.pages.app_page import Setting, guards, serve

if TYPE_CHECKING:
    from pathlib import Path


def test_without_gradio_the_app_states_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["app"]) == 2
    assert "pip install 'spike-zoo[app]'" in capsys.readouterr().err


def test_a_port_in_use_is_rejected(tmp_path: Path) -> None:
    setting = Setting((), "sci", "cpu", False, tmp_path)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: the port is in use"):
            serve(setting, port)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8000", "Origin": "http://localhost:8000"}, 200),
        ({"Host": "attacker.example"}, 403),
        ({"Host": "attacker.example", "Origin": "http://attacker.example"}, 403),
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_requests_of_other_sites_are_rejected(headers: dict[str, str], status: int) -> None:
    pytest.importorskip("gradio", reason="of the extra 'app'")
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    page = Route("/", lambda _: PlainTextResponse("x"), methods=["GET", "POST"])
    client = TestClient(Starlette(routes=[page], middleware=guards()), "http://127.0.0.1:7860")
    for answer in (client.get("/", headers=headers), client.post("/", headers=headers)):
        assert answer.status_code == status
