"""Ollama's counts in our normal form (https://docs.ollama.com/api/usage): input and output, nothing more."""

import msgspec
from msgspec import Struct

from tollkeeper.core.usage import Reported, Usage

_MOST = 2**53


class Counts(Struct, omit_defaults=True):
    """Members of the last line. Durations are nanoseconds."""

    prompt_eval_count: int | None = None
    eval_count: int | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_duration: int | None = None
    eval_duration: int | None = None


def reported(counts: Counts) -> Reported | None:
    """None where the input's count is missing, as it is when the whole prompt was cached: nothing then says how much."""
    read, wrote = counts.prompt_eval_count, counts.eval_count or 0
    if read is None or not 0 <= read < _MOST or not 0 <= wrote < _MOST:
        return None
    return Reported(Usage(input_tokens=read, output_tokens=wrote), msgspec.json.encode(counts))


def rendered(found: Reported | None) -> Counts:
    """For a client. Durations are not made up."""
    return Counts() if found is None else Counts(found.usage.input_tokens, found.usage.output_tokens)
