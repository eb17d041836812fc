"""Datasets of annotated pictures on disk: COCO, with what other programs read made from it.

Knows nothing of runs or maps: it is given pictures with masks, and writes them down.
"""

from diffuscope.datasets.dataset import Dataset, Info
from diffuscope.datasets.records import Annotation, Picture

__all__ = ["Annotation", "Dataset", "Info", "Picture"]
