"""Which of nano's encoders does what: visual sides trained anew for every set of them."""
