# Written by docs/make_steps_page.py from common/naming/catalogue.py.

from common.building.cuda import CudaDevicePlacementMixin as CudaDevicePlacementMixin
from common.llms.anthropic import AnthropicLLM as AnthropicLLM
from common.llms.azure_openai import AzureOpenAILLM as AzureOpenAILLM
from common.llms.base import LLM as LLM
from common.llms.base import ChatMessage as ChatMessage
from common.llms.base import GenerateOutput as GenerateOutput
from common.llms.base import Generation as Generation
from common.llms.echo import EchoLLM as EchoLLM
from common.llms.groq import GroqLLM as GroqLLM
from common.llms.inference_endpoints import InferenceEndpointsLLM as InferenceEndpointsLLM
from common.llms.mistral import MistralLLM as MistralLLM
from common.llms.ollama import OllamaLLM as OllamaLLM
from common.llms.openai import OpenAILLM as OpenAILLM
from common.llms.together import TogetherLLM as TogetherLLM
from common.llms.vllm_client import ClientvLLM as ClientvLLM
