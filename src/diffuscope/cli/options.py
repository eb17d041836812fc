"""Options that several commands share: declared once, so that they read and mean the same everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

RUNS = Path("runs")
"""Folder that recordings go to unless `--out` names another."""


class Dtype(StrEnum):
    """Types that a model's weights can have."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class Reduction(StrEnum):
    """How a word's sub-tokens become one map."""

    sum = "sum"
    mean = "mean"


class Combination(StrEnum):
    """How heads, sites and steps become one map."""

    mean = "mean"
    sum = "sum"


class Softmax(StrEnum):
    """Which tokens a concept shares its softmax with."""

    own = "own"
    prompt = "prompt"


RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Folder of a recording, or its name in ./runs.", show_default=False),
]
Word = Annotated[
    str | None,
    typer.Option(
        "--word",
        "-w",
        metavar="W",
        help="A word of the prompt, in full ('circle#2' is the second one), or a phrase of it: 'red circle'.",
    ),
]
Phrase = Annotated[
    str | None,
    typer.Option(
        "--phrase",
        metavar="WORDS",
        help="Several words as one map, the sum of theirs: 'red circle', or apart: 'red + circle#2'.",
    ),
]
Concept = Annotated[
    str | None,
    typer.Option(
        "--concept",
        metavar="TEXT",
        help="A text that need not be in the prompt, or a .safetensors file of a learned one. Asks the model once.",
    ),
]
Against = Annotated[
    Softmax,
    typer.Option("--against", help="Softmax of a concept: its own tokens, or the prompt's and its words."),
]
RunModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="M",
        help="For --concept: where the run's model is now, if not where the run says.",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="LIST", help="Of sites or grids: '16x16=2,cross:mid=0'. Default: all the same."
    ),
]
Combine = Annotated[
    Combination, typer.Option("--combine", help="Heads, sites and steps: their mean, or their sum.")
]
Steps = Annotated[
    str | None,
    typer.Option(
        "--steps", metavar="A:B", help="Steps from 0, the noisiest: '7', '0:10' (10 left out), '0,3,8:12'."
    ),
]
Sites = Annotated[
    str | None,
    typer.Option(
        "--sites", metavar="PATTERN", help="Attention sites: 'cross:up.*', 'cross:mid,cross:down.0.*'."
    ),
]
Heads = Annotated[
    str | None, typer.Option("--heads", metavar="LIST", help="Heads of each site: '3', '0:4', '1,5'.")
]
SelectionText = Annotated[
    str | None,
    typer.Option(
        "--selection",
        metavar="TEXT",
        help="All of the above in one text, as reports print it: 'steps=0:10 sites=cross:up.* word=circle'.",
    ),
]
Reduce = Annotated[
    Reduction,
    typer.Option("--reduce", help="A word of several tokens: sum their probabilities, or average (DAAM)."),
]
Colormap = Annotated[
    str, typer.Option("--colormap", metavar="NAME", help="Colours; a wrong name lists those there are.")
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="M",
        help="'scenes', a folder in diffusers layout, a checkpoint file, or a hub id.",
    ),
]
Revision = Annotated[
    str | None,
    typer.Option("--revision", metavar="REV", help="Of a hub id: branch, tag or commit.", show_default=False),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="DIR",
        help="For a checkpoint file: a folder in diffusers layout of the same model; its weights are not needed.",
        show_default=False,
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Take hub ids from the local cache; never ask the hub.")
]
AllowPickle = Annotated[
    bool,
    typer.Option(
        "--allow-pickle", help="Open weights that are pickle files. They can run code: trust the source."
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Folder that gets the run's own folder.")
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="D", help="'cpu', 'cuda', 'mps'. Default: the best there is."),
]
DtypeOption = Annotated[
    Dtype | None,
    typer.Option(
        "--dtype",
        help="Of the weights. Default: float32 on a CPU, else the half precision the model is made for.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object and nothing else.")]
