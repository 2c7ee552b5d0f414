# Written by docs/make_steps_page.py from common/naming/catalogue.py.

from common.llms.embeddings.base import Embeddings as Embeddings
from common.llms.embeddings.echo import EchoEmbeddings as EchoEmbeddings
from common.llms.embeddings.inference_endpoints import InferenceEndpointsEmbeddings as InferenceEndpointsEmbeddings
from common.llms.embeddings.openai import OpenAIEmbeddings as OpenAIEmbeddings
