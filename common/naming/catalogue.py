"""The built-in steps, tasks, LLMs, embeddings and routing functions, as plain data, by the names that a spec uses.

A built-in step, task, LLM or embeddings class is one file and one line here; the registry, `common.steps`,
`common.llms` and the documents take it from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["generator step", "step", "global step", "task", "LLM", "embeddings", "routing function"]
STEP_KINDS: tuple[Kind, ...] = ("generator step", "step", "global step", "task")


@dataclass(frozen=True, slots=True)
class Entry:
    """A built-in step, task, LLM or routing function.

    Args:
        name: its name in a spec and in the public packages.
        module: the module that defines it, under the same name.
        about: what it does, in one line of Markdown.
        extra: the extra of the package `penstock` that it needs; empty if none.
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
    Entry("generator step", "LoadDataFromDicts", "common.steps.loading.data", "rows in the spec itself"),
    Entry("generator step", "LoadDataFromFile", "common.steps.loading.files", "rows of data files, local or at URLs"),
    Entry(
        "generator step",
        "LoadDataFromFileSystem",
        "common.steps.loading.file_system",
        "rows of data files, as the library `datasets` reads them",
    ),
    Entry(
        "generator step",
        "ReadDocuments",
        "common.steps.loading.documents",
        "texts, Markdown, HTML and PDF, cut into chunks",
        "documents",
    ),
    Entry("generator step", "LoadDataFromDisk", "common.steps.loading.disk", "rows of a saved dataset"),
    Entry("generator step", "LoadDataFromHub", "common.steps.loading.hub", "rows of a dataset on the Hugging Face Hub"),
    Entry("generator step", "DataSampler", "common.steps.loading.data_sampler", "lists of values, drawn at random"),
    Entry("generator step", "SampleRows", "common.steps.columns.sample", "rows of values drawn at random"),
    Entry("step", "SampleColumns", "common.steps.columns.sample", "adds columns of values drawn at random"),
    Entry("step", "KeepColumns", "common.steps.columns.rearrange", "keeps some columns, in a given order"),
    Entry("step", "ExpandColumns", "common.steps.columns.rearrange", "one row per element of a list"),
    Entry("step", "MergeColumns", "common.steps.columns.rearrange", "merges several columns of a row into a list"),
    Entry("step", "GroupColumns", "common.steps.columns.rearrange", "joins rows of several steps, each column a list"),
    Entry(
        "step",
        "CombineOutputs",
        "common.steps.columns.rearrange",
        "joins rows of several steps, with all their columns",
    ),
    Entry(
        "step",
        "ParseColumns",
        "common.steps.columns.parse",
        "columns read from a text: patterns, JSON, numbers, scores",
    ),
    Entry(
        "step", "TruncateTextColumn", "common.steps.columns.truncate", "cuts texts to a number of characters or tokens"
    ),
    Entry(
        "step",
        "FilterRows",
        "common.steps.filtering.filter_rows",
        "keeps the rows of which an expression or a function is true",
    ),
    Entry("global step", "DeitaFiltering", "common.steps.filtering.deita", "keeps few, good and diverse rows"),
    Entry(
        "global step",
        "EmbeddingDedup",
        "common.steps.filtering.embedding_dedup",
        "marks rows whose vectors are nearly those of earlier ones",
    ),
    Entry("global step", "MinHashDedup", "common.steps.columns.minhash", "marks near-duplicate texts", "dedup"),
    Entry("step", "EmbeddingGeneration", "common.steps.vectors.embedding_generation", "adds the vectors of texts"),
    Entry(
        "step",
        "GenerateEmbeddings",
        "common.steps.vectors.generate_embeddings",
        "adds the vectors of texts and conversations, by a language model",
    ),
    Entry(
        "global step",
        "FaissNearestNeighbour",
        "common.steps.vectors.nearest_neighbour",
        "finds the rows with the nearest vectors",
        "faiss",
    ),
    Entry("global step", "PushToHub", "common.steps.loading.hub", "pushes its rows to the Hugging Face Hub"),
    Entry("step", "ConversationTemplate", "common.steps.formatting.conversations", "a conversation of one instruction"),
    Entry(
        "step",
        "FormatTextGenerationSFT",
        "common.steps.formatting.conversations",
        "messages for SFT, from an instruction",
    ),
    Entry(
        "step",
        "FormatChatGenerationSFT",
        "common.steps.formatting.conversations",
        "messages for SFT, from a conversation",
    ),
    Entry(
        "step", "FormatTextGenerationDPO", "common.steps.formatting.preferences", "preference pairs from an instruction"
    ),
    Entry(
        "step", "FormatChatGenerationDPO", "common.steps.formatting.preferences", "preference pairs from a conversation"
    ),
    Entry(
        "step",
        "TextGenerationToArgilla",
        "common.steps.argilla.text_generation",
        "pushes generations to Argilla, to be judged one by one",
    ),
    Entry(
        "step",
        "PreferenceToArgilla",
        "common.steps.argilla.preference",
        "pushes generations to Argilla, to be rated side by side",
    ),
    Entry("task", "TextGeneration", "common.steps.tasks.text_generation", "asks a model for a text"),
    Entry(
        "task",
        "TextGenerationWithImage",
        "common.steps.tasks.text_generation_with_image",
        "asks a model for a text about an image",
    ),
    Entry("task", "Judge", "common.steps.tasks.judge", "scores texts by named criteria, or compares two"),
    Entry("task", "ChatGeneration", "common.steps.tasks.chat_generation", "asks a model for the next turn of a chat"),
    Entry(
        "task",
        "StructuredGeneration",
        "common.steps.tasks.structured_generation",
        "asks a model for an answer in the form that each row names",
    ),
    Entry(
        "task",
        "GenerateSentencePair",
        "common.steps.tasks.generate_sentence_pair",
        "asks for a sentence that belongs to another one, and for one that does not",
    ),
    Entry(
        "task",
        "GenerateTextClassificationData",
        "common.steps.tasks.generate_text_classification_data",
        "asks for a text to classify, its label and a wrong one",
    ),
    Entry(
        "task", "EvolInstruct", "common.steps.tasks.evol_instruct", "rewrites instructions into harder or rarer ones"
    ),
    Entry("task", "EvolComplexity", "common.steps.tasks.evol_complexity", "rewrites instructions into harder ones"),
    Entry("task", "EvolQuality", "common.steps.tasks.evol_quality", "rewrites responses into better ones"),
    Entry(
        "task",
        "EvolInstructGenerator",
        "common.steps.tasks.evol_instruct_generator",
        "instructions written from a few words, and rewritten into harder or rarer ones",
    ),
    Entry(
        "task",
        "EvolComplexityGenerator",
        "common.steps.tasks.evol_complexity_generator",
        "instructions written from a few words, and rewritten into harder ones",
    ),
    Entry(
        "task",
        "GenerateTextRetrievalData",
        "common.steps.tasks.generate_text_retrieval_data",
        "asks for a query, a document that answers it, and one that does not",
    ),
    Entry(
        "task",
        "GenerateShortTextMatchingData",
        "common.steps.tasks.generate_short_text_matching_data",
        "asks for a pair of short texts that match",
    ),
    Entry(
        "task",
        "GenerateLongTextMatchingData",
        "common.steps.tasks.generate_long_text_matching_data",
        "asks for a pair of long texts that match",
    ),
    Entry(
        "task",
        "MonolingualTripletGenerator",
        "common.steps.tasks.monolingual_triplet_generator",
        "three texts in one language, two of them close",
    ),
    Entry(
        "task",
        "BitextRetrievalGenerator",
        "common.steps.tasks.bitext_retrieval_generator",
        "a text, its translation, and one that is none",
    ),
    Entry("task", "EmbeddingTaskGenerator", "common.steps.tasks.embedding_task_generator", "descriptions of tasks"),
    Entry("task", "CLAIR", "common.steps.tasks.clair", "revises a solution as little as possible"),
    Entry("task", "TextClassification", "common.steps.tasks.text_classification", "asks for the labels of texts"),
    Entry("task", "PrometheusEval", "common.steps.tasks.prometheus_eval", "judges texts by a rubric, with feedback"),
    Entry("task", "QualityScorer", "common.steps.tasks.quality_scorer", "scores responses by their quality"),
    Entry("task", "ComplexityScorer", "common.steps.tasks.complexity_scorer", "scores instructions by complexity"),
    Entry("task", "UltraFeedback", "common.steps.tasks.ultra_feedback", "rates each of several texts, with reasons"),
    Entry("task", "SelfInstruct", "common.steps.tasks.self_instruct", "asks for instructions to do with a text"),
    Entry("task", "Genstruct", "common.steps.tasks.genstruct", "asks for a question about a document, and its answer"),
    Entry("task", "URIAL", "common.steps.tasks.urial", "has a base model answer, by the example of three answers"),
    Entry(
        "task",
        "InstructionBacktranslation",
        "common.steps.tasks.instruction_backtranslation",
        "rates how good an example of an answer a text is",
    ),
    Entry("task", "Magpie", "common.steps.tasks.magpie", "has a model write the instruction, and answer it"),
    Entry("task", "MagpieGenerator", "common.steps.tasks.magpie_generator", "rows of instructions that a model writes"),
    Entry(
        "LLM",
        "OpenAILLM",
        "common.llms.openai",
        "any endpoint that speaks OpenAI's chat completions, responses or completions",
    ),
    Entry("LLM", "AzureOpenAILLM", "common.llms.azure_openai", "OpenAI's models at an Azure endpoint"),
    Entry("LLM", "AnthropicLLM", "common.llms.anthropic", "Claude, by Anthropic's Messages API"),
    Entry(
        "LLM",
        "InferenceEndpointsLLM",
        "common.llms.inference_endpoints",
        "models that Hugging Face serves, by its router or on an Inference Endpoint",
    ),
    Entry("LLM", "ClientvLLM", "common.llms.vllm_client", "`OpenAILLM` at a vLLM server"),
    Entry("LLM", "GroqLLM", "common.llms.groq", "`OpenAILLM` at Groq"),
    Entry("LLM", "MistralLLM", "common.llms.mistral", "`OpenAILLM` at Mistral"),
    Entry("LLM", "OllamaLLM", "common.llms.ollama", "`OpenAILLM` at an Ollama server"),
    Entry("LLM", "TogetherLLM", "common.llms.together", "`OpenAILLM` at Together AI"),
    Entry("LLM", "EchoLLM", "common.llms.echo", "a stand-in that calls no model: repeats a sentence of the prompt"),
    Entry(
        "embeddings",
        "OpenAIEmbeddings",
        "common.llms.embeddings.openai",
        "vectors from any endpoint that speaks OpenAI's embeddings API",
    ),
    Entry(
        "embeddings",
        "InferenceEndpointsEmbeddings",
        "common.llms.embeddings.inference_endpoints",
        "vectors from models that Hugging Face or Text Embeddings Inference serves",
    ),
    Entry(
        "embeddings",
        "EchoEmbeddings",
        "common.llms.embeddings.echo",
        "a stand-in that calls no model: hashes the words",
    ),
    Entry("routing function", "sample_n_steps", "common.routing", "some of the successors, chosen at random"),
)


def entries(*kinds: Kind) -> Iterator[Entry]:
    """The entries of these kinds, in the order of the catalogue."""
    return (entry for entry in CATALOGUE if entry.kind in kinds)


def paths(*kinds: Kind) -> dict[str, str]:
    """Name -> `module:name`, for the entries of these kinds."""
    return {entry.name: entry.path for entry in entries(*kinds)}


def modules(*kinds: Kind) -> dict[str, str]:
    """Name -> module, for the entries of these kinds."""
    return {entry.name: entry.module for entry in entries(*kinds)}


def built_in_name(path: str) -> str | None:
    """The built-in name of `module:name`; None if that is not built in."""
    return next((entry.name for entry in CATALOGUE if entry.path == path), None)
