"""What the router reads about nano's experts. The first of each is used, the others augment."""

from __future__ import annotations

INSTRUCTION = (
    "Select the experts that help to answer the question about the image. Answer with their "
    "letters from the pool. If the question is about the image as a whole, answer 'none'."
)

DESCRIPTIONS: dict[str, tuple[str, ...]] = {
    "text": (
        "This model reads written text, letters and numbers on forms and labels.",
        "A reader of printed words, characters and digits.",
        "Strong at text recognition: it finds what is written on a page or label.",
        "It recognises letters, words and written values in documents.",
        "This expert handles writing: names, codes and numbers in forms, and lettered labels.",
        "Optical character recognition of short texts.",
    ),
    "chart": (
        "This model understands bar charts: heights, values and colours of bars.",
        "A specialist for plots that reads off how high bars are.",
        "It compares the bars of a chart and knows their values.",
        "Chart understanding: the tallest and shortest bar, and the number each one shows.",
        "This expert measures bars in diagrams.",
        "Reads the data behind a bar chart.",
    ),
    "location": (
        "This model locates and counts shapes and tells their colours.",
        "A detector that knows where things are and how many there are.",
        "It finds the position and the number of shapes such as stars or circles.",
        "Localisation and counting of simple figures.",
        "This expert tells where a figure lies in the image, which colour it has, and counts figures.",
        "Spots scattered shapes, their places, colours and counts.",
    ),
    "object": (
        "This model recognises what object or creature a picture or drawing shows.",
        "An encoder for pictures that names the class of the thing shown.",
        "It identifies animals, food, vehicles and other objects in drawings.",
        "Object recognition in photos and clip art.",
        "This expert tells what kind of thing is pictured.",
        "Classifies the main object of a drawing.",
    ),
}
