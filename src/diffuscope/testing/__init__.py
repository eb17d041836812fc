"""Pipelines with random weights, built from real architectures: what tests and benchmarks record."""

from diffuscope.testing.random_pipeline import random_pipeline

__all__ = ["random_pipeline"]
