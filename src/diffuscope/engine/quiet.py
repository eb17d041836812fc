"""Keep the model libraries from talking over a program that has its own way of showing progress."""

from diffusers.utils import logging as diffusers_logging
from huggingface_hub.utils.tqdm import enable_progress_bars
from transformers.utils import logging as transformers_logging


def quiet_libraries() -> None:
    """Nothing but errors from diffusers and transformers, and no bars for loading from disk.

    For the command line, never for a user's own program. Downloads from the hub keep their bars.
    """
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()
    enable_progress_bars()  # transformers switches the hub's off together with its own
