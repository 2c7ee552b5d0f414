# Written by docs/make_steps_page.py from common/naming/catalogue.py.

from common.building.cuda import CudaDevicePlacementMixin as CudaDevicePlacementMixin
from common.parameters.runtime_parameters import RuntimeParameter as RuntimeParameter
from common.parameters.runtime_parameters import RuntimeParametersMixin as RuntimeParametersMixin
from common.steps.argilla.preference import PreferenceToArgilla as PreferenceToArgilla
from common.steps.argilla.text_generation import TextGenerationToArgilla as TextGenerationToArgilla
from common.steps.base import AsyncStep as AsyncStep
from common.steps.base import GeneratorStep as GeneratorStep
from common.steps.base import GeneratorStepOutput as GeneratorStepOutput
from common.steps.base import GlobalStep as GlobalStep
from common.steps.base import Row as Row
from common.steps.base import Step as Step
from common.steps.base import StepInput as StepInput
from common.steps.base import StepOutput as StepOutput
from common.steps.base import StepResources as StepResources
from common.steps.columns.minhash import MinHashDedup as MinHashDedup
from common.steps.columns.parse import ParseColumns as ParseColumns
from common.steps.columns.rearrange import CombineOutputs as CombineOutputs
from common.steps.columns.rearrange import ExpandColumns as ExpandColumns
from common.steps.columns.rearrange import GroupColumns as GroupColumns
from common.steps.columns.rearrange import KeepColumns as KeepColumns
from common.steps.columns.rearrange import MergeColumns as MergeColumns
from common.steps.columns.sample import SampleColumns as SampleColumns
from common.steps.columns.sample import SampleRows as SampleRows
from common.steps.columns.truncate import TruncateTextColumn as TruncateTextColumn
from common.steps.decorator import step as step
from common.steps.filtering.deita import DeitaFiltering as DeitaFiltering
from common.steps.filtering.embedding_dedup import EmbeddingDedup as EmbeddingDedup
from common.steps.filtering.filter_rows import FilterRows as FilterRows
from common.steps.formatting.conversations import ConversationTemplate as ConversationTemplate
from common.steps.formatting.conversations import FormatChatGenerationSFT as FormatChatGenerationSFT
from common.steps.formatting.conversations import FormatTextGenerationSFT as FormatTextGenerationSFT
from common.steps.formatting.preferences import FormatChatGenerationDPO as FormatChatGenerationDPO
from common.steps.formatting.preferences import FormatTextGenerationDPO as FormatTextGenerationDPO
from common.steps.loading.data import LoadDataFromDicts as LoadDataFromDicts
from common.steps.loading.data_sampler import DataSampler as DataSampler
from common.steps.loading.disk import LoadDataFromDisk as LoadDataFromDisk
from common.steps.loading.documents import ReadDocuments as ReadDocuments
from common.steps.loading.file_system import LoadDataFromFileSystem as LoadDataFromFileSystem
from common.steps.loading.files import LoadDataFromFile as LoadDataFromFile
from common.steps.loading.generator_step import make_generator_step as make_generator_step
from common.steps.loading.hub import LoadDataFromHub as LoadDataFromHub
from common.steps.loading.hub import PushToHub as PushToHub
from common.steps.required_packages import requirements as requirements
from common.steps.tasks.base import Task as Task
from common.steps.tasks.bitext_retrieval_generator import BitextRetrievalGenerator as BitextRetrievalGenerator
from common.steps.tasks.chat_generation import ChatGeneration as ChatGeneration
from common.steps.tasks.clair import CLAIR as CLAIR
from common.steps.tasks.complexity_scorer import ComplexityScorer as ComplexityScorer
from common.steps.tasks.embedding_task_generator import EmbeddingTaskGenerator as EmbeddingTaskGenerator
from common.steps.tasks.evol_complexity import EvolComplexity as EvolComplexity
from common.steps.tasks.evol_complexity_generator import EvolComplexityGenerator as EvolComplexityGenerator
from common.steps.tasks.evol_instruct import EvolInstruct as EvolInstruct
from common.steps.tasks.evol_instruct_generator import EvolInstructGenerator as EvolInstructGenerator
from common.steps.tasks.evol_quality import EvolQuality as EvolQuality
from common.steps.tasks.function_task import task as task
from common.steps.tasks.generate_long_text_matching_data import (
    GenerateLongTextMatchingData as GenerateLongTextMatchingData,
)
from common.steps.tasks.generate_sentence_pair import GenerateSentencePair as GenerateSentencePair
from common.steps.tasks.generate_short_text_matching_data import (
    GenerateShortTextMatchingData as GenerateShortTextMatchingData,
)
from common.steps.tasks.generate_text_classification_data import (
    GenerateTextClassificationData as GenerateTextClassificationData,
)
from common.steps.tasks.generate_text_retrieval_data import GenerateTextRetrievalData as GenerateTextRetrievalData
from common.steps.tasks.generator_task import GeneratorTask as GeneratorTask
from common.steps.tasks.genstruct import Genstruct as Genstruct
from common.steps.tasks.instruction_backtranslation import InstructionBacktranslation as InstructionBacktranslation
from common.steps.tasks.judge import Judge as Judge
from common.steps.tasks.magpie import Magpie as Magpie
from common.steps.tasks.magpie_generator import MagpieGenerator as MagpieGenerator
from common.steps.tasks.monolingual_triplet_generator import MonolingualTripletGenerator as MonolingualTripletGenerator
from common.steps.tasks.prometheus_eval import PrometheusEval as PrometheusEval
from common.steps.tasks.quality_scorer import QualityScorer as QualityScorer
from common.steps.tasks.self_instruct import SelfInstruct as SelfInstruct
from common.steps.tasks.structured_generation import StructuredGeneration as StructuredGeneration
from common.steps.tasks.text_classification import TextClassification as TextClassification
from common.steps.tasks.text_generation import TextGeneration as TextGeneration
from common.steps.tasks.text_generation_with_image import TextGenerationWithImage as TextGenerationWithImage
from common.steps.tasks.ultra_feedback import UltraFeedback as UltraFeedback
from common.steps.tasks.urial import URIAL as URIAL
from common.steps.vectors.embedding_generation import EmbeddingGeneration as EmbeddingGeneration
from common.steps.vectors.generate_embeddings import GenerateEmbeddings as GenerateEmbeddings
from common.steps.vectors.nearest_neighbour import FaissNearestNeighbour as FaissNearestNeighbour
