"""How good a model is, in figures that may be held against each other.

spelling.py     what an unknown token costs: a character model over all of Unicode
text.py         what is counted on the raw text: the denominators, the text key, leaked lines
score.py        one pass of a model over a text: the totals
perplexity.py   `evaluate`: the totals over the counts; results as JSON
baselines.py    uniform and unigram models, for scale
bootstrap.py    how far a figure may be off
compare.py      what may be compared, and the ranking
report.py       the report card as a table of strings
vectors.py      benchmarks of word vectors
"""
