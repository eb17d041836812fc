"""Edits in action: what `diffuscope.edits` says, done to a running model.

    with applied(pipe, family, edits, …): pipe(prompt, …)

Everything is put on from outside, through `capture.patches.Patches`, and taken off on any way out.
"""

from diffuscope.engine.apply.donors import Donated, Donor, Needs, gathered
from diffuscope.engine.apply.plan import Applying, applied
from diffuscope.engine.apply.resolving import needs

__all__ = ["Applying", "Donated", "Donor", "Needs", "applied", "gathered", "needs"]
