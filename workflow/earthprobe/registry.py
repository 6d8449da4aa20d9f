"""Which kinds of archive, model and probe there are, what they take, and which package files stand behind a step.

A kind is a file's name: ``probes/knn.py`` beside ``probes/knn.yaml`` is the probe ``knn``, and nothing else lists it.
What the YAML file says is read when a configuration is checked; the module, which may import torch, is imported by the
step that runs it. A user's own module serves as well: its path is the kind.
"""

import ast
import functools
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import yaml

from earthprobe.errors import UserError

PACKAGE = Path(__file__).parent

ROOMS = ("archives", "models", "probes")
"""The subpackages that hold kinds."""

ENTRY_POINTS = {"models": "build", "probes": "fit"}
"""The function of a kind's module whose keywords are the kind's options."""

OWN: dict[str, dict[str, Any]] = {
    "models": {"unit": "z-score", "threads": 16, "gpu": 1, "memory": {"mb": 4000}, "required": ["bands"]},
    "probes": {"threads": 16, "memory": {"mb": 1500, "per_input_mb": 3.0}},
}
"""What a user's own kind takes unless a YAML file beside it says otherwise."""

OF_ALL: dict[str, dict[str, Any]] = {
    "models": {
        "pca": {"$ref": "#/$defs/pca"},
        "store": {"$ref": "#/$defs/store"},
        "vary": {"$ref": "#/$defs/vary"},
        "seeds": {"$ref": "#/$defs/seeds"},
    },
    "probes": {"seeds": {"$ref": "#/$defs/seeds"}},
}
"""The options that every kind of a room has, which are the workflow's business and not the kind's."""

COMMON: dict[str, dict[str, Any]] = {
    "models": {
        "bands": {"$ref": "#/$defs/bands"},
        "normalization": {"$ref": "#/$defs/normalization"},
        "image_size": {"description": "Pixels along a side, bilinear.", "type": ["integer", "null"], "default": None},
    },
    "probes": {},
}
"""The options of a user's own kind beside the keywords of its function."""

CHANGES_NO_RESULT = {
    "__init__",
    "ablations",
    "cli",
    "config",
    "errors",
    "feature_sets",
    "names",
    "progress",
    "provenance",
    "registry",
    "seeds",
    "storage.download",
}
"""Modules that no rule depends on: a better message is no reason to embed an archive again."""

IMPORT = re.compile(
    r"^[ \t]*(?:from earthprobe(?:\.([\w.]+))? import (\([^)]*\)|[^\n]*)|import earthprobe\.([\w.]+))",
    re.MULTILINE,
)


class Kind(NamedTuple):
    """A kind of archive, model or probe.

    Attributes:
        name: what a configuration calls it: the name of its file, or the path of a user's own.
        room: ``archives``, ``models`` or ``probes``.
        module: its Python file.
        facts: what its YAML file says: ``description``, ``options`` (a JSON schema each), ``required`` options,
            ``threads``, ``memory`` and whatever else its room's interface names. A file of the package that
            it names as ``include`` belongs to it.
    """

    name: str
    room: str
    module: Path
    facts: Mapping[str, Any]

    @property
    def path(self) -> str:
        """How :func:`behind` and :func:`load` know its module."""
        return str(self.module) if self.is_own else f"{self.room}.{self.module.stem}"

    @property
    def is_own(self) -> bool:
        """Whether it is a user's own file."""
        return self.module.parent.parent != PACKAGE

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of an entry of this kind."""
        options = self.facts.get("options", {})
        described = {"const": self.name, "default": self.name, "description": self.facts.get("description", "")}
        return {
            "type": "object",
            "additionalProperties": False,
            "required": list(self.facts.get("required", [])),
            "properties": {"kind": described, **options, **OF_ALL.get(self.room, {})},
        }


def names(room: str) -> list[str]:
    """The kinds of a room, by name."""
    return sorted(path.stem for path in (PACKAGE / room).glob("*.yaml"))


def kind(room: str, name: str) -> Kind:
    """A kind by its name, or by the path of a user's own file.

    Raises:
        UserError: there is none.
    """
    if name.endswith(".py") and room in ENTRY_POINTS:
        return _own(room, name)
    module = PACKAGE / room / f"{name.replace('-', '_')}.py"
    if not module.with_name(f"{name}.yaml").is_file():
        raise UserError(f"{name!r} is unknown: one of {', '.join(names(room))}")
    return Kind(name, room, module, _facts(room, name))


@functools.cache
def _facts(room: str, name: str) -> Mapping[str, Any]:
    facts = _read_yaml(PACKAGE / room / f"{name}.yaml")
    return {**facts, **_read_yaml(PACKAGE / facts["include"])} if "include" in facts else facts


def _read_yaml(path: Path) -> Mapping[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        facts: Mapping[str, Any] = yaml.load(path.read_text(encoding="utf-8"), loader) or {}  # noqa: S506 - a safe one
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a valid YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(facts, Mapping):
        raise UserError(f"{path} must be a mapping with `description`, `options` and so on")
    return facts


def _own(room: str, name: str) -> Kind:
    """A user's own kind: by the YAML file beside it, or else by the keywords of its function."""
    path = Path(name)
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    beside = path.with_suffix(".yaml")
    options = _options(room, path)
    needed = [name for name, option in options.items() if name not in COMMON[room] and "default" not in option]
    facts: dict[str, Any] = {"description": f"The file {path}.", **OWN[room], "options": options}
    facts["required"] = [*facts.get("required", ()), *needed]
    if beside.is_file():
        facts |= _read_yaml(beside)
    return Kind(name, room, path, facts)


