"""The valid names of steps, in specs and messages."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

STEP_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
StepName = Annotated[str, Field(pattern=f"^{STEP_NAME.pattern}$")]
