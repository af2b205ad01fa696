"""What others wrote, as a terminal may be shown it: no text moves the cursor, hides what stands there, or speaks to it."""

import re

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def plain(text: str) -> str:
    """Without what a terminal would act on, but for tabs and line feeds."""
    return _CONTROLS.sub("", text)


def line(text: str) -> str:
    """The same, in one line."""
    return plain(text).replace("\n", " ")
