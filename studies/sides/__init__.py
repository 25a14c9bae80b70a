"""Visual sides of nano's encoders, trained anew in minutes each: which encoder does what, and which
of the paper's claims hold. A small reader has the language model's place."""
