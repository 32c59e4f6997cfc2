"""The packages whose results ours must equal."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest


@pytest.fixture(scope="session")
def plain_jieba() -> Callable[[bytes], Any]:
    """jieba itself, with a user dictionary: `plain_jieba(b"")` is an instance without one."""
    with warnings.catch_warnings():  # invalid escapes, and pkg_resources
        warnings.simplefilter("ignore")
        import jieba
    jieba.setLogLevel(60)
    words = jieba.Tokenizer()
    with words.get_dict_file() as file:
        frequencies, total = words.gen_pfdict(file)

    def made(dictionary: bytes) -> Any:
        instance = jieba.Tokenizer()
        instance.FREQ, instance.total, instance.initialized = dict(frequencies), total, True
        instance.load_userdict(BytesIO(dictionary))
        return instance

    return made


@pytest.fixture
def forced_splits(plain_jieba: object) -> Iterator[set[str]]:
    """The words that jieba splits in every instance of a process, once any has been given one with frequency 0."""
    from jieba import finalseg

    yield finalseg.Force_Split_Words
    finalseg.Force_Split_Words.clear()
