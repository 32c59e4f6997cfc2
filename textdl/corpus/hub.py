"""Data sets of the Hugging Face hub, or saved by its library: `hf:NAME[@CONFIG][:SPLIT]`, through `datasets`.

NAME is `name`, `owner/name`, or a directory: one of data files, or one that `save_to_disk` wrote. SPLIT may be a slice
of one (`train[:1%]`). A data set is downloaded into the library's own cache and read from there, a column at a time;
while streaming it is read over the network once, and its text alone copied to a temporary file.

Code of data sets is never run: the library refuses it.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from textdl.corpus.ledger import Ledger
from textdl.corpus.parquet import arrow_field, lines_of
from textdl.corpus.reading import Errors
from textdl.corpus.sources import Source, SpooledLines
from textdl.errors import CorpusError, TextdlError, UsageError

T = TypeVar("T")

_ROWS = 100
"""Of one batch of a stream, whose rows may be of any length."""


@dataclass(frozen=True)
class Hub:
    """A data set that was found."""

    source: Source
    name: str
    notes: list[str]


class Column(Source):
    """One column of a data set."""

    def __init__(self, rows: Any, field: str, name: str, errors: Errors):
        self._rows, self._field, self._name, self._errors = rows, field, name, errors

    def batches(self, ledger: Ledger) -> Iterator[list[str]]:
        """The lines, in lists.

        Raises:
            CorpusError: a text is not UTF-8, or the connection is lost.
        """
        before = ledger.records
        size = _ROWS
        if table := getattr(self._rows, "data", None):  # 4 MB or so
            size = max(1, min(10_000, (len(self._rows) << 22) // max(table.nbytes, 1)))
        tables = iter(self._rows.with_format("arrow").iter(size))
        while True:
            with _quiet():
                table = _call(lambda: next(tables, None), self._name)
            if table is None:
                return
            yield from lines_of(table, self._field, self._name, self._errors, ledger, before)


def open_hub(source: str, errors: Errors, field: str | None, streaming: bool) -> Hub:
    """Find, and unless it is streamed download, a data set.

    Args:
        source: `hf:NAME[@CONFIG][:SPLIT]`; without a split `train`, or the only one.
        errors: what to do with text that is not UTF-8.
        field: the column of the text; dots lead into columns of columns.
        streaming: read it over the network instead of downloading it.

    Raises:
        UsageError: there is no such configuration, split or field, or it is not clear which is meant.
        CorpusError: it cannot be reached or prepared, or is not free to have.
    """
    name, config, split = parse(source)
    said = f"hf:{name}@{config}" if config else f"hf:{name}"
    saved = os.path.isfile(os.path.join(name, "dataset_dict.json")) or os.path.isfile(os.path.join(name, "state.json"))
    split, rows = _saved(name, config, split, said) if saved else _loaded(name, config, split, streaming, said)
    said = f"{said}:{split}"
    short = f"hf:{Path(name).resolve().name}{said[len('hf:' + name) :]}" if os.path.isdir(name) else said
    notes = Ledger()
    if rows.features is None:  # a stream whose files do not say
        rows = _call(lambda: rows._resolve_features(), said)
    column = arrow_field(rows.features.arrow_schema, said, field, notes)
    rows = rows.select_columns([column if column in rows.features else column.split(".")[0]])
    text = Column(rows, column, said, errors)
    return Hub(SpooledLines(text) if streaming else text, short, notes.notes)


def parse(source: str) -> tuple[str, str | None, str | None]:
    """(name, configuration, split) of `hf:NAME[@CONFIG][:SPLIT]`. A directory that exists may have @ and : in its name.

    Raises:
        UsageError: a part is empty.
    """
    rest = source.removeprefix("hf:")
    config = split = None
    if not os.path.isdir(rest):
        match = re.fullmatch(r"(.*?):((?:[^:\[\]/]|\[[^\]]*\])*)", rest, re.S)
        if match:
            rest, split = match[1], match[2]
        if not os.path.isdir(rest) and "@" in rest:
            rest, _, config = rest.rpartition("@")
    if not rest or config == "" or split == "":
        raise UsageError(f"{source!r}: a data set is hf:NAME[@CONFIG][:SPLIT], such as hf:owner/name@zh:train")
    if rest.startswith((".", "/", "~", os.sep)) and not os.path.isdir(rest):
        raise UsageError(f"{source!r}: there is no directory {rest}. Check the path.")
    return rest, config, split


def _saved(name: str, config: str | None, split: str | None, said: str) -> tuple[str, Any]:
    if config:
        raise UsageError(f"{said}: a saved data set has no configurations. Leave out @{config}")
    with _quiet() as datasets:
        found = _call(lambda: datasets.load_from_disk(name), said)
        if not isinstance(found, dict):
            own = str(found.split or "train")
            if split not in (None, own):
                raise _no_split(said, split, [own])
            return own, found
    if split is not None and split not in found:
        raise _no_split(said, split, list(found))
    split = _choose(list(found), split, False, said)
    return split, found[split]


def _loaded(name: str, config: str | None, split: str | None, streaming: bool, said: str) -> tuple[str, Any]:
    with _quiet() as datasets:
        builder = _call(lambda: datasets.load_dataset_builder(name, config), said)
        splits = [str(known) for known in builder.info.splits or getattr(builder.config, "data_files", None) or ()]
        split = _choose(splits, split, streaming, said)
        rows = _call(lambda: datasets.load_dataset(name, config, split=split, streaming=streaming), said)
        return split, rows


def _choose(splits: Sequence[str], split: str | None, streaming: bool, said: str) -> str:
    if split is None:
        if "train" in splits or not splits:
            return "train"
        if len(splits) > 1:
            raise UsageError(f"{said} has the splits {', '.join(splits)}. Name one: {said}:{splits[0]}")
        return splits[0]
    if streaming and split not in splits and ("[" in split or "+" in split):
        raise UsageError(f"{said}:{split}: only whole splits can be streamed. Leave out --streaming (streaming=).")
    if splits and any(part.partition("[")[0].strip() not in (*splits, "all") for part in split.split("+")):
        raise _no_split(said, split, splits)
    return split


def _no_split(said: str, split: str | None, splits: Sequence[str]) -> UsageError:
    return UsageError(f"{said} has no split {split!r}; it has {', '.join(splits)}, as in {said}:{splits[0]}")


@contextmanager
def _quiet() -> Iterator[Any]:
    """The library, without its progress bars, warnings and log, which are set back afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import datasets
            from huggingface_hub.utils.tqdm import (
                are_progress_bars_disabled,
                disable_progress_bars,
                enable_progress_bars,
            )
        except ImportError as error:
            raise CorpusError(f"hf: needs the package datasets ({error}). Run `pip install datasets`.") from error
        shown = datasets.utils.is_progress_bar_enabled(), not are_progress_bars_disabled()
        level = datasets.utils.logging.get_verbosity()
        datasets.utils.disable_progress_bars()
        disable_progress_bars()
        datasets.utils.logging.set_verbosity(datasets.utils.logging.CRITICAL)
        hub = logging.getLogger("huggingface_hub")
        hub_level = hub.level
        hub.setLevel(logging.CRITICAL)
        try:
            yield datasets
        finally:
            datasets.utils.logging.set_verbosity(level)
            hub.setLevel(hub_level)
            if shown[0]:
                datasets.utils.enable_progress_bars()
            if shown[1]:
                enable_progress_bars()


