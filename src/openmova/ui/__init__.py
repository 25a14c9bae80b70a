"""The chat page: what a person asks and sees in a browser; the answers come from serve's engine.

page.py lays it out, answering.py is what its buttons do, showing.py what is said of an answer, and
app.py serves it so that nothing is fetched from elsewhere.
"""
