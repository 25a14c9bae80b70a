"""The HTTP server: OpenAI's chat completions over the engine."""
