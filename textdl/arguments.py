"""Arguments as callers give them: checked before any work, and named in messages as options are typed."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from textdl.errors import UsageError
from textdl.protocols import Tokenizer

_TOLD = {bool: "True or False", int: "a whole number", float: "a number", str: "a str"}


def option(name: str) -> str:
    """`--min-count` of `min_count`."""
    return "--" + name.replace("_", "-")


def is_a(kind: Any, value: object) -> bool:
    """Whether a value is such a number, numpy's among them; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def check_wholes(**given: Any) -> None:
    """Raises UsageError for what is neither None nor a whole number from 0 up."""
    for name, value in given.items():
        if value is not None and not (is_a(numbers.Integral, value) and 0 <= value < 1 << 63):
            raise UsageError(f"{option(name)} {value!r}: expected a whole number from 0 up, below 2^63")


def check_flags(**given: Any) -> None:
    """Raises UsageError for what is neither None nor a truth value."""
    for name, value in given.items():
        if not isinstance(value, bool | np.bool_ | None):
            raise UsageError(f"{option(name)} {value!r}: expected True or False")


def check_tokenizers(**given: Any) -> None:
    """Raises UsageError for what is neither a name nor a Tokenizer."""
    for name, value in given.items():
        if not isinstance(value, str | Tokenizer):
            raise UsageError(f"{name}: expected a name such as 'jieba' or a Tokenizer, got {value!r:.60}")


def deadline(budget: Any, began: float) -> float | None:
    """When training has to end for everything to be saved `budget` seconds after it began; None: no budget.

    Raises:
        UsageError: not a number of seconds above 0.
    """
    if budget is None:
        return None
    if not (is_a(numbers.Real, budget) and budget > 0):
        raise UsageError(f"--budget {budget!r}: expected a number of seconds above 0")
    seconds = float(budget)
    return began + seconds - min(2.0 + 0.02 * seconds, 0.2 * seconds)


def config(cls: Any, of: str, given: Mapping[str, Any], **usual: Any) -> Any:
    """A Config of what is given; None means that it is left open.

    Args:
        cls: a dataclass.
        of: whose settings they are, for messages.
        usual: fields that the class may have, and their values where none are given.

    Raises:
        UsageError: an unknown setting, or a value of another type.
    """
    known = {field.name for field in fields(cls)}
    given = {name: value for name, value in given.items() if value is not None}
    if unknown := sorted(set(given) - known):
        raise UsageError(f"{of} has no setting {unknown[0]!r}; there are {', '.join(sorted(known))}")
    for name, hint in get_type_hints(cls).items():
        wanted = [part for part in (get_args(hint) or (hint,)) if part in (bool, int, float, str)]
        if name not in given or not wanted:
            continue
        value, several = given[name], get_origin(hint) is tuple
        if several and not (isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim == 1)):
            raise UsageError(f"{option(name)} {value!r}: expected a sequence, such as (0, 0, 1)")
        items = [_plain(item, wanted) for item in (value if several else [value])]
        if None in items:
            told = " or ".join(_TOLD[kind] for kind in wanted)
            raise UsageError(f"{option(name)} {value!r}: expected {f'for each, {told}' if several else told}")
        given[name] = tuple(items) if several else items[0]
    return cls(**{name: value for name, value in usual.items() if name in known} | given)


def _plain(value: Any, kinds: Sequence[type]) -> Any:
    """A setting as one of the kinds, numpy's numbers as Python's, which JSON can hold; None where it is none of them."""
    if isinstance(value, bool | np.bool_):
        return bool(value) if bool in kinds else None
    if int in kinds and isinstance(value, numbers.Integral):
        return int(value)
    if float in kinds and isinstance(value, numbers.Real):
        return float(value)
    return value if str in kinds and isinstance(value, str) else None
