"""The app before it serves anything: what it needs, and what it refuses."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

from spike_zoo.app.page import Setting, serve
from spike_zoo.cli.main import main
from spike_zoo.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_without_gradio_the_app_states_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["app"]) == 2
    assert "pip install 'spike-zoo[app]'" in capsys.readouterr().err


def test_a_port_that_is_none_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", "--port", "70000"]) == 2
    assert "ports are 1 to 65535" in capsys.readouterr().err


def test_a_port_that_is_taken_is_rejected(tmp_path: Path) -> None:
    setting = Setting((), "sci-small", "cpu", False, tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: something else listens there"):
            serve(setting, port, opens=False)
