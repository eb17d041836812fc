"""Cause at the running model: edits drawn in numbers, so that effects stand beside chance and controls."""
