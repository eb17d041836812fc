"""Load a pipeline; name its attention sites; one adapter per family."""
