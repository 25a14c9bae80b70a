"""The released evaluation scripts' conversation templates, as chat templates."""

_RENDERING = (
    "{% if messages and messages[0]['role'] == 'system' %}"
    "{% set instruction, messages = messages[0]['content'], messages[1:] %}{% endif %}"
    "{{ frames['system'].replace('{text}', instruction) }}"
    "{% for turn in messages %}{% if turn['role'] not in ('user', 'assistant') %}"
    "{{ raise_exception('a turn is of user or assistant, or of system in front') }}{% endif %}"
    "{{ frames[turn['role']].replace('{text}', turn['content']) }}{% endfor %}"
    "{% if add_generation_prompt %}{{ frames['assistant'].split('{text}')[0].rstrip(' ') }}"
    "{% endif %}"
)


def chat_template(instruction: str, **frames: str) -> str:
    """The Jinja, for a tokenizer or a processor, that writes a template's prompts.

    frames: of system, user and assistant, the text around a turn, with `{text}` for what is said;
    instruction: what the system says where a conversation has no system turn of its own. The
    assistant's turn, as far as its text, is what a model continues.

    Contents are texts, as `MovaProcessor` hands them over: a picture is `<image>` and a newline in
    its user's turn. A system turn in the first place replaces the template's own; a turn of another
    role is an error of the template.
    """
    return f"{{% set instruction, frames = {instruction!a}, {frames!a} %}}{_RENDERING}"


_VICUNA = {
    "system": "{text} ",
    "user": "USER: {text} ",
    "assistant": "ASSISTANT: {text}</s>",
}
TEMPLATES: dict[str, str] = {
    "mova_llama3": chat_template(
        system="<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{text}<|eot_id|>",
        instruction=(
            "You are a helpful language and vision assistant. You are able to understand the "
            "visual content that the user provides, and assist the user with a variety of tasks "
            "using natural language."
        ),
        user="<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>",
        assistant="<|start_header_id|>assistant<|end_header_id|>\n\n{text}<|eot_id|>",
    ),
    "vicuna_v1": chat_template(
        instruction=(
            "A chat between a curious user and an artificial intelligence assistant. "
            "The assistant gives helpful, detailed, and polite answers to the user's questions."
        ),
        **_VICUNA,
    ),
    "llava_v1": chat_template(
        instruction=(
            "A chat between a curious human and an artificial intelligence assistant. "
            "The assistant gives helpful, detailed, and polite answers to the human's questions."
        ),
        **_VICUNA,
    ),
}
