"""Names of rows: those that a feature set cannot have, and those that a comparison may name."""

from collections.abc import Collection, Sequence

from earthprobe.errors import UserError

RESERVED = ("control", "chance")
"""What rows of tables are called in place of a feature set."""


def check_names(features: Collection[str]) -> None:
    """Refuses feature sets that would be taken for controls.

    Args:
        features: their names.

    Raises:
        UserError: one has such a name.
    """
    for name in RESERVED:
        if name in features:
            raise UserError(f"config: features.{name}: so are rows called that see no pixel: rename it")


def check_pairs(pairs: str | Sequence[Sequence[str]], rows: Collection[str]) -> None:
    """Refuses to compare rows that there are not.

    Args:
        pairs: ``compare`` of the configuration.
        rows: the rows of a table, such as ``dofa/linear``.

    Raises:
        UserError: a pair names another.
    """
    for name in () if isinstance(pairs, str) else (name for pair in pairs for name in pair):
        if name not in rows:
            raise UserError(f"config: compare: there is no row {name}: there are {', '.join(rows)}")
