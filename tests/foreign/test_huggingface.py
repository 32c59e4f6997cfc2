"""Models of Hugging Face's: their own recipes give the same figures. Tiny ones, made here."""

import json
import math
import re

import numpy as np
import pytest
from conftest import chatter, hanzi

import textdl
from textdl.encoded import BOS, EOS, UNK
from textdl.errors import ModelError, NotComparableError, UsageError
from textdl.evaluating import subject
from textdl.foreign import huggingface
from textdl.protocols import ScorePolicy

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

LINES = [*chatter(6, 1), "", *hanzi(4, 1), "a  double space\tand é😀"]
WINDOW = 24


def saved(directory, tokenizer, **settings):
    import torch

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer) + 3, n_positions=WINDOW, n_embd=16, n_layer=2, n_head=2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, **settings,
    )  # fmt: skip
    network = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(4.0)  # far from uniform
    network.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def byte_level(tmp_path_factory):
    """A GPT-2 with byte-level BPE, as GPT-2's is."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<|endoftext|>"], initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator(chatter(50), trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    return saved(tmp_path_factory.mktemp("hf") / "tiny-gpt2", fast)


def their_own(directory, text):
    """Their model, and the tokens of a whole document behind the token that begins a text."""
    import torch

    network = transformers.AutoModelForCausalLM.from_pretrained(directory).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return network, torch.tensor([[tokenizer.bos_token_id, *ids]])


def test_the_sliding_window_of_the_perplexity_guide(byte_level):
    """huggingface.co/docs/transformers/perplexity: windows of max_length at begin 0, stride, 2 stride ...; what an
    earlier one scored is masked with -100; the loss of a window is a mean. Each is here weighted with the tokens
    that it is the mean of, and exp(total / tokens) is the perplexity."""
    import torch

    text = "".join(line + "\n" for line in LINES)
    network, ids = their_own(byte_level, text)
    for max_length, stride in ((WINDOW, 7), (WINDOW, WINDOW - 1), (9, 4)):
        total, count, before = 0.0, 0, 0
        for begin in range(0, ids.shape[1], stride):
            end = min(begin + max_length, ids.shape[1])
            targets = ids[:, begin:end].clone()
            targets[:, : -(end - before)] = -100
            with torch.no_grad():
                loss = network(ids[:, begin:end], labels=targets).loss
            scored = int((targets[:, 1:] != -100).sum())
            total, count, before = total + float(loss) * scored, count + scored, end
            if end == ids.shape[1]:
                break
        policy = ScorePolicy("stream", max_length - 1, stride)
        result = textdl.evaluate(byte_level, LINES, policy=policy)[0]
        assert result.tokens == count
        assert result.closed == pytest.approx(total, rel=1e-6)
        assert result.ppl_token == pytest.approx(math.exp(total / count), rel=1e-5)


def test_the_figures_of_the_evaluation_harness(byte_level):
    """lm-evaluation-harness, loglikelihood_rolling and its metrics: windows that share one token, every token scored
    once; word_perplexity = exp(-ll / len(re.split(r"\\s+", doc))), byte_perplexity = exp(-ll / bytes), and
    bits_per_byte. Its last window is moved back to be full, so the text here fills its windows."""
    import torch

    for count in range(2, len(LINES)):
        lines = LINES[:count]
        doc = "".join(line + "\n" for line in lines)
        network, ids = their_own(byte_level, doc)
        tokens = ids.shape[1] - 1
        if fitting := [w for w in range(4, WINDOW) if tokens % w == 0]:
            break
    window = fitting[-1]
    ll = 0.0
    for begin in range(0, tokens, window):
        with torch.no_grad():
            logp = network(ids[:, begin : begin + window]).logits[0].log_softmax(-1)
        ll += float(logp.gather(1, ids[0, begin + 1 : begin + 1 + window, None]).sum())
    result = textdl.evaluate(byte_level, lines, policy=ScorePolicy("stream", window, window))[0]
    assert result.open == pytest.approx(-ll, rel=1e-6)
    assert result.text.bytes == len(doc.encode())
    assert result.bits_per_byte == pytest.approx(-ll / len(doc.encode()) / math.log(2), rel=1e-6)
    words = len(re.split(r"\s+", doc))  # one more than there are: the empty string behind the last line feed
    assert math.exp(result.open / words) == pytest.approx(math.exp(-ll / words), rel=1e-5)
    assert words == sum(len(line.split()) for line in lines) + 1


@pytest.mark.parametrize("unit", ["line", "stream"])
def test_score_is_the_sum_of_steps(byte_level, unit):
    model, cut = huggingface.load(byte_level)
    vocab = textdl.vocabulary.Vocabulary(list(cut.inventory))
    lines = vocab.encode_lines(cut.encode_lines(LINES[-3:]))
    scores = np.concatenate(list(model.score(lines, policy=ScorePolicy(unit))))
    log_probs, state = model.start()
    stepped = []
    for i in range(len(lines)):
        if unit == "line":
            log_probs, state = model.start()
        for token in [*lines.line(i).tolist(), EOS]:
            stepped.append(log_probs[0, token])
            assert np.exp(log_probs.astype(float)).sum() <= 1 + 1e-5
            assert (log_probs[:, [UNK, BOS]] == -np.inf).all()
            log_probs, state = model.step(state, np.array([token]))
    np.testing.assert_allclose(scores, stepped, rtol=1e-4, atol=1e-5)
    together, state = model.start(prefixes=lines.select([0, 1]))
    np.testing.assert_allclose(together[1], model.start(prefixes=lines.select([1]))[0][0], rtol=1e-4, atol=1e-4)
    after, _ = model.step(state.select(np.array([1])), np.array([5]))
    assert after.shape == (1, len(vocab))


@pytest.mark.parametrize("unit", ["line", "stream"])
def test_totals_do_not_depend_on_batches(byte_level, unit, monkeypatch):
    policy = ScorePolicy(unit, 12, 5)
    whole = textdl.evaluate(byte_level, LINES, policy=policy)[0]
    assert (whole.lossy_lines, whole.unknown) == (0, 0)
    for cells in (1, 9_000, 50_000):
        monkeypatch.setattr(huggingface, "_CELLS", cells)
        assert textdl.evaluate(byte_level, LINES, policy=policy)[0].closed == pytest.approx(whole.closed, rel=1e-6)


@pytest.mark.parametrize("unit", ["line", "stream"])
def test_without_line_ends(byte_level, unit):
    """They are seen and not scored."""
    model, cut = huggingface.load(byte_level)
    lines = textdl.vocabulary.Vocabulary(list(cut.inventory)).encode_lines(cut.encode_lines(LINES))
    whole = np.concatenate(list(model.score(lines, policy=ScorePolicy(unit, 12, 5))))
    without = np.concatenate(list(model.score(lines, policy=ScorePolicy(unit, 12, 5, line_end=False))))
    ends = lines.offsets[1:] + np.arange(len(lines))
    np.testing.assert_array_equal(without, np.delete(whole, ends))


def test_a_tokenizer_of_another_network_is_refused(byte_level, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(byte_level)
    small = transformers.GPT2Config(
        vocab_size=100, n_positions=8, n_embd=4, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0
    )
    transformers.GPT2LMHeadModel(small).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"its network 100 embeddings. They do not belong together"):
        subject(tmp_path)


def test_text_that_spells_a_special_token_is_text(byte_level):
    result = textdl.evaluate(byte_level, ["a <|endoftext|> b"])[0]
    assert result.lossy_lines == 0
    assert result.tokens > 8


def test_it_ranks_beside_others_on_the_command_line(byte_level, texts, capsys):
    from textdl.cli import main

    model = textdl.train("ngram", str(texts / "zh.txt"), tokenizer="char", order=2)
    card = textdl.evaluate([byte_level, model], str(texts / "zh-test.txt"))
    assert [r.model for r in card.results] == ["tiny-gpt2", "ngram"]
    foreign = card.results[0]
    assert foreign.size > 1000
    assert foreign.bytes > 1000
    assert foreign.tokenizer == "hf:tiny-gpt2"
    assert str(foreign.policy) == f"stream, window {WINDOW}, stride {WINDOW // 2}"
    assert not foreign.unique
    assert main(["eval", str(byte_level), "--text", str(texts / "zh-test.txt"), "--quiet", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["open"]["nats"] == pytest.approx(foreign.open)


def test_an_unknown_token_loses_text_and_bars(tmp_path):
    words = {"[UNK]": 0, "[BOS]": 1, "the": 2, "cat": 3}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="[BOS]", eos_token="[BOS]", unk_token="[UNK]"
    )
    directory = saved(tmp_path / "m", fast)
    result = textdl.evaluate(directory, ["the cat", "the dog"])[0]
    assert result.lossy_lines == 1
    with pytest.raises(NotComparableError, match="does not give back 1 of 2 lines"):
        textdl.compare(directory, textdl.train("ngram", ["the dog"]), text=["the cat", "the dog"])


def test_refused(byte_level, tmp_path, texts):
    assert huggingface.is_huggingface(byte_level)
    assert not huggingface.is_huggingface(tmp_path)
    ours = textdl.train("ngram", str(texts / "en.txt"), order=2, output=tmp_path / "ours")
    assert not huggingface.is_huggingface(ours.directory)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UsageError, match="finds no causal language model"):
        subject(tmp_path / "empty")
    for policy in (ScorePolicy("stream", WINDOW + 1), ScorePolicy("stream", 4, 5)):
        with pytest.raises(UsageError, match="sees at most 24 tokens at once"):
            textdl.evaluate(byte_level, ["a"], policy=policy)
