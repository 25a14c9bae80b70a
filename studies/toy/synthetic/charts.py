"""Bar charts: three to five coloured bars of height 1 to 9, a capital letter under each."""

from __future__ import annotations

import random
import string

from studies.toy.synthetic.sample import (
    COLOURS,
    SCALE,
    Fact,
    Sample,
    canvas,
    dark,
    kind_facts,
    random_font,
)

BASELINE, UNIT = 188.0, 17.0
"""Where the bars stand, and the height of one, in canvas units."""
CHART, LETTERED = ("chart",), ("text", "chart")


def draw_chart(rng: random.Random) -> Sample:
    """A bar chart with all values different."""
    image, draw = canvas(rng)
    sample = Sample(domain="chart", image=image)
    sample.write(0, 0, "chart")
    ink = dark(rng)
    count = rng.randint(3, 5)
    colours = rng.sample([c for c in COLOURS if c != "gray"], count)
    letters = rng.sample(string.ascii_uppercase, count)
    values = rng.sample(range(1, 10), count)
    left, right = rng.uniform(16, 26), rng.uniform(206, 220)
    slot = (right - left) / count
    width = slot * rng.uniform(0.5, 0.85)
    font = random_font(rng, rng.uniform(19, 24))
    if rng.random() < 0.6:
        for value in range(1, 10):
            y = (BASELINE - value * UNIT) * SCALE
            draw.line([left * SCALE, y, right * SCALE, y], fill=(200, 200, 200), width=1)
    if rng.random() < 0.5:
        small = random_font(rng, 10)
        for value in range(0, 10, rng.choice([1, 2, 3])):
            at = ((left - 3) * SCALE, (BASELINE - value * UNIT) * SCALE)
            draw.text(at, str(value), font=small, fill=ink, anchor="rm")
    draw.line([left * SCALE, 30 * SCALE, left * SCALE, BASELINE * SCALE], fill=ink, width=SCALE)
    outline = ink if rng.random() < 0.5 else None
    for index, (colour, letter, value) in enumerate(zip(colours, letters, values, strict=True)):
        centre = left + (index + 0.5) * slot
        box = [centre - width / 2, BASELINE - value * UNIT, centre + width / 2, BASELINE]
        fill = tuple(min(255, max(0, c + rng.randint(-15, 15))) for c in COLOURS[colour])
        draw.rectangle([v * SCALE for v in box], fill=fill, outline=outline, width=SCALE)
        draw.text((centre * SCALE, 205 * SCALE), letter, font=font, fill=ink, anchor="mm")
        # What the alignment writes into the two columns under the bar's middle.
        column = min(max(round(centre / 16) - 1, 0), 12)
        rank = {max(values): "highest", min(values): "lowest"}.get(value)
        sample.write(6, column, letter, str(value))
        sample.write(5, column, colour, str(value))
        if rank is not None:
            sample.write(4, column, rank, colour)
            sample.write(3, column, rank, letter)
            sample.facts.append(Fact(kind=f"{rank}_colour", slots={}, answer=colour, experts=CHART))
            sample.facts.append(
                Fact(kind=f"{rank}_letter", slots={}, answer=letter, experts=LETTERED)
            )
        sample.facts.append(
            Fact(kind="value_colour", slots={"colour": colour}, answer=str(value), experts=CHART)
        )
        sample.facts.append(
            Fact(kind="value_letter", slots={"letter": letter}, answer=str(value), experts=LETTERED)
        )
    draw.line(
        [left * SCALE, BASELINE * SCALE, right * SCALE, BASELINE * SCALE], fill=ink, width=SCALE
    )
    sample.facts += kind_facts("chart", rng)
    return sample
