"""What is built in, as plain data: the names that a spec has for steps, tasks, LLMs and routing functions.

A built-in step, task or LLM is one file and one line here; the registry, `common.steps`, `common.llms` and the
documents take it from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["generator step", "step", "global step", "task", "LLM", "routing function"]
STEP_KINDS: tuple[Kind, ...] = ("generator step", "step", "global step", "task")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is built in.

    Args:
        name: by which a spec and the public faces know it.
        module: that has it, under the same name.
        about: what it does, in one line of Markdown.
        extra: of the package `penstock`, without which it cannot be used; empty where it needs none.
    """

    kind: Kind
    name: str
    module: str
    about: str
    extra: str = ""

    @property
    def path(self) -> str:
        """`module:name`."""
        return f"{self.module}:{self.name}"


CATALOGUE = (
    Entry("generator step", "LoadDataFromDicts", "common.steps.loading.data", "rows that the spec itself has"),
    Entry("generator step", "LoadDataFromFile", "common.steps.loading.files", "rows of data files, here or at URLs"),
    Entry("generator step", "LoadDataFromDisk", "common.steps.loading.disk", "rows of a dataset that was saved"),
    Entry("generator step", "LoadDataFromHub", "common.steps.loading.hub", "rows of a dataset of the Hugging Face Hub"),
    Entry("generator step", "DataSampler", "common.steps.loading.data_sampler", "lists of values, drawn at random"),
    Entry("step", "KeepColumns", "common.steps.columns.rearrange", "keeps some columns, and their order"),
    Entry("step", "ExpandColumns", "common.steps.columns.rearrange", "a row of each element of a list"),
    Entry("step", "MergeColumns", "common.steps.columns.rearrange", "a list of several columns of a row"),
    Entry(
        "step", "GroupColumns", "common.steps.columns.rearrange", "joins rows of several steps, a list of each column"
    ),
    Entry(
        "step",
        "CombineOutputs",
        "common.steps.columns.rearrange",
        "joins rows of several steps, with the columns of all",
    ),
    Entry(
        "step", "TruncateTextColumn", "common.steps.columns.truncate", "cuts texts to a number of characters or tokens"
    ),
    Entry(
        "global step", "MinHashDedup", "common.steps.columns.minhash", "marks texts that others nearly equal", "dedup"
    ),
    Entry("global step", "PushToHub", "common.steps.loading.hub", "pushes its rows to the Hugging Face Hub"),
    Entry(
        "step", "ConversationTemplate", "common.steps.formatting.conversations", "a conversation of question and answer"
    ),
    Entry(
        "step",
        "FormatTextGenerationSFT",
        "common.steps.formatting.conversations",
        "messages for SFT, of an instruction",
    ),
    Entry(
        "step",
        "FormatChatGenerationSFT",
        "common.steps.formatting.conversations",
        "messages for SFT, of a conversation",
    ),
    Entry(
        "step", "FormatTextGenerationDPO", "common.steps.formatting.preferences", "preference pairs of an instruction"
    ),
    Entry(
        "step", "FormatChatGenerationDPO", "common.steps.formatting.preferences", "preference pairs of a conversation"
    ),
    Entry("task", "TextGeneration", "common.steps.tasks.text_generation", "asks a model for a text"),
    Entry("LLM", "OpenAILLM", "common.llms.openai", "any endpoint that speaks OpenAI's chat completions API"),
    Entry("LLM", "EchoLLM", "common.llms.echo", "no model: repeats a sentence of the prompt"),
    Entry("routing function", "sample_n_steps", "common.routing", "some of the successors, at random"),
)


def entries(*kinds: Kind) -> Iterator[Entry]:
    """What is built in of these kinds, in the order of the catalogue."""
    return (entry for entry in CATALOGUE if entry.kind in kinds)


def paths(*kinds: Kind) -> dict[str, str]:
    """Name -> `module:name`, of what is built in of these kinds."""
    return {entry.name: entry.path for entry in entries(*kinds)}


def modules(*kinds: Kind) -> dict[str, str]:
    """Name -> the module that has it, of what is built in of these kinds."""
    return {entry.name: entry.module for entry in entries(*kinds)}


def built_in_name(path: str) -> str | None:
    """The name of what stands at `module:name`; None where that is not built in."""
    return next((entry.name for entry in CATALOGUE if entry.path == path), None)
