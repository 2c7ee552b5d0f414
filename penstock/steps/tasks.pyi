# Written by docs/make_steps_page.py from common/naming/catalogue.py.

from common.steps.tasks.answer import Answer as Answer
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
from common.steps.tasks.examples import Example as Example
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
