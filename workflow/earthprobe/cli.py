"""The command line: a command a step, made from the typed signature and docstring of its `run`.

A step is imported when it is called, since torch takes seconds, which no other step should wait for.
"""

import atexit
import gc
import logging
import resource
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from earthprobe import provenance, registry
from earthprobe.errors import UserError, told_of_memory
from earthprobe.progress import peak_memory

log = logging.getLogger("earthprobe")

FEW_COLLECTIONS = (50_000, 20, 20)
"""Objects, and collections of the younger ones, after which Python looks for garbage.

What torch and scikit-learn import lives as long as the process: looking through it again and again, and once more at
the end, is a third of a short job's time.
"""


def app() -> App:
    """All commands: those of the modules in ``steps``, and a ``figure-`` for each of ``figures``."""
    commands = App(
        name="earthprobe",
        help="The steps of the workflow, one by one; `snakemake -p` prints such lines.",
        version=provenance.version,  # asked for when it is printed: git takes a moment
        default_parameter=Parameter(consume_multiple=True, negative=()),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    for folder, prefix in (("steps", ""), ("figures", "figure-")):
        for module, summary in registry.summaries(folder):
            name = f"{prefix}{module.replace('_', '-')}"
            commands.command(f"earthprobe.{folder}.{module}:run", name=name, help=summary)
    return commands


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a step; a :class:`UserError` becomes one line on the terminal and in the log."""
    gc.set_threshold(*FEW_COLLECTIONS)
    atexit.register(_leave)
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands = app()

    @commands.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        log: Annotated[Path | None, Parameter(help="Write progress here instead of to the terminal.")] = None,
    ) -> int:
        return _run(commands, list(tokens), log, shlex.join(words))

    try:
        # The arguments of resume are Snakemake's, some of which look like ours.
        return _run(commands, words, None, "") if words[:1] == ["resume"] else int(commands.meta(words) or 0)
    except CycloptsError as error:
        print(f"earthprobe: {_reason(error, '')}", file=sys.stderr)
        return 2


def _leave() -> None:
    """Spares the last look for garbage; triton, which some models bring, prints what it finds left over."""
    if "triton" not in sys.modules:
        gc.freeze()


def _run(commands: App, words: list[str], log_file: Path | None, command: str) -> int:
    start = time.monotonic()
    step = words[0] if words else ""
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk would print a traceback for each line of the log
    try:
        handler = _log_handler(log_file)
    except OSError as error:
        print(f"earthprobe {step}: {_reason(error, step)}", file=sys.stderr)
        return 1
    logging.basicConfig(
        level=logging.WARNING,  # of the libraries
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=[handler],
        force=True,
    )
    log.setLevel(logging.INFO)
    if log_file:  # a log says what was run, by which version
        log.info("earthprobe %s: %s", provenance.version(), command)
    try:
        with _printed_to(log_file), told_of_memory():
            commands(words)
    except (UserError, OSError, CycloptsError) as error:
        # A missing file, a full disk or a read-only folder is the user's to mend, too.
        text = _reason(error, step)
        if log_file or isinstance(error, CycloptsError):
            print(f"earthprobe {step}: {text}", file=sys.stderr)
        if not isinstance(error, CycloptsError) or log_file:
            log.error("%s", text)
        return 2 if isinstance(error, CycloptsError) else 1
    except Exception:
        log.exception("earthprobe %s stopped because of a bug in earthprobe", step)
        raise
    if log_file:
        used = resource.getrusage(resource.RUSAGE_SELF)
        log.info(
            "done in %.1f s, %.1f s of CPU time, peak memory %.0f MiB",
            time.monotonic() - start,
            used.ru_utime + used.ru_stime,
            peak_memory(),
        )
    return 0


def _reason(error: Exception, step: str) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or step}: {error.strerror}"
    return " ".join(str(error).split()) if isinstance(error, CycloptsError) else str(error)


def _log_handler(path: Path | None) -> logging.Handler:
    if path is None:
        return logging.StreamHandler()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")
    # Appending, so that lines which a library prints into the same file are not written over.
    return logging.FileHandler(path, mode="a", encoding="utf-8")


@contextmanager
def _printed_to(path: Path | None) -> Iterator[None]:
    """Sends what a library prints to the log."""
    if path is None:
        yield
        return
    with path.open("a", encoding="utf-8") as stream, redirect_stdout(stream), redirect_stderr(stream):
        yield
