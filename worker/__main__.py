"""`pipeline-worker`, from its first moment: signals are heard before what takes time is imported."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

# Nothing of `common` is imported up here: whether it is ours is the first thing to find out.
NAME = "pipeline-worker"
USAGE = 2


def check_packages() -> None:
    """A `common` of the user's own that comes first on the path would break the worker without a word.

    Raises:
        SystemExit: it would be imported in the place of ours.
    """
    ours = Path(__file__).resolve().parent.parent / "common"
    found = find_spec("common")
    if found is None or not found.origin or Path(found.origin).resolve().parent != ours:
        print(
            f"Error: the package 'common' would be imported from {found.origin if found else 'nowhere'}, not from "
            f"{ours}: rename what is called so, or take it out of PYTHONPATH",
            file=sys.stderr,
        )
        sys.exit(USAGE)


def main() -> None:
    """Entry point: errors of ours are one message and an exit code, never a traceback."""
    check_packages()

    from common.signals import interruptible

    with interruptible(f"{NAME}: interrupted; it has taken no work"):
        import click

        from common.errors import PenstockError
        from common.last_words import say_error, say_wrong_usage
        from worker.cli import command

        try:
            command(standalone_mode=False)
        except PenstockError as error:
            say_error(NAME, error)
            sys.exit(error.exit_code)
        except click.ClickException as error:
            say_wrong_usage(error)
            sys.exit(error.exit_code)
        except click.Abort as error:
            raise KeyboardInterrupt from error


if __name__ == "__main__":
    main()
