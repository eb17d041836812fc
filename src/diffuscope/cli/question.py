"""What a command asks of a run: which run, which word, which steps, sites and heads."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from diffuscope.cli.console import spinner
from diffuscope.cli.options import RUNS
from diffuscope.errors import InputError, MissingExtraError, NotKeptError, SelectionError

if TYPE_CHECKING:
    from diffuscope.maps.concepts import Against
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


def words_asked(run: "Run", words: list[str] | None, every: bool) -> list[str]:
    """The words that --word names and, with --all, the content words of the prompt, each once.

    Raises:
        InputError: none was named; the error lists the prompt's.
    """
    from diffuscope.analysis.timeline.word_kinds import FUNCTION_WORDS

    names = list(words or [])
    if every:
        naming = [each.label for each in run.words if each.text.casefold() not in FUNCTION_WORDS]
        names += [label for label in naming if label not in names]
    if not names:
        raise InputError(
            "name a word of the prompt with --word, or all content words with --all; its words are: "
            + ", ".join(each.label for each in run.words)
        )
    return names


@dataclass(frozen=True)
class Question:
    """A word, phrase or concept of a run, and the steps, sites and heads that it is asked at."""

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
        *,
        phrase: str | None = None,
        concept: str | None = None,
        against: "Against" = "own",
        model: str | None = None,
    ) -> "Question":
        """From the options of a command.

        Raises:
            UnknownWordError: the prompt has no such word; the error lists its words.
            SelectionError: no word was named, or the selection cannot be read.
            MissingExtraError: a concept needs the model, and torch is not installed.
            typer.BadParameter: both --selection and one of the options that it stands for, or two kinds of words.
        """
        from diffuscope import Selection
        from diffuscope.maps.words import find, find_phrase
        from diffuscope.run import WordView

        if selection is not None:
            if any(option is not None for option in (word, phrase, concept, steps, sites, heads)):
                raise typer.BadParameter(
                    "--selection stands for --word, --phrase, --concept, --steps, --sites and --heads: give it alone"
                )
            asked = Selection.parse(selection)
            if asked.region is not None:
                raise SelectionError("this command maps words of the prompt; leave out region=")
        else:
            asked = Selection.of(word=word, concept=concept, steps=steps, sites=sites, heads=heads)
        if sum(each is not None for each in (asked.word, phrase, asked.concept)) > 1:
            raise typer.BadParameter("give one of --word, --phrase and --concept")
        if asked.concept is not None:
            return cls(concept_view(run, asked.concept, against, model), asked)
        if phrase is not None:
            return cls(WordView(run, find_phrase(run.manifest.text, phrase)), asked)
        if asked.word is None:
            words = ", ".join(word.label for word in run.words)
            raise SelectionError(f"no word was named; give --word with one of: {words}")
        return cls(WordView(run, find(run.manifest.text, asked.word)), asked)


def concept_view(run: "Run", text: str, against: "Against", model: str | None) -> "WordView":
    """A concept of the run: from its cache where it is there, else from the model, which is opened for it.

    Raises:
        MissingExtraError: the model is needed, and torch is not installed.
        ModelNotFoundError: the model is not where the run says.
    """
    label = " ".join(text.split())
    if model is None and label in run.concepts:
        return run.concept(label, against)
    # What the recording cannot answer is said before a model is opened for nothing.
    if run.manifest.keep.level == "maps":
        raise NotKeptError(
            "a concept is held against the queries of the run, which was recorded with keep='maps'; "
            "record again with keep='cross'"
        )
    try:
        from diffuscope.engine.lens import Lens
        from diffuscope.engine.models.reopening import reopen
        from diffuscope.engine.quiet import quiet_libraries
    except ModuleNotFoundError as error:
        raise MissingExtraError("a concept that the run's cache does not have yet") from error
    quiet_libraries()
    with spinner("opening the model"):
        loaded = reopen(run.manifest, model)
        lens = Lens(loaded.pipe, loaded=loaded)
    with spinner("computing the concept's keys"):
        return lens.concept(run, text, against)
