"""The head atlas: every (site, head) of a run with a small picture of what it does, at every step.

`Atlas` makes them, `cells` says where each stands, `contents` what can be shown, `files` how they reach the page.
"""

from diffuscope.analysis.atlas.cells import Cell, Cells, CellSite
from diffuscope.analysis.atlas.contents import Content, content_of, contents_of
from diffuscope.analysis.atlas.plates import Plates
from diffuscope.analysis.atlas.survey import MEAN, Atlas

__all__ = ["MEAN", "Atlas", "Cell", "CellSite", "Cells", "Content", "Plates", "content_of", "contents_of"]
