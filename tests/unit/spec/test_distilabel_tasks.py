"""Tasks in dumps of distilabel, with all the fields that it writes."""

from __future__ import annotations

from pathlib import Path

from common.steps.tasks import ChatGeneration, StructuredGeneration, TextGeneration, TextGenerationWithImage
from coordinator.plan.load import prepare

DUMP = """
distilabel: {version: 1.5.3}
pipeline:
  name: demo
  steps:
  - name: load
    step:
      name: load
      data: [{instruction: a, image: "https://x/y.png", structured_output: {format: regex, schema: a}, messages: []}]
      type_info: {module: distilabel.steps.generators.data, name: LoadDataFromDicts}
  - name: text
    step: &task
      name: text
      resources: {replicas: 1, cpus: null, gpus: null, memory: null, resources: null}
      input_mappings: {}
      output_mappings: {}
      use_cache: true
      input_batch_size: 50
      llm: &llm
        model: m
        base_url: "http://h/v1"
        generation_kwargs: {}
        use_offline_batch_generation: false
        structured_output: null
        type_info: {module: distilabel.models.llms.openai, name: OpenAILLM}
      group_generations: false
      add_raw_output: true
      add_raw_input: true
      num_generations: 1
      use_default_structured_output: false
      system_prompt: null
      use_system_prompt: true
      template: "{{ instruction }}"
      columns: [instruction]
      runtime_parameters_info: []
      type_info: {module: distilabel.steps.tasks.text_generation, name: TextGeneration}
  - name: image
    step:
      <<: *task
      name: image
      image_type: base64
      type_info: {module: distilabel.steps.tasks.text_generation_with_image, name: TextGenerationWithImage}
  - name: form
    step:
      name: form
      llm: *llm
      use_system_prompt: true
      use_default_structured_output: false
      type_info: {module: distilabel.steps.tasks.structured_generation, name: StructuredGeneration}
  - name: chat
    step: {name: chat, llm: *llm, type_info: {module: distilabel.steps.tasks.text_generation, name: ChatGeneration}}
  connections:
  - {from: load, to: [text, image, form, chat]}
"""


def test_tasks_of_a_dump_are_those_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "dump.yaml").write_text(DUMP)
    steps = prepare(tmp_path / "dump.yaml").steps
    text, image, form, chat = (steps[name] for name in ("text", "image", "form", "chat"))
    assert isinstance(text, TextGeneration)
    assert text.use_row_system_prompt
    assert isinstance(image, TextGenerationWithImage)
    assert image.image_type == "base64"
    assert isinstance(form, StructuredGeneration)
    assert form.use_row_system_prompt
    assert isinstance(chat, ChatGeneration)
