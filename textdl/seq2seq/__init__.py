"""Sequence to sequence: one text in, another out. One file for each architecture, both behind one model."""

import textdl.layers  # noqa: F401  (before torch: it sets how torch's threads wait)
