"""One module a rule of the workflow; a rule's code digest is that of its stage and what it imports."""
