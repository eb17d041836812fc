"""Pipelines with random weights, built from real architectures: what tests and benchmarks record."""

from diffuscope.testing.random_pipeline import FAMILIES, random_pipeline, save_random_pipeline

__all__ = ["FAMILIES", "random_pipeline", "save_random_pipeline"]
