"""Writes config/README.md from the schema: write_readme.py (or `make docs`)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from earthprobe.config import schema

REPOSITORY = Path(__file__).parents[1]
INTRODUCTION = """\
<!-- Made by `make docs` from workflow/earthprobe/config.yaml and the YAML file of each kind. -->
# Configuration

`config.yaml` is the demo. `snakemake --configfile FILE` **replaces** it: no key of the demo leaks into your run.
(`--config threshold=0.4` changes one plain value of either.) The configuration that a run resolved to, every default
filled in, lies beside its results in `results/<archive>/config.yaml`.

An unknown key, class, band, model or probe, and a path that does not exist, stop the run with one line before any job
starts. Adding a feature set or a probe adds its rows to the tables and its figures, and runs nothing else again.
"""


def sections(whole: dict[str, Any]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Each key of the top level: its name, its description, and the tables of keys below it."""
    defs = whole["$defs"]

    def resolve(part: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in part:
            part = defs[part["$ref"].removeprefix("#/$defs/")] | {key: part[key] for key in part if key != "$ref"}
        return part

    for name, part in whole["properties"].items():
        below = resolve(part)
        below = resolve(below["additionalProperties"]) if isinstance(below.get("additionalProperties"), dict) else below
        choices = [resolve(choice) for choice in below["oneOf"]] if "oneOf" in below else [below]
        yield name, part, [choice | {"resolve": resolve} for choice in choices if "properties" in choice]


def value(part: dict[str, Any]) -> str:
    """A default, as it would stand in YAML."""
    return f"`{inline(part['default'])}`" if "default" in part else ""


def inline(default: object) -> str:
    """One line of YAML."""
    return yaml.safe_dump(default, default_flow_style=True, width=float("inf")).splitlines()[0]


def allowed(part: dict[str, Any]) -> str:
    """What a key takes, in a word or two."""
    if "enum" in part:
        return ", ".join(f"`{inline(choice)}`" for choice in part["enum"])
    if part.get("type") == "array":
        inner = allowed(part["items"])
        return f"list of {inner}"
    kinds = part["type"] if isinstance(part.get("type"), list) else [part.get("type", "")]
    return " or ".join("list" if kind == "array" else kind for kind in kinds)


def row(key: str, part: dict[str, Any], required: bool = False) -> str:
    """A line of a table of keys."""
    meaning = " ".join(part["description"].split()).replace("|", r"\|")
    return f"`{key}` | {allowed(part)} | {value(part) or ('required' if required else '')} | {meaning}"


def main() -> str:
    """The whole page."""
    lines = [INTRODUCTION]
    for name, part, choices in sections(schema()):
        default = f" Default: {value(part)}." if "default" in part and not choices else ""
        lines += [f"## {name}\n", f"{part['description'].strip()}{default}\n"]
        for choice in choices:
            keys = {key: choice["resolve"](below) for key, below in choice["properties"].items()}
            kind = keys.get("kind", {})
            if kind:
                lines += [f"### kind: {kind['const']}\n", f"{kind['description']}\n"]
            lines += ["key | takes | default | meaning", "--- | --- | --- | ---"]
            for key, below in keys.items():
                if key != "kind":
                    lines.append(row(key, below, key in choice.get("required", ())))
                    inner = {name: choice["resolve"](part) for name, part in below.get("properties", {}).items()}
                    lines += [row(f"{key}.{name}", part) for name, part in inner.items() if "description" in part]
            lines.append("")
    return linked("\n".join(lines).rstrip() + "\n")


def linked(text: str) -> str:
    """Markdown in which pages are links, and no <name> in a sentence is taken for a tag."""
    head, comment, rest = text.partition("-->")
    plain = re.sub(r"(`[^`\n]*`)|<", lambda found: found[1] or "&lt;", rest)
    return head + comment + re.sub(r"\bdocs/(\w+)\.md", r"[docs/\1.md](../docs/\1.md)", plain)


if __name__ == "__main__":
    (REPOSITORY / "config/README.md").write_text(main(), encoding="utf-8")
