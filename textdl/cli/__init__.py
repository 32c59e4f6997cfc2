"""The command line. `main` is what the `textdl` command calls.

Each group of commands is a file; they import the library inside the functions, so that
`textdl --help` answers at once. Exit codes: 0 done, 1 failed, 2 misuse, 3 nothing could be
compared, 130 Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors meant for the user become one sentence."""
    try:
        return _run(arguments)
    except (KeyboardInterrupt, Exception) as error:  # also while packages are loaded, a good part of a second
        if not _interrupted(error):
            raise
        return _stopped()


def _run(arguments: Sequence[str] | None) -> int:
    import typer
    from typer.exceptions import TyperException

    from textdl.cli.app import app
    from textdl.errors import TextdlError

    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is temporary is cleared away
    command = typer.main.get_command(app)
    try:  # not app(...), which answers Ctrl-C and closed pipes itself
        with command.make_context("textdl", list(sys.argv[1:] if arguments is None else arguments)) as context:
            result = command.invoke(context)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except typer.Exit as end:
        return int(end.exit_code)
    except TyperException as error:
        getattr(error, "show", lambda: None)()
        return error.exit_code
    except TextdlError as error:
        return _failed(error, error.exit_code)
    except typer.Abort:
        return _stopped()
    except BrokenPipeError:
        return _reader_left()
    except MemoryError:
        return _failed("out of memory; use less text, a smaller model or a larger --min-count")
    except OSError as error:
        return _failed(f"{error.filename or 'input/output'}: {error.strerror or error}")
    except Exception as error:
        if os.environ.get("TEXTDL_TRACEBACK") or _interrupted(error):
            raise
        first = str(error).strip().split("\n")[0]
        return _failed(f"unexpected {type(error).__name__}: {first} (TEXTDL_TRACEBACK=1 shows where; please report it)")


def _stopped() -> int:
    print("\ntextdl: stopped by Ctrl-C; what was saved before is as it was", file=sys.stderr)
    return 130


def _interrupted(error: BaseException | None) -> bool:
    """Whether an error goes back to Ctrl-C: packages that it stops while they are loaded make other errors of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _failed(why: object, code: int = 1) -> int:
    print(f"textdl: {why}", file=sys.stderr)
    return code


def _reader_left() -> int:
    """`textdl ... | head`: whoever read our output has enough. No error; Python must not complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return 0
