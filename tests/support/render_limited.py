"""Renders templates in a process that may take 256 MiB more: `python -m tests.support.render_limited < JSON`.

Reads {"row": {...}, "templates": [...]} and writes one JSON line for each: its seconds of CPU, and what it raised.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from common.errors import RowError
from common.templates.prompt import PromptTemplate

MORE = 256 * 1024 * 1024


def main() -> None:
    """One line as each is done, so that one that kills the process is known."""
    given = json.load(sys.stdin)
    PromptTemplate("{{ a | tojson ~ a | wordwrap ~ [a] | pprint | length }}").render({"a": "imports what there is"})
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MORE, now + MORE))
    for source in given["templates"]:
        began = time.process_time()
        try:
            PromptTemplate(source).render(given["row"])
            raised = None
        except RowError as error:
            raised = f"{type(error).__name__}: {error}"
        except BaseException as error:  # other errors are for the test to show
            raised = f"not in our words: {type(error).__name__}: {str(error)[:200]}"
        print(json.dumps({"seconds": time.process_time() - began, "raised": raised}), flush=True)


if __name__ == "__main__":
    main()
