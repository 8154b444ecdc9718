"""From a request and what is here to the cells to run, without running any."""
