"""Runs: what one is, its folder, loggers and checkpoints, and the trainer that carries it out."""
