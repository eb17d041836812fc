"""What can be changed in a running model, as plain values with a JSON form. `engine.apply` does it."""

from diffuscope.edits.base import Edit
from diffuscope.edits.custom import Control, Custom, control
from diffuscope.edits.files import KINDS, from_json, load, save, to_json
from diffuscope.edits.outputs import Encode, Patch, Scale
from diffuscope.edits.patches import PatchChoice
from diffuscope.edits.probabilities import Inject, Reweight, Silence
from diffuscope.edits.texts import Reprompt, Steer

__all__ = [
    "KINDS",
    "Control",
    "Custom",
    "Edit",
    "Encode",
    "Inject",
    "Patch",
    "PatchChoice",
    "Reprompt",
    "Reweight",
    "Scale",
    "Silence",
    "Steer",
    "control",
    "from_json",
    "load",
    "save",
    "to_json",
]
