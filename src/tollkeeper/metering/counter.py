"""Counts tokens with OpenAI's own encodings, from rank files in this folder; nothing is fetched.

The ranks are OpenAI's o200k_base and cl100k_base (published with tiktoken, MIT). They load on first use: about 0.2 s and
60 MB each, which a gate whose providers report usage never pays.
"""

import base64
import gzip
import threading
from collections.abc import Iterator
from importlib import resources

import tiktoken

# Splitting patterns of the two encodings, as in tiktoken_ext.openai_public.
_PATTERNS = {
    "o200k_base": "|".join(
        (
            r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
            r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
            r"""\p{N}{1,3}""",
            r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
            r"""\s*[\r\n]+""",
            r"""\s+(?!\S)""",
            r"""\s+""",
        )
    ),
    "cl100k_base": (
        r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"""
        r"""\s+(?!\S)|\s"""
    ),
}
_NEAREST = {"o200k_harmony": "o200k_base"}
"""gpt-oss's encoding is o200k_base with other special tokens; the other encodings of tiktoken's are of retired models."""
_PIECE = 32 * 1024
"""Characters encoded at a time: the patterns' look-ahead overflows the stack on a few hundred thousand spaces."""


def encoding_name(model: str | None) -> str:
    """The encoding of a model by tiktoken's own table; o200k_base for all it does not know, where it is an estimate."""
    try:
        name = tiktoken.encoding_name_for_model(model or "")
    except KeyError:
        return "o200k_base"
    return name if name in _PATTERNS else _NEAREST.get(name, "cl100k_base")


class TokenCounter:
    """Counts; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._encodings: dict[str, tiktoken.Encoding] = {}

    def __call__(self, model: str | None, text: str) -> int:
        """Tokens of `text` as `model` would see them, special tokens read as text."""
        encoding = self._encoding(encoding_name(model))
        return sum(len(encoding.encode_ordinary(piece)) for piece in _pieces(text))

    def _encoding(self, name: str) -> tiktoken.Encoding:
        with self._lock:
            if name not in self._encodings:
                packed = resources.files(__package__).joinpath(f"{name}.tiktoken.gz").read_bytes()
                ranks = {}
                for line in gzip.decompress(packed).splitlines():
                    token, rank = line.split()
                    ranks[base64.b64decode(token)] = int(rank)
                self._encodings[name] = tiktoken.Encoding(
                    name, pat_str=_PATTERNS[name], mergeable_ranks=ranks, special_tokens={}
                )
            return self._encodings[name]


def _pieces(text: str) -> Iterator[str]:
    """The text, cut before spaces: a space begins a token, so that cuts change no count but in runs of white space."""
    at = 0
    while len(text) - at > _PIECE:
        space = text.rfind(" ", at + 1, at + _PIECE)
        end = space if space > 0 else at + _PIECE
        yield text[at:end]
        at = end
    yield text[at:]
