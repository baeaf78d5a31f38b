"""Files, cores, executors and other helpers that do not depend on spikes."""
