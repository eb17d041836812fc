"""A dataset from prompts: drawn, annotated and collected through a study."""

from diffuscope.studies.object_dataset.drawing import Drawing, draw_dataset

__all__ = ["Drawing", "draw_dataset"]
