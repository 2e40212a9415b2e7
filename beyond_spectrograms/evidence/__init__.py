"""How sure the results are, what causes them, and whether the paper's claims hold."""
