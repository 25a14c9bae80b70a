"""Ask about a photo, and see which experts the answer rests on.

python examples/tutorials/ask_and_inspect.py [MODEL]
"""

# %% [markdown]
# # Ask and inspect
#
# You ask nano about photos, see which experts looked at them, and find out what each expert is
# worth to an answer. Reading: five minutes. Running: about a minute on two cores.
#
# The script `examples/tutorials/ask_and_inspect.py` runs as a whole; each `# %%` is a cell in
# editors that know the percent format.

# %%
import sys
from pathlib import Path

from openmova import Mova
from openmova.analysis.answer_inspection import inspect
from openmova.analysis.report import question_page

EXAMPLES = Path(__file__).parents[1]
MODEL = sys.argv[1] if len(sys.argv) > 1 else "nano"

mova = Mova.from_pretrained(MODEL)
print("the pool:", ", ".join(mova.experts))

# %% [markdown]
# ## One question
#
# ![A dog in front of a bicycle, a pick-up behind them](../dog.jpg)
#
# `ask` returns the text, and how the model came to it. The router is the language model itself: it
# reads the question and one line about each expert, and writes letters. `scores` has a number from
# 0 to 1 for each expert of the pool, chosen or not.

# %%
photo = EXAMPLES / "dog.jpg"
answer = mova.ask(photo, "Which animal is sitting in front of the bicycle?", max_new_tokens=16)
print("answer:", answer.text)
print("router:", answer.routing.raw, answer.routing.experts)
print("scores:", {name: round(score, 2) for name, score in answer.routing.scores.items()})

# %% [markdown]
# With nano:
#
# <!-- generate: walk scores -->
#
# ## The gates
#
# The adapter weighs the chosen experts anew in each of its blocks. The weights of a block sum to
# 1; with one expert there is nothing to weigh.

# %%
for number, weights in enumerate(answer.gates.tolist(), 1):
    print(f"gates, block {number}:", dict(zip(answer.routing.experts, weights, strict=True)))

# %% [markdown]
# <!-- generate: walk gates -->
#
# ## Other experts
#
# You can choose the experts yourself: names, `"all"` or `"none"` (the base encoder alone). An
# expert that is not chosen does not run, which you see in the seconds.

# %%
for experts in (None, "location", "none"):
    answer = mova.ask(photo, "How many dogs can you see?", experts=experts, max_new_tokens=16)
    print(f"{experts or 'as routed'}: {answer.text!r} after {answer.timings['total']:.1f} s")

# %% [markdown]
# ## What is an expert worth to this answer?
#
# `inspect` asks the question again with each chosen expert switched off, with none and with all,
# and records where the adapter looked. The report is one HTML file that needs nothing else. From
# the command line: `openmova inspect photo.jpg "QUESTION" -o report.html`.

# %%
question = "Which animal is sitting in front of the bicycle?"
found = inspect(mova, photo, question, max_new_tokens=16)
for other in found.alternatives:
    print(f"{other.what}: {other.text!r}")
report = Path("report.html")
report.write_text(question_page(found, image=photo.name, model=MODEL), encoding="utf-8")
print("open", report.resolve())

# %% [markdown]
# With nano ([its report](../../docs/walk.html)):
#
# <!-- generate: walk answers -->
#
# Where the adapter looked in the map of each chosen expert:
#
# <!-- generate: walk attention -->
#
# ## Where to go on
#
# - The same in the browser: `openmova ui`, see [Chat and page](../../docs/ui.md).
# - Over a whole data set: `openmova inspect --data`, see [Inspect](../../docs/inspection.md).
# - Every step of one answer, with its figures: [How it works](../../docs/method.md).
