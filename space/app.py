"""Emo Pillars in the browser: the 28 emotions of a text, alone or in its situation, or labels of the visitor's own.

Run `python app.py`. EMO_PILLARS_MODELS=FOLDER loads the models from a folder, EMO_PILLARS_OWNER=NAME from another
owner.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import gradio as gr

from chart import message, page, waiting
from scores import Answer, CannotAnswer, emotions, own_labels, read_labels

HEADING = """# Emo Pillars
Small, open models that detect the emotions in an English text: 28 emotions, with or without a situation, or your own
labels."""
LIMITS = """**Do not judge real people with this**, least of all at work, in schools or in care. The models read English
words, not minds; they miss irony, and rare emotions are weak. This page scores what you write and does not keep it."""
WAITING = 40  # visitors; the page tells any others that it is busy
CACHE_SECONDS = 3600  # for which files stay in the page's temporary folder
LARGEST_FILE = "1kb"  # the page takes no files, but its server would keep any that are sent
PLANNED = "Well, that went as planned."
SITUATED = {
    "We got the keys today, the house is finally ours!": ("We got the keys today, the house is finally ours!", ""),
    PLANNED: (PLANNED, ""),
    f"{PLANNED} (the cake)": (PLANNED, "The cake Ada baked all morning fell off the table in front of her guests."),
    f"{PLANNED} (the concert)": (PLANNED, "After a year of rehearsals, Ada's first concert ended in an ovation."),
    "Why would anyone hide the remote in the fridge?": ("Why would anyone hide the remote in the fridge?", ""),
    "The train leaves at nine from platform four.": ("The train leaves at nine from platform four.", ""),
}
LABELLED = {
    "The wall: joy, quiet pride, dread": ("Nobody noticed, but I built that wall.", "joy, quiet pride, dread"),
    "The coat: grief, hope, longing, boredom": (
        "He left his coat on the chair, as if he would be back by supper.",
        "grief, hope, longing, boredom",
    ),
    "The invoice: satisfied, frustrated, urgent, amused": (
        "Third time I am calling about the same invoice.",
        "satisfied, frustrated, urgent, amused",
    ),
}


def show_emotions(text: str | None, situation: str | None) -> str:
    """Return the answer of the first tab."""
    return _shown(lambda: emotions(text, situation))


def show_own_labels(text: str | None, labels: str | None) -> str:
    """Return the answer of the second tab."""
    return _shown(lambda: own_labels(text, read_labels(labels)))


def _shown(ask: Callable[[], Answer]) -> str:
    try:
        return page(ask())
    except CannotAnswer as reason:
        return message(str(reason))


def tab(
    name: str,
    show: Callable[[str | None, str | None], str],
    second: Mapping[str, str],
    button: str,
    examples: Mapping[str, tuple[str, str]],
) -> None:
    """A tab: a text, a second field, a button, the answer, and examples that answer when they are picked.

    `name` begins the ids of the parts and is the name of the call in the page's API.
    """
    with gr.Row():
        with gr.Column(scale=4):
            text = gr.Textbox(
                label="Text", placeholder="What somebody said or wrote", lines=3, max_lines=8, elem_id=f"{name}-text"
            )
            more = gr.Textbox(**second, lines=2, max_lines=6, elem_id=f"{name}-second")
            ask = gr.Button(button, variant="primary", elem_id=f"{name}-ask")
        with gr.Column(scale=5):
            found = gr.HTML(
                waiting("The scores will appear here."), elem_id=f"{name}-found", apply_default_css=False, padding=False
            )
    gr.Examples(
        [list(example) for example in examples.values()],
        inputs=[text, more],
        outputs=found,
        fn=show,
        example_labels=list(examples),
        run_on_click=True,
        cache_examples=False,
        api_visibility="private",
    )
    for number, trigger in enumerate((ask.click, text.submit, more.submit)):
        trigger(
            show,
            [text, more],
            found,
            api_name=name,
            api_visibility="private" if number else "public",
            show_progress="minimal",
            scroll_to_output=True,
        )


def interface() -> gr.Blocks:
    """Return the page."""
    situation = {
        "label": "Situation (optional)",
        "info": "What happened before. If you enter one, a context-aware model is used.",
        "placeholder": "What happened",
    }
    labels = {
        "label": "Labels",
        "info": "Separated by commas. The model was not trained for these labels in particular.",
        "placeholder": "joy, quiet pride, dread",
    }
    with gr.Blocks(title="Emo Pillars", analytics_enabled=False, delete_cache=(CACHE_SECONDS, CACHE_SECONDS)) as blocks:
        gr.Markdown(HEADING)
        with gr.Tab("28 emotions"):
            tab("emotions", show_emotions, situation, "Read the emotions", SITUATED)
        with gr.Tab("Your own labels"):
            tab("labels", show_own_labels, labels, "Score the labels", LABELLED)
        gr.Markdown(LIMITS, elem_id="limits")
    return blocks


def theme() -> gr.themes.Base:
    """Gradio's default theme without fonts from elsewhere, and with enough contrast in both colour schemes."""
    default = gr.themes.Default(
        primary_hue="teal", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return default.set(
        body_text_color_subdued="#565e6b",
        body_text_color_subdued_dark="#b3bac5",
        block_info_text_color="#565e6b",
        block_info_text_color_dark="#b3bac5",
        input_placeholder_color="#6b7280",
        input_placeholder_color_dark="#9aa3b1",
        button_primary_background_fill="#0d7a66",
        button_primary_background_fill_dark="#0d7a66",
        button_primary_background_fill_hover="#0a6252",
        button_primary_background_fill_hover_dark="#0a6252",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )


if __name__ == "__main__":
    style = Path(__file__).with_name("style.css")
    served = interface().queue(max_size=WAITING)
    served.launch(theme=theme(), css_paths=style, footer_links=[], max_file_size=LARGEST_FILE)
