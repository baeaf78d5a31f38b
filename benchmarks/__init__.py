"""Measurements beside their limits; ``python -m benchmarks.report`` runs all."""
