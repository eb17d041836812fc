"""Every error that diffuscope raises on purpose.

    DiffuscopeError (Exception)
    ├── InputError (+ ValueError)                    what the user gave is wrong: exit status 2, one line
    │   ├── PromptError                              the prompt is empty
    │   ├── UnknownWordError                         the prompt has no such word
    │   ├── SelectionError                           a step, site or head out of range, or a bad text form
    │   │   └── RegionError                          a part of the picture that is empty, outside, or ill-formed
    │   ├── EditError                                an edit that says nothing, contradicts itself, or cannot act here
    │   ├── SizeError                                a picture or map size that cannot be
    │   ├── ModelNotFoundError (+ FileNotFoundError) no such model
    │   ├── UnsupportedModelError                    a model of no family that can be recorded
    │   ├── RunNotFoundError (+ FileNotFoundError)   no run at this path
    │   ├── RunFolderError (+ OSError)               a folder cannot be written
    │   └── NotKeptError                             the recording's keep level did not keep this
    ├── MissingExtraError (+ ImportError)            an optional dependency is not installed
    ├── RecordingError                               a recording cannot be read or computed with
    │   ├── CorruptRecordingError                    a file is damaged, missing, or not what the manifest says
    │   └── SchemaVersionError                       the manifest is of a later release
    ├── WriterError                              a writer of explanations cannot write
    └── CaptureError                                 the running model could not be recorded whole
        ├── CoverageError                            an attention site was not seen
        └── UnsupportedAttentionError                a site attends in a way that a recording cannot hold

Each class has a `code`, stable over releases, for programs (``--json``, the server). Each message is one line
that says what was wrong and what would be right; user text in it is data, so faces must escape it where they
render HTML. Errors with a builtin base can be caught as that builtin by callers who do not know this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar


class DiffuscopeError(Exception):
    """Root of the tree.

    Attributes:
        code: stable name of the kind of error, for programs.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str) -> None:
        # Messages quote prompts, paths and library errors, which may span lines; the promise is one line.
        super().__init__(" ".join(message.splitlines()))

    def __str__(self) -> str:
        # OSError and ImportError have formats of their own; the message is the whole text everywhere.
        return str(self.args[0]) if self.args else ""


class InputError(DiffuscopeError, ValueError):
    """What the user gave is wrong, and the message says what would be right."""

    code = "bad-input"


class PromptError(InputError):
    """The prompt says nothing."""

    code = "bad-prompt"


class UnknownWordError(InputError):
    """The prompt has no such word.

    Attributes:
        word: what was asked for.
        words: the words there are, those spelled like it first.
        reason: why it has no map although it was asked for, where that is known (it was cut off); else empty.
    """

    code = "unknown-word"

    def __init__(self, word: str, words: Iterable[str], reason: str = "") -> None:
        self.word, self.reason = word, reason
        self.words: tuple[str, ...] = near_first(word, list(words))
        there = f"its words are: {', '.join(self.words)}" if self.words else "it has no words"
        what = f"{word!r} has no map: {reason}" if reason else f"the prompt has no word {word!r}"
        super().__init__(f"{what}; {there}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.word, self.words, self.reason)


class SelectionError(InputError):
    """A step, site or head that is not there, or a selection whose text form is wrong."""

    code = "bad-selection"


class RegionError(SelectionError):
    """A part of the picture that is empty, outside the picture, or ill-formed."""

    code = "bad-region"


class EditError(InputError):
    """An edit that is ill-formed, contradicts itself or another, or cannot act on this model or run."""

    code = "bad-edit"


class SizeError(InputError):
    """A picture or map size that cannot be."""

    code = "bad-size"


class ModelNotFoundError(InputError, FileNotFoundError):
    """There is no such model: not shipped, no folder, not on the hub."""

    code = "model-not-found"


class UnsupportedModelError(InputError):
    """The model is of no family that diffuscope knows how to record."""

    code = "unsupported-model"


class RunNotFoundError(InputError, FileNotFoundError):
    """There is no run at this path."""

    code = "run-not-found"


class RunFolderError(InputError, OSError):
    """A folder or file cannot be written: it is taken, read-only, or the disk is full."""

    code = "run-folder"


class NotKeptError(InputError):
    """The recording's keep level did not keep what is asked for; the message names the level that does."""

    code = "not-kept"


class MissingExtraError(DiffuscopeError, ImportError):
    """Something needs an optional dependency that is not installed.

    Attributes:
        feature: what needs it.
        extra: the extra of the package that brings it.
    """

    code = "missing-extra"

    def __init__(self, feature: str, extra: str = "models") -> None:
        self.feature, self.extra = feature, extra
        super().__init__(
            f'{feature} needs packages that are not installed: pip install "diffuscope[{extra}]"'
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.feature, self.extra)


class RecordingError(DiffuscopeError):
    """A recording cannot be read, or holds values that no map can be computed from."""

    code = "recording"


class CorruptRecordingError(RecordingError):
    """A file of the recording is damaged, missing, or not what the manifest says it is."""

    code = "corrupt-recording"


class SchemaVersionError(RecordingError):
    """The manifest is of a version that this release of diffuscope does not know."""

    code = "schema-version"


class WriterError(DiffuscopeError):
    """A writer of explanations cannot write: its endpoint is down, or its reply is not what was asked for."""

    code = "writer"


class CaptureError(DiffuscopeError):
    """The running model could not be recorded whole. What was recorded before stays readable."""

    code = "capture"


class CoverageError(CaptureError):
    """Attention sites were not seen in a call of the denoiser, so a map would show a part as if it were the
    whole.

    Attributes:
        missing: names of the sites that were not seen.
        call: index of the denoiser call.
    """

    code = "coverage"

    def __init__(self, missing: Sequence[str], call: int) -> None:
        self.missing, self.call = tuple(missing), call
        super().__init__(
            f"attention was not seen in call {call} at {len(self.missing)} of the model's sites "
            f"({listed(self.missing)}); it needs PyTorch's scaled_dot_product_attention: undo "
            "attention slicing, set_default_attn_processor, xformers, flash or sage backends, caching hooks"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.missing, self.call)


class UnsupportedAttentionError(CaptureError):
    """A site attends in a way that a recording cannot hold."""

    code = "unsupported-attention"


def near_first(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """`names` without repetitions, those spelled like `name` first, the others in their own order."""
    by_folded: dict[str, list[str]] = {}
    for each in dict.fromkeys(names):
        by_folded.setdefault(each.casefold(), []).append(each)
    near = get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.6)
    first = [each for folded in near for each in by_folded[folded]]
    return tuple(dict.fromkeys([*first, *names]))


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names joined for a message; beyond `most` the rest is counted, so that a line stays a line."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
