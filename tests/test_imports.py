"""The import rules: data flows one way, and heavy packages stay where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "textdl"

FOUNDATION = {
    "errors",
    "scratch",
    "storage",
    "checkpoint",
    "cache",
    "vocabulary",
    "encoded",
    "protocols",
    "arguments",
    "kernels",
    "simd",
    "figures",
    "memory",
}
LAYERS = {  # a layer and what it may import besides the foundation and itself
    "corpus": set(),
    "tokenizers": set(),
    "ngram": set(),
    "word2vec": set(),
    "layers": set(),
    "training": {"layers"},
    "neural": {"layers", "training"},
    "seq2seq": {"layers", "training"},
    "evaluation": set(),
    "generation": set(),
    "curves": set(),
    "encoding": {"corpus", "tokenizers"},
    "preparation": {"corpus", "tokenizers", "encoding", "evaluation"},
    "bundle": {"corpus", "tokenizers", "evaluation", "ngram", "word2vec"},
    "keeping": {"bundle"},
    "pair_preparation": {"bundle", "corpus", "tokenizers", "encoding", "evaluation", "preparation"},
    "translation": {"bundle", "corpus", "evaluation", "generation", "keeping", "pair_preparation", "seq2seq"},
    "importing": {"bundle", "corpus", "tokenizers", "ngram", "word2vec", "evaluation"},
    "foreign": {"layers"},
    "evaluating": {
        "bundle",
        "corpus",
        "evaluation",
        "foreign",
        "generation",
        "importing",
        "models",
        "preparation",
        "tokenizers",
        "word2vec",
    },
    "recipes": {"bundle", "corpus", "evaluating", "evaluation", "models"},
    "models": {
        "bundle",
        "keeping",
        "preparation",
        "corpus",
        "tokenizers",
        "ngram",
        "word2vec",
        "neural",
        "evaluation",
        "generation",
    },
    "cli": {
        "curves",
        "corpus",
        "tokenizers",
        "encoding",
        "preparation",
        "word2vec",
        "evaluation",
        "bundle",
        "models",
        "translation",
        "importing",
        "evaluating",
        "recipes",
    },
}
FOUNDATION_ORDER = [
    "errors",
    "scratch",
    "encoded",
    "storage",
    "checkpoint",
    "cache",
    "vocabulary",
    "protocols",
    "arguments",
    "kernels",
    "simd",
    "figures",
    "memory",
]
ONE_FILE = {  # third-party packages of weight, and the one file that imports each
    "jieba": None,
    "sentencepiece": "tokenizers/sentencepiece_format.py",
    "gensim": "word2vec/gensim_interop.py",
    "matplotlib": "figures.py",
    "sklearn": "evaluation/vector_map.py",
    "sacrebleu": "evaluation/translation.py",
    "datasets": "corpus/hub.py",
    "transformers": "foreign/huggingface.py",
    "kenlm": "foreign/kenlm.py",
    "snownlp": None,
    "zhplot": None,
    "typer": "cli/",
    "rich": "cli/output.py",
    "numba": "kernels.py",
}


def imports(path: Path) -> set[str]:
    """Every module named in an import, also inside functions, as dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "textdl":
                found |= {f"textdl.{alias.name}" for alias in node.names}
    return found


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_layer_imports_only_what_comes_before_it(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    layer = parts[0]
    used = {name.split(".")[1] for name in imports(path) if name.startswith("textdl.")}
    if layer in ("__init__", "__main__"):
        return
    if layer in FOUNDATION:
        assert used <= set(FOUNDATION_ORDER[: FOUNDATION_ORDER.index(layer)])
        return
    assert layer in LAYERS, f"a new layer: write its rule here: {layer}"
    assert used <= FOUNDATION | LAYERS[layer] | {layer}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_heavy_packages_stay_in_their_file(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    for module in imports(path):
        package = module.split(".")[0]
        if package in ONE_FILE:
            allowed = ONE_FILE[package]
            assert allowed is not None, f"{name} imports {package}"
            if package == "numba" and name.startswith(("ngram/", "word2vec/", "simd.py", "layers/one_row.py")):
                continue  # for numba's intrinsics; compiled functions go through kernels.kernel
            assert name.startswith(allowed), f"{name} imports {package}"
        if package == "torch":
            assert name.startswith(("layers/", "training/", "neural/", "seq2seq/", "foreign/huggingface.py")), (
                f"{name} imports torch"
            )


@pytest.mark.parametrize(
    ("statement", "unloaded"),
    [
        ("import textdl", ["torch", "numba", "gensim", "jieba", "numpy"]),
        ("import textdl.models", ["torch", "gensim", "jieba", "sentencepiece"]),
        ("import textdl.ngram", ["torch"]),
        ("import textdl.word2vec", ["torch", "gensim"]),
        ("import textdl.cli.app", ["torch", "numba", "gensim"]),
        ("import textdl.tokenizers; textdl.tokenizers.create('jieba').encode('北京')", ["torch", "gensim", "jieba"]),
        ("import textdl.neural.recurrent", ["gensim", "jieba"]),
    ],
)
def test_imports_are_silent_and_light(statement: str, unloaded: list[str]) -> None:
    code = f"import sys; {statement}; print([m for m in {unloaded} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"
