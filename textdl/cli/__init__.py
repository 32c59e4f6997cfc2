"""The command line. `main` is what the `textdl` command calls.

Each group of commands is a file; they import the library inside the functions, so that
`textdl --help` answers at once. Exit codes: 0 done, 1 failed, 2 misuse, 3 nothing could be
compared, 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors meant for the user become one sentence."""
    import typer
    from typer.exceptions import TyperException

    from textdl.cli.app import app
    from textdl.errors import TextdlError

    try:
        result = app(list(arguments) if arguments is not None else None, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except typer.Exit as end:
        return int(end.exit_code)
    except TyperException as error:
        getattr(error, "show", lambda: None)()
        return error.exit_code
    except TextdlError as error:
        print(f"textdl: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("\ntextdl: stopped by Ctrl-C; nothing was saved", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return _reader_left()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer turns it into exit code 1
            return _reader_left()
        raise
    except MemoryError:
        print("textdl: out of memory; use less text, a smaller model or a larger --min-count", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"textdl: {error.filename or 'input/output'}: {error.strerror or error}", file=sys.stderr)
        return 1


def _reader_left() -> int:
    """`textdl ... | head`: whoever read our output has enough. No error; Python must not complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return 0
