"""Text out of any language model.

transforms.py   temperature, top-k, top-p
sampling.py     drawing tokens, many rows at once
beam.py         beam search
"""
