"""Words, wire and verdicts that wrapper and workers share, in nothing but the standard library."""
