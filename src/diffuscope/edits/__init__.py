"""What can be changed in a running model, as plain values with a JSON form. `engine.apply` does it."""

from diffuscope.edits.base import Edit
from diffuscope.edits.custom import Control, Custom, control
from diffuscope.edits.files import KINDS, donor_names, from_json, load, save, to_json
from diffuscope.edits.outputs import Encode, Patch, Scale
from diffuscope.edits.patches import PatchChoice
from diffuscope.edits.presets import STEER_PRESETS, SteerPreset, steer_preset
from diffuscope.edits.probabilities import Inject, Reweight, Silence
from diffuscope.edits.strength import at_strength
from diffuscope.edits.texts import Reprompt, Steer

__all__ = [
    "KINDS",
    "STEER_PRESETS",
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
    "SteerPreset",
    "at_strength",
    "control",
    "donor_names",
    "from_json",
    "load",
    "save",
    "steer_preset",
    "to_json",
]
