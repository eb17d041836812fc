"""A run played live over Open Sound Control (OSC 1.0, UDP), so that TouchDesigner, Max, SuperCollider and the like can
move with it. A frame is one bundle, and holds everything: a listener that comes late, or loses one, is right again with
the next.

| address | arguments |
|---|---|
| ``/diffuscope/time`` | float: place in the film, 0 to 1 |
| ``/diffuscope/step`` | int, float, string: index of the step, progress from 0 to 1, phase |
| ``/diffuscope/focus`` | float: 0 for the whole picture, 1 for the words |
| ``/diffuscope/word`` | int, string, four floats: number, label, mass, centroid x and y, spread. One a word |
| ``/diffuscope/run`` | two strings, int, float: id, prompt, number of steps, width over height. With the first frame |
| ``/diffuscope/end`` | none; after the last frame |

Mass is a probability, the mean of the word's map over the patches. The centroid is in shares of the picture's width and
height, x to the right, y down; the spread in shares of the height.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from diffuscope.errors import InputError, MissingExtraError, SelectionError
from diffuscope.morph.motion import moment
from diffuscope.morph.score import Score
from diffuscope.morph.streams import Streams, phase_name

if TYPE_CHECKING:
    from diffuscope.run import Run

ROOT = "/diffuscope"


def parsed_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``:PORT`` or ``[IPv6]:PORT`` as host and port.

    Raises:
        InputError: it is of another form.
    """
    host, colon, port = text.rpartition(":")
    wrong_host = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not colon or wrong_host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise InputError(f"--osc is {text!r}; write HOST:PORT, as in 127.0.0.1:7000")
    return host.strip("[]") or "127.0.0.1", int(port)


def stream(
    run: Run,
    score: Score,
    words: Streams,
    host: str,
    port: int,
    *,
    fps: float = 30.0,
    seconds: float = 20.0,
    loops: int = 1,
    on_frame: Callable[[int, int], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Play the film's flow to a listener in real time, and return the number of frames sent.

    A frame tells of the moment at which it is sent: where the machine is late, frames are left out, and the film stays
    as long as it is.

    Args:
        run, score: the run, and its film.
        words: the words to tell of.
        host, port: where to. UDP: nobody answers, and nobody needs to listen.
        fps: frames a second.
        seconds: length of the film.
        loops: how often it plays; 0 for ever.
        on_frame: called with (frames done, frames in all or 0).
        clock, sleep: seconds that pass, and how to wait for some.

    Raises:
        SelectionError: rate, length or loops out of range.
        InputError: there is no such host.
        MissingExtraError: python-osc is not installed (extra ``osc``).
    """
    if not 1 <= fps <= 240 or not 0 < seconds <= 3600 or loops < 0:
        raise SelectionError("fps is between 1 and 240, seconds up to 3600, loops 0 or more")
    try:
        from pythonosc.udp_client import SimpleUDPClient
    except ModuleNotFoundError as error:
        raise MissingExtraError("sending OSC", "osc") from error
    try:
        client = SimpleUDPClient(host, port, timeout=1.0)
    except OSError as error:
        raise InputError(f"cannot send to {host}:{port}: {error.strerror or error}") from error
    total = max(1, round(fps * seconds * loops)) if loops else 0
    start, sent, index = clock(), 0, 0
    try:
        while not total or index < total:
            client.send(_bundle(run, score, words, index / fps / seconds, first=sent == 0))
            sent += 1
            if on_frame is not None:
                on_frame(index + 1, total)
            # The next frame that is not over yet.
            index = max(index + 1, int((clock() - start) * fps))
            wait = start + index / fps - clock()
            if wait > 0:
                sleep(wait)
        client.send_message(f"{ROOT}/end", [])
    except OSError as error:
        raise InputError(f"cannot send to {host}:{port}: {error.strerror or error}") from error
    finally:
        client.close()
    return sent


def _bundle(run: Run, score: Score, words: Streams, place: float, *, first: bool) -> Any:
    from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
    from pythonosc.osc_message_builder import OscMessageBuilder

    now = moment(place, words=bool(score.words))
    bundle = OscBundleBuilder(IMMEDIATELY)

    def say(name: str, *values: tuple[str, Any]) -> None:
        message = OscMessageBuilder(f"{ROOT}/{name}")
        for kind, value in values:
            message.add_arg(value, kind)
        bundle.add_content(message.build())

    if first:
        say("run", ("s", run.id), ("s", run.prompt or ""), ("i", len(score.steps)), ("f", score.aspect))
    step = score.steps[round(now.progress * (len(score.steps) - 1))]
    say("time", ("f", now.time))
    say("step", ("i", step), ("f", now.progress), ("s", phase_name(now.progress, score.phases)))
    say("focus", ("f", now.focus))
    mass, centroid, spread = words.at(now.progress)
    for number, label in enumerate(words.words):
        numbers = (mass[number], *centroid[number], spread[number])
        say("word", ("i", number), ("s", label), *[("f", float(each)) for each in numbers])
    return bundle.build()