def _options(room: str, path: Path) -> dict[str, Any]:
    """The options of a module, by the keywords of its function and their defaults; nothing of it is run.

    Raises:
        UserError: the file is no Python, lacks the function, or a default is not a plain value.
    """
    name = ENTRY_POINTS[room]
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a valid Python file: {error}") from error
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if not functions:
        raise UserError(f"{path} has no function `{name}`: docs/extending.md shows one")
    options = dict(COMMON[room])
    for argument, default in zip(functions[-1].args.kwonlyargs, functions[-1].args.kw_defaults, strict=True):
        if argument.arg == "threads":
            continue
        options[argument.arg] = {"description": "See the file."}
        if default is not None:
            try:
                options[argument.arg]["default"] = ast.literal_eval(default)
            except ValueError:
                raise UserError(
                    f"{path}: the default of `{argument.arg}` is not a plain value (a number, a text or a list)"
                ) from None
    return options


def load(room: str, name: str, part: str = "") -> ModuleType:
    """Imports a kind's module.

    Args:
        room: the subpackage.
        name: the kind.
        part: of a kind in several modules, which (``_labels``).

    Raises:
        UserError: there is no such kind, or a user's own file cannot be imported.
    """
    found = kind(room, name)
    if not found.is_own:
        return importlib.import_module(f"earthprobe.{found.path}{part}")
    spec = importlib.util.spec_from_file_location(f"earthprobe_own_{found.module.stem}", found.module)
    assert spec is not None  # noqa: S101 - the name ends in .py
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"{found.module} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def behind(*modules: str) -> list[Path]:
    """The package files that steps and kinds rest on: theirs and those of all that they import, directly or not.

    Imports are read, not run. Modules that cannot change a result (:data:`CHANGES_NO_RESULT`) are left out, with
    what only they import.

    Args:
        modules: names within the package (``steps.train``, ``probes.knn``), or paths of users' own files.
    """
    seen: set[Path] = set()
    waiting = [Path(name) if name.endswith(".py") else _file(name) for name in modules]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += imports(path)
    tables = {PACKAGE / _facts(p.parent.name, p.stem)["include"] for p in seen if _includes(p)}
    return sorted(seen | tables)


def _includes(module: Path) -> bool:
    """Whether a module is that of a kind whose YAML file names a table of facts (``include``)."""
    if module.parent.parent != PACKAGE or not module.with_suffix(".yaml").is_file():
        return False
    return "include" in _facts(module.parent.name, module.stem)


@functools.cache
def imports(path: Path) -> frozenset[Path]:
    """The package files that a file imports, without those that change no result."""
    found: set[str] = set()
    for package, imported, module in IMPORT.findall(path.read_text(encoding="utf-8")):
        if module:
            found.add(module)
            continue
        members = [f"{package}.{name}".lstrip(".") for name in re.findall(r"(\w+)(?:[ \t]+as[ \t]+\w+)?", imported)]
        inner = [member for member in members if _is_module(member)]
        found.update(inner)
        if package and len(inner) < len(members):
            found.add(package)
    return frozenset(_file(name) for name in found - CHANGES_NO_RESULT if _is_module(name))


def _is_module(name: str) -> bool:
    return _file(name).is_file()


@functools.cache
def _file(name: str) -> Path:
    base = PACKAGE.joinpath(*name.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def summaries(folder: str) -> Iterable[tuple[str, str]]:
    """The modules of a subpackage that can be run by themselves, and what each does in a line; none is imported."""
    for path in sorted((PACKAGE / folder).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(r"^def run\(", text, re.MULTILINE):
            docstring = ast.get_docstring(ast.parse(text)) or ""
            yield path.stem, docstring.splitlines()[0].rstrip(".")
