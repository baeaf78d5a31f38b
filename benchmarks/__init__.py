"""Benchmarks against stated limits: ``python -m benchmarks.report`` runs all of them."""
