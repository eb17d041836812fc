"""Cause: what edits did to pictures, beside chance and controls. Reads recorded effects; draws nothing."""
