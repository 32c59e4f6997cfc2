"""Other people's models behind the protocols, so that one harness measures all.

huggingface.py    a causal language model in a directory, through transformers
kenlm.py          KenLM's binary files, through its own module
python.py         any object with `score`, `start` and `step`

An ARPA file is read by textdl itself (importing.py), word vectors of gensim by word2vec/gensim_interop.py.
Each package is imported in one file, when a model of its kind is opened. No code of a model directory is run.
"""
