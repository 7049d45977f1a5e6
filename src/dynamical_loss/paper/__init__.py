"""The paper's protocols and data, and the departures of results from them."""
