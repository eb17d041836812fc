"""From queries and keys to heatmaps."""

from diffuscope.maps.attention import head_mean, probabilities
from diffuscope.maps.colormap import DisplayScale, colormap
from diffuscope.maps.heatmap import Heatmap, HeatmapSeries
from diffuscope.maps.resize import resize

__all__ = ["DisplayScale", "Heatmap", "HeatmapSeries", "colormap", "head_mean", "probabilities", "resize"]
