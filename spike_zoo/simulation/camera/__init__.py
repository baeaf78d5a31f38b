"""The spike camera: integration, noise, exposure."""
