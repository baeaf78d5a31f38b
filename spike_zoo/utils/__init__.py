"""Files, cores, executors and other helpers that know nothing of spikes."""
