"""From a picture and a question to an answer: the Python surface, the engine, sessions."""
