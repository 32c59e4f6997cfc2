"""`python -m textdl` is `textdl`."""

from textdl.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
