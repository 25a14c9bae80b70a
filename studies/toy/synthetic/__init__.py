"""Generated images with known contents: forms, bar charts, scattered shapes, single pictures.

Every sample knows its image, what each cell of a 7 x 14 grid shows (the dense target of the
alignment stage) and the questions that can be asked about it, with the experts they need.
"""

from studies.toy.synthetic.charts import draw_chart
from studies.toy.synthetic.forms import draw_form
from studies.toy.synthetic.pictures import PictureSet, draw_picture
from studies.toy.synthetic.sample import COLUMNS, ROWS, Fact, Sample
from studies.toy.synthetic.shapes import draw_shapes

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
