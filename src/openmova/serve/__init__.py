"""The model as a server: a batching engine, and the OpenAI-compatible API around it.

engine.py shares the model's passes among concurrent questions and knows nothing of HTTP; app.py and
what it imports speak HTTP and know nothing of tensors.
"""
