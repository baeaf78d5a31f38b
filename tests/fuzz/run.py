"""Fuzzing of the parsers: every input gives a result or a clear error, in limited time and memory.

An input is determined by its target and number::

    python -m tests.fuzz.run --seconds 600              # all targets, as make fuzz does
    python -m tests.fuzz.run --target npz --number 17   # one input, with its traceback
    python -m tests.fuzz.run --target npz --guided --seconds 60   # by coverage, with atheris
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

IS_GUIDED = __name__ == "__main__" and "--guided" in sys.argv
if IS_GUIDED:
    import atheris

    instrumented: Any = atheris.instrument_imports(include=["spike_zoo"])
else:
    instrumented = contextlib.nullcontext()
with instrumented:
    from spike_zoo.errors import SpikeZooError
    from tests.fuzz.mutators import changed_file
    from tests.fuzz.targets import TARGETS, valid_files

CPU_SECONDS = 5.0
"""Maximum processor time of an input in seconds."""
WALL_SECONDS = 60.0
"""Maximum wall time of an input in seconds, on a busy machine."""
MAX_GROWTH = 1 << 30
"""Maximum growth of the process by an input in bytes."""


class _TooSlowError(BaseException):
    """An input takes too long; no parser may catch it, so it is a BaseException."""


def problem_of(name: str, number: int, folder: Path) -> str | None:
    """Read a mutated input; return a description of the problem, or None.

    Args:
        name: The target.
        number: Number of the input.
        folder: Folder for temporary files.
    """
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(valid_files(name, folder / "valid"), work)
    file = changed_file(work, TARGETS[name].mutators, Random(f"{name} {number}"))
    before = set(work.rglob("*"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    problem = None
    try:
        with _alarm(), _quiet():
            TARGETS[name].read(work)
    except SpikeZooError as error:
        names = {part.name for part in (file, *file.relative_to(work).parents, work) if part.name}
        if not any(name_part in str(error) for name_part in names):
            problem = f"the error does not name {file.name}: {error}"
    except _TooSlowError:
        problem = f"it took longer than {CPU_SECONDS:g} s"
    except BaseException:  # noqa: BLE001  (any other exception is a problem)
        problem = traceback.format_exc()
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
    if grown > MAX_GROWTH:
        problem = f"the process grew by {grown >> 20} MiB"
    leftovers = sorted(set(work.rglob("*")) - before)
    if leftovers and problem is None:
        problem = f"it left {leftovers[0].relative_to(work)}"
    return problem


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def raise_too_slow(number: int, frame: FrameType | None) -> None:
        raise _TooSlowError

    before = {
        number: signal.signal(number, raise_too_slow) for number in (signal.SIGPROF, signal.SIGALRM)
    }
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(io.StringIO()):
            yield


def _read_inputs(name: str, first: int, until: float, limit: int | None, pipe: Any) -> None:
    """Read inputs from number ``first`` until a time; send number and problem of each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as folder:
        number = first
        while time.time() < until and (limit is None or number < limit):
            pipe.send((number, "started"))
            pipe.send((number, problem_of(name, number, Path(folder))))
            number += 1


def fuzz(
    name: str, seconds: float, limit: int | None = None, first: int = 0
) -> tuple[int, dict[int, str]]:
    """Read mutated inputs of a target in a separate process.

    Args:
        name: The target.
        seconds: Duration.
        limit: Number after that of the last input.
        first: Number of the first input.

    Returns:
        Number of inputs, and problems by number; a crash of the process is a problem.
    """
    until, problems, number = time.time() + seconds, {}, first
    context = multiprocessing.get_context("spawn")
    while time.time() < until and (limit is None or number < limit):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_read_inputs, args=(name, number, until, limit, sender))
        process.start()
        sender.close()
        state: str | None = "nothing"
        with contextlib.suppress(EOFError):
            while True:
                if not receiver.poll(2 * WALL_SECONDS):
                    process.kill()
                    break
                number, state = receiver.recv()
                if state not in (None, "started"):
                    problems[number] = str(state)
        process.join()
        if state == "started":
            problems[number] = f"the process ended with {process.exitcode}"
        number += 1
        if process.exitcode == 0:
            break
    return number - first, problems


def _guided(name: str, seconds: float) -> None:
    """Let atheris select mutations by coverage; the target must have a single file."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        valid = valid_files(name, folder / "valid")
        (file,) = (path for path in valid.rglob("*") if path.is_file())
        work, corpus = folder / "work", folder / "corpus"
        corpus.mkdir()
        shutil.copyfile(file, corpus / "valid")

        def read(data: bytes) -> None:
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(valid, work)
            (work / file.relative_to(valid)).write_bytes(data)
            with contextlib.suppress(SpikeZooError), _alarm(), _quiet():
                TARGETS[name].read(work)

        def mutate(data: bytes, limit: int, seed: int) -> bytes:
            (folder / "one").mkdir(exist_ok=True)
            changed = folder / "one" / file.name
            changed.write_bytes(data or file.read_bytes())
            changed_file(folder / "one", TARGETS[name].mutators, Random(seed))
            return changed.read_bytes()[:limit]

        options = [f"-max_total_time={int(seconds)}", "-max_len=1000000", str(corpus)]
        atheris.Setup(["fuzz", *options], read, custom_mutator=mutate)
        atheris.Fuzz()


def main() -> int:
    """Run the command line; return 1 if an input has a problem."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--inputs", type=int, help="maximum number of inputs per target")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--number", type=int, help="read this input only")
    parser.add_argument("--guided", action="store_true", help="by coverage, with atheris")
    arguments = parser.parse_args()
    names = [arguments.target] if arguments.target else list(TARGETS)
    if arguments.number is not None:
        with tempfile.TemporaryDirectory() as folder:
            problem = problem_of(names[0], arguments.number, Path(folder))
        print(problem or "no problem")
        return int(problem is not None)
    if arguments.guided:
        _guided(names[0], arguments.seconds)
        return 0
    failed = 0
    for name in names:
        limit = None if arguments.inputs is None else arguments.first + arguments.inputs
        count, problems = fuzz(name, arguments.seconds / len(names), limit, arguments.first)
        failed += len(problems)
        print(f"{name}: {count} inputs, {len(problems)} problems", flush=True)
        for number, problem in list(problems.items())[:20]:
            print(f"  {number}: {problem.strip().splitlines()[-1]}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
