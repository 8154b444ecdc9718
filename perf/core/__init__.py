"""The words, the wire and the verdicts that wrapper and workers share, in nothing but the standard library."""
