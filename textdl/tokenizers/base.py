"""What all tokenizers share: options, normalisation, fingerprint, saving."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

from textdl.errors import TextTypeError, UsageError
from textdl.storage import Reader, Writer

NORMALIZATIONS = ("none", "NFC", "NFKC")


class BaseTokenizer:
    """Subclasses give `name`, `_segment`, `_pieces` where that should be lazy, `decode`, and their own options in `OPTIONS`.

    Two options are everyone's: `lower` and `normalize` (NFC, NFKC). They change the text before it
    is cut, so a tokenizer that uses them is not lossless and says so.
    """

    name: ClassVar[str]
    OPTIONS: ClassVar[Mapping[str, tuple[str, ...]]] = {"lower": ("no", "yes"), "normalize": NORMALIZATIONS}
    """Option name to its allowed values, the default first."""
    inventory: Sequence[str] | None = None
    single_code_points = False

    @property
    def overlapping(self) -> bool:
        """Whether pieces share characters, so that the line cannot be put together from them."""
        return False

    def __init__(self, /, **options: str) -> None:
        self.options = {key: allowed[0] for key, allowed in self.OPTIONS.items()}
        for key, value in options.items():
            if key not in self.OPTIONS:
                raise UsageError(
                    f"--tokenizer {self.name}: no option {key!r}; there are "
                    + ", ".join(f"{k}={'|'.join(v)}" for k, v in self.OPTIONS.items())
                )
            if value not in self.OPTIONS[key]:
                raise UsageError(
                    f"--tokenizer {self.name}: {key} must be one of {', '.join(self.OPTIONS[key])}, got {value!r}"
                )
            self.options[key] = value

    @classmethod
    def from_spec(cls, argument: str, options: dict[str, str]) -> Self:
        """From the parts of `NAME:ARGUMENT,key=value`."""
        if argument:
            raise UsageError(f"--tokenizer {cls.name}:{argument}: {cls.name} takes nothing after a colon")
        return cls(**options)

    @classmethod
    def from_saved(cls, options: dict[str, str], reader: Reader) -> Self:  # noqa: ARG003
        """From `tokenizer/` of a saved model."""
        return cls(**options)

    @property
    def spec(self) -> str:
        changed = [f",{k}={v}" for k, v in self.options.items() if v != self.OPTIONS[k][0]]
        return self.name + self._argument() + "".join(changed)

    def _argument(self) -> str:
        return ""

    @property
    def lossless(self) -> bool:
        return self.options["lower"] == "no" and self.options["normalize"] == "none"

    def identity(self) -> dict[str, Any]:
        """Everything that changes the pieces, for a person to read and for the fingerprint."""
        return {"name": self.name, **self.options}

    @cached_property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:16]

    def normalized(self, line: str) -> str:
        """The text that is cut into pieces: the line itself, unless `normalize` or `lower` change it.

        Where it differs from the line, the pieces do not hold all that the line did.

        Raises:
            TextTypeError: it is not a str.
        """
        if not isinstance(line, str):
            raise TextTypeError(f"a tokenizer takes one line as a str, got {type(line).__name__}: {line!r:.60}")
        if self.options["normalize"] != "none":
            line = unicodedata.normalize(self.options["normalize"], line)  # type: ignore[arg-type]
        return line.lower() if self.options["lower"] == "yes" else line

    def encode(self, line: str) -> list[str]:
        return self._segment(self.normalized(line))

    def iterate(self, line: str) -> Iterator[str]:
        """The pieces of `encode(line)`, one after the other: for lines whose pieces do not fit into memory.

        Beside the line (and its normalized form) no more than some 30 MB are needed at a time.
        """
        return self._pieces(self.normalized(line))

    def encode_lines(self, lines: Iterable[str]) -> Iterator[list[str]]:
        if isinstance(lines, str):
            raise TextTypeError("encode_lines takes lines, got one str; pass [text], or use encode(text)")
        return map(self.encode, lines)

    def sampled(self, lines: Iterable[str], *, alpha: float, seed: int) -> Iterator[list[str]]:
        """One segmentation of each line drawn at random, for training (subword regularisation).

        Raises:
            UsageError: the tokenizer knows only one.
        """
        raise UsageError(
            f"--subword-regularization: {self.name} cuts a line in one way only. "
            "Use a SentencePiece model: --tokenizer sp:FILE"
        )

    def _segment(self, line: str) -> list[str]:
        """The pieces of a line that is normalized. The way for short lines, so quick above all."""
        raise NotImplementedError

    def _pieces(self, line: str) -> Iterator[str]:
        """The same, lazily."""
        return iter(self._segment(line))

    def decode(self, pieces: Sequence[str]) -> str:
        raise NotImplementedError

    def save(self, out: Writer) -> None:
        config = {"name": self.name, "spec": self.spec, "options": self.options}
        config |= {"fingerprint": self.fingerprint, "identity": self.identity()}
        out.json("tokenizer/config.json", config)
