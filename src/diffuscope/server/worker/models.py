"""The model that the worker holds: one at a time, loaded when it is first wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffuscope.engine.lens import Lens
    from diffuscope.recording import Manifest


class Models:
    """See the module.

    Args:
        device: where models run; None for the best there is.
        on_load: called with the id of a model before it is loaded, and with None when it is there.

    Attributes:
        id: of the model that is held; None without one.
    """

    def __init__(self, device: str | None, on_load: Callable[[str | None], None]) -> None:
        self.device = device
        self.id: str | None = None
        self._lens: Lens | None = None
        self._on_load = on_load

    def named(self, model: str) -> Lens:
        """The model that a request names, loaded once."""
        if self._lens is not None and self.id == model:
            return self._lens
        from diffuscope import Lens

        return self._load(model, lambda: Lens.load(model, device=self.device))

    def of(self, manifest: Manifest) -> Lens:
        """The model that a run was drawn with, as it was then."""
        from diffuscope import Lens
        from diffuscope.engine.models.reopening import reopen

        lens = self._lens
        if lens is not None and lens.loaded.id == manifest.model.id:
            device, dtype = str(lens.pipe.device), str(lens.pipe.dtype).removeprefix("torch.")
            if (device, dtype) == (manifest.software.get("device"), manifest.model.dtype):
                return lens

        def load() -> Lens:
            loaded = reopen(manifest)
            return Lens(loaded.pipe, loaded=loaded)

        return self._load(manifest.model.id, load)

    def _load(self, model: str, load: Callable[[], Lens]) -> Lens:
        from diffuscope.engine.quiet import quiet_libraries

        quiet_libraries()
        self._on_load(model)
        # Two models at once may not fit.
        self._lens = self.id = None
        self._lens = load()
        self.id = model
        self._on_load(None)
        return self._lens
