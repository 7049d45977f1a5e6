"""Stages of the workflow, one module per rule; a rule's code digest covers its stage and its imports."""
