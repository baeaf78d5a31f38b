"""Number of torch's threads on machines with busy cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from spike_zoo.nn import threads
from spike_zoo.nn.threads import free_cores, limit_threads, results_in_order


@pytest.fixture(autouse=True)
def _threads_are_restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _simulate_machine(
    monkeypatch: pytest.MonkeyPatch, folder: Path, usable: int, total: int, load: str
) -> None:
    monkeypatch.setattr(threads, "cpu_count", lambda: usable)
    monkeypatch.setattr("os.cpu_count", lambda: total)
    (folder / "loadavg").write_text(load, encoding="ascii")
    monkeypatch.setattr(threads, "_LOAD", folder / "loadavg")


@pytest.mark.parametrize(
    ("usable", "total", "load", "free"),
    [
        (8, 8, "0.00 0.00 0.00 1/200 999", 8),
        (8, 8, "3.10 3.00 2.50 4/200 999", 5),
        (2, 2, "6.20 5.00 4.00 7/200 999", 1),
        (2, 2, "2.00 2.00 1.00 1/200 999", 2),  # the load has ended
        (2, 2, "0.10 0.10 0.10 3/200 999", 2),  # a short peak
        (2, 64, "30.0 30.0 30.0 31/900 999", 2),  # a limit of two cores on a large machine
        (4, 64, "70.0 70.0 70.0 71/900 999", 1),
    ],
)
def test_cores_used_by_other_processes_are_not_free(
    usable: int, total: int, load: str, free: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _simulate_machine(monkeypatch, tmp_path, usable, total, load)
    assert free_cores() == free


def test_without_a_load_average_all_usable_cores_are_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _simulate_machine(monkeypatch, tmp_path, 3, 8, "")
    (tmp_path / "loadavg").unlink()
    assert free_cores() == 3


def test_torch_has_one_thread_on_a_loaded_machine_unless_the_user_set_the_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _simulate_machine(monkeypatch, tmp_path, 2, 2, "6.20 5.00 4.00 7/200 999")
    torch.set_num_threads(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    limit_threads()
    assert torch.get_num_threads() == 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    limit_threads()
    assert torch.get_num_threads() == 1


def test_limit_does_not_increase_torchs_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _simulate_machine(monkeypatch, tmp_path, 8, 8, "0.00 0.00 0.00 1/200 999")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(1)
    limit_threads()
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_order_and_torch_has_one_thread_in_each_worker(count: int) -> None:
    torch.set_num_threads(2)
    started: list[int] = []

    def jobs() -> Iterator[Callable[[], tuple[int, int]]]:
        for number in range(20):
            started.append(number)
            yield lambda number=number: (number, torch.get_num_threads())  # type: ignore[misc]

    results = results_in_order(jobs(), count)
    assert next(results) == (0, 2 if count == 1 else 1)
    assert len(started) <= count + 2, "jobs start as results are consumed"
    assert torch.get_num_threads() == 2
    assert [number for number, _ in results] == list(range(1, 20))
    assert torch.get_num_threads() == 2


def test_an_error_in_a_job_is_raised_in_the_caller() -> None:
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        list(results_in_order([lambda: 1, lambda: 1 // 0], 2))
    assert torch.get_num_threads() == 2
