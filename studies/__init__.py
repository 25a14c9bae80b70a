"""Research beside the library: what makes and measures nano, and the paper's claims."""
