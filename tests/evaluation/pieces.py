"""Tokenizers small enough to reason about."""

import re


class Splitter:
    """A tokenizer from a regular expression."""

    inventory = None
    lossless = True

    def __init__(self, spec="words", pattern=r"\s|[^\s]+", lower=False):
        self.spec, self._pattern, self._lower = spec, re.compile(pattern, re.DOTALL), lower

    @property
    def fingerprint(self):
        return f"{self.spec}:{self._pattern.pattern}:{self._lower}"

    def encode(self, line):
        return self._pattern.findall(line.lower() if self._lower else line)

    def encode_lines(self, lines):
        return (self.encode(line) for line in lines)

    def decode(self, pieces):
        return "".join(pieces)

    def save(self, out):
        raise NotImplementedError


def char():
    return Splitter("char", r".")
