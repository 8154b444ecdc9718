"""The programs: from a command line to an exit status that means something."""
