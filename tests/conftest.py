"""Small texts and models that several tests share. Everything is made in-process and offline."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch is loaded; tests run in as many processes as there are cores

import textdl.layers  # noqa: F401  (also before torch: how its threads wait)

# The same examples every time, so that a test fails for its change and not by chance; TEXTDL_EXPLORE=1 looks for new ones.
settings.register_profile("textdl", deadline=None, derandomize=not os.environ.get("TEXTDL_EXPLORE"))
settings.load_profile("textdl")


def chatter(lines: int, seed: int = 0) -> list[str]:
    """English-like lines from a tiny grammar: learnable, with rare names."""
    draw = random.Random(seed)
    people = ["the cat", "the dog", "a bird", "the old man", "a child", "my friend"]
    verbs = ["saw", "found", "likes", "follows", "hears"]
    places = ["in the garden", "near the river", "on the hill", "at home", "by the sea"]
    out = []
    for _ in range(lines):
        end = draw.choice([".", " today.", " again, and again."])
        name = f" named {draw.choice('BCDFGK')}{draw.choice('aeiou')}{draw.choice('lmnrt')}{draw.choice('aeiouy')}"
        who = draw.choice(people) + (name if draw.random() < 0.1 else "")
        out.append(f"{who} {draw.choice(verbs)} {draw.choice(people)} {draw.choice(places)}{end}")
    return out


def hanzi(lines: int, seed: int = 0) -> list[str]:
    """The same in Chinese."""
    draw = random.Random(seed)
    people = ["我", "你", "老师", "学生", "我们", "他的朋友"]
    verbs = ["喜欢", "看见", "学习", "研究", "参观"]
    things = ["北京", "上海", "中国经济", "自然语言处理", "这本书", "历史博物馆"]
    ends = ["。", "，真的。", "！"]
    return ["".join(map(draw.choice, (people, verbs, things, ends))) for _ in range(lines)]


@pytest.fixture(scope="session")
def english() -> list[str]:
    return chatter(400)


@pytest.fixture(scope="session")
def chinese() -> list[str]:
    return hanzi(400)


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with en.txt, zh.txt (400 lines each) and en-test.txt, zh-test.txt (40 other lines)."""
    directory = tmp_path_factory.mktemp("texts")
    for name, lines in (
        ("en", chatter(400)), ("zh", hanzi(400)), ("en-test", chatter(40, seed=1)), ("zh-test", hanzi(40, seed=1)),
    ):  # fmt: skip
        (directory / f"{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return directory
