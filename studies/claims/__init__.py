"""The paper's comparisons on nano's scale: the visual sides that they need, trained alike."""
