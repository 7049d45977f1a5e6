"""The paper's own protocols and data, and where a result departs from them."""
