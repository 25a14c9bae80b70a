"""Generated images with known contents: forms, bar charts, scattered shapes, single pictures.

Every sample knows its image, what each cell of a 7 x 14 grid shows (the dense target of the
alignment stage) and the questions that can be asked about it, with the experts they need.
"""

from openmova.data.synthetic.charts import draw_chart
from openmova.data.synthetic.forms import draw_form
from openmova.data.synthetic.pictures import PictureSet, draw_picture
from openmova.data.synthetic.sample import COLUMNS, ROWS, Fact, Sample
from openmova.data.synthetic.shapes import draw_shapes

__all__ = [
    "COLUMNS",
    "ROWS",
    "Fact",
    "PictureSet",
    "Sample",
    "draw_chart",
    "draw_form",
    "draw_picture",
    "draw_shapes",
]
