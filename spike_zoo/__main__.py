"""The command line: ``python -m spike_zoo`` and the console script ``spike-zoo``."""

from spike_zoo.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
