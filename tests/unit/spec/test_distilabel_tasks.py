"""Tasks in dumps of distilabel, with all the fields that it writes."""

from __future__ import annotations

from pathlib import Path

from common.steps.tasks import (
    CLAIR,
    URIAL,
    ChatGeneration,
    Genstruct,
    InstructionBacktranslation,
    SelfInstruct,
    StructuredGeneration,
    TextClassification,
    TextGeneration,
    TextGenerationWithImage,
)
from coordinator.plan.load import prepare

DUMP = """
distilabel: {version: 1.5.3}
pipeline:
  name: demo
  steps:
  - name: load
    step:
      name: load
      data:
      - {instruction: a, image: "https://x/y.png", structured_output: {format: regex, schema: a}, messages: [], text: a,
         task: a, student_solution: b, title: a, content: b, generation: a, input: a}
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
  - name: labels
    step:
      name: labels
      llm: *llm
      system_prompt: null
      n: 2
      context: "For a library."
      examples: ["Dune: novel"]
      available_labels: {novel: a long story, poem: in verse}
      default_label: null
      query_title: Title
      use_default_structured_output: true
      type_info: {module: distilabel.steps.tasks.text_classification, name: TextClassification}
  - name: revised
    step:
      name: revised
      llm: *llm
      system_prompt: Teach.
      type_info: {module: distilabel.steps.tasks.clair, name: CLAIR}
  - name: asked
    step: {name: asked, llm: *llm, type_info: {module: distilabel.steps.tasks.genstruct, name: Genstruct}}
  - name: base
    step: {name: base, llm: *llm, type_info: {module: distilabel.steps.tasks.urial, name: URIAL}}
  - name: rated
    step:
      name: rated
      llm: *llm
      type_info: {module: distilabel.steps.tasks.instruction_backtranslation, name: InstructionBacktranslation}
  - name: more
    step:
      name: more
      llm: *llm
      num_instructions: 3
      criteria_for_query_generation: Each rhymes.
      application_description: A poet
      type_info: {module: distilabel.steps.tasks.self_instruct, name: SelfInstruct}
  connections:
  - {from: load, to: [text, image, form, chat, labels, revised, asked, base, rated, more]}
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
    labels, revised, more = (steps[name] for name in ("labels", "revised", "more"))
    assert isinstance(labels, TextClassification)
    assert labels.system_prompt is None
    assert labels.default_label is None
    assert labels.available_labels == {"novel": "a long story", "poem": "in verse"}
    assert labels.llm.answer_form is not None
    assert isinstance(revised, CLAIR)
    assert revised.system_prompt == "Teach."
    assert isinstance(more, SelfInstruct)
    assert more.num_instructions == 3
    assert isinstance(steps["asked"], Genstruct)
    assert isinstance(steps["base"], URIAL)
    assert isinstance(steps["rated"], InstructionBacktranslation)
