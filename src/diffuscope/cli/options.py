"""Options that several commands share: declared once, so that they read and mean the same everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

RUNS = Path("runs")
"""Folder that recordings go to unless `--out` names another."""


class Reduction(StrEnum):
    """How a word's sub-tokens become one map."""

    sum = "sum"
    mean = "mean"


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
    typer.Option("--model", "-m", metavar="M", help="'scenes', a folder in diffusers layout, or a hub id."),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Folder that gets the run's own folder.")
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="D", help="'cpu', 'cuda', 'mps'. Default: the best there is."),
]
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object and nothing else.")]
