"""Spike camera: integration, noise and exposure."""
