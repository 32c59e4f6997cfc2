"""`textdl tokenizer train`, in this process: what is written, what is told, exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from textdl.cli import main
from textdl.errors import ModelError
from textdl.tokenizers import create
from textdl.tokenizers.sentencepiece import SentencePieceTokenizer

Train = Callable[..., tuple[int, str]]


@pytest.fixture
def train(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chinese: list[str]
) -> Train:
    """The command in a directory with zh.txt: (exit code, stderr)."""
    monkeypatch.chdir(tmp_path)
    Path("zh.txt").write_text("\n".join(chinese) + "\n", "utf-8")

    def run(*arguments: object) -> tuple[int, str]:
        code = main(["tokenizer", "train", *map(str, arguments)])
        done = capsys.readouterr()
        assert done.out == ""
        return code, done.err

    return run


def test_it_writes_a_model_and_tells_the_ledger(train: Train) -> None:
    code, told = train("zh.txt", "-o", "m", "--vocab-size", "400", "--symbols", "自然语言,老师", "--coverage", "0.9")
    assert code == 0
    assert "Read 400 lines" in told
    assert told.endswith("use them with --tokenizer sp:m.model\n")
    made = create("sp:m.model")
    assert {"自然语言", "老师"} <= set(made.encode("老师研究自然语言处理。"))
    before = Path("m.model").read_bytes()
    assert train("zh.txt", "-o", "m.model", "--vocab-size", "300", "--model", "bpe", "--quiet") == (0, "")
    assert Path("m.model").read_bytes() != before  # an older model is replaced
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


def test_symbols_come_from_a_file_and_a_sample_is_told(train: Train) -> None:
    Path("symbols.txt").write_bytes("\ufeff历史博物馆\r\na,b\r\n\r\n".encode())
    code, told = train("zh.txt", "-o", "m", "--vocab-size", "330", "--symbols", "symbols.txt", "--sample", "1.5k")
    assert code == 0
    assert "characters: " in told
    assert "drawn with seed 1; --sample says how many" in told
    assert {"历史博物馆", "a,b"} <= set(create("sp:m.model").inventory or ())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "missing/m"], "missing is not a directory one may write to"),
        (["-o", "other"], "other.model is there and no SentencePiece model, so it is left alone"),
        (["-o", "folder"], "folder.model is there and no SentencePiece model"),
        (["-o", "m", "--sample", "much"], "--sample takes a number of characters such as 50M or 800k, or all"),
        (["-o", "m", "--sample", "0"], "at least one character"),
        (["-o", "m", "--symbols", "a,,b"], "an empty symbol"),
        (["-o", "m", "--vocab-size", "200"], "--vocab-size 200 is too small"),
        (["-o", "m", "--model", "word"], "unigram or bpe"),
        (["-o", "m", "--coverage", "99.95"], "--coverage must be over 0 and at most 1"),
    ],
)
def test_misuse_is_one_sentence(train: Train, arguments: list[str], message: str) -> None:
    Path("other.model").write_bytes(b"something of the user's")
    Path("folder.model").mkdir()
    code, told = train("zh.txt", *arguments)
    assert code == 2
    assert message in told
    assert len(told.splitlines()) == 1
    assert Path("other.model").read_bytes() == b"something of the user's"
    assert not Path("m.model").exists()


def test_what_cannot_be_written_or_learnt_is_told(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("empty.txt").write_text("\n\n")
    code, told = train("empty.txt", "-o", "m")
    assert code == 1
    assert "every line is empty" in told

    def full(self: SentencePieceTokenizer, path: Path) -> None:
        raise ModelError(f"cannot write {path}: No space left on device; nothing was saved.")

    monkeypatch.setattr(SentencePieceTokenizer, "write", full)
    code, told = train("zh.txt", "-o", "m", "--vocab-size", "300")
    assert code == 1
    assert "No space left" in told
