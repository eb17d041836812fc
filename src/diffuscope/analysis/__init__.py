"""Measures of recordings: what maps, objects and steps say in numbers."""
