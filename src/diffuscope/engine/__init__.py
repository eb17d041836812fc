"""The running model: loading, capture, replay. torch lives here and nowhere else."""

from diffuscope.engine.lens import Lens

__all__ = ["Lens"]
