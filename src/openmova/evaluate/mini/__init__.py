"""The mini suite: the paper's tables in kind, on nano's scale, offline."""
