"""Find out which experts help with your questions, and teach the router to choose them.

python examples/tutorials/train_a_router.py [MODEL [SAMPLES [STEPS]]]
"""

# %% [markdown]
# # Annotate and train a router
#
# Nobody has to say which expert a question needs: it is measured, by how much the loss of the
# right answer falls if an expert looks too. You annotate a few questions with nano, turn the
# result into routing instructions, and train the router on them. Reading: seven minutes. Running:
# some ten minutes on two cores.
#
# It needs the extra `train`; the script `examples/tutorials/train_a_router.py` runs as a whole.

# %%
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from openmova import Mova

EXAMPLES = Path(__file__).resolve().parents[1]
MODEL = sys.argv[1] if len(sys.argv) > 1 else "nano"
SAMPLES = int(sys.argv[2]) if len(sys.argv) > 2 else 8
STEPS = int(sys.argv[3]) if len(sys.argv) > 3 else 20
os.chdir(tempfile.mkdtemp(prefix="train-a-router-"))
print("working in", Path.cwd())


def run(command: str) -> None:
    print("$", command)
    subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True)


# %% [markdown]
# ## Questions with their answers
#
# The examples have 32 questions about real pictures. A sample in LLaVA's format is a conversation
# about one picture; other formats are read too ([Training data](../../docs/data.md)). In earnest,
# thousands are needed, and not those that you measure with.

# %%
questions = json.loads((EXAMPLES / "questions.json").read_text(encoding="utf-8"))
samples = [
    {
        "id": str(number),
        "image": str(EXAMPLES / entry["image"]),
        "conversations": [
            {"from": "human", "value": f"<image>\n{entry['question']}"},
            {"from": "gpt", "value": entry["expected"]},
        ],
        "domain": entry["domain"],
    }
    for number, entry in enumerate(questions[:: len(questions) // SAMPLES])
]
Path("data.json").write_text(json.dumps(samples), encoding="utf-8")
run(f"openmova data check data.json --model {MODEL}")

# %% [markdown]
# ## Annotate
#
# For each sample the loss of the answer is computed with the base encoder alone, and with each
# expert. Those that lower it are chosen, at most three. The margin leaves out experts that change
# next to nothing. [Annotate](../../docs/annotation.md) has the criterion, sets of experts, and
# clusters.

# %%
run(f"openmova annotate data.json --model {MODEL} -o annotation --margin 0.05")
for sample in json.loads(Path("annotation/annotated.json").read_text(encoding="utf-8")):
    print(sample["conversations"][0]["value"].split("\n")[1], sample["experts"])

# %% [markdown]
# ## Routing instructions
#
# An annotated sample becomes a question for the router: the pool with a line about each expert,
# the question, and the letters as the answer. The pool is shuffled and at times cut, so that the
# router reads the descriptions instead of learning letters by heart.

# %%
run(f"openmova data routing annotation/annotated.json routing.json --model {MODEL}")
prompt, letters = json.loads(Path("routing.json").read_text(encoding="utf-8"))[0]["conversations"]
print(prompt["value"], "\n→", letters["value"])

# %% [markdown]
# ## Train the router
#
# The stage `router-lora` trains small matrices that only the routing pass sees, so answers under
# given experts stay what they were. A recipe is a YAML file ([keys](../../docs/recipes.md)).

# %%
recipe = {
    "stage": "router-lora",
    "model": MODEL,
    "data": [{"path": "routing.json"}],
    "learning_rate": 2e-4,
    "steps": STEPS,
    "batch": 2,
    "precision": "float32",
    "log_steps": 5,
}
Path("router.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
run("openmova train router.yaml --output run")

# %% [markdown]
# ## Before and after
#
# `run/plot.png` shows the losses, `run/log.jsonl` has them as numbers. The folder `final` of a run
# is a checkpoint as any other.

# %%
entry = questions[0]
for model in (MODEL, "run/final"):
    mova = Mova.from_pretrained(model)
    answer = mova.ask(EXAMPLES / entry["image"], entry["question"], max_new_tokens=8)
    print(f"{Path(model).name}: {answer.routing.raw!r} {answer.routing.experts}: {answer.text!r}")

# %% [markdown]
# ## Where to go on
#
# - Mix the instructions into the finetuning data, or learn routing by reward:
#   [Train](../../docs/training.md).
# - How the router is asked and read: [Routing](../../docs/routing.md).
# - Measure it: `openmova eval --suite nano --model DIR`, [Evaluate](../../docs/evaluation.md).
