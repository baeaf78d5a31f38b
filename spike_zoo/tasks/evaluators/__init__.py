"""Evaluators: metrics, images and checks of the data of each task, one file per task."""
