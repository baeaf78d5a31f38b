"""Import of torchvision with missing compiled operators."""

import subprocess
import sys
from pathlib import Path

import pytest

from spike_zoo.utils.torchvision_builds import TorchvisionGuard, install_guard
from tests.helpers.processes import run_python


@pytest.mark.slow
def test_libraries_that_need_torchvision_import_after_the_package() -> None:
    done = run_python("import spike_zoo, lightning, torchmetrics, lpips, torchvision; print('ok')")
    assert done.stdout.strip() == "ok", done.stderr


@pytest.mark.slow
def test_a_spawned_process_of_a_script_that_imports_the_package_first_can_import_lightning(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import spike_zoo\n"
        "if __name__ == '__main__':\n"
        "    import multiprocessing, sys\n"
        "    from lightning import seed_everything\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    child = context.Process(target=seed_everything, args=(1,))\n"
        "    child.start(); child.join(); sys.exit(child.exitcode)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_guard_defines_no_operators_if_those_of_torchvision_load(tmp_path: Path) -> None:
    code = (
        "import torch; from pathlib import Path; "
        "import spike_zoo.utils.torchvision_builds as guard;"
        "torch.ops.load_library = lambda path: None;"
        f"folder = Path({str(tmp_path)!r}); (folder / '_C.so').touch();"
        "assert guard.define_missing_operators(folder) is False;"
        "assert not hasattr(torch.ops.torchvision, 'nms')"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("is_loaded", [False, True])
def test_the_guard_is_installed_first_and_once_unless_torchvision_is_imported(
    is_loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_finders = [finder for finder in sys.meta_path if not isinstance(finder, TorchvisionGuard)]
    monkeypatch.setattr(sys, "meta_path", list(other_finders))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    if is_loaded:
        monkeypatch.setitem(sys.modules, "torchvision", pytest)  # any module
    for _ in range(2):
        install_guard()
    added = sys.meta_path[: len(sys.meta_path) - len(other_finders)]
    assert [type(finder) for finder in added] == ([] if is_loaded else [TorchvisionGuard])
    assert sys.meta_path[len(added) :] == other_finders


def test_the_guard_ignores_other_libraries_and_stays_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard = TorchvisionGuard()
    monkeypatch.setattr(sys, "meta_path", [guard, *sys.meta_path])
    assert guard.find_spec("torchvision_of_somebody", None) is None
    assert guard.find_spec("numpy", None) is None
    assert sys.meta_path[0] is guard