def _call(work: Callable[[], T], said: str) -> T:
    """The result of a call into the library; whatever it raises becomes a sentence."""
    try:
        return work()
    except TextdlError:
        raise
    except Exception as error:  # the library promises no particular errors
        raise _explained(error, said) from error


def _explained(error: Exception, said: str) -> TextdlError:
    """What to say of an error of the library, told by its class and its words."""
    causes = _causes(error)
    kinds = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    root = causes[-1] if "DatasetGenerationError" in kinds else error  # which says nothing itself
    told = " ".join(str(root).split())
    told = f"{told[:200]}..." if len(told) > 200 else told
    if match := re.search(
        r"(?:Config name is missing|BuilderConfig '?[^']*'? not found).*?\[(.*?)\]", str(error), re.S
    ):
        known = re.findall(r"'([^']+)'", match[1])
        return UsageError(
            f"{said}: name one of its configurations ({', '.join(known)}), as in {said.partition('@')[0]}@{known[0]}"
        )
    if match := re.search(r'Unknown split "(.*?)".*?\[(.*?)\]', str(error), re.S):
        return _no_split(said, match[1], re.findall(r"'([^']+)'", match[2]))
    if "OfflineModeIsEnabled" in told or kinds & {"OfflineModeIsEnabled"}:
        return CorpusError(f"{said}: offline (HF_HUB_OFFLINE is set), and it is not in {_cache()}. {_once(said)}")
    if kinds & {"GatedRepoError"} or "gated" in told:
        return CorpusError(
            f"{said}: its owner asks for consent first. Accept the terms on its page at huggingface.co, make an access token "
            "there, and run `hf auth login` (or set HF_TOKEN)."
        )
    if "scripts are no longer supported" in told or "trust_remote_code" in told:
        return CorpusError(
            f"{said}: it is made by a script, which the datasets library does not run. Its page may have a branch "
            "refs/convert/parquet: download those files and read them as *.parquet."
        )
    if kinds & {"EmptyDatasetError", "DataFilesNotFoundError"}:
        return CorpusError(
            f"{said}: it has no data files that the datasets library knows (JSONL, CSV, Parquet, text, ...)."
        )
    if kinds & {"DatasetNotFoundError", "RepositoryNotFoundError"}:
        return CorpusError(
            f"{said}: the hub has no such data set, or it is private. Check the name (owner/name); for a private one run "
            "`hf auth login`."
        )
    if kinds & {
        "ConnectionError",
        "ConnectError",
        "TimeoutException",
        "Timeout",
        "LocalEntryNotFoundError",
        "HfHubHTTPError",
    }:
        return CorpusError(f"{said}: the hub cannot be reached ({told}), and it is not in {_cache()}. {_once(said)}")
    if "ImportError" in kinds:
        return CorpusError(f"{said}: {told.rstrip('.')}. Install that package.")
    return CorpusError(f"{said}: the datasets library cannot read it ({type(root).__name__}: {told.rstrip('.')}).")


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _cache() -> str:
    import datasets

    return f"the local cache ({datasets.config.HF_DATASETS_CACHE})"


def _once(said: str) -> str:
    name = said.removeprefix("hf:").partition("@")[0].partition(":")[0]
    return (
        f"Connect once, or run `hf download --repo-type dataset {name} --local-dir DIR` where there is a network and read "
        "hf:DIR; HF_ENDPOINT names a mirror."
    )
