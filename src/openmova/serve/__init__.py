"""The model for others: over HTTP as OpenAI's API (`http`), as a page (`ui`), and in vLLM (`vllm`).

`http` and `ui` stand on `inference.engine`, which shares the model's passes among questions; they
know nothing of tensors.
"""
