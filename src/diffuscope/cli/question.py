"""What a command asks of a run: which run, which word, which steps, sites and heads."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from diffuscope.cli.options import RUNS
from diffuscope.errors import SelectionError

if TYPE_CHECKING:
    from diffuscope.run import Run, WordView
    from diffuscope.selection import Selection


def run_folder(name: str) -> Path:
    """The folder that the user named: a path, or the name of a run in ./runs."""
    path = Path(name)
    return RUNS / name if not path.exists() and (RUNS / name).is_dir() else path


def open_run(name: str) -> "Run":
    """Open the run that the user named.

    Raises:
        RunNotFoundError: there is none.
    """
    from diffuscope import Run

    return Run.open(run_folder(name))


@dataclass(frozen=True)
class Question:
    """A word or phrase of a run, and the steps, sites and heads that it is asked at."""

    view: "WordView"
    selection: "Selection"

    @classmethod
    def of(
        cls,
        run: "Run",
        word: str | None,
        steps: str | None,
        sites: str | None,
        heads: str | None,
        selection: str | None,
    ) -> "Question":
        """From the options of a command.

        Raises:
            UnknownWordError: the prompt has no such word; the error lists its words.
            SelectionError: no word was named, or the selection cannot be read.
            typer.BadParameter: both --selection and one of the options that it stands for.
        """
        from diffuscope import Selection
        from diffuscope.maps.words import find
        from diffuscope.run import WordView

        if selection is not None:
            if any(option is not None for option in (word, steps, sites, heads)):
                raise typer.BadParameter(
                    "--selection stands for --word, --steps, --sites and --heads: give it alone"
                )
            asked = Selection.parse(selection)
            for name in ("region", "concept"):
                if getattr(asked, name) is not None:
                    raise SelectionError(f"this command maps words of the prompt; leave out {name}=")
        else:
            asked = Selection.of(word=word, steps=steps, sites=sites, heads=heads)
        if asked.word is None:
            words = ", ".join(word.label for word in run.words)
            raise SelectionError(f"no word was named; give --word with one of: {words}")
        return cls(WordView(run, find(run.manifest.text, asked.word)), asked)
