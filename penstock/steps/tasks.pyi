# Written by docs/make_steps_page.py from common/naming/catalogue.py.

from common.steps.tasks.examples import Example as Example
from common.steps.tasks.task import Task as Task
from common.steps.tasks.text_generation import TextGeneration as TextGeneration
