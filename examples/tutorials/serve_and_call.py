"""Start the server, and ask it with OpenAI's client and over plain HTTP.

python examples/tutorials/serve_and_call.py [MODEL]
"""

# %% [markdown]
# # Serve and call
#
# You start `openmova serve` and ask it as any client of OpenAI's chat completions does: whole
# answers, a stream, a conversation, and with a choice of experts. Reading: five minutes. Running:
# a minute on two cores.
#
# It needs the extra `serve` and the package `openai`; the script
# `examples/tutorials/serve_and_call.py` runs as a whole.

# %%
import base64
import json
import subprocess
import sys
from pathlib import Path

import httpx
import openai

EXAMPLES = Path(__file__).parents[1]
MODEL = sys.argv[1] if len(sys.argv) > 1 else "nano"

# %% [markdown]
# ## Start it
#
# In a terminal that is `openmova serve`. Port 0 means any free one; the server says on standard
# error where it answers, once the model is loaded.

# %%
server = subprocess.Popen(
    [sys.executable, "-m", "openmova", "serve", "--model", MODEL, "--port", "0"],
    stderr=subprocess.PIPE,
    text=True,
)
assert server.stderr is not None
line = next(line for line in server.stderr if "answers at" in line)
address = line.split()[-1]
client = openai.OpenAI(base_url=address, api_key="none")  # no key is asked for
name = client.models.list().data[0].id
print(name, "at", address)

# %% [markdown]
# ## One question
#
# A picture is a data URL beside the text. The field `mova` of the answer, which other clients pass
# over, has the routing and the gates.


# %%
def shown(picture: str, text: str) -> dict[str, object]:
    data = base64.b64encode((EXAMPLES / picture).read_bytes()).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}
    return {"role": "user", "content": [image, {"type": "text", "text": text}]}


messages = [shown("dog.jpg", "How many dogs can you see?")]
completion = client.chat.completions.create(model=name, messages=messages, max_tokens=16)
reply = completion.choices[0].message.content
print(reply, completion.mova["routing"]["experts"])

# %% [markdown]
# ## A conversation, as a stream
#
# The client sends the whole conversation each time. What the encoders saw of the picture is kept
# on the server.

# %%
messages += [
    {"role": "assistant", "content": reply},
    {"role": "user", "content": "Is there a cat?"},
]
stream = client.chat.completions.create(model=name, messages=messages, max_tokens=16, stream=True)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()

# %% [markdown]
# ## Your choice of experts
#
# `mova` in the request replaces the router's choice, or limits it.

# %%
for experts in ("location", "none"):
    completion = client.chat.completions.create(
        model=name, messages=messages[:1], max_tokens=16, extra_body={"mova": {"experts": experts}}
    )
    print(f"{experts}: {completion.choices[0].message.content!r}")

# %% [markdown]
# ## Without a client
#
# A form with a file, which `curl -F` sends too:
#
# ```sh
# curl http://127.0.0.1:8000/v1/chat/completions -F image=@photo.jpg \
#   -F 'request={"model": "nano", "messages": [{"role": "user", "content": "What is shown?"}]}'
# ```

# %%
request = {"model": name, "messages": [{"role": "user", "content": "What animal is this?"}]}
answer = httpx.post(
    f"{address}/chat/completions",
    data={"request": json.dumps(request)},
    files={"image": (EXAMPLES / "cat.jpg").open("rb")},
    timeout=120,
)
print(answer.json()["choices"][0]["message"]["content"])

# %% [markdown]
# ## End it
#
# On SIGTERM, or Ctrl-C, every request in hand is answered first.

# %%
server.terminate()
print("the server ended with", server.wait())

# %% [markdown]
# ## Where to go on
#
# - Keys, limits, replicas, a container, vLLM: [Serve](../../docs/serving.md).
# - Every field: [HTTP](../../docs/http.md).
