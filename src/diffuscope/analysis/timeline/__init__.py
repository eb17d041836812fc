"""Timelines: how a word's attention goes over the steps, and when each thing is there."""

from diffuscope.analysis.timeline.build import Asked, JudgeChoice, timeline_of, timelines_of
from diffuscope.analysis.timeline.events import Event, events
from diffuscope.analysis.timeline.judges import DrawnWorld, Judge
from diffuscope.analysis.timeline.order import agreement, controlled, paired
from diffuscope.analysis.timeline.survival import survival
from diffuscope.analysis.timeline.timeline import Part, Timeline, definitions
from diffuscope.analysis.timeline.timelines import Timelines

__all__ = [
    "Asked",
    "DrawnWorld",
    "Event",
    "Judge",
    "JudgeChoice",
    "Part",
    "Timeline",
    "Timelines",
    "agreement",
    "controlled",
    "definitions",
    "events",
    "paired",
    "survival",
    "timeline_of",
    "timelines_of",
]
