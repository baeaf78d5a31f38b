"""Runs of Lightning: plan, folder, loggers, callbacks, resuming and trainer."""
