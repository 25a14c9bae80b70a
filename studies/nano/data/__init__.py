"""Training data of nano: pictures and read texts with questions, made from packages by a seed."""
