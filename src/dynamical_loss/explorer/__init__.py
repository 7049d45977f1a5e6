"""Pages that open offline in a browser and show a phase diagram, a run or a threshold study.

Each page is one HTML file.  It is made from NetCDF files alone and holds everything that it needs: data,
style and the BokehJS library.
"""
