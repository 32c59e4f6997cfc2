"""Processes as torchrun starts them, and what they train together."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from textdl.protocols import Run
from textdl.training.parallel import Team, local_device

SCRIPT = """
import json, os, sys
from pathlib import Path
import numpy as np
import torch
from textdl.checkpoint import Checkpoint
from textdl.encoded import Encoded
from textdl.neural import feedforward, recurrent, transformer
from textdl.protocols import Run
from textdl.training import loop

class Told(Run):
    steps = 0

    def progress(self, *told):
        self.steps += 1
        if self.steps == fate.get("interrupted at"):
            raise KeyboardInterrupt
        if self.steps == fate.get("process 1 dies at") and self.rank == 1:
            os._exit(9)

settings, rows = json.loads(sys.argv[1]), int(sys.argv[2])
fate = settings.pop("fate", {})
family = {"nnlm": feedforward, "rnn": recurrent, "transformer": transformer}[settings.pop("family")]
rng = np.random.default_rng(1)
lines = [(np.arange(n) + start) % 8 + 3 for n, start in rng.integers(1, 30, (150, 2))]
text = Encoded.from_lines(lines, 11)
run = Told(rank=int(os.environ.get("RANK", 0)), ranks=int(os.environ.get("WORLD_SIZE", 1)))
if "output" in fate:
    loop._APART = -1.0  # a checkpoint at every validation
    run.checkpoint = Checkpoint(Path(fate["output"]), resume=fate.get("resume"))
usual = {"dropout": 0.0, "precision": "float32", "learning_rate": 0.01, "epochs": 3}
config = family.Config(batch_size=rows, **{**usual, **settings})
model = family.fit(text, config, valid=Encoded.from_lines(lines[:21], 11), run=run)
if run.rank == 0:
    weights = {name: t.sum().item() for name, t in model.network.state_dict().items()}
    told = [[r["train_loss"], r["valid_loss"]] for r in run.curve]
    print(json.dumps([told, weights, run.figures["valid_loss"], run.figures["steps"]]))
"""


def launched(settings, rows, ranks):
    """The exit codes of so many processes, and what each says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if ranks > 1:
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, json.dumps(settings), str(rows)], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=environment | ({"RANK": str(rank)} if ranks > 1 else {}),
        )
        for rank in range(ranks)
    ]  # fmt: skip
    said = [process.communicate(timeout=120) for process in processes]
    return [process.returncode for process in processes], said


def outcome(settings, rows, ranks):
    """What rank 0 of so many processes prints; the others are silent."""
    codes, said = launched(settings, rows, ranks)
    assert codes == [0] * ranks, said
    assert all(not text for text, _ in said[1:])
    return json.loads(said[0][0])


SMALL = {"embedding_size": 8}


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"family": "rnn", "context": "stream", "hidden_size": 8, "bptt": 8, **SMALL},
        {"family": "rnn", "context": "line", "hidden_size": 8, "bptt": 8, "accumulate": 2, "ema": 0.9, **SMALL},
        {"family": "transformer", "context": "line", "heads": 2, "layers": 1, "window": 8, **SMALL},
    ],
    ids=str,
)
def test_two_processes_are_one_with_twice_the_rows(settings):
    curve, weights, valid, steps = outcome(settings, 4, 2)
    one_curve, one_weights, one_valid, one_steps = outcome(settings, 8, 1)
    assert steps == one_steps
    assert len(curve) == len(one_curve) >= 6
    for losses, one in zip(curve, one_curve, strict=True):
        assert losses == pytest.approx(one, abs=1e-5)
    assert valid == pytest.approx(one_valid, abs=1e-5)
    assert weights == pytest.approx(one_weights, abs=2e-3)


DROPPING = {"family": "rnn", "context": "stream", "hidden_size": 8, "bptt": 8, "dropout": 0.3, **SMALL}


@pytest.mark.slow
def test_two_processes_that_are_stopped_go_on_to_the_same_end(tmp_path):
    expected = outcome(DROPPING, 4, 2)
    output = str(tmp_path / "m")
    outcome({**DROPPING, "fate": {"output": output, "interrupted at": 50}}, 4, 2)
    assert outcome({**DROPPING, "fate": {"output": output, "resume": True}}, 4, 2) == expected


@pytest.mark.slow
def test_a_process_whose_fellow_is_gone_says_so(tmp_path):
    fate = {"output": str(tmp_path / "m"), "process 1 dies at": 20}
    codes, said = launched({**DROPPING, "fate": fate}, 4, 2)
    assert codes == [1, 9]
    told = said[0][1].decode().strip().split("\n")[-1]
    assert "TextdlError: training: process 0 of 2 has lost the others" in told
    assert told.endswith("The same command with --resume goes on from the last checkpoint.")


def test_every_row_is_somebodys():
    for rows in (0, 1, 2, 7, 8):
        for size in (1, 2, 3, 8):
            shares = [list(range(rows))[Team(rank, size).share(rows)] for rank in range(size)]
            assert [row for share in shares for row in share] == list(range(rows))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_alone_asks_nobody():
    team = Team()
    part = torch.ones(3)
    assert team.sum(part) is part
    assert team.gather(part, 3) is part
    assert team.agree(1.0, 2.0) == team.total(1.0, 2.0) == [1.0, 2.0]
    assert not team.stopped


def test_each_process_has_a_gpu(monkeypatch):
    gpu = torch.device("cuda")
    assert local_device(gpu, Run()) == gpu
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert local_device(gpu, Run(rank=7, ranks=8)) == torch.device("cuda", 3)
    assert local_device(torch.device("cpu"), Run(rank=7, ranks=8)) == torch.device("cpu")
