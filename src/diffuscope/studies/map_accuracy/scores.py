"""One picture under every method: what is kept of it, so that no recording need stay on disk.

A file for each picture, written when it is done, is also what an evaluation goes on from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.analysis.objects.segmentation_accuracy import outcome
from diffuscope.errors import InputError
from diffuscope.maps.refinement import model_of
from diffuscope.recording.tensors import TensorFile, write_safetensors
from diffuscope.studies.map_accuracy.head_maps import Material, material
from diffuscope.studies.map_accuracy.methods import Method, methods
from diffuscope.studies.map_accuracy.samples import Sample

FORM = "map-scores-1"
Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """An object that was looked for: its class, and the noun and phrase of the prompt."""

    category: str
    word: str
    phrase: str


@dataclass(frozen=True, eq=False)
class PictureScores:
    """One picture.

    Attributes:
        picture, group, missing: as of `Sample`.
        prompt: what it was drawn from.
        model: as `maps.refinement.model_of` names it; empty where the picture shows nothing that was asked for.
        steps: scheduler steps.
        kept: keep level and kept sites; pictures of one evaluation have the same.
        objects: what was looked for in it.
        methods: name and group of each method.
        iou, accuracy: ``[method, object, share]``; see `segmentation_accuracy.outcome`.
        ap: ``[method, object]``.
        none: ``[method, object]``, whether the method gave no map.
        material: what choosing a preset needs; None where nothing is tuned.
        shown: name of a method to the first object's map, for the figure; of words and refinements.
    """

    picture: int
    group: int
    missing: int
    prompt: str
    model: str
    steps: int
    kept: str
    objects: tuple[Scored, ...]
    methods: tuple[tuple[str, str], ...]
    iou: Wide
    accuracy: Wide
    ap: Wide
    none: NDArray[np.bool_]
    material: Material | None
    shown: Mapping[str, NDArray[np.floating]]

    def save(self, folder: Path) -> Path:
        """Write ``<number>.safetensors``; another of the same number is replaced."""
        told: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("picture", "group", "missing", "prompt", "model", "steps", "kept", "methods")
        }
        told |= {"form": FORM, "objects": [asdict(each) for each in self.objects], "shown": list(self.shown)}
        tensors: dict[str, NDArray[Any]] = {
            name: getattr(self, name) for name in ("iou", "accuracy", "ap", "none")
        }
        tensors |= {f"shown/{at}": values for at, values in enumerate(self.shown.values())}
        if self.material is not None:
            tensors |= {f"material/{name}": values for name, values in self.material.tensors().items()}
            told["heads"] = self.material.told()
        path = folder / file_of(self.picture)
        # The format holds no empty arrays of no meaning; a picture without objects has none.
        write_safetensors(path, tensors if self.objects else {}, {"scores": json.dumps(told)})
        return path

    @classmethod
    def load(cls, path: Path) -> PictureScores:
        """Read one.

        Raises:
            InputError: the file is none of these. CorruptRecordingError: it is damaged.
        """
        file = TensorFile(path, sealed=True)
        try:
            told = json.loads(file.metadata["scores"])
            if told.pop("form") != FORM:
                raise ValueError("another form")
            names, heads = told.pop("shown"), told.pop("heads", None)
            told["objects"] = tuple(Scored(**each) for each in told["objects"])
            told["methods"] = tuple((str(name), str(group)) for name, group in told["methods"])
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path} holds no scores of maps: name an empty folder") from error
        if not told["objects"]:
            return cls(**told, **_nothing())
        kept = {
            name.removeprefix("material/"): np.array(file.read(name))
            for name in file.keys()  # noqa: SIM118 - a file, not a mapping
            if name.startswith("material/")
        }
        arrays: dict[str, Any] = {
            name: np.array(file.read(name)) for name in ("iou", "accuracy", "ap", "none")
        }
        return cls(
            **told,
            **arrays,
            material=None if heads is None else Material.of(heads, kept),
            shown=_Shown(path, names),
        )


class _Shown(Mapping[str, NDArray[np.floating]]):
    """Maps of a file, read when they are asked for: one picture in hundreds is shown."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._path, self._names = path, list(names)

    def __getitem__(self, name: str) -> NDArray[np.floating]:
        if name not in self._names:
            raise KeyError(name)
        return np.array(TensorFile(self._path, sealed=True).read(f"shown/{self._names.index(name)}"))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def file_of(picture: int) -> str:
    """Name of a picture's file."""
    return f"{picture:06d}.safetensors"


def _nothing() -> dict[str, Any]:
    empty = np.zeros((0, 0))
    return {
        "iou": empty,
        "accuracy": empty,
        "ap": empty,
        "none": empty.astype(bool),
        "material": None,
        "shown": {},
    }


class Scoring:
    """Scores pictures of one model; the methods are told from the first."""

    def __init__(self, *, tune: bool = True) -> None:
        """`tune`: whether what choosing a preset needs is kept."""
        self._tune = tune
        self._methods: dict[str, list[Method]] = {}

    def score(self, sample: Sample) -> PictureScores:
        """Hold every method against every object of a picture."""
        manifest = sample.run.manifest
        common: dict[str, Any] = {
            "picture": sample.picture,
            "group": sample.group,
            "missing": sample.missing,
            "prompt": sample.run.prompt,
            "steps": len(manifest.steps),
            "kept": " ".join([manifest.keep.level, *sorted(manifest.keep.sites)]),
            "model": model_of(sample.run.recording),
        }
        if not sample.targets:
            return PictureScores(**common, objects=(), methods=(), **_nothing())
        key = f"{common['model']} {common['kept']} {common['steps']}"
        if key not in self._methods:
            self._methods[key] = methods(sample.run, concepts=sample.lens is not None)
        known = self._methods[key]
        made = [[method(sample, target) for target in sample.targets] for method in known]
        found = [
            [outcome(values, target.mask) for values, target in zip(row, sample.targets, strict=True)]
            for row in made
        ]
        return PictureScores(
            **common,
            objects=tuple(Scored(each.category, each.word, each.phrase) for each in sample.targets),
            methods=tuple((method.name, method.group) for method in known),
            iou=np.array([[each.iou for each in row] for row in found]),
            accuracy=np.array([[each.accuracy for each in row] for row in found]),
            ap=np.array([[each.ap for each in row] for row in found]),
            none=np.array([[values is None for values in row] for row in made]),
            material=material(sample) if self._tune else None,
            shown={
                method.name: np.asarray(values, np.float32)
                for method, (values, *_) in zip(known, made, strict=True)
                if values is not None and method.group in ("words", "refined")
            },
        )
